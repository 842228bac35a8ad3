package integration_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/relay-platform/redis/conn"
	"github.com/relay-platform/redis/health"
	"github.com/relay-platform/redis/internal/redistest"
)

// filled writes to every primary and waits until each node calls every other
// online: rueidis leaves out replicas that nothing was ever written to until it
// looks again, 10 s later.
func filled(tb testing.TB, g *redistest.Group) {
	tb.Helper()
	if g.Topology() != redistest.TopologyCluster {
		return
	}
	for slot := range 3 {
		owner, err := g.SlotOwner(tb.Context(), slot*5461+100)
		must(tb, err)
		key := ""
		for i := 0; conn.Slot(key) != slot*5461+100; i++ {
			key = "health:fill:" + itoa(i)
		}
		_, err = owner.Do(tb.Context(), "SET", key, "1", "PX", 60000)
		must(tb, err)
	}
	within(tb, 15*time.Second, "every node is online", func() bool {
		for _, s := range g.Servers {
			shards, err := s.Do(tb.Context(), "CLUSTER", "SHARDS")
			if err != nil || strings.Count(fmt.Sprint(shards), "health online") != len(g.Servers) {
				return false
			}
		}
		return true
	})
}

// reached counts the nodes that answered.
func reached(r health.Result) int {
	if r.Cluster == nil {
		return 0
	}
	return r.Cluster.Reachable
}

func nodeAt(tb testing.TB, r health.Result, addr string) health.Node {
	tb.Helper()
	for _, n := range r.Nodes {
		if n.Addr == addr {
			return n
		}
	}
	tb.Fatalf("no node %s in %+v", addr, r.Nodes)
	return health.Node{}
}

// split returns a cluster's primaries and, in the same order, their replicas.
func split(tb testing.TB, g *redistest.Group) (primaries, replicas []*redistest.Server) {
	tb.Helper()
	for slot := range 3 {
		p, err := g.SlotOwner(tb.Context(), slot*5461+100)
		must(tb, err)
		rs, err := g.Replicas(tb.Context(), p)
		must(tb, err)
		primaries, replicas = append(primaries, p), append(replicas, rs...)
	}
	if len(primaries) != 3 || len(replicas) != 3 {
		tb.Fatalf("%d primaries, %d replicas", len(primaries), len(replicas))
	}
	return primaries, replicas
}

// Every node of a healthy cluster answers, and the sums are the nodes'.
func TestHealthOfAHealthyCluster(t *testing.T) {
	t.Parallel()
	g := redistest.Shared(t, redistest.TopologyCluster, redistest.Options{})
	filled(t, g)
	k, _ := newChecker(t, conn.Config{URL: g.URL()}, health.Options{})
	r := check(t, k, health.DefaultTimeout)
	t.Logf("%s, %+v, %+v", describe(r), r.Cluster, r.Server.Info)
	want := health.Cluster{SlotsServed: 16384, SlotsAssigned: 16384, StateOK: 6, Primaries: 3, Replicas: 3, Reachable: 6}
	if !r.Healthy || r.Cluster == nil || *r.Cluster != want || len(r.Nodes) != 6 {
		t.Fatalf("%s, %+v", describe(r), r.Cluster)
	}
	var slots int
	var memory, clients int64
	for _, n := range r.Nodes {
		if !n.Healthy || n.Server == nil || n.Server.Info == nil || n.ResponseTime <= 0 {
			t.Fatalf("%+v", n)
		}
		slots += n.Slots
		if n.Server.Role == "primary" {
			memory, clients = memory+n.Server.Info.UsedMemory, clients+n.Server.Info.ConnectedClients
		} else if n.Server.Info.ReplicationLink != "up" || n.Slots != 0 {
			t.Errorf("%+v %+v", n, n.Server.Info)
		}
	}
	if slots != 16384 || memory != r.Server.Info.UsedMemory || clients != r.Server.Info.ConnectedClients || r.Server.Info.ConnectedReplicas != 3 {
		t.Errorf("%d slots; the sums are not the nodes': %+v", slots, r.Server.Info)
	}
}

// killAll kills servers at the same moment, so that none of them is replaced in
// between.
func killAll(tb testing.TB, servers []*redistest.Server) {
	tb.Helper()
	errs := make(chan error, len(servers))
	for _, s := range servers {
		go func() { errs <- s.Kill(tb.Context()) }()
	}
	for range servers {
		must(tb, <-errs)
	}
}

// Half of the cluster goes down, and comes back. With a majority gone the rest
// refuses everything; before it has noticed, its own slots are served.
func TestFaultHealthHalfOfTheClusterDown(t *testing.T) {
	t.Parallel()
	g := startTopology(t, redistest.TopologyCluster, redistest.Options{Config: map[string]string{"appendonly": "yes"}})
	filled(t, g)
	primaries, replicas := split(t, g)
	k, _ := newChecker(t, quick(conn.Config{URL: g.URL()}), health.Options{})
	if r := check(t, k, health.DefaultTimeout); !r.Healthy || reached(r) != 6 {
		t.Fatalf("%s, %+v", describe(r), r.Cluster)
	}
	half := []*redistest.Server{primaries[0], primaries[1], replicas[0]}
	killAll(t, half)
	r := becomes(t, k, 5*time.Second, health.ReasonSlotsUncovered)
	if r.Status != health.StatusDegraded || r.Cluster.SlotsServed == 0 || r.Cluster.SlotsServed > 16384/2 || !errors.Is(r.Err, conn.ErrClusterDown) {
		t.Errorf("%s, %+v", describe(r), r.Cluster)
	}
	if n := nodeAt(t, r, primaries[0].Addr()); n.Reason != health.ReasonRefused || n.Healthy || n.Slots == 0 {
		t.Errorf("%+v", n)
	}
	r = becomes(t, k, 10*time.Second, health.ReasonClusterDown)
	t.Logf("%+v", r.Cluster)
	if r.Status != health.StatusDown || r.Cluster.SlotsServed != 0 || r.Cluster.StateFail == 0 || r.Cluster.Reachable != 3 {
		t.Errorf("%s, %+v", describe(r), r.Cluster)
	}
	if _, err := primaries[2].Do(t.Context(), "GET", "k"); err == nil || !strings.Contains(err.Error(), "CLUSTERDOWN") && !strings.Contains(err.Error(), "MOVED") {
		t.Errorf("the fault did not happen: %v", err)
	}
	for _, s := range half {
		must(t, s.Start(t.Context()))
	}
	r = becomes(t, k, 20*time.Second, health.ReasonNone)
	t.Logf("%+v", r.Cluster)
	within(t, 20*time.Second, "all six answer", func() bool { r = k.Check(t.Context()); return r.Healthy && reached(r) == 6 })
}

// Everything is down: the reason is the servers', not the cluster's.
func TestFaultHealthAllOfTheClusterDown(t *testing.T) {
	t.Parallel()
	g := startTopology(t, redistest.TopologyCluster, redistest.Options{Config: map[string]string{"appendonly": "yes"}, Direct: true})
	k, _ := newChecker(t, quick(conn.Config{URL: g.URL()}), health.Options{})
	killAll(t, g.Servers)
	if r := becomes(t, k, 5*time.Second, health.ReasonRefused); r.Status != health.StatusDown || !errors.Is(r.Err, conn.ErrRefused) {
		t.Errorf("%s", describe(r))
	}
	for _, s := range g.Servers {
		must(t, s.Start(t.Context()))
	}
	becomes(t, k, 20*time.Second, health.ReasonNone)
}

// Without cluster-require-full-coverage the rest goes on serving its slots.
func TestFaultHealthSlotsUncovered(t *testing.T) {
	t.Parallel()
	g := startTopology(t, redistest.TopologyCluster, redistest.Options{Config: map[string]string{"appendonly": "yes", "cluster-require-full-coverage": "no"}})
	filled(t, g)
	primaries, replicas := split(t, g)
	k, c := newChecker(t, quick(conn.Config{URL: g.URL()}), health.Options{})
	must(t, replicas[0].Kill(t.Context()))
	must(t, primaries[0].Kill(t.Context()))
	becomes(t, k, 5*time.Second, health.ReasonSlotsUncovered)
	// It stays so after the others have noticed.
	within(t, 15*time.Second, "the others have noticed", func() bool {
		info, err := primaries[1].Do(t.Context(), "CLUSTER", "INFO")
		must(t, err)
		return strings.Contains(fmt.Sprint(info), "cluster_slots_fail:5461")
	})
	r := becomes(t, k, 5*time.Second, health.ReasonSlotsUncovered)
	t.Logf("%+v", r.Cluster)
	if r.Status != health.StatusDegraded || r.Cluster.SlotsServed != 16384-5461 {
		t.Errorf("%s, %+v", describe(r), r.Cluster)
	}
	served := 0
	for i := range 300 {
		if err := c.Do(t.Context(), c.B().Get().Key("k"+itoa(i)).Build()).Error(); err == nil || !errors.Is(err, conn.ErrNotConnected) && !errors.Is(err, conn.ErrClusterDown) {
			served++
		}
	}
	t.Logf("%d of 300 keys are served", served)
	if served == 0 || served == 300 {
		t.Errorf("the fault is not what the result says: %d of 300 keys are served", served)
	}
	must(t, primaries[0].Start(t.Context()))
	must(t, replicas[0].Start(t.Context()))
	becomes(t, k, 20*time.Second, health.ReasonNone)
}

// A frozen primary costs its slots; a frozen replica nothing but a warning, and
// does not make each check last as long as it may.
func TestFaultHealthFrozenNode(t *testing.T) {
	t.Parallel()
	g := startTopology(t, redistest.TopologyCluster, redistest.Options{NodeTimeout: 60000, Direct: true})
	filled(t, g)
	primaries, replicas := split(t, g)
	const limit, slow = time.Second, 200 * time.Millisecond
	k, _ := newChecker(t, quick(conn.Config{URL: g.URL()}), health.Options{Timeout: limit, SlowAfter: slow})
	if r := check(t, k, limit); !r.Healthy || reached(r) != 6 {
		t.Fatalf("%s, %+v", describe(r), r.Cluster)
	}
	must(t, replicas[1].Freeze(t.Context()))
	for range 5 {
		start := time.Now()
		r := check(t, k, limit)
		took := time.Since(start)
		n := nodeAt(t, r, replicas[1].Addr())
		t.Logf("%v: %s", took.Round(time.Millisecond), describe(r))
		if !r.Healthy || !warned(r, health.WarnReplicaUnreachable) || n.Reason != health.ReasonNoAnswer || took > slow+slack+100*time.Millisecond {
			t.Errorf("after %v: %s, %+v", took, describe(r), n)
		}
	}
	must(t, replicas[1].Thaw(t.Context()))
	within(t, 10*time.Second, "all six answer", func() bool { r := k.Check(t.Context()); return r.Healthy && reached(r) == 6 })

	must(t, primaries[1].Freeze(t.Context()))
	start := time.Now()
	for time.Since(start) < 4*time.Second { // through the phases of the connection
		r := check(t, k, limit)
		if n := nodeAt(t, r, primaries[1].Addr()); r.Healthy || n.Reason != health.ReasonNoAnswer {
			t.Errorf("%s, %+v, %+v", describe(r), r.Cluster, n)
		}
	}
	r := becomes(t, k, 5*time.Second, health.ReasonSlotsUncovered)
	if n := nodeAt(t, r, primaries[1].Addr()); n.Slots == 0 || r.Cluster.SlotsServed != 16384-n.Slots || r.Status != health.StatusDegraded {
		t.Errorf("%s, %+v, %+v", describe(r), r.Cluster, n)
	}
	must(t, primaries[1].Thaw(t.Context()))
	becomes(t, k, 10*time.Second, health.ReasonNone)
}

// A primary that its peers cannot reach, and the client can, answers, and yet
// serves nothing.
func TestFaultHealthIsolatedPrimary(t *testing.T) {
	t.Parallel()
	g := startTopology(t, redistest.TopologyCluster, redistest.Options{Config: map[string]string{"cluster-require-full-coverage": "no"}})
	filled(t, g)
	primaries, replicas := split(t, g)
	k, _ := newChecker(t, quick(conn.Config{URL: g.URL()}), health.Options{})
	if r := check(t, k, health.DefaultTimeout); !r.Healthy {
		t.Fatal(describe(r))
	}
	must(t, replicas[0].Kill(t.Context())) // so that nobody takes over
	must(t, g.Isolate(primaries[0], redistest.Hold))
	r := becomes(t, k, 15*time.Second, health.ReasonSlotsUncovered)
	n := nodeAt(t, r, primaries[0].Addr())
	// It says so itself, or, once the client has dropped it, the others do.
	itself := n.Reason == health.ReasonClusterDown && n.Server != nil && r.Cluster.StateFail == 1
	others := n.Reason == health.ReasonUnreachable && strings.Contains(n.Err.Error(), "says the cluster")
	if !itself && !others || r.Cluster.SlotsServed != 16384-n.Slots || n.Slots == 0 {
		t.Errorf("the isolated primary: %+v, %+v", n, r.Cluster)
	}
	if _, err := primaries[0].Do(t.Context(), "PING"); err != nil {
		t.Errorf("the fault did not happen: %v", err)
	}
	must(t, g.Heal())
	becomes(t, k, 20*time.Second, health.ReasonNone)
}

// A failover, behind Sentinels and in a cluster: down or degraded, then healthy
// with another primary.
func TestFaultHealthFailover(t *testing.T) {
	t.Parallel()
	for _, tp := range []redistest.Topology{redistest.TopologySentinel, redistest.TopologyCluster} {
		t.Run(string(tp), func(t *testing.T) {
			t.Parallel()
			g := startTopology(t, tp, redistest.Options{})
			filled(t, g)
			k, _ := newChecker(t, quick(conn.Config{URL: g.URL()}), health.Options{})
			r := check(t, k, health.DefaultTimeout)
			if !r.Healthy || r.Server.Role != "primary" {
				t.Fatalf("%s, %+v", describe(r), r.Server)
			}
			old, err := g.Primary(t.Context(), "k")
			must(t, err)
			if tp == redistest.TopologySentinel && (r.Nodes[0].Addr != old.Addr() || r.Server.Info.ConnectedReplicas != 2) {
				t.Errorf("%+v, %+v, the primary is %s", r.Nodes[0], r.Server.Info, old.Addr())
			}
			must(t, old.Kill(t.Context()))
			want := health.ReasonRefused
			if tp == redistest.TopologyCluster {
				want = health.ReasonSlotsUncovered
			}
			becomes(t, k, 5*time.Second, want)
			r = becomes(t, k, 30*time.Second, health.ReasonNone)
			// The new primary knows of it before all the Sentinels do.
			var now *redistest.Server
			within(t, 10*time.Second, "there is another primary", func() bool {
				now, err = g.Primary(t.Context(), "k")
				return err == nil && now != old
			})
			if tp == redistest.TopologySentinel && r.Nodes[0].Addr != now.Addr() {
				t.Errorf("the primary was %s, is %s, and the result says %+v", old.Addr(), now.Addr(), r.Nodes[0])
			}
		})
	}
}

// Behind Sentinels, a frozen primary; and a primary without replicas.
func TestFaultHealthSentinel(t *testing.T) {
	t.Parallel()
	g := startTopology(t, redistest.TopologySentinel, redistest.Options{NodeTimeout: 60000})
	k, _ := newChecker(t, quick(conn.Config{URL: g.URL()}), health.Options{Timeout: 500 * time.Millisecond})
	if r := check(t, k, time.Second); !r.Healthy || warned(r, health.WarnNoReplica) {
		t.Fatal(describe(r))
	}
	primary, err := g.Primary(t.Context(), "k")
	must(t, err)
	must(t, primary.Freeze(t.Context()))
	start := time.Now()
	for time.Since(start) < 4*time.Second {
		if r := check(t, k, 500*time.Millisecond); r.Reason != health.ReasonNoAnswer {
			t.Fatalf("%v after the freeze: %s", time.Since(start), describe(r))
		}
	}
	must(t, primary.Thaw(t.Context()))
	becomes(t, k, 10*time.Second, health.ReasonNone)
	replicas, err := g.Replicas(t.Context(), primary)
	must(t, err)
	for _, s := range replicas {
		must(t, s.Kill(context.Background()))
	}
	within(t, 10*time.Second, "a warning that no replica is connected", func() bool {
		r := k.Check(t.Context())
		return r.Healthy && warned(r, health.WarnNoReplica)
	})
}
