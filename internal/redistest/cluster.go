package redistest

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
)

const (
	clusterPrimaries = 3
	clusterNodes     = 6
	slotCount        = 16384
)

// startCluster starts the nodes and joins them.
func (g *Group) startCluster(ctx context.Context) error {
	g.network = newNetwork(clusterNodes)
	for i := range clusterNodes {
		s, err := g.member(ctx, i, fmt.Sprintf("node %d", i), false)
		if err != nil {
			return err
		}
		g.Servers = append(g.Servers, s)
		if s.bus, err = reservePort(); err != nil {
			return err
		}
		c := s.common()
		if s.gate != nil {
			if s.busGate, err = g.network.gate(s.id, s.bus.addr(), false); err != nil {
				return err
			}
			c["cluster-announce-bus-port"] = strconv.Itoa(s.busGate.port.number)
			c["cluster-announce-port"] = strconv.Itoa(s.gate.port.number)
			if s.opts.TLS != nil {
				c["cluster-announce-tls-port"] = c["cluster-announce-port"]
			}
		}
		if s.opts.TLS != nil {
			c["tls-cluster"] = "yes"
		}
		maps.Copy(c, map[string]string{
			"cluster-enabled":                 "yes",
			"cluster-config-file":             "nodes.conf",
			"cluster-node-timeout":            strconv.Itoa(g.opts.NodeTimeout),
			"cluster-port":                    strconv.Itoa(s.bus.number),
			"cluster-announce-ip":             "127.0.0.1",
			"cluster-allow-replica-migration": "no", // every primary keeps its own replica
			"masteruser":                      controlUser,
			"masterauth":                      controlPassword(),
		})
		s.files[configFile] = s.config(c)
	}
	if err := each(g.Servers, func(s *Server) error {
		if err := s.start(ctx); err != nil {
			return err
		}
		return s.AwaitReady(ctx)
	}); err != nil {
		return err
	}
	return g.join(ctx)
}

// join makes the nodes one cluster: slots, epochs, meetings, then replicas.
func (g *Group) join(ctx context.Context) error {
	each := func(f func(i int, s *Server) error) error {
		return each(g.Servers, func(s *Server) error { return f(s.id-firstID, s) })
	}
	if err := each(func(i int, s *Server) error {
		if _, err := s.Do(ctx, "CLUSTER", "SET-CONFIG-EPOCH", i+1); err != nil {
			return err
		}
		if i < clusterPrimaries {
			if _, err := s.Do(ctx, "CLUSTER", "ADDSLOTSRANGE", i*slotCount/clusterPrimaries, (i+1)*slotCount/clusterPrimaries-1); err != nil {
				return err
			}
		}
		return nil
	}); err != nil {
		return err
	}
	// Only when all have their epochs, which a node that knows another refuses.
	// Everybody meets everybody: gossip alone takes seconds.
	if err := each(func(i int, s *Server) error {
		for _, peer := range g.Servers[i+1:] {
			bus := peer.bus.number
			if peer.busGate != nil {
				bus = peer.busGate.port.number
			}
			if _, err := s.Do(ctx, "CLUSTER", "MEET", "127.0.0.1", peer.announced(), bus); err != nil {
				return err
			}
		}
		return nil
	}); err != nil {
		return err
	}
	return each(func(i int, s *Server) error {
		if i < clusterPrimaries {
			return nil
		}
		primary, err := g.Servers[i-clusterPrimaries].Do(ctx, "CLUSTER", "MYID")
		if err != nil {
			return err
		}
		ctx, cancel := context.WithTimeout(ctx, convergeTimeout)
		defer cancel()
		return poll(ctx, func() (bool, error) {
			_, err := s.Do(ctx, "CLUSTER", "REPLICATE", primary)
			var reply ReplyError
			if errors.As(err, &reply) && (strings.Contains(string(reply), "Unknown node") || strings.Contains(string(reply), "I can only replicate a master")) {
				return false, nil // it has not met it yet
			}
			return err == nil, err
		}, func() string { return s.name + " knows its primary" })
	})
}

// A clusterNode is one line of CLUSTER NODES.
type clusterNode struct {
	id, addr, flags, primary string
	epoch                    int
	connected                bool
	slots                    []int
}

func (n clusterNode) is(flag string) bool { return slices.Contains(strings.Split(n.flags, ","), flag) }

// clusterNodes returns how one server sees the cluster.
func (s *Server) clusterNodes(ctx context.Context) ([]clusterNode, error) {
	reply, err := s.Do(ctx, "CLUSTER", "NODES")
	if err != nil {
		return nil, err
	}
	var nodes []clusterNode
	text, _ := reply.(string)
	for line := range strings.Lines(text) {
		f := strings.Fields(line)
		if len(f) < 8 {
			return nil, fmt.Errorf("redistest: %s: malformed line of CLUSTER NODES: %q", s.name, line)
		}
		addr, _, _ := strings.Cut(f[1], "@")
		n := clusterNode{id: f[0], addr: addr, flags: f[2], primary: f[3], connected: f[7] == "connected"}
		n.epoch, _ = strconv.Atoi(f[6])
		for _, r := range f[8:] {
			if r[0] == '[' {
				continue // a slot on its way
			}
			from, to, isRange := strings.Cut(r, "-")
			if !isRange {
				to = from
			}
			first, err1 := strconv.Atoi(from)
			last, err2 := strconv.Atoi(to)
			if err := errors.Join(err1, err2); err != nil {
				return nil, fmt.Errorf("redistest: %s: malformed slots %q: %w", s.name, r, err)
			}
			for slot := first; slot <= last; slot++ {
				n.slots = append(n.slots, slot)
			}
		}
		nodes = append(nodes, n)
	}
	return nodes, nil
}

// clusterConverged returns why the live nodes do not agree yet.
func (g *Group) clusterConverged(ctx context.Context) error {
	up := live(g.Servers)
	return each(up, func(s *Server) error {
		reply, err := s.Do(ctx, "CLUSTER", "INFO")
		if err != nil {
			return err
		}
		text, _ := reply.(string)
		info := fields(text)
		if info["cluster_state"] != "ok" || info["cluster_slots_ok"] != strconv.Itoa(slotCount) || info["cluster_known_nodes"] != strconv.Itoa(clusterNodes) {
			return fmt.Errorf("%s: state %s, %s slots ok, %s nodes", s.name, info["cluster_state"], info["cluster_slots_ok"], info["cluster_known_nodes"])
		}
		nodes, err := s.clusterNodes(ctx)
		if err != nil {
			return err
		}
		primaries := 0
		for _, n := range nodes {
			if len(n.slots) > 0 {
				primaries++
			}
			if n.is("myself") {
				continue
			}
			if !slices.ContainsFunc(up, func(o *Server) bool { return o.Addr() == n.addr }) {
				continue // one that is down may look as it likes
			}
			if !n.connected || n.is("fail") || n.is("fail?") || n.is("handshake") || n.is("noaddr") {
				return fmt.Errorf("%s: sees %s as %s, connected %t", s.name, n.addr, n.flags, n.connected)
			}
			if n.is("master") && len(n.slots) == 0 {
				return fmt.Errorf("%s: sees %s as a primary without slots", s.name, n.addr)
			}
		}
		if primaries != clusterPrimaries {
			return fmt.Errorf("%s: sees %d primaries with slots", s.name, primaries)
		}
		_, err = replicating(ctx, s)
		return err
	})
}

// myself returns a node's own line.
func (s *Server) myself(ctx context.Context) (clusterNode, error) {
	nodes, err := s.clusterNodes(ctx)
	if err != nil {
		return clusterNode{}, err
	}
	i := slices.IndexFunc(nodes, func(n clusterNode) bool { return n.is("myself") })
	if i < 0 {
		return clusterNode{}, fmt.Errorf("redistest: %s is not in its own CLUSTER NODES", s.name)
	}
	return nodes[i], nil
}

func (g *Group) clusterFailover(ctx context.Context, primary *Server) (*Server, error) {
	replicas, err := g.Replicas(ctx, primary)
	if err != nil {
		return nil, err
	}
	if len(replicas) == 0 {
		return nil, fmt.Errorf("redistest: %s has no replica that is up", primary.name)
	}
	successor, err := g.successor(ctx, primary)
	if err != nil {
		return nil, err
	}
	if _, err := replicas[0].Do(ctx, "CLUSTER", "FAILOVER"); err != nil {
		return nil, err
	}
	next, err := successor(ctx)
	if err != nil {
		return nil, err
	}
	return next, g.AwaitConverged(ctx)
}
