package integration_test

import (
	"errors"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/relay-platform/redis/conn"
	"github.com/relay-platform/redis/internal/redistest"
)

// An idle Client notices that its server was killed within the probe interval,
// and is connected again only after the restarted server answered.
func TestStateKillAndRestart(t *testing.T) {
	t.Parallel()
	s := redistest.Standalone(t, redistest.Options{})
	c := open(t, conn.Config{URL: s.URL()})
	w := watch(t, c)
	for range 3 {
		killed := time.Now()
		must(t, s.Kill(t.Context()))
		down := w.await(t, conn.Reconnecting, conn.DefaultProbeInterval)
		if down.Cause == nil || down.From != conn.Connected || down.At.Before(killed) {
			t.Errorf("the transition says %+v", down)
		}
		err := c.Do(t.Context(), c.B().Set().Key("k").Value("v").Build()).Error()
		if !errors.Is(err, conn.ErrNotConnected) || errors.Is(err, conn.ErrUnknownOutcome) {
			t.Errorf("a write while the server is down: %v", err)
		}
		if c.State() != conn.Reconnecting {
			t.Errorf("it is %v", c.State())
		}
		started := time.Now()
		must(t, s.Start(t.Context()))
		up := w.await(t, conn.Connected, 3*time.Second)
		if up.At.Before(started) {
			t.Errorf("connected %v before the server was started", started.Sub(up.At))
		}
		t.Logf("noticed after %v, connected %v after the start was asked for; cause: %v",
			down.At.Sub(killed).Round(time.Millisecond), up.At.Sub(started).Round(time.Millisecond), down.Cause)
		must(t, c.Do(t.Context(), c.B().Set().Key("k").Value("v").Build()).Error())
	}
}

// A frozen server is noticed within probe interval + probe time-out although
// nothing uses the Client; so is a network that swallows everything.
func TestStateFrozenAndBlackholed(t *testing.T) {
	t.Parallel()
	s := redistest.Standalone(t, redistest.Options{})
	p := redistest.NewProxy(t, s)
	cfg := conn.Config{ProbeInterval: 300 * time.Millisecond, ProbeTimeout: 200 * time.Millisecond}
	bound := 330*time.Millisecond + cfg.ProbeTimeout + 100*time.Millisecond // interval's jitter; a loaded machine
	for _, tc := range []struct {
		name        string
		addr        string
		fault, mend func() error
	}{
		{"frozen", s.Addr(), func() error { return s.Freeze(t.Context()) }, func() error { return s.Thaw(t.Context()) }},
		{"black hole", p.Addr(), func() error { p.Blackhole(redistest.Both); return nil }, p.Heal},
		{"replies lost", p.Addr(), func() error { p.Blackhole(redistest.Down); return nil }, p.Heal},
	} {
		t.Run(tc.name, func(t *testing.T) {
			cfg := cfg
			cfg.Addrs = []string{tc.addr}
			c := open(t, cfg)
			w := watch(t, c)
			since := time.Now()
			must(t, tc.fault())
			down := w.await(t, conn.Reconnecting, 2*bound)
			if took := down.At.Sub(since); took > bound || !errors.Is(down.Cause, conn.ErrTimeout) {
				t.Errorf("noticed after %v, more than %v: %v", took, bound, down.Cause)
			} else {
				t.Logf("noticed after %v: %v", took.Round(time.Millisecond), down.Cause)
			}
			must(t, tc.mend())
			up := w.await(t, conn.Connected, 5*time.Second)
			t.Logf("connected again after %v", up.At.Sub(down.At).Round(time.Millisecond))
		})
	}
}

// A connection that an administrator kills is a transition, and costs nothing
// but the calls that were under way.
func TestStateClientKill(t *testing.T) {
	t.Parallel()
	s := redistest.Standalone(t, redistest.Options{})
	c := open(t, conn.Config{URL: s.URL(), ClientName: "victim"})
	w := watch(t, c)
	for range 5 {
		if _, err := s.Do(t.Context(), "CLIENT", "KILL", "TYPE", "normal"); err != nil {
			t.Fatal(err)
		}
		down := w.await(t, conn.Reconnecting, time.Second)
		up := w.await(t, conn.Connected, 2*time.Second)
		if up.At.Before(down.At) {
			t.Error("out of order")
		}
		must(t, c.Do(t.Context(), c.B().Ping().Build()).Error())
	}
	if n := c.Stats().ConnsLost; n != 5 {
		t.Errorf("%d connections lost, not 5", n)
	}
}

// Wrong password after a reconnect is an error, not something to wait for; it
// ends when the server accepts the password again.
func TestStateErrorAndBack(t *testing.T) {
	t.Parallel()
	s := redistest.Standalone(t, redistest.Options{Users: []string{"app on >secret ~* &* +@all"}})
	c := open(t, conn.Config{Addrs: []string{s.Addr()}, Username: "app", Password: "secret"})
	w := watch(t, c)
	_, err := s.Do(t.Context(), "ACL", "SETUSER", "app", "resetpass", ">changed")
	must(t, err)
	_, err = s.Do(t.Context(), "CLIENT", "KILL", "USER", "app")
	must(t, err)
	bad := w.await(t, conn.Failed, 3*time.Second)
	if !errors.Is(bad.Cause, conn.ErrAuth) || strings.Contains(bad.Cause.Error(), "secret") {
		t.Errorf("the cause is %v", bad.Cause)
	}
	err = c.Do(t.Context(), c.B().Get().Key("k").Build()).Error()
	if !errors.Is(err, conn.ErrAuth) || conn.Retry(err) != conn.RetryNo {
		t.Errorf("a call ends with %v", err)
	}
	// However many calls there are, it is not hammered with wrong passwords.
	before, until := c.Stats().Dials, time.Now().Add(time.Second)
	calls := 0
	for ; time.Now().Before(until); calls++ {
		if err := c.Do(t.Context(), c.B().Get().Key("k").Build()).Error(); !errors.Is(err, conn.ErrAuth) {
			t.Fatalf("call %d: %v", calls, err)
		}
	}
	dials := c.Stats().Dials - before
	t.Logf("%d calls, %d attempts to connect in a second", calls, dials)
	if dials > 20 || calls < 100 {
		t.Error("too many attempts, or too few calls")
	}
	if c.State() != conn.Failed {
		t.Errorf("it is %v", c.LastStateChange())
	}
	_, err = s.Do(t.Context(), "ACL", "SETUSER", "app", "resetpass", ">secret")
	must(t, err)
	w.await(t, conn.Connected, 3*time.Second)
}

// A server that is loading is not connected, and says so (test 21): it is told
// from one that is down, reads wait for it within bounds, and service resumes.
func TestLoadingRestart(t *testing.T) {
	t.Parallel()
	s := redistest.Standalone(t, redistest.Options{Config: map[string]string{"appendonly": "yes", "key-load-delay": "200"}})
	const keys = 5000 // 200 µs each: a second
	seed, err := s.Dial(t.Context())
	must(t, err)
	defer seed.Close()
	for i := range keys {
		must(t, seed.Send(t.Context(), "SET", "key:"+itoa(i), i))
	}
	for range keys {
		if _, err := seed.Receive(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	c := open(t, conn.Config{URL: s.URL()})
	w := watch(t, c)
	must(t, s.Kill(t.Context()))
	w.await(t, conn.Reconnecting, time.Second)
	started := make(chan error, 1)
	go func() { started <- s.Start(t.Context()) }()
	sawLoading, openLoading := 0, 0
	var loaded time.Duration
	begin := time.Now()
	within(t, 20*time.Second, "loaded", func() bool {
		asked := time.Now()
		err := c.Do(t.Context(), c.B().Set().Key("w").Value("v").Build()).Error()
		if errors.Is(err, conn.ErrLoading) {
			sawLoading++
			if up := c.LastStateChange(); up.To == conn.Connected && up.At.Before(asked) {
				t.Error("connected while loading")
			}
			opened, openErr := conn.Open(t.Context(), conn.Config{URL: s.URL()})
			switch {
			case openErr == nil: // it was loaded meanwhile
				_ = opened.Close(t.Context())
			case errors.Is(openErr, conn.ErrLoading):
				openLoading++
			default:
				t.Errorf("Open while loading: %v", openErr)
			}
			if conn.Retry(err) != conn.RetryOK {
				t.Errorf("trying %v again would help", err)
			}
		}
		loaded = time.Since(begin)
		return err == nil
	})
	must(t, <-started)
	w.await(t, conn.Connected, 3*time.Second)
	t.Logf("%d writes and %d Opens were told that the server is loading; writes succeeded after %v", sawLoading, openLoading, loaded.Round(time.Millisecond))
	if sawLoading == 0 || openLoading == 0 {
		t.Error("the server was never seen loading: the fault did not happen")
	}
	v, err := c.Do(t.Context(), c.B().Get().Key("key:"+itoa(keys-1)).Build()).AsInt64()
	if err != nil || v != keys-1 {
		t.Errorf("after loading: %v, %v", v, err)
	}
}

// Close ends with End, once, and nothing follows; calls fail at once.
func TestStateEnd(t *testing.T) {
	t.Parallel()
	s := redistest.SharedStandalone(t, redistest.Options{})
	c, err := conn.Open(t.Context(), conn.Config{URL: s.URL()})
	must(t, err)
	w := watch(t, c)
	for range 3 {
		must(t, c.Close(t.Context()))
	}
	close(w.ch)
	var got []conn.State
	for ch := range w.ch {
		got = append(got, ch.To)
	}
	if len(got) != 1 || got[0] != conn.End || c.State() != conn.End {
		t.Errorf("transitions %v, state %v", got, c.State())
	}
	if err := c.Do(t.Context(), c.B().Ping().Build()).Error(); !errors.Is(err, conn.ErrClosed) {
		t.Errorf("a call after Close: %v", err)
	}
}

// Close waits for calls under way, and cuts them off when its context ends.
func TestCloseDrains(t *testing.T) {
	t.Parallel()
	s := redistest.Standalone(t, redistest.Options{})
	p := redistest.NewProxy(t, s)
	p.Latency(100 * time.Millisecond)
	for _, tc := range []struct {
		name    string
		patient bool
	}{{"drains", true}, {"cuts", false}} {
		t.Run(tc.name, func(t *testing.T) {
			c, err := conn.Open(t.Context(), conn.Config{Addrs: []string{p.Addr()}})
			must(t, err)
			results := make(chan error, 50)
			for range cap(results) {
				go func() { results <- c.Do(t.Context(), c.B().Incr().Key("n").Build()).Error() }()
			}
			within(t, time.Second, "calls under way", func() bool { return c.Stats().Calls == 50 })
			if !tc.patient {
				p.Blackhole(redistest.Both)
				t.Cleanup(func() { must(t, p.Heal()) })
			}
			start := time.Now()
			limit := 2 * time.Second
			if !tc.patient {
				limit = 150 * time.Millisecond
			}
			err = c.Close(timeout(t, limit))
			took := time.Since(start)
			var failed, unknown int
			for range cap(results) {
				if err := <-results; err != nil {
					failed++
					if errors.Is(err, conn.ErrUnknownOutcome) {
						unknown++
					}
				}
			}
			t.Logf("Close took %v: %v; %d of %d calls failed, %d with unknown outcome", took.Round(time.Millisecond), err, failed, cap(results), unknown)
			if tc.patient && (err != nil || failed > 0) {
				t.Error("calls were cut off")
			}
			if !tc.patient && (err == nil || failed != cap(results) || unknown != failed || took > time.Second) {
				t.Error("calls were not cut off in time, or not told what became of them")
			}
			if n := c.Stats().Conns; n != 0 {
				t.Errorf("%d connections are open", n)
			}
		})
	}
}

// An idle Client costs at most 3 MiB of heap.
func TestIdleMemory(t *testing.T) {
	s := redistest.SharedStandalone(t, redistest.Options{})
	const clients = 20
	heap := func() uint64 {
		runtime.GC()
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	before := heap()
	for range clients {
		open(t, conn.Config{URL: s.URL()})
	}
	after := heap()
	each := float64(after-before) / clients / (1 << 20)
	t.Logf("%.2f MiB of heap for each idle Client", each)
	if each > 3 {
		t.Error("more than 3 MiB")
	}
}
