package integration_test

import (
	"context"
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/rueidis"

	"github.com/relay-platform/redis/conn"
	"github.com/relay-platform/redis/internal/redistest"
)

// frozenCalls makes n calls at once on a server that does not answer, and
// returns by how much they overran their deadline.
func frozenCalls(t *testing.T, c *conn.Client, n int, limit time.Duration, newCtx func(int) (context.Context, context.CancelFunc)) []time.Duration {
	over := make([]time.Duration, n)
	var wg sync.WaitGroup
	var wrong atomic.Pointer[error]
	for i := range n {
		wg.Go(func() {
			ctx, cancel := newCtx(i)
			defer cancel()
			cmd := c.B().Get().Key("k").Build()
			if i%2 == 1 {
				cmd = c.B().Incr().Key("n").Build()
			}
			start := time.Now()
			err := c.Do(ctx, cmd).Error()
			over[i] = time.Since(start) - limit
			if !errors.Is(err, conn.ErrTimeout) || !errors.Is(err, context.DeadlineExceeded) {
				wrong.Store(&err)
			}
		})
	}
	wg.Wait()
	if err := wrong.Load(); err != nil {
		t.Errorf("a call on a frozen server ended with: %v", *err)
	}
	slices.Sort(over)
	return over
}

// control returns by how much n goroutines that do nothing but wait for their
// context overrun it, at most: what the machine itself costs.
func control(t *testing.T, n int, limit time.Duration) time.Duration {
	over := make([]time.Duration, n)
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() {
			ctx, cancel := context.WithTimeout(t.Context(), limit)
			defer cancel()
			start := time.Now()
			<-ctx.Done()
			over[i] = time.Since(start) - limit
		})
	}
	wg.Wait()
	return slices.Max(over)
}

func report(t *testing.T, what string, over []time.Duration) {
	t.Helper()
	n := len(over)
	machine := max(control(t, n, 200*time.Millisecond), control(t, n, 200*time.Millisecond), control(t, n, 200*time.Millisecond))
	t.Logf("%s: %d calls, past the deadline by: median %v, p99 %v, most %v (goroutines that only wait: most %v)", what, n,
		over[n/2].Round(time.Microsecond), over[n*99/100].Round(time.Microsecond), over[n-1].Round(time.Microsecond), machine.Round(time.Microsecond))
	if over[n-1] > slack+machine {
		t.Errorf("%s: a call came back %v after its deadline, more than %v beyond what the machine costs", what, over[n-1], slack)
	}
	if over[0] < -200*time.Millisecond {
		t.Errorf("%s: a call came back %v before its deadline", what, -over[0])
	}
}

// With 10,000 calls pending on a frozen server, warm and cold, every call is
// back within its deadline + 50 ms; the server serves at once when it goes on;
// and it cost no connection that it was slow.
func TestDeadlineOnFrozenServer(t *testing.T) {
	const calls, limit = 10_000, 200 * time.Millisecond
	deadline := func(int) (context.Context, context.CancelFunc) {
		return context.WithTimeout(t.Context(), limit)
	}

	t.Run("warm", func(t *testing.T) {
		s := redistest.Standalone(t, redistest.Options{})
		c := open(t, conn.Config{URL: s.URL(), CommandTimeout: 10 * time.Second})
		storm(t, c, 1000)
		must(t, s.Freeze(t.Context()))
		report(t, "first wave", frozenCalls(t, c, calls, limit, deadline))
		report(t, "second wave", frozenCalls(t, c, calls, limit, deadline))
		start := time.Now()
		must(t, s.Thaw(t.Context()))
		must(t, c.Do(timeout(t, 5*time.Second), c.B().Get().Key("n").Build()).Error())
		t.Logf("served %v after the thaw; %d dials, %d timeouts", time.Since(start), c.Stats().Dials, c.Stats().Timeouts)
		if st := c.Stats(); st.Dials != 1 || st.Timeouts == 0 || st.Timeouts > 2*calls {
			t.Errorf("the time-outs cost connections, or were not counted: %+v", st)
		}
		within(t, 2*time.Second, "nothing pending", func() bool { return c.Stats().Pending == 0 && c.Stats().Calls == 0 })
		storm(t, c, 1000)
	})

	t.Run("cold", func(t *testing.T) {
		s := redistest.Standalone(t, redistest.Options{})
		must(t, s.Freeze(t.Context()))
		c := open(t, conn.Config{URL: s.URL(), Lazy: true})
		report(t, "cold", frozenCalls(t, c, calls, limit, deadline))
		must(t, s.Thaw(t.Context()))
		took := within(t, 3*time.Second, "a call succeeds", func() bool {
			return c.Do(t.Context(), c.B().Set().Key("k").Value("v").Build()).Error() == nil
		})
		t.Logf("served %v after the thaw", took)
	})

	// A reconnect to a frozen server: the connection was lost, and the dial of
	// one call must not hold up the others.
	t.Run("reconnecting", func(t *testing.T) {
		s := redistest.Standalone(t, redistest.Options{})
		p := redistest.NewProxy(t, s)
		c := open(t, conn.Config{Addrs: []string{p.Addr()}})
		storm(t, c, 1000)
		must(t, s.Freeze(t.Context()))
		if p.Reset() == 0 {
			t.Fatal("no connection was reset")
		}
		within(t, 2*time.Second, "the loss is noticed", func() bool { return c.State() == conn.Reconnecting })
		report(t, "reconnecting", frozenCalls(t, c, calls, limit, deadline))
		must(t, s.Thaw(t.Context()))
		took := within(t, 3*time.Second, "a call succeeds", func() bool {
			return c.Do(t.Context(), c.B().Set().Key("k").Value("v").Build()).Error() == nil
		})
		t.Logf("served %v after the thaw", took)
	})
}

// Calls without a deadline end within the command time-out: with a background
// context, and with one that can only be cancelled.
func TestDeadlineDefault(t *testing.T) {
	s := redistest.Standalone(t, redistest.Options{})
	const limit = 500 * time.Millisecond
	c := open(t, conn.Config{URL: s.URL(), CommandTimeout: limit})
	storm(t, c, 100)
	must(t, s.Freeze(t.Context()))
	report(t, "no deadline", frozenCalls(t, c, 2000, limit, func(int) (context.Context, context.CancelFunc) {
		return context.Background(), func() {}
	}))
	must(t, s.Thaw(t.Context()))
	within(t, 3*time.Second, "connected", func() bool { return c.State() == conn.Connected })
	must(t, s.Freeze(t.Context()))
	report(t, "cancel only", frozenCalls(t, c, 2000, limit, func(int) (context.Context, context.CancelFunc) {
		return context.WithCancel(context.Background())
	}))

	// A cancellation is not a time-out.
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(50*time.Millisecond, cancel)
	start := time.Now()
	err := c.Do(ctx, c.B().Get().Key("k").Build()).Error()
	if took := time.Since(start); took > 50*time.Millisecond+slack || !errors.Is(err, context.Canceled) || errors.Is(err, conn.ErrTimeout) {
		t.Errorf("a cancelled call ended after %v with %v", took, err)
	}
	must(t, s.Thaw(t.Context()))
}

// A blocking command without a deadline ends by the command time-out as well.
func TestDeadlineBlocking(t *testing.T) {
	s := redistest.SharedStandalone(t, redistest.Options{})
	c := open(t, conn.Config{URL: s.URL(), CommandTimeout: 300 * time.Millisecond})
	start := time.Now()
	err := c.Do(t.Context(), c.B().Blpop().Key(newPrefix(t)).Timeout(0).Build()).Error()
	if took := time.Since(start); took > 300*time.Millisecond+slack || !errors.Is(err, conn.ErrTimeout) {
		t.Errorf("after %v: %v", took, err)
	}
}

// A deadline that passes on a slow command, while the server works, costs
// neither the connection nor another call.
func TestDeadlineDoesNotCostTheConnection(t *testing.T) {
	s := redistest.Standalone(t, redistest.Options{})
	c := open(t, conn.Config{URL: s.URL()})
	p := redistest.NewProxy(t, s)
	p.Latency(100 * time.Millisecond)
	slow := open(t, conn.Config{Addrs: []string{p.Addr()}})
	for range 20 {
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
		if err := slow.Do(ctx, slow.B().Get().Key("k").Build()).Error(); !errors.Is(err, conn.ErrTimeout) {
			t.Errorf("got %v", err)
		}
		cancel()
	}
	must(t, slow.Do(t.Context(), slow.B().Set().Key("k").Value("v").Build()).Error())
	if st := slow.Stats(); st.Dials != 1 || st.Timeouts != 20 {
		t.Errorf("%+v", st)
	}
	if slow.State() != conn.Connected {
		t.Errorf("it is %v", slow.State())
	}
	storm(t, c, 100)
}

// storm makes sure that a Client works, from many goroutines.
func storm(t *testing.T, c *conn.Client, n int) {
	t.Helper()
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() {
			if err := c.Do(t.Context(), c.B().Get().Key("k").Build()).Error(); err != nil && !rueidis.IsRedisNil(err) {
				t.Errorf("call %d: %v", i, err)
			}
		})
	}
	wg.Wait()
}
