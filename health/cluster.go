package health

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/relay-platform/redis/conn"
)

// checkCluster asks every node, and the first that answers for the slot map.
func (k *Checker) checkCluster(ctx context.Context, r *Result, nodes []node) {
	s := survey{k: k, began: r.CheckedAt, members: map[string]*member{}}
	s.run(ctx, nodes)
	k.judge(r, s.members, len(s.found.nodes) > 0, s.found.err)
}

// judge fills in the result.
func (k *Checker) judge(r *Result, members map[string]*member, known bool, mapErr error) {
	c := &Cluster{}
	var failing []Node // primaries with slots that do not do their part
	var sum totals
	for _, addr := range slices.Sorted(maps.Keys(members)) {
		m := members[addr]
		if known && !m.mapped {
			continue // the cluster has forgotten it, and so will the client
		}
		if !known { // a node is what it says it is
			m.replica = describe(m.answer, parseFields(m.answer.info)).Role == replicaRole
		}
		if m.replica {
			c.Replicas++
		} else {
			c.Primaries++
			c.SlotsAssigned += m.slots
		}
		n := k.assessMember(r, m, known)
		r.Nodes = append(r.Nodes, n)
		if m.reached() {
			c.Reachable++
			if m.stateFail() {
				c.StateFail++
			} else {
				c.StateOK++
			}
		}
		if m.replica {
			continue
		}
		r.Slow = r.Slow || n.Slow
		if n.Server != nil {
			sum.add(n.Server)
		}
		if m.slots == 0 && known {
			continue
		}
		r.ResponseTime = max(r.ResponseTime, n.ResponseTime)
		switch {
		case n.Err == nil, n.Reason.status() == StatusDegraded && n.Reason != ReasonReadOnly && n.Reason != ReasonReplicationLinkDown:
			c.SlotsServed += m.slots
		}
		if n.Err != nil {
			failing = append(failing, n)
		}
	}
	r.Server = sum.server()
	if !known {
		k.judgeUnknown(r, c, members, failing, mapErr)
		return
	}
	r.Cluster = c
	verdict(r, c, failing)
}

// judgeUnknown does without a slot map: by what the nodes say of their cluster.
func (k *Checker) judgeUnknown(r *Result, c *Cluster, members map[string]*member, failing []Node, mapErr error) {
	for _, m := range members {
		if m.reached() && !m.stateFail() {
			c.SlotsServed = max(c.SlotsServed, int(min(m.info.count("cluster_slots_ok"), slotCount)))
			c.SlotsAssigned = max(c.SlotsAssigned, int(min(m.info.count("cluster_slots_assigned"), slotCount)))
		}
	}
	if c.Reachable > 0 {
		r.Cluster = c
		if isReply(mapErr) {
			r.warn(WarnInfoForbidden, "", "CLUSTER NODES is refused, so what is served is what the nodes say of each other: give the user +cluster|nodes (%v)", mapErr)
		}
	}
	if c.SlotsServed == slotCount {
		// Whoever does not answer is not needed, or the others will notice.
		failing = slices.DeleteFunc(failing, func(n Node) bool {
			if n.Server == nil {
				r.warn(WarnReplicaUnreachable, n.Addr, "%v", n.Err)
			}
			return n.Server == nil
		})
	}
	verdict(r, c, failing)
}

// verdict decides on the cluster as a whole.
func verdict(r *Result, c *Cluster, failing []Node) {
	var errs []error
	down := 0
	for _, n := range failing {
		errs = append(errs, n.Err)
		if n.Reason == ReasonClusterDown {
			down++
		}
	}
	details := inOneLine(errs)
	switch {
	case c.SlotsServed == slotCount && len(failing) == 0:
	case c.SlotsServed == slotCount:
		r.fail(failing[0].Reason, details)
	case c.SlotsServed > 0:
		r.fail(ReasonSlotsUncovered, &uncovered{*c, details})
	case down > 0 || len(failing) == 0:
		r.fail(ReasonClusterDown, &uncovered{*c, details})
	default:
		r.fail(common(failing), details)
	}
}

// uncovered is the error of a cluster that does not serve every slot.
type uncovered struct {
	c       Cluster
	details error
}

func (e *uncovered) Error() string {
	return fmt.Sprintf("health: %d of %d slots are served, %d have a primary: %v", e.c.SlotsServed, slotCount, e.c.SlotsAssigned, e.details)
}

// Unwrap says what a command for such a slot would meet, and why.
func (e *uncovered) Unwrap() []error { return []error{conn.ErrClusterDown, e.details} }

// common returns the reason that most nodes have; of equals, the first one's.
func common(nodes []Node) Reason {
	count := map[Reason]int{}
	for _, n := range nodes {
		count[n.Reason]++
	}
	best := nodes[0].Reason
	for _, n := range nodes {
		if count[n.Reason] > count[best] {
			best = n.Reason
		}
	}
	return best
}

// assessMember judges one node of the cluster.
func (k *Checker) assessMember(r *Result, m *member, known bool) Node {
	role := primaryRole
	if m.replica || m.slots == 0 && known {
		role = replicaRole
	}
	n := k.assess(r, m.answer, role)
	n.Addr, n.Slots = m.addr, m.slots
	if n.Server != nil && n.Server.Role == "" {
		n.Server.Role = role
	}
	switch {
	case role == primaryRole:
		if m.stateFail() && (n.Err == nil || n.Reason.status() == StatusDegraded) {
			n.Healthy, n.Reason = false, ReasonClusterDown
			n.Err = &conn.Error{Op: "health", Addr: m.addr, Kinds: []error{conn.ErrClusterDown}, Err: fmt.Errorf(
				"the node reports cluster_state:fail: it is cut off from the other primaries, or slots are not covered (%s of %s are)", m.info["cluster_slots_ok"], m.info["cluster_slots_assigned"])}
		}
	case n.Reason == ReasonNotAsked:
	case n.Server == nil:
		r.warn(WarnReplicaUnreachable, m.addr, "%v", n.Err)
	case n.Reason == ReasonReplicationLinkDown:
		r.warn(WarnReplicationLinkDown, m.addr, "%v", n.Err)
	case n.Err != nil:
		r.warn(WarnReplicaUnreachable, m.addr, "%v", n.Err)
	case m.stateFail():
		r.warn(WarnNodeDisagrees, m.addr, "the node reports cluster_state:fail, which others do not")
	}
	return n
}

// notAsked is the error of a node that the slot map names and the client does
// not know: it leaves out those that have failed or are still being filled.
type notAsked struct {
	addr   string
	failed bool
}

func (e *notAsked) Error() string {
	if e.failed {
		return fmt.Sprintf("health: %s has failed, says the cluster", e.addr)
	}
	return fmt.Sprintf("health: %s was not asked: the client does not know it yet, and looks every 10 s", e.addr)
}

// Unwrap says what a command for the node would meet.
func (e *notAsked) Unwrap() error { return conn.ErrNotConnected }

// totals adds up what the primaries tell.
type totals struct {
	s     *Server
	infos int
}

func (t *totals) add(s *Server) {
	if t.s == nil {
		t.s = &Server{Kind: s.Kind, Version: s.Version, Role: primaryRole, Tracking: s.Tracking}
	}
	t.s.Tracking = t.s.Tracking && s.Tracking
	if s.Info == nil {
		return
	}
	if t.infos++; t.infos == 1 {
		first := *s.Info
		t.s.Info = &first
		return
	}
	i := t.s.Info
	i.Uptime = min(i.Uptime, s.Info.Uptime)
	i.ConnectedClients += s.Info.ConnectedClients
	i.MaxClients += s.Info.MaxClients
	i.UsedMemory += s.Info.UsedMemory
	i.MaxMemory += s.Info.MaxMemory
	i.EvictedKeys += s.Info.EvictedKeys
	i.ConnectedReplicas += s.Info.ConnectedReplicas
	i.Loading = i.Loading || s.Info.Loading
	i.LoadingETA = max(i.LoadingETA, s.Info.LoadingETA)
}

func (t *totals) server() *Server {
	if t.s != nil && t.s.Info != nil {
		t.s.Info.UsedMemoryHuman = humanBytes(t.s.Info.UsedMemory)
	}
	return t.s
}

// errorList is errors.Join on one line, fit for a log.
type errorList []error

func inOneLine(errs []error) error {
	switch len(errs) {
	case 0:
		return errors.New("no primary with slots is known")
	case 1:
		return errs[0]
	}
	return errorList(errs)
}

func (l errorList) Error() string {
	texts := make([]string, len(l))
	for i, err := range l {
		texts[i] = strings.TrimPrefix(err.Error(), "conn: ")
	}
	return strings.Join(texts, "; ")
}

func (l errorList) Unwrap() []error { return l }
