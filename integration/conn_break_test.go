package integration_test

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/rueidis"

	"github.com/relay-platform/redis/conn"
	"github.com/relay-platform/redis/internal/redistest"
)

// A dead node of a cluster is dialled once per pause, although calls to the
// others are answered all the time.
func TestBreakClusterBackoffUnderLoad(t *testing.T) {
	t.Parallel()
	g := redistest.Cluster(t, redistest.Options{NodeTimeout: 60_000})
	c := open(t, conn.Config{URL: g.URL()})
	within(t, 5*time.Second, "connected", func() bool { return c.State() == conn.Connected })
	keys := keysOfAllPrimaries(t, g)
	victim, err := g.Primary(t.Context(), keys[0])
	must(t, err)
	must(t, victim.Kill(t.Context()))
	within(t, 5*time.Second, "the loss is noticed", func() bool { return c.State() == conn.Reconnecting })
	var calls atomic.Int64
	stop := load(1, func(int, int) {
		if err := c.Do(t.Context(), c.B().Incr().Key(keys[1]).Build()).Error(); err != nil {
			t.Errorf("a healthy node: %v", err)
		}
		calls.Add(1)
	})
	defer stop()
	before, begin := c.Stats(), time.Now()
	within(t, 10*time.Second, "two seconds of load", func() bool { return time.Since(begin) > 2*time.Second })
	after := c.Stats()
	t.Logf("%d calls, %d dials and %d rounds of the prober in %v", calls.Load(), after.Dials-before.Dials, after.Probes-before.Probes, time.Since(begin))
	// Pauses of 25 to 50 ms, doubled up to a second: 8 at most, by the prober and by rueidis.
	if n := after.Dials - before.Dials; n > 24 {
		t.Errorf("a dead node was dialled %d times in 2 s", n)
	}
}

// A deadline holds on the way to a node that was never dialled, too, although a
// call that has more time is dialling it already: rueidis lets the second one
// wait for the first. Here a slot has moved to a node that is silent, and no
// probe has noticed yet.
func TestBreakClusterColdNodeDeadline(t *testing.T) {
	t.Parallel()
	g := redistest.Cluster(t, redistest.Options{})
	key := "k"
	old, err := g.Primary(t.Context(), key)
	must(t, err)
	next, err := g.Replicas(t.Context(), old)
	must(t, err)
	next[0].Proxy().Blackhole(redistest.Both)
	t.Cleanup(func() { must(t, g.Heal()) })
	c := open(t, conn.Config{Addrs: []string{old.Addr()}, Mode: conn.ModeCluster, ProbeInterval: time.Minute})
	within(t, 5*time.Second, "connected", func() bool { return c.State() == conn.Connected })
	_, err = g.Failover(t.Context(), old)
	must(t, err)

	const limit = 200 * time.Millisecond
	get := func(d time.Duration) (time.Duration, error) {
		ctx, cancel := context.WithTimeout(t.Context(), d)
		defer cancel()
		start := time.Now()
		err := c.Do(ctx, c.B().Get().Key(key).Build()).Error()
		return time.Since(start), err
	}
	dials := c.Stats().Dials
	var calls sync.WaitGroup
	calls.Go(func() { _, _ = get(3 * time.Second) })
	within(t, 2*time.Second, "the new primary is being dialled", func() bool { return c.Stats().Dials > dials })
	for range 20 {
		calls.Go(func() {
			if took, err := get(limit); took > limit+500*time.Millisecond {
				t.Errorf("GET took %v with a deadline of %v: %v", took, limit, err)
			}
		})
	}
	calls.Wait()
}

// A frozen server with TLS is one to wait for, not a configuration to mend.
func TestBreakTLSFrozenIsNoMisconfiguration(t *testing.T) {
	t.Parallel()
	s := redistest.Standalone(t, redistest.Options{TLS: &redistest.TLS{}})
	p := redistest.NewProxy(t, s)
	must(t, s.Freeze(t.Context()))
	c := open(t, conn.Config{Addrs: []string{p.Addr()}, TLS: s.TLSConfig(), Lazy: true, ConnectTimeout: 300 * time.Millisecond})
	within(t, 3*time.Second, "the first attempt has failed", func() bool {
		err := c.Do(t.Context(), c.B().Get().Key("k").Build()).Error()
		if conn.Retry(err) == conn.RetryNo {
			t.Fatalf("trying again would help: %v", err)
		}
		return c.Stats().DialFailures > 0 && c.State() != conn.Connecting
	})
	if c.State() == conn.Failed {
		t.Errorf("it is Failed: %v", c.LastStateChange().Cause)
	}
	must(t, s.Thaw(t.Context()))
}

// A rueidis client that is made after Close began is closed as well: Open gave
// up, and nobody else can.
func TestBreakOpenTimeoutLeavesNoClient(t *testing.T) {
	t.Parallel()
	s := redistest.Standalone(t, redistest.Options{})
	made := make(chan *closeSpy, 1)
	_, err := conn.Open(t.Context(), conn.Config{URL: s.URL(), ConnectTimeout: 200 * time.Millisecond, NewClient: func(o rueidis.ClientOption) (rueidis.Client, error) {
		c, err := rueidis.NewClient(o)
		spy := &closeSpy{Client: c, closed: make(chan struct{})}
		time.Sleep(400 * time.Millisecond)
		made <- spy
		return spy, err
	}})
	if err == nil {
		t.Fatal("it opened")
	}
	spy := <-made
	select {
	case <-spy.closed:
	case <-time.After(2 * time.Second):
		t.Error("the client was never closed: its goroutines stay for ever")
		spy.Client.Close()
	}
}

type closeSpy struct {
	rueidis.Client
	closed chan struct{}
}

func (s *closeSpy) Close() { close(s.closed); s.Client.Close() }
