package integration_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/rueidis"

	"github.com/relay-platform/redis/conn"
	"github.com/relay-platform/redis/internal/redistest"
)

// tally counts what became of the calls of a load.
type tally struct {
	ok, notSent, unknown, timeout, refused, other atomic.Int64
	example                                       atomic.Pointer[error]
}

func (t *tally) count(err error) {
	switch {
	case err == nil || rueidis.IsRedisNil(err):
		t.ok.Add(1)
	case errors.Is(err, conn.ErrUnknownOutcome):
		t.unknown.Add(1)
	case errors.Is(err, conn.ErrNotConnected):
		t.notSent.Add(1)
	case errors.Is(err, conn.ErrTimeout):
		t.timeout.Add(1)
	case conn.Retry(err) == conn.RetryOK: // refused by a server: nothing was applied
		t.refused.Add(1)
	default:
		t.other.Add(1)
		t.example.Store(&err)
	}
}

func (t *tally) String() string {
	s := fmt.Sprintf("%d ok, %d not sent, %d refused, %d timed out, %d unknown, %d other",
		t.ok.Load(), t.notSent.Load(), t.refused.Load(), t.timeout.Load(), t.unknown.Load(), t.other.Load())
	if e := t.example.Load(); e != nil {
		s += fmt.Sprintf(" (%v)", *e)
	}
	return s
}

// load runs fn from n goroutines until stop is called, which returns when all
// have ended.
func load(n int, fn func(worker, i int)) (stop func()) {
	quit := make(chan struct{})
	var wg sync.WaitGroup
	for w := range n {
		wg.Go(func() {
			for i := 0; ; i++ {
				select {
				case <-quit:
					return
				default:
					fn(w, i)
				}
			}
		})
	}
	return sync.OnceFunc(func() { close(quit); wg.Wait() })
}

// Whatever happens to connections, what was acknowledged was applied, and what
// was applied was acknowledged or reported as unknown (test 5).
func TestFaultAmbiguousWrites(t *testing.T) {
	t.Parallel()
	s := redistest.Standalone(t, redistest.Options{})
	p := redistest.NewProxy(t, s)
	c := open(t, conn.Config{Addrs: []string{p.Addr()}, CommandTimeout: time.Second})
	var seen tally
	stop := load(16, func(w, _ int) {
		seen.count(c.Do(t.Context(), c.B().Incr().Key("n"+itoa(w)).Build()).Error())
	})
	resets, swallowed := 0, 0
	for i := range 20 {
		before := seen.ok.Load()
		if i%2 == 0 {
			resets += p.Reset()
		} else {
			// The server executes it; its reply, and the connection, are lost.
			sw, err := p.SwallowReply(redistest.Command("INCR"), true)
			must(t, err)
			if _, _, err := sw.Wait(timeout(t, 5*time.Second)); err != nil {
				t.Fatal(err)
			}
			swallowed++
		}
		within(t, 5*time.Second, "work goes on", func() bool { return seen.ok.Load() > before+100 })
	}
	stop()
	var applied int64
	for w := range 16 {
		n, err := c.Do(t.Context(), c.B().Get().Key("n"+itoa(w)).Build()).AsInt64()
		must(t, err)
		applied += n
	}
	ok, unknown := seen.ok.Load(), seen.unknown.Load()
	t.Logf("%v; %d applied; %d resets, %d replies swallowed", &seen, applied, resets, swallowed)
	if applied < ok || applied > ok+unknown {
		t.Errorf("applied %d is not between %d acknowledged and %d with the unknown ones", applied, ok, ok+unknown)
	}
	if applied == ok || resets < 5 {
		t.Error("no write was applied without being acknowledged: the fault did not happen")
	}
	if seen.other.Load() > 0 {
		t.Error("errors that nobody can sort")
	}
}

// A read that is cut off is tried again, and its caller sees nothing of it.
func TestFaultReadsAreRetried(t *testing.T) {
	t.Parallel()
	s := redistest.Standalone(t, redistest.Options{})
	p := redistest.NewProxy(t, s)
	c := open(t, conn.Config{Addrs: []string{p.Addr()}})
	none := open(t, conn.Config{Addrs: []string{p.Addr()}, MaxRetries: -1})
	must(t, c.Do(t.Context(), c.B().Set().Key("k").Value("v").Build()).Error())
	get := func(c *conn.Client) error {
		sw, err := p.SwallowReply(redistest.Command("GET"), true)
		must(t, err)
		err = c.Do(t.Context(), c.B().Get().Key("k").Build()).Error()
		if _, _, swErr := sw.Wait(timeout(t, time.Second)); swErr != nil {
			t.Errorf("the fault did not happen: %v", swErr)
		}
		return err
	}
	for range 5 {
		if err := get(c); err != nil {
			t.Errorf("with retries: %v", err)
		}
		within(t, 3*time.Second, "connected", func() bool { return c.State() == conn.Connected && none.State() == conn.Connected })
		if err := get(none); !errors.Is(err, conn.ErrNotConnected) || errors.Is(err, conn.ErrUnknownOutcome) {
			t.Errorf("without retries: %v", err)
		}
		within(t, 3*time.Second, "connected", func() bool { return c.State() == conn.Connected && none.State() == conn.Connected })
	}
	// The bound: a server that always hangs up gets 1 + MaxRetries attempts.
	before := p.Stats().Commands
	var sws []*redistest.Swallow
	for range 10 {
		sw, err := p.SwallowReply(redistest.Command("GET"), true)
		must(t, err)
		sws = append(sws, sw)
	}
	start := time.Now()
	err := c.Do(t.Context(), c.B().Get().Key("k").Build()).Error()
	for _, sw := range sws {
		sw.Cancel()
	}
	t.Logf("gave up after %v: %v (%d commands through the proxy)", time.Since(start).Round(time.Millisecond), err, p.Stats().Commands-before)
	if err == nil || !errors.Is(err, conn.ErrNotConnected) {
		t.Errorf("got %v", err)
	}
	gone := 0
	for _, sw := range sws {
		if _, _, err := sw.Wait(timeout(t, time.Millisecond)); err == nil {
			gone++
		}
	}
	if gone > 1+conn.DefaultMaxRetries {
		t.Errorf("%d attempts, more than %d", gone, 1+conn.DefaultMaxRetries)
	}
}

// Sentinel failover, by order and by crash (test 6): the Client recovers by
// itself, says so in its states, and no write that it was told of is missing in
// an orderly failover.
func TestFaultSentinelFailover(t *testing.T) {
	t.Parallel()
	g := redistest.Sentinel(t, redistest.Options{})
	c := open(t, conn.Config{URL: g.URL(), CommandTimeout: time.Second})
	w := watch(t, c)
	var seen tally
	stop := load(8, func(w, i int) {
		seen.count(c.Do(t.Context(), c.B().Set().Key(fmt.Sprintf("k:%d:%d", w, i)).Value("v").Build()).Error())
	})
	defer stop()
	for _, how := range []string{"failover", "crash"} {
		old, err := g.Primary(t.Context(), "")
		must(t, err)
		within(t, 5*time.Second, "connected", func() bool { return c.State() == conn.Connected })
		start := time.Now()
		var next *redistest.Server
		if how == "crash" {
			next, err = g.Crash(t.Context(), old)
		} else {
			next, err = g.Failover(t.Context(), old)
		}
		must(t, err)
		promoted := time.Since(start)
		if next == old {
			t.Fatal("the primary is the same: the fault did not happen")
		}
		before := seen.ok.Load()
		recovered := within(t, 15*time.Second, "writes succeed on the new primary", func() bool { return seen.ok.Load() > before+100 })
		t.Logf("%s: another primary after %v, served by it %v later; %v", how, promoted.Round(time.Millisecond), recovered.Round(time.Millisecond), &seen)
		if how == "crash" {
			// In an orderly failover the Client may change over without a gap.
			down := w.await(t, conn.Reconnecting, 5*time.Second)
			up := w.await(t, conn.Connected, 15*time.Second)
			t.Logf("not connected for %v: %v", up.At.Sub(down.At).Round(time.Millisecond), down.Cause)
			must(t, old.Start(t.Context()))
			must(t, g.AwaitConverged(t.Context()))
		}
	}
	stop()
	if seen.other.Load() > 0 {
		t.Error("errors that nobody can sort")
	}
	must(t, c.Do(t.Context(), c.B().Set().Key("k").Value("v").Build()).Error())
}

// Cluster failover (test 7): slots of healthy nodes are served throughout, the
// others are again when their replica has taken over.
func TestFaultClusterFailover(t *testing.T) {
	t.Parallel()
	g := redistest.Cluster(t, redistest.Options{})
	c := open(t, conn.Config{URL: g.URL(), CommandTimeout: time.Second})
	wt := watch(t, c)
	keys := keysOfAllPrimaries(t, g)
	victimKey := keys[0]
	var healthy, hit tally
	stop := load(8, func(w, _ int) {
		k := keys[w%len(keys)]
		seen := &healthy
		if k == victimKey {
			seen = &hit
		}
		seen.count(c.Do(t.Context(), c.B().Incr().Key(k).Build()).Error())
	})
	defer stop()
	for _, how := range []string{"failover", "crash"} {
		victim, err := g.Primary(t.Context(), victimKey)
		must(t, err)
		within(t, 15*time.Second, "connected", func() bool { return c.State() == conn.Connected })
		start := time.Now()
		var next *redistest.Server
		if how == "crash" {
			next, err = g.Crash(t.Context(), victim)
		} else {
			next, err = g.Failover(t.Context(), victim)
		}
		must(t, err)
		promoted := time.Since(start)
		if next == victim {
			t.Fatal("the primary is the same: the fault did not happen")
		}
		if how == "crash" {
			down := wt.await(t, conn.Reconnecting, 5*time.Second)
			up := wt.await(t, conn.Connected, 20*time.Second)
			t.Logf("not connected for %v: %v", up.At.Sub(down.At).Round(time.Millisecond), down.Cause)
		}
		before := hit.ok.Load()
		recovered := within(t, 15*time.Second, "writes to the victim's slots succeed", func() bool { return hit.ok.Load() > before+50 })
		t.Logf("%s: another primary after %v, served by it %v later; its slots: %v; other slots: %v", how,
			promoted.Round(time.Millisecond), recovered.Round(time.Millisecond), &hit, &healthy)
		if how == "crash" {
			must(t, victim.Start(t.Context()))
			must(t, g.AwaitConverged(t.Context()))
		}
	}
	stop()
	if healthy.other.Load()+hit.other.Load() > 0 {
		t.Error("errors that nobody can sort")
	}
	if bad := healthy.unknown.Load() + healthy.timeout.Load() + healthy.notSent.Load(); bad > 0 {
		t.Errorf("%d calls to healthy nodes failed", bad)
	}
}

// One frozen node of a cluster neither makes its callers wait past their
// deadline nor keeps other nodes' slots from being served.
func TestFaultClusterNodeFrozen(t *testing.T) {
	t.Parallel()
	// A node time-out that no failover happens in.
	g := redistest.Cluster(t, redistest.Options{NodeTimeout: 60_000})
	c := open(t, conn.Config{URL: g.URL()})
	wt := watch(t, c)
	keys := keysOfAllPrimaries(t, g)
	victim, err := g.Primary(t.Context(), keys[0])
	must(t, err)
	must(t, victim.Freeze(t.Context()))
	frozen := time.Now()

	const limit = 300 * time.Millisecond
	var over atomic.Int64
	var hit, healthy tally
	stop := load(96, func(w, _ int) {
		ctx, cancel := context.WithTimeout(t.Context(), limit)
		defer cancel()
		k := keys[w%len(keys)]
		start := time.Now()
		err := c.Do(ctx, c.B().Incr().Key(k).Build()).Error()
		if took := time.Since(start); took > limit+slack {
			over.Add(1)
			t.Errorf("a call for %s took %v", k, took)
		}
		if k == keys[0] {
			hit.count(err)
		} else {
			healthy.count(err)
		}
	})
	defer stop()
	down := wt.await(t, conn.Reconnecting, 5*time.Second)
	within(t, 10*time.Second, "enough calls", func() bool { return hit.unknown.Load() > 200 && healthy.ok.Load() > 5000 })
	t.Logf("noticed after %v; frozen node: %v; others: %v", down.At.Sub(frozen).Round(time.Millisecond), &hit, &healthy)
	if bad := healthy.unknown.Load() + healthy.timeout.Load() + healthy.notSent.Load() + healthy.other.Load(); bad > 0 {
		t.Errorf("%d calls to healthy nodes failed", bad)
	}
	must(t, victim.Thaw(t.Context()))
	thawed := time.Now()
	up := wt.await(t, conn.Connected, 10*time.Second)
	before := hit.ok.Load()
	within(t, 5*time.Second, "the node serves again", func() bool { return hit.ok.Load() > before+50 })
	t.Logf("connected %v after the thaw", up.At.Sub(thawed).Round(time.Millisecond))
	stop()
}

// A reshard under load is invisible: no error, no panic (test 8).
func TestFaultReshard(t *testing.T) {
	t.Parallel()
	g := redistest.Cluster(t, redistest.Options{})
	c := open(t, conn.Config{URL: g.URL()})
	ks := c.Keyspace("move")
	script := conn.NewScript("test.incr", "return redis.call('INCR', KEYS[1])")
	var seen tally
	var acked [12]atomic.Int64
	key := func(w int) string { return ks.Key(itoa(w)) }
	slots := map[int]bool{}
	for w := range len(acked) {
		slots[conn.Slot(key(w))] = true
	}
	stop := load(len(acked), func(w, i int) {
		var err error
		switch i % 3 {
		case 0:
			err = c.Do(t.Context(), c.B().Incr().Key(key(w)).Build()).Error()
		case 1:
			err = script.Run(t.Context(), c, []string{key(w)}, nil).Error()
		default:
			for _, r := range c.DoMulti(t.Context(), c.B().Incr().Key(key(w)).Build(), c.B().Get().Key(key((w+1)%len(acked))).Build()) {
				if err == nil {
					err = r.Error()
				}
			}
			if rueidis.IsRedisNil(err) {
				err = nil
			}
		}
		seen.count(err)
		if err == nil {
			acked[w].Add(1)
		}
	})
	defer stop()
	moved := 0
	begin := time.Now()
	for slot := range slots {
		from, err := g.SlotOwner(t.Context(), slot)
		must(t, err)
		to := g.Servers[0]
		for _, s := range g.Servers[:3] {
			if s != from {
				to = s
			}
		}
		must(t, g.MigrateSlots(t.Context(), slot, slot, to))
		moved++
	}
	took := time.Since(begin)
	before := seen.ok.Load()
	within(t, 5*time.Second, "load after the moves", func() bool { return seen.ok.Load() > before+100 })
	stop()
	t.Logf("%d slots moved in %v: %v", moved, took.Round(time.Millisecond), &seen)
	if seen.ok.Load() < 1000 {
		t.Errorf("only %d calls: no load", seen.ok.Load())
	}
	if bad := seen.notSent.Load() + seen.unknown.Load() + seen.timeout.Load() + seen.refused.Load() + seen.other.Load(); bad > 0 {
		t.Errorf("%d calls failed", bad)
	}
	for w := range len(acked) {
		n, err := c.Do(t.Context(), c.B().Get().Key(key(w)).Build()).AsInt64()
		if err != nil || n != acked[w].Load() {
			t.Errorf("key %d is %d (%v), %d increments were acknowledged", w, n, err, acked[w].Load())
		}
	}
}

// A script that never ends: calls are told in time, BUSY has its own error, and
// the Client works when it was killed (test 20, second half).
func TestFaultBusyScript(t *testing.T) {
	t.Parallel()
	s := redistest.Standalone(t, redistest.Options{Config: map[string]string{"busy-reply-threshold": "100"}})
	c := open(t, conn.Config{URL: s.URL(), CommandTimeout: 500 * time.Millisecond})
	other := open(t, conn.Config{URL: s.URL(), CommandTimeout: 500 * time.Millisecond})
	w := watch(t, c)
	spun := make(chan error, 1)
	go func() {
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		spun <- conn.NewScript("test.spin", "while true do end", conn.ScriptReadOnly).Run(ctx, other, nil, nil).Error()
	}()
	var busy, timedOut int
	within(t, 5*time.Second, "BUSY", func() bool {
		err := c.Do(t.Context(), c.B().Set().Key("k").Value("v").Build()).Error()
		switch {
		case errors.Is(err, conn.ErrBusy):
			busy++
			if conn.Retry(err) != conn.RetryOK {
				t.Errorf("trying %v again would help", err)
			}
		case errors.Is(err, conn.ErrTimeout):
			timedOut++
		case err != nil:
			t.Errorf("got %v", err)
		}
		return busy >= 3
	})
	down := w.await(t, conn.Reconnecting, 5*time.Second)
	if _, err := s.Do(t.Context(), "SCRIPT", "KILL"); err != nil {
		t.Fatal(err)
	}
	err := <-spun
	up := w.await(t, conn.Connected, 5*time.Second)
	must(t, c.Do(t.Context(), c.B().Set().Key("k").Value("v").Build()).Error())
	t.Logf("%d calls were told BUSY, %d timed out; not connected for %v (%v); the script ended with: %v", busy, timedOut, up.At.Sub(down.At).Round(time.Millisecond), down.Cause, err)
	if err == nil || !strings.Contains(err.Error(), "test.spin") {
		t.Errorf("the script ended with %v", err)
	}
}

// keysOfAllPrimaries returns one key for each primary of a cluster.
func keysOfAllPrimaries(tb testing.TB, g *redistest.Group) []string {
	tb.Helper()
	seen := map[*redistest.Server]bool{}
	var keys []string
	for i := 0; len(keys) < 3; i++ {
		k := "key:" + itoa(i)
		s, err := g.Primary(tb.Context(), k)
		must(tb, err)
		if !seen[s] {
			seen[s] = true
			keys = append(keys, k)
		}
	}
	return keys
}
