package integration_test

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/relay-platform/redis/conn"
	"github.com/relay-platform/redis/internal/redistest"
	"github.com/relay-platform/redis/lock"
)

func newLocks(tb testing.TB, c *conn.Client) *lock.Locker {
	tb.Helper()
	locks, err := lock.New(c, lock.Options{})
	must(tb, err)
	return locks
}

// One holds it; when it is released, the next one can, with a greater fence.
func TestAnyLockExcludes(t *testing.T) {
	t.Parallel()
	cfg := anyConfig(t)
	ctx := t.Context()
	first, second := newLocks(t, open(t, cfg)), newLocks(t, open(t, cfg))
	var last int64
	for range 5 {
		l, err := first.TryAcquire(ctx, "report", time.Minute)
		must(t, err)
		if l.Fence() <= last {
			t.Errorf("fence %d after %d", l.Fence(), last)
		}
		last = l.Fence()
		for _, other := range []*lock.Locker{first, second} { // not even for the same process
			if l, err := other.TryAcquire(ctx, "report", time.Minute); !errors.Is(err, lock.ErrHeld) || l != nil {
				t.Errorf("held, and acquired again: %v, %v", l, err)
			}
		}
		free, err := second.TryAcquire(ctx, "another", time.Minute)
		must(t, err)
		must(t, free.Release(ctx))

		if l.Context().Err() != nil {
			t.Errorf("its context ended: %v", l.Context().Err())
		}
		child, cancel := context.WithCancel(l.Context())
		must(t, l.Release(ctx))
		if child.Err() == nil || !errors.Is(context.Cause(l.Context()), lock.ErrNotHeld) {
			t.Errorf("after Release: the child has %v, the cause is %v", child.Err(), context.Cause(l.Context()))
		}
		cancel()
		if err := l.Release(ctx); !errors.Is(err, lock.ErrNotHeld) {
			t.Errorf("a second Release: %v", err)
		}
		first, second = second, first
	}
}

// Under contention there is never more than one holder, nobody's context ends
// early, and fences grow in the order of holding.
func TestAnyLockContention(t *testing.T) {
	t.Parallel()
	cfg := anyConfig(t)
	var holders, grants atomic.Int64
	var last int64 // only the holder touches it
	var wg sync.WaitGroup
	for range 2 {
		locks := newLocks(t, open(t, cfg))
		for range 8 {
			wg.Go(func() {
				for range 20 {
					var l *lock.Lock
					within(t, 30*time.Second, "a turn", func() (ok bool) {
						var err error
						if l, err = locks.TryAcquire(t.Context(), "l", time.Minute); err != nil && !errors.Is(err, lock.ErrHeld) {
							t.Error(err)
						}
						return err == nil
					})
					if n := holders.Add(1); n != 1 {
						t.Errorf("%d holders", n)
					}
					if l.Fence() <= last {
						t.Errorf("fence %d after %d", l.Fence(), last)
					}
					last = l.Fence()
					grants.Add(1)
					holders.Add(-1)
					if err := l.Release(context.WithoutCancel(t.Context())); err != nil {
						t.Error(err)
					}
				}
			})
		}
	}
	wg.Wait()
	if n := grants.Load(); n != 2*8*20 {
		t.Errorf("%d grants", n)
	}
}

// Fences grow although the counter was lost, and although it was ahead of the
// clock.
func TestAnyLockFence(t *testing.T) {
	t.Parallel()
	c := open(t, anyConfig(t))
	ctx := t.Context()
	locks, see := newLocks(t, c), oracle(t, c)
	counter := c.Keyspace("lock").Tagged("l", "fence")
	take := func() int64 {
		t.Helper()
		l, err := locks.TryAcquire(ctx, "l", time.Minute)
		must(t, err)
		must(t, l.Release(ctx))
		return l.Fence()
	}
	before := take()
	if ttl, err := see.PTTL(ctx, counter).Result(); err != nil || ttl > 24*time.Hour || ttl < 23*time.Hour {
		t.Errorf("the counter lives for %v, %v", ttl, err)
	}
	must(t, see.Del(ctx, counter).Err())
	after := take()
	if after <= before {
		t.Errorf("without its counter the fence went from %d to %d", before, after)
	}
	ahead := after + int64(time.Hour/time.Microsecond)
	must(t, see.Set(ctx, counter, ahead, time.Hour).Err())
	if got := take(); got != ahead+1 {
		t.Errorf("after %d came %d", ahead, got)
	}
	if got := take(); got != ahead+2 { // to the last digit, which numbers in Lua do not always keep
		t.Errorf("after %d came %d", ahead+1, got)
	}
}

// Release leaves alone what is another's by now.
func TestAnyLockReleaseOnlyOwn(t *testing.T) {
	t.Parallel()
	c := open(t, anyConfig(t))
	ctx := t.Context()
	locks, see := newLocks(t, c), oracle(t, c)
	lost, err := locks.TryAcquire(ctx, "l", time.Minute)
	must(t, err)
	must(t, see.Del(ctx, c.Keyspace("lock").Tagged("l")).Err()) // as a failover may
	mine, err := locks.TryAcquire(ctx, "l", time.Minute)
	must(t, err)
	if mine.Fence() <= lost.Fence() {
		t.Errorf("fence %d after %d", mine.Fence(), lost.Fence())
	}
	if err := lost.Release(ctx); !errors.Is(err, lock.ErrNotHeld) {
		t.Errorf("releasing what was lost: %v", err)
	}
	must(t, mine.Release(ctx))
}

// A context that has ended does not keep a lock from being released.
func TestAnyLockReleaseAfterCancel(t *testing.T) {
	t.Parallel()
	locks := newLocks(t, open(t, anyConfig(t)))
	ctx, cancel := context.WithCancel(t.Context())
	l, err := locks.TryAcquire(ctx, "l", time.Minute)
	must(t, err)
	cancel()
	if !errors.Is(l.Context().Err(), context.Canceled) {
		t.Errorf("the lock's context outlives its parent: %v", l.Context().Err())
	}
	must(t, l.Release(ctx))
	l, err = locks.TryAcquire(t.Context(), "l", time.Minute)
	must(t, err)
	must(t, l.Release(t.Context()))
}

// The holder's context ends before Redis lets another in, also when the answer
// to the acquisition was slow.
func TestLockContextEndsBeforeTheKey(t *testing.T) {
	t.Parallel()
	const (
		ttl  = 20 * time.Second
		slow = 400 * time.Millisecond
	)
	s := redistest.Standalone(t, redistest.Options{})
	p := redistest.NewProxy(t, s)
	c := open(t, conn.Config{Addrs: []string{p.Addr()}})
	locks := newLocks(t, c)
	warm, err := locks.TryAcquire(t.Context(), "warm-up", 0) // the script is loaded now
	must(t, err)
	must(t, warm.Release(t.Context()))
	p.Latency(slow)
	l, err := locks.TryAcquire(t.Context(), "l", ttl)
	must(t, err)
	p.Latency(0)

	end, ok := l.Context().Deadline()
	asked := time.Now()
	reply, err := s.Do(t.Context(), "PTTL", "lock:{l}")
	must(t, err)
	left, isInt := reply.(int64)
	if !ok || !isInt {
		t.Fatalf("the deadline is %v, the key's TTL %v", end, reply)
	}
	// The key is gone no earlier than this:
	free := asked.Add(time.Duration(left) * time.Millisecond)
	t.Logf("the context ends %v before the key", free.Sub(end).Round(time.Millisecond))
	// 1% and 2 ms, and what the request took on its way, half of the latency; less
	// what it took to ask for the TTL.
	if least := ttl/100 + 2*time.Millisecond + slow/2 - 50*time.Millisecond; free.Sub(end) < least {
		t.Errorf("the context ends %v before the key, less than %v", free.Sub(end), least)
	}
	must(t, l.Release(t.Context()))
}

// When its time is over the context says so, and Redis gives the lock to another.
func TestAnyLockExpires(t *testing.T) {
	t.Parallel()
	locks := newLocks(t, open(t, anyConfig(t)))
	ctx := t.Context()
	before := time.Now()
	l, err := locks.TryAcquire(ctx, "l", 300*time.Millisecond)
	must(t, err)
	select {
	case <-l.Context().Done():
	case <-time.After(5 * time.Second):
		t.Fatal("the context does not end")
	}
	if took := time.Since(before); took < 295*time.Millisecond {
		t.Errorf("it ended after %v", took)
	}
	var next *lock.Lock
	within(t, 5*time.Second, "another gets it", func() bool {
		next, err = locks.TryAcquire(ctx, "l", time.Minute)
		return err == nil
	})
	if err := l.Release(ctx); !errors.Is(err, lock.ErrNotHeld) {
		t.Errorf("releasing what has expired: %v", err)
	}
	must(t, next.Release(ctx))
}

// A grant that comes when its time is over is none, and is given back: here the
// request was held up, so that the key would live for its whole TTL.
func TestLockGrantTooLate(t *testing.T) {
	t.Parallel()
	const ttl = 2 * time.Second
	s := redistest.Standalone(t, redistest.Options{})
	p := redistest.NewProxy(t, s)
	locks := newLocks(t, open(t, conn.Config{Addrs: []string{p.Addr()}, CommandTimeout: 20 * time.Second}))
	warm, err := locks.TryAcquire(t.Context(), "warm-up", 0)
	must(t, err)
	must(t, warm.Release(t.Context()))
	p.Blackhole(redistest.Up)
	time.AfterFunc(ttl, func() { _ = p.Heal() })
	l, err := locks.TryAcquire(t.Context(), "l", ttl)
	if l != nil || !errors.Is(err, conn.ErrTimeout) || !strings.Contains(err.Error(), "granted, but the answer took") {
		t.Errorf("got %v, %v", l, err)
	}
	took := within(t, ttl/2, "the key is gone", func() bool {
		n, err := s.Do(t.Context(), "EXISTS", "lock:{l}")
		return err == nil && n == int64(0)
	})
	t.Logf("given back after %v", took.Round(time.Millisecond))
}

// A reply that is lost leaves no orphan: the same token gets the same grant.
func TestFaultLockLostReply(t *testing.T) {
	t.Parallel()
	s := redistest.Standalone(t, redistest.Options{})
	p := redistest.NewProxy(t, s)
	locks := newLocks(t, open(t, conn.Config{Addrs: []string{p.Addr()}}))
	warm, err := locks.TryAcquire(t.Context(), "warm-up", 0)
	must(t, err)
	must(t, warm.Release(t.Context()))
	lost, err := p.SwallowReply(redistest.Command("EVALSHA"), true)
	must(t, err)
	l, err := locks.TryAcquire(t.Context(), "l", time.Minute)
	_, reply, waitErr := lost.Wait(timeout(t, 5*time.Second))
	if waitErr != nil {
		t.Fatalf("the fault did not happen: %v", waitErr)
	}
	must(t, err)
	if fence := strconv.FormatInt(l.Fence(), 10); !strings.Contains(string(reply), fence) {
		t.Errorf("the fence is %s, and the reply that was lost %q", fence, reply)
	}
	must(t, l.Release(t.Context()))
}

// When nobody knows whether it was granted, it is given back in the background,
// although the caller's context has ended.
func TestFaultLockUnknownIsDiscarded(t *testing.T) {
	t.Parallel()
	s := redistest.Standalone(t, redistest.Options{})
	p := redistest.NewProxy(t, s)
	locks := newLocks(t, open(t, conn.Config{Addrs: []string{p.Addr()}}))
	warm, err := locks.TryAcquire(t.Context(), "warm-up", 0)
	must(t, err)
	must(t, warm.Release(t.Context()))
	lost, err := p.SwallowReply(redistest.Command("EVALSHA"), false) // silence
	must(t, err)
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	l, err := locks.TryAcquire(ctx, "l", time.Minute)
	if l != nil || !errors.Is(err, conn.ErrUnknownOutcome) || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v, %v", l, err)
	}
	if _, reply, err := lost.Wait(timeout(t, 5*time.Second)); err != nil || !strings.Contains(string(reply), ":1") {
		t.Fatalf("it was not granted: %q, %v", reply, err)
	}
	took := within(t, 10*time.Second, "the key is gone", func() bool {
		n, err := s.Do(t.Context(), "EXISTS", "lock:{l}")
		return err == nil && n == int64(0)
	})
	t.Logf("given back after %v", took.Round(time.Millisecond))
}

// Nothing shows the token by which a lock can be released.
func TestAnyLockShowsNoToken(t *testing.T) {
	t.Parallel()
	c := open(t, anyConfig(t))
	locks := newLocks(t, c)
	l, err := locks.TryAcquire(t.Context(), "l", time.Minute)
	must(t, err)
	token, err := oracle(t, c).Get(t.Context(), c.Keyspace("lock").Tagged("l")).Result()
	if err != nil || len(token) < 26 { // 128 bits
		t.Fatalf("the token is %q, %v", token, err)
	}
	type job struct{ held *lock.Lock }
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x"} {
		for _, v := range []any{l, *l, job{l}, &job{l}, l.Context()} {
			if text := fmt.Sprintf(verb, v); strings.Contains(text, token) {
				t.Errorf("%s of a %T shows the token", verb, v)
			}
		}
	}
	must(t, l.Release(t.Context()))
	if err := l.Release(t.Context()); strings.Contains(err.Error(), token) || !strings.Contains(err.Error(), `lock: release "l": `) {
		t.Errorf("the error is %q", err)
	}
}

func TestAnyLockIsObserved(t *testing.T) {
	t.Parallel()
	r := &recorder{module: "lock"}
	cfg := anyConfig(t)
	cfg.Observer = r
	locks := newLocks(t, open(t, cfg))
	l, err := locks.TryAcquire(t.Context(), "l", time.Minute)
	must(t, err)
	_, _ = locks.TryAcquire(t.Context(), "l", time.Minute)
	must(t, l.Release(t.Context()))
	_ = l.Release(t.Context())
	r.want(t, "acquire:ok", "acquire:held", "release:ok", "release:lost")
}
