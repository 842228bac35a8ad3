package redistest

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// eventually waits until a condition holds, or fails the test.
func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 15*time.Second)
	defer cancel()
	must(t, poll(ctx, func() (bool, error) { return holds(), nil }, func() string { return what }))
}

// clientDo runs a command as a client does, through the gate.
func clientDo(t *testing.T, s *Server, args ...any) (any, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	c, err := dial(ctx, s.Addr(), s.TLSConfig())
	if err != nil {
		return nil, err
	}
	defer c.Close()
	if p := s.opts.Password; p != "" {
		if _, err := c.Do(ctx, "AUTH", p); err != nil {
			return nil, err
		}
	}
	return c.Do(ctx, args...)
}

// timed logs how long a step took, for the figures in the documentation.
func timed(t *testing.T, what string) func() {
	began := time.Now()
	return func() { t.Logf("%s in %v", what, time.Since(began).Round(10*time.Millisecond)) }
}

func TestSlot(t *testing.T) {
	t.Parallel()
	for key, want := range map[string]int{"": 0, "123456789": 12739, "foo": 12182, "{foo}bar": 12182, "a{foo}{bar}": 12182, "foo{}": 5542} {
		if got := Slot(key); got != want {
			t.Errorf("Slot(%q) = %d, want %d", key, got, want)
		}
	}
}

func TestClusterFailoverAndCrash(t *testing.T) {
	t.Parallel()
	done := timed(t, "cluster up")
	g := Cluster(t, Options{})
	done()
	ctx := t.Context()
	old, err := g.Primary(ctx, "k")
	must(t, err)
	if got, err := clientDo(t, old, "SET", "k", "v"); err != nil {
		t.Fatalf("SET through the gate: %v, %v", got, err)
	}

	done = timed(t, "graceful failover")
	next, err := g.Failover(ctx, old)
	must(t, err)
	done()
	if got, err := clientDo(t, next, "GET", "k"); got != "v" || next == old {
		t.Errorf("the new primary %s (was %s) has %v, %v", next.Name(), old.Name(), got, err)
	}
	if _, err := clientDo(t, old, "GET", "k"); err == nil || !strings.Contains(err.Error(), fmt.Sprintf("MOVED %d %s", Slot("k"), next.Addr())) {
		t.Errorf("the old primary says %v, want MOVED to the gate at %s", err, next.Addr())
	}

	done = timed(t, "crash failover")
	again, err := g.Crash(ctx, next)
	must(t, err)
	done()
	if again != old {
		t.Errorf("%s took over, want the only replica %s", again.Name(), old.Name())
	}
	if _, err := net.Dial("tcp", next.Addr()); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("dialing the crashed node: %v, want refused: its gate must not stand in for it", err)
	}
	done = timed(t, "restart and convergence")
	must(t, next.Restart(ctx))
	must(t, g.AwaitConverged(ctx))
	done()
	if replicas, err := g.Replicas(ctx, again); err != nil || len(replicas) != 1 || replicas[0] != next {
		t.Errorf("replicas %v, %v: want the restarted one", replicas, err)
	}
}

func TestClusterPartitions(t *testing.T) {
	t.Parallel()
	g := Cluster(t, Options{})
	ctx := t.Context()
	primary, err := g.Primary(ctx, "k")
	must(t, err)

	// From its peers only: it hears clients and knows that it is alone.
	must(t, g.Isolate(primary, Hold))
	eventually(t, "another takes over", func() bool {
		owner, err := g.Primary(ctx, "k")
		return err == nil && owner != primary
	})
	eventually(t, "the isolated primary refuses", func() bool {
		_, err := clientDo(t, primary, "GET", "k")
		return err != nil && strings.Contains(err.Error(), "CLUSTERDOWN")
	})
	if got, err := clientDo(t, primary, "PING"); got != "PONG" {
		t.Errorf("the isolated primary says %v, %v to PING", got, err)
	}
	done := timed(t, "heal")
	must(t, g.Heal())
	must(t, g.AwaitConverged(ctx))
	done()

	// From clients only: the cluster does not notice.
	primary, err = g.Primary(ctx, "k")
	must(t, err)
	primary.Proxy().Blackhole(Both)
	if _, err := clientDo(t, primary, "PING"); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v through a black hole, want silence", err)
	}
	must(t, g.clusterConverged(ctx))
	must(t, g.Heal())
	if got, err := clientDo(t, primary, "PING"); got != "PONG" {
		t.Errorf("after the heal: %v, %v", got, err)
	}

	// One way, and severed: what the node says is lost, so the others drop it.
	must(t, g.PartitionOneWay([]*Server{primary}, g.others(primary), Sever))
	eventually(t, "another takes over", func() bool {
		owner, err := g.Primary(ctx, "k")
		return err == nil && owner != primary
	})
	if resets := primary.busGate.Stats().Resets; resets == 0 {
		t.Error("severing reset no connection of the bus")
	}
	must(t, g.Heal())
	must(t, g.AwaitConverged(ctx))
}

func TestClusterMigratesSlotsUnderLoad(t *testing.T) {
	t.Parallel()
	g := Shared(t, TopologyCluster, Options{})
	ctx := t.Context()
	slot := Slot("{migrate}")
	from, err := g.SlotOwner(ctx, slot)
	must(t, err)
	to := g.Servers[0]
	if to == from {
		to = g.Servers[1]
	}
	for i := range 250 {
		if _, err := from.Do(ctx, "SET", fmt.Sprintf("{migrate}%d", i), i); err != nil {
			t.Fatal(err)
		}
	}
	// A client that reads while the slot moves must be told where to go.
	stop := make(chan struct{})
	var told, served int
	var load sync.WaitGroup
	load.Go(func() {
		for i := 0; ; i++ {
			select {
			case <-stop:
				return
			default:
			}
			_, err := clientDo(t, from, "GET", fmt.Sprintf("{migrate}%d", i%250))
			var reply ReplyError
			switch {
			case err == nil:
				served++
			case errors.As(err, &reply) && (strings.HasPrefix(string(reply), "ASK ") || strings.HasPrefix(string(reply), "MOVED ")):
				told++
			default:
				t.Errorf("GET during the migration: %v", err)
				return
			}
		}
	})
	done := timed(t, "21 slots moved, one with 250 keys")
	must(t, g.MigrateSlots(ctx, slot-10, slot+10, to))
	done()
	for _, s := range g.Servers[:clusterPrimaries] {
		_, err := clientDo(t, s, "GET", "{migrate}1")
		if s == to && err != nil || s != to && (err == nil || err.Error() != fmt.Sprintf("MOVED %d %s", slot, to.Addr())) {
			t.Errorf("%s says %v after the migration", s.Name(), err)
		}
	}
	close(stop)
	load.Wait()
	t.Logf("%d GETs served by the old owner, %d redirected", served, told)
	if got := do(t, to, "CLUSTER", "COUNTKEYSINSLOT", slot); got != int64(250) {
		t.Errorf("%v keys arrived, want 250", got)
	}
	if owner, err := g.SlotOwner(ctx, slot); owner != to {
		t.Errorf("the owner is %v, %v, want %s", owner, err, to.Name())
	}
}

func TestSentinelFailoverCrashAndPartition(t *testing.T) {
	t.Parallel()
	done := timed(t, "Sentinel up")
	g := Sentinel(t, Options{})
	done()
	ctx := t.Context()
	first, err := g.Primary(ctx, "")
	must(t, err)

	done = timed(t, "graceful failover")
	second, err := g.Failover(ctx, first)
	must(t, err)
	done()
	if second == first {
		t.Fatalf("still %s", first.Name())
	}
	reply, err := clientDo(t, g.Sentinels[0], "SENTINEL", "GET-MASTER-ADDR-BY-NAME", MasterName)
	if err != nil || fmt.Sprint(reply) != fmt.Sprint(strings.Split(second.Addr(), ":")) {
		t.Errorf("a client of a Sentinel is told %v, %v, want the gate of %s at %s", reply, err, second.Name(), second.Addr())
	}

	done = timed(t, "crash failover")
	third, err := g.Crash(ctx, second)
	must(t, err)
	done()
	done = timed(t, "restart and convergence")
	must(t, second.Restart(ctx))
	must(t, g.AwaitConverged(ctx))
	done()

	// Cut off from the Sentinels and replicas the primary stays one, for its
	// clients, while there is another.
	must(t, g.Isolate(third, Hold))
	eventually(t, "another takes over", func() bool {
		p, err := g.Primary(ctx, "")
		return err == nil && p != third
	})
	if got, err := clientDo(t, third, "SET", "lost", "1"); got != "OK" {
		t.Errorf("the isolated primary says %v, %v to SET", got, err)
	}
	must(t, g.Heal())
	must(t, g.AwaitConverged(ctx))
	if got := do(t, third, "GET", "lost"); got != nil {
		t.Errorf("the write to the isolated primary survived: %v", got)
	}
	if _, err := clientDo(t, third, "SET", "k", "v"); err == nil || !strings.HasPrefix(err.Error(), "READONLY") {
		t.Errorf("the former primary says %v to SET, want READONLY", err)
	}
}

func TestGroupsWithTLSAndPasswords(t *testing.T) {
	t.Parallel()
	for _, topology := range []Topology{TopologySentinel, TopologyCluster} {
		t.Run(string(topology), func(t *testing.T) {
			t.Parallel()
			g := start(t, topology, Options{Password: "secret", SentinelPassword: "other", TLS: &TLS{ClientCert: true}})
			p, err := g.Primary(t.Context(), "k")
			must(t, err)
			if got, err := clientDo(t, p, "SET", "k", "v"); got != "OK" {
				t.Errorf("SET: %v, %v", got, err)
			}
			if _, err := p.Proxy().SwallowReply(Command("GET"), false); err == nil {
				t.Error("a proxy cannot read TLS, and should say so")
			}
			next, err := g.Crash(t.Context(), p)
			must(t, err)
			eventually(t, "the new primary serves", func() bool {
				got, err := clientDo(t, next, "GET", "k")
				return err == nil && got == "v"
			})
		})
	}
}

func TestStandaloneGroup(t *testing.T) {
	t.Parallel()
	g := Shared(t, TopologyStandalone, Options{})
	if p, err := g.Primary(t.Context(), "k"); err != nil || p != g.Servers[0] || g.Addrs()[0] != p.Addr() || g.URL() != p.URL() {
		t.Errorf("primary %v, %v; addresses %v; URL %s", p, err, g.Addrs(), g.URL())
	}
	if _, err := g.Failover(t.Context(), g.Servers[0]); err == nil {
		t.Error("a standalone server cannot fail over, and should say so")
	}
	if err := g.Isolate(g.Servers[0], Hold); err == nil {
		t.Error("a standalone server cannot be partitioned, and should say so")
	}
}
