package conn

import (
	"fmt"
	"net"
	"strconv"
	"strings"

	"github.com/redis/rueidis"
)

// topologyRounds is how many rounds in which nothing failed a topology is kept.
const topologyRounds = 10

// topology is what the prober knows of a cluster: who serves which slot.
type topology struct {
	primaries map[string]int // address to the first slot that it serves
	age       int            // rounds since it was asked for
}

func (t *topology) isPrimary(addr string) bool {
	_, ok := t.primaries[addr]
	return ok || t.primaries == nil
}

// askCluster asks every primary, at the same time, whether it finds the
// cluster in order.
func (p *prober) askCluster(raw rueidis.Client) (fresh bool, err error) {
	nodes := raw.Nodes()
	if p.cluster.primaries == nil || p.failures > 0 || p.cluster.age >= topologyRounds {
		if err := p.refreshTopology(nodes); err != nil {
			return false, err
		}
	}
	p.cluster.age++
	type result struct {
		addr  string
		fresh bool
		err   error
	}
	results := make(chan result, len(p.cluster.primaries))
	// The questions are put here, one after the other, and awaited together.
	pending := 0
	for addr, slot := range p.cluster.primaries {
		node := nodes[addr]
		if node == nil {
			// rueidis has not heard of it yet. A command for one of its slots
			// makes it ask; what comes of it is not our concern.
			p.nudge(raw, slot)
			results <- result{addr, false, &Error{Op: "probe", Addr: addr, Kinds: []error{ErrNotConnected}, Err: fmt.Errorf("a new primary: the topology is being refreshed")}}
			pending++
			continue
		}
		wait := p.start(addr, node, func() rueidis.Completed { return node.B().ClusterInfo().Build() })
		pending++
		go func() {
			msg, fresh, err := wait()
			if err != nil {
				err = p.c.probeError("cluster", err)
			} else {
				err = clusterState(addr, msg)
			}
			results <- result{addr, fresh, err}
		}()
	}
	fresh = true
	for range pending {
		r := <-results
		fresh = fresh && r.fresh
		if r.err != nil && err == nil {
			err = withAddr(r.err, r.addr)
		}
	}
	return fresh, err
}

// refreshTopology asks one node after the other which primaries there are.
func (p *prober) refreshTopology(nodes map[string]rueidis.Client) error {
	var first error
	for addr, node := range nodes {
		msg, _, err := p.ask("slots "+addr, node, func() rueidis.Completed { return node.B().ClusterSlots().Build() })
		if err == nil {
			if t := parseSlots(msg, addr); len(t) > 0 {
				p.cluster = topology{primaries: t}
				return nil
			}
			err = &Error{Op: "probe", Kinds: []error{ErrClusterDown}, Err: fmt.Errorf("no node serves any slot")}
		}
		if first == nil {
			first = withAddr(p.c.callError("probe", false, err), addr)
		}
	}
	if first == nil {
		first = &Error{Op: "probe", Kinds: []error{ErrClusterDown}, Err: fmt.Errorf("no node of the cluster is known")}
	}
	return first
}

// parseSlots reads the reply of CLUSTER SLOTS: arrays of first slot, last
// slot, and nodes, the primary first, each host, port, and more.
func parseSlots(msg rueidis.RedisMessage, from string) map[string]int {
	ranges, _ := msg.ToArray()
	primaries := map[string]int{}
	for _, r := range ranges {
		parts, _ := r.ToArray()
		if len(parts) < 3 {
			continue
		}
		slot, _ := parts[0].AsInt64()
		node, _ := parts[2].ToArray()
		if len(node) < 2 {
			continue
		}
		host, _ := node[0].ToString()
		port, _ := node[1].AsInt64()
		switch host {
		case "?":
			continue // a node that does not know its own name
		case "":
			host, _, _ = net.SplitHostPort(from)
		}
		primaries[net.JoinHostPort(host, strconv.FormatInt(port, 10))] = int(slot)
	}
	return primaries
}

// clusterState reads cluster_state out of CLUSTER INFO: a primary that is cut
// off from its peers answers, and yet serves nothing.
func clusterState(addr string, msg rueidis.RedisMessage) error {
	info, _ := msg.ToString() // anything else is an answer, too
	if !strings.Contains(info, "cluster_state:fail") {
		return nil
	}
	return &Error{Op: "probe", Addr: addr, Kinds: []error{ErrClusterDown}, Err: fmt.Errorf("the node reports cluster_state:fail")}
}

// nudge sends a harmless command for a slot, so that rueidis finds out that
// the slot has moved.
func (p *prober) nudge(raw rueidis.Client, slot int) {
	key := p.c.keyInSlot(slot)
	p.start("nudge", raw, func() rueidis.Completed { return raw.B().Exists().Key(key).Build() })
}

// keyInSlot returns a key with the Client's prefix that belongs to slot.
func (c *Client) keyInSlot(slot int) string {
	for i := 0; ; i++ {
		key := c.cfg.KeyPrefix + "conn:probe:" + strconv.Itoa(i)
		if Slot(key) == slot {
			return key
		}
	}
}

func withAddr(err error, addr string) error {
	if e, ok := err.(*Error); ok && e.Addr == "" { //nolint:errorlint // ours, made a few lines above
		e.Addr = addr
	}
	return err
}
