package redistest

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"sync"
	"time"
)

// MasterName is the name by which Sentinels know the primary.
const MasterName = "mymaster"

// A Group is one or more servers that work together: a standalone server, a
// primary with replicas under Sentinels, or a cluster. Its methods are safe for
// concurrent use; the slices must not be changed.
type Group struct {
	// Servers are the data nodes. In a new group the primaries come first; who is
	// primary later is what Primary and Primaries tell.
	Servers []*Server
	// Sentinels are empty but in a Sentinel topology.
	Sentinels []*Server

	topology Topology
	opts     Options
	network  *network
}

// StartGroup starts a group of a topology, empty meaning [DefaultTopology], and
// waits until its members have found each other. Close it. Tests use
// [Sentinel], [Cluster] or [Default].
func StartGroup(ctx context.Context, t Topology, opts Options) (*Group, error) {
	if t == "" {
		var err error
		if t, err = DefaultTopology(); err != nil {
			return nil, err
		}
	}
	filled, err := opts.withDefaults()
	if err != nil {
		return nil, err
	}
	g := &Group{topology: t, opts: filled}
	switch t {
	case TopologyStandalone:
		s, err := StartServer(ctx, opts)
		if err != nil {
			return nil, err
		}
		g.Servers = []*Server{s}
		return g, nil
	case TopologySentinel:
		err = g.startSentinel(ctx)
	case TopologyCluster:
		err = g.startCluster(ctx)
	default:
		return nil, fmt.Errorf("redistest: unknown topology %q", t)
	}
	if err == nil {
		err = g.AwaitConverged(ctx)
	}
	if err != nil {
		return nil, errors.Join(err, g.Close())
	}
	return g, nil
}

// member prepares the server that is the i-th of its group, with its gates. The
// configuration is left to the caller.
func (g *Group) member(ctx context.Context, i int, name string, sentinel bool) (*Server, error) {
	if g.opts.Socket {
		return nil, errors.New("redistest: Options.Socket is for a standalone server only")
	}
	s, err := newServer(ctx, name, g.opts, sentinel)
	if err != nil {
		return nil, err
	}
	s.id = firstID + i
	if !g.opts.Direct {
		if s.gate, err = g.network.gate(s.id, s.port.addr(), g.opts.TLS == nil); err != nil {
			return nil, errors.Join(err, s.Close())
		}
	}
	return s, nil
}

// announced returns the port by which others know a server.
func (s *Server) announced() int {
	if s.gate != nil {
		return s.gate.port.number
	}
	return s.port.number
}

// common returns the directives that all members of a group have.
func (s *Server) common() map[string]string {
	c := map[string]string{}
	if s.gate != nil {
		c["bind-source-addr"] = source(s.id)
	}
	if s.opts.TLS != nil {
		c["tls-replication"] = "yes"
	}
	return c
}

// All returns the servers and the Sentinels.
func (g *Group) All() []*Server { return slices.Concat(g.Servers, g.Sentinels) }

// Topology returns how the servers work together.
func (g *Group) Topology() Topology { return g.topology }

// Addrs returns the addresses that a client starts from: the server's, the
// Sentinels', or all of the cluster's nodes'.
func (g *Group) Addrs() []string {
	from := g.Servers
	if g.topology == TopologySentinel {
		from = g.Sentinels
	}
	var addrs []string
	for _, s := range from {
		addrs = append(addrs, s.Addr())
	}
	return addrs
}

// URL returns Addrs in the form "redis://:password@host:port?addr=host:port", in
// a Sentinel topology with master_set=[MasterName].
func (g *Group) URL() string {
	addrs := g.Addrs()
	u := url.URL{Scheme: "redis", Host: addrs[0]}
	if g.opts.TLS != nil {
		u.Scheme = "rediss"
	}
	if g.opts.Password != "" {
		u.User = url.UserPassword("", g.opts.Password)
	}
	q := url.Values{}
	for _, a := range addrs[1:] {
		q.Add("addr", a)
	}
	if g.topology == TopologySentinel {
		q.Set("master_set", MasterName)
	}
	u.RawQuery = q.Encode()
	return u.String()
}

// Partition cuts what a's and b's send each other, in both directions. Clients
// reach both sides; see [Server.Proxy] for the way to them.
func (g *Group) Partition(a, b []*Server, c Cut) error {
	return errors.Join(g.PartitionOneWay(a, b, c), g.PartitionOneWay(b, a, c))
}

// PartitionOneWay cuts what the senders send to the receivers, whoever opened
// the connection, and lets through what comes back. With [Sever] the
// connections go, so that nothing passes either way.
func (g *Group) PartitionOneWay(senders, receivers []*Server, c Cut) error {
	if g.network == nil || g.opts.Direct {
		return fmt.Errorf("redistest: a partition needs the gates of a group: this is a %s topology with Direct %t", g.topology, g.opts.Direct)
	}
	f := holding
	if c == Sever {
		f = resetting
	}
	g.network.set(senders, receivers, f)
	return nil
}

// Isolate cuts one server off from all others of the group, but not from
// clients.
func (g *Group) Isolate(s *Server, c Cut) error {
	return g.Partition([]*Server{s}, g.others(s), c)
}

// Heal ends all partitions, and the faults on all gates.
func (g *Group) Heal() error {
	if g.network != nil {
		g.network.set(g.All(), g.All(), flowing)
	}
	var errs []error
	for _, s := range g.All() {
		if s.gate != nil {
			errs = append(errs, s.gate.Heal())
		}
	}
	return errors.Join(errs...)
}

func (g *Group) others(s *Server) []*Server {
	return slices.DeleteFunc(g.All(), func(o *Server) bool { return o == s })
}

// byAddr returns the member that is announced at an address.
func (g *Group) byAddr(addr string) (*Server, error) {
	for _, s := range g.All() {
		if s.Addr() == addr {
			return s, nil
		}
	}
	return nil, fmt.Errorf("redistest: no member of the group has the address %q", addr)
}

// live returns those that are neither down nor frozen.
func live(servers []*Server) []*Server {
	return slices.DeleteFunc(slices.Clone(servers), func(s *Server) bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		return s.down || s.frozen
	})
}

// Close removes all servers in any state. A second call does nothing.
func (g *Group) Close() error {
	all := g.All()
	return each(all, (*Server).Close)
}

// each does the same to several servers at once.
func each(servers []*Server, f func(*Server) error) error {
	errs := make([]error, len(servers))
	var wg sync.WaitGroup
	for i, s := range servers {
		wg.Go(func() { errs[i] = f(s) })
	}
	wg.Wait()
	return errors.Join(errs...)
}

// convergeTimeout is how long a group may take until its members agree.
const convergeTimeout = 30 * time.Second

// AwaitConverged waits, at most 30 s, until all members that are up agree: in a
// cluster on a state of ok, with all slots and no failed or unknown node among
// them; under Sentinels on one primary, with all replicas and Sentinels known;
// in both every replica's link is up. It is what to await before a fault (a
// primary killed too early never fails over) and after one.
func (g *Group) AwaitConverged(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, convergeTimeout)
	defer cancel()
	last := errors.New("not asked yet")
	return poll(ctx, func() (bool, error) {
		// One that hangs is asked again.
		once, cancel := context.WithTimeout(ctx, 2*time.Second)
		defer cancel()
		switch g.topology {
		case TopologySentinel:
			last = g.sentinelConverged(once)
		case TopologyCluster:
			last = g.clusterConverged(once)
		default:
			_, last = g.Servers[0].Do(once, "PING")
		}
		return last == nil, nil
	}, func() string { return fmt.Sprintf("the %s group converged (last: %v)", g.topology, last) })
}

// replicating reports why a server that is a replica is not in step, and on a
// primary why it has fewer live replicas than it should.
func replicating(ctx context.Context, s *Server) (info map[string]string, err error) {
	info, err = s.Info(ctx, "replication")
	if err == nil && info["role"] == "slave" && info["master_link_status"] != "up" {
		err = fmt.Errorf("%s: its link to its primary is %s", s.name, info["master_link_status"])
	}
	return info, err
}

// FlushAll deletes all keys of all primaries.
func (g *Group) FlushAll(ctx context.Context) error {
	return each(live(g.Servers), func(s *Server) error {
		_, err := s.Do(ctx, "FLUSHALL")
		var reply ReplyError
		if errors.As(err, &reply) && len(reply) > 8 && reply[:8] == "READONLY" {
			return nil // a replica follows its primary
		}
		return err
	})
}
