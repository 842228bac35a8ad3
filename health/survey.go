package health

import (
	"context"
	"fmt"
	"time"

	"github.com/relay-platform/redis/conn"
)

// member is what is known of one node of the cluster.
type member struct {
	addr     string
	known    bool // to the client, and so asked
	mapped   bool // named by the slot map
	slots    int
	replica  bool
	failed   bool // says the slot map
	answered bool // or failed to
	answer   answer
	info     fields // CLUSTER INFO
}

func (m *member) stateFail() bool { return m.info.has("cluster_state", "fail") }

// reached reports whether the node answered.
func (m *member) reached() bool { return m.answered && m.answer.err == nil }

// survey collects what the nodes say.
type survey struct {
	k       *Checker
	began   time.Time
	members map[string]*member
	found   mapAnswer
}

// run asks all nodes at the same time, and one of them for the slot map: the
// first that answers, and another one after it if the first finds the cluster
// down and that one does not. A replica that does not answer holds up nobody
// for longer than Options.SlowAfter.
func (s *survey) run(ctx context.Context, nodes []node) {
	type result struct {
		addr   string
		answer answer
	}
	answers := make(chan result, len(nodes))
	byAddr := make(map[string]node, len(nodes))
	for _, n := range nodes {
		byAddr[n.addr] = n
		s.members[n.addr] = &member{addr: n.addr, known: true}
		go func() { answers <- result{n.addr, s.k.ask(ctx, n, question{cluster: true})} }()
	}
	slotMaps := make(chan mapAnswer, len(nodes))
	pending, sure := 0, false // of the slot maps
	var patience <-chan time.Time
	for left := len(nodes); left > 0 || pending > 0; {
		select {
		case a := <-answers:
			left--
			m := s.members[a.addr]
			m.answer, m.answered, m.info = a.answer, true, parseFields(a.answer.cluster)
			if a.answer.err == nil && !sure && (pending+len(s.found.nodes) == 0 || !m.stateFail()) {
				sure = !m.stateFail()
				pending++
				go func() { slotMaps <- s.k.askMap(ctx, byAddr[a.addr]) }()
			}
		case found := <-slotMaps:
			pending--
			if len(found.nodes) > 0 || len(s.found.nodes) == 0 {
				s.found = found
				s.arrange()
			}
		case <-patience:
			left = 0
		}
		if patience == nil && left > 0 && pending == 0 && len(s.found.nodes) > 0 && s.primariesAnswered() {
			timer := time.NewTimer(time.Until(s.began.Add(s.k.opts.SlowAfter)))
			defer timer.Stop()
			patience = timer.C
		}
	}
	for _, m := range s.members {
		switch {
		case !m.known:
			m.answer = answer{err: &notAsked{m.addr, m.failed}}
		case !m.answered:
			took := time.Since(s.began)
			m.answer = answer{took: took, err: &conn.Error{
				Op: "health", Addr: m.addr, Kinds: []error{conn.ErrTimeout},
				Err: fmt.Errorf("no answer within %v, and the check waited no longer for a replica", took.Round(time.Millisecond)),
			}}
		}
	}
}

func (s *survey) primariesAnswered() bool {
	for _, m := range s.members {
		if !m.replica && m.known && !m.answered {
			return false
		}
	}
	return true
}

// arrange brings members and slot map together. Members that the map does not
// name, which the client is about to forget, are left alone with no slots.
func (s *survey) arrange() {
	for _, m := range s.members {
		m.slots, m.replica, m.mapped = 0, true, false
	}
	for _, n := range s.found.nodes {
		m := s.member(n.addrs)
		m.mapped, m.replica, m.failed, m.slots = true, !n.primary, n.failed, n.slots
	}
}

// member returns the one that is known by one of the addresses, or a new one.
func (s *survey) member(addrs []string) *member {
	for _, addr := range addrs {
		if m := s.members[addr]; m != nil {
			return m
		}
	}
	m := &member{addr: addrs[0]}
	s.members[m.addr] = m
	return m
}

func (k *Checker) askMap(ctx context.Context, n node) mapAnswer {
	a, _, ok := k.maps.do(ctx, n.addr, k.opts.Timeout, func(ctx context.Context) mapAnswer {
		nodes, err := n.slots(ctx)
		return mapAnswer{nodes, err}
	})
	if !ok {
		a.err = nodeError("CLUSTER NODES", n.addr, ctx.Err())
	}
	return a
}
