package conn

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"
)

var everyMode = map[Mode]Config{
	ModeStandalone: {Addrs: []string{"127.0.0.1:1"}},
	ModeSentinel:   {Addrs: []string{"127.0.0.1:1"}, SentinelMaster: "m"},
	ModeCluster:    {Addrs: []string{"127.0.0.1:1"}, Mode: ModeCluster},
}

// A lazy Client that nobody uses connects to nothing, and leaves nothing.
func TestLazyUnused(t *testing.T) {
	for mode, cfg := range everyMode {
		noLeaks(t)
		c := lazy(t, cfg) // whose end checks that there was no dial
		if c.State() != Disconnected || c.Mode() != mode || c.CommandTimeout() != DefaultCommandTimeout {
			t.Errorf("%s: %v", mode, c)
		}
		c.B().Get().Key("k").Build()
		c.Keyspace("s").Key("k")
		if err := c.Close(t.Context()); err != nil {
			t.Error(err)
		}
		if c.State() != End {
			t.Errorf("%s: %v", mode, c)
		}
	}
}

// The first use connects, and says why it could not; Close ends that, too.
func TestLazyRefused(t *testing.T) {
	for mode, cfg := range everyMode {
		noLeaks(t)
		cfg.Lazy = true
		c, err := Open(t.Context(), cfg)
		if err != nil {
			t.Fatal(err)
		}
		err = c.Do(t.Context(), c.B().Set().Key("k").Value("v").Build()).Error()
		if !errors.Is(err, ErrNotConnected) || !errors.Is(err, ErrRefused) || errors.Is(err, ErrUnknownOutcome) || Retry(err) != RetryOK {
			t.Errorf("%s: %v", mode, err)
		}
		if c.Stats().Dials == 0 || c.State() == Disconnected {
			t.Errorf("%s: %+v, %v", mode, c.Stats(), c)
		}
		if err := c.Close(t.Context()); err != nil {
			t.Error(err)
		}
	}
}

// A caller that does not have the time that connecting takes comes back by its
// deadline, and nothing of its was sent.
func TestLazyDeadline(t *testing.T) {
	p := newPeer(t, func([]string) string { return noReply })
	noLeaks(t)
	c, err := Open(t.Context(), Config{Addrs: []string{p.addr}, Lazy: true})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	start := time.Now()
	err = c.Do(ctx, c.B().Set().Key("k").Value("v").Build()).Error()
	if took := time.Since(start); took > time.Second {
		t.Errorf("it took %v", took)
	}
	wantIs(t, err, ErrNotConnected, ErrTimeout)
	if err := c.Close(canceled()); err != nil {
		t.Errorf("Close: %v", err)
	}
}

// Closing before, during and after the first use; and every call afterwards.
func TestCloseLazy(t *testing.T) {
	p := newPeer(t, nil)
	noLeaks(t)
	for range 20 {
		c, err := Open(t.Context(), Config{Addrs: []string{p.addr}, Lazy: true})
		if err != nil {
			t.Fatal(err)
		}
		var wg sync.WaitGroup
		for range 4 {
			wg.Go(func() {
				err := c.Do(t.Context(), c.B().Get().Key("k").Build()).Error()
				if err != nil && !errors.Is(err, ErrClosed) {
					t.Errorf("a call beside Close: %v", err)
				}
			})
			wg.Go(func() {
				if err := c.Close(context.Background()); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		wantIs(t, c.Do(t.Context(), c.B().Set().Key("k").Value("v").Build()).Error(), ErrClosed)
		for _, res := range c.DoMulti(t.Context(), c.B().Set().Key("k").Value("v").Build(), c.B().Get().Key("k").Build()) {
			wantIs(t, res.Error(), ErrClosed)
		}
		_, err = c.Raw(t.Context())
		wantIs(t, err, ErrClosed)
		if c.State() != End {
			t.Errorf("%v", c)
		}
	}
}

// New calls are ErrClosed while Close still waits for one that is under way, and
// the prober goes on.
func TestCloseLetsNobodyIn(t *testing.T) {
	hold := make(chan struct{})
	p := newPeer(t, func(args []string) string {
		if args[0] == "BLPOP" {
			<-hold
			return "_\r\n"
		}
		return ""
	})
	c, err := Open(t.Context(), Config{Addrs: []string{p.addr}, ProbeInterval: 5 * time.Millisecond, CommandTimeout: 10 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	wg.Go(func() { c.Do(t.Context(), c.B().Blpop().Key("k").Timeout(0).Build()) })
	if !poll(5*time.Second, func() bool { return len(p.received()) == 1 }) {
		t.Fatal("the call is not under way")
	}
	wg.Go(func() {
		if err := c.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	if !poll(5*time.Second, c.closing.Load) {
		t.Fatal("it is not closing")
	}
	probes := c.Stats().Probes
	if !poll(5*time.Second, func() bool { return c.Stats().Probes > probes+3 }) {
		t.Fatal("the prober stopped")
	}
	wantIs(t, c.Do(t.Context(), c.B().Get().Key("k").Build()).Error(), ErrClosed)
	close(hold)
	wg.Wait()
}

// A context that has ended already sends nothing.
func TestEndedContext(t *testing.T) {
	c := lazy(t, Config{})
	late, cancel := context.WithDeadline(t.Context(), time.Now().Add(-time.Second))
	defer cancel()
	for ctx, kinds := range map[context.Context][]error{canceled(): nil, late: {ErrTimeout}} {
		res := append(c.DoMulti(ctx, c.B().Set().Key("k").Value("v").Build(), c.B().Ping().Build()), c.Do(ctx, c.B().Set().Key("k").Value("v").Build()))
		for _, r := range res {
			wantIs(t, r.Error(), kinds...)
			if !errors.Is(r.Error(), ctx.Err()) {
				t.Errorf("%v is not %v", r.Error(), ctx.Err())
			}
		}
	}
}
