package conn

import (
	"context"
	"errors"
	"math/rand/v2"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/redis/rueidis"
)

type ctxKey struct{}

func newClientUnused(rueidis.ClientOption) (rueidis.Client, error) { return nil, errors.ErrUnsupported }

func takeCall(p *sync.Pool) *callContext { return p.Get().(*callContext) }

// A call's context ends at its deadline, not before, with the right error; it
// says when that will be, and hands on its parent's values.
func TestDeadlineOfCall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		pool := newCallPool(time.Now())
		time.Sleep(time.Hour) // a Client may be old
		for range 3 {
			c, start := takeCall(pool), time.Now()
			c.begin(context.WithValue(t.Context(), ctxKey{}, "v"), 3*time.Second)
			if dl, ok := c.Deadline(); !ok || !dl.Equal(start.Add(3*time.Second)) {
				t.Errorf("the deadline is %v, %t", dl, ok)
			}
			if c.Value(ctxKey{}) != "v" {
				t.Error("the parent's value is gone")
			}
			time.Sleep(3*time.Second - 1)
			synctest.Wait()
			if err := c.Err(); err != nil {
				t.Errorf("it ended early: %v", err)
			}
			<-c.Done()
			if took := time.Since(start); took != 3*time.Second || !errors.Is(c.Err(), context.DeadlineExceeded) {
				t.Errorf("it ended after %v with %v", took, c.Err())
			}
			if _, ok := c.Deadline(); !ok {
				t.Error("it has no deadline any more")
			}
			c.end()
			if takeCall(pool) == c {
				t.Error("a context that ended is used again")
			}
		}
	})
}

// The timer is armed once for many calls; each has its own deadline all the
// same, also the one during which a timer of an earlier call fires.
func TestDeadlineOfReusedCall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := takeCall(newCallPool(time.Now()))
		const limit = 3 * time.Second
		for _, took := range []time.Duration{time.Second, 1, 0, 2999 * time.Millisecond, time.Second, 2 * time.Second} {
			c.begin(t.Context(), limit)
			time.Sleep(took)
			synctest.Wait()
			if c.Err() != nil {
				t.Fatalf("a call of %v ended early", took)
			}
			c.end()
		}
		time.Sleep(time.Minute) // idle: the timer fires for nobody, and is not armed again
		start := time.Now()
		c.begin(t.Context(), limit)
		<-c.Done()
		if took := time.Since(start); took != limit {
			t.Errorf("it ended after %v", took)
		}
	})
}

// A parent that is cancelled ends the call, with its error, whatever comes
// next; and the context is not used again.
func TestDeadlineOfCancelledParent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := offloading(t, 1)
		parent, cancel := context.WithCancel(t.Context())
		ctx, call, stop := c.bound(parent)
		time.Sleep(time.Second)
		cancel()
		<-ctx.Done()
		if !errors.Is(ctx.Err(), context.Canceled) {
			t.Errorf("it ended with %v", ctx.Err())
		}
		time.Sleep(time.Hour)
		if !errors.Is(ctx.Err(), context.Canceled) {
			t.Errorf("it went on to end with %v", ctx.Err())
		}
		c.unbound(call, stop)
		if takeCall(c.contexts) == call {
			t.Error("a context that was cancelled is used again")
		}
	})
}

// What bound returns: the caller's own context where it has a deadline, and
// otherwise one that ends within the command time-out, or with the parent.
func TestDeadlineBound(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for name, wrapped := range map[string]bool{"pooled": false, "with a wrapper": true} {
			c := offloading(t, 1)
			if wrapped {
				c.cfg.NewClient = newClientUnused
			}
			own, cancelOwn := context.WithTimeout(t.Context(), time.Hour)
			defer cancelOwn()
			if ctx, call, stop := c.bound(own); ctx != own || call != nil || stop != nil {
				t.Errorf("%s: a context with a deadline is replaced", name)
			}
			for parentName, parent := range map[string]context.Context{"background": context.Background(), "cancellable": t.Context()} {
				start := time.Now()
				ctx, call, stop := c.bound(parent)
				if (call != nil) == wrapped {
					t.Errorf("%s: pooled: %t", name, call != nil)
				}
				child, cancelChild := context.WithCancel(ctx) // as libraries do
				<-child.Done()
				if took := time.Since(start); took != c.cfg.CommandTimeout || !errors.Is(ctx.Err(), context.DeadlineExceeded) || !errors.Is(context.Cause(child), context.DeadlineExceeded) {
					t.Errorf("%s, %s: ended after %v with %v", name, parentName, took, ctx.Err())
				}
				cancelChild()
				c.unbound(call, stop)
			}
		}
	})
}

// Calls begin, end, run out of time and are cancelled in every order: none ends
// early, each ends by its deadline, and none begins with a context that has
// ended already.
func TestDeadlineStress(t *testing.T) {
	c := lazy(t, Config{CommandTimeout: 2 * time.Millisecond})
	limit := c.cfg.CommandTimeout
	var ended, expiredCalls, cancelled atomic.Int64
	var wg sync.WaitGroup
	until := time.Now().Add(time.Second)
	for range 8 {
		wg.Go(func() {
			for time.Now().Before(until) {
				parent, cancel := context.Background(), func() {}
				how := rand.N(4)
				if how > 0 {
					parent, cancel = context.WithCancel(parent)
				}
				start := time.Now()
				ctx, call, stop := c.bound(parent)
				if err := ctx.Err(); err != nil && time.Since(start) < limit {
					t.Errorf("it begins with %v", err)
				}
				switch how {
				case 0, 1: // a quick call
					if rand.N(3) == 0 {
						runtime.Gosched()
					}
				case 2: // cancelled at about the same time as it ends
					go cancel()
					if rand.N(2) == 0 {
						<-ctx.Done()
					}
				case 3: // ends about when its time is up
					time.Sleep(limit - 100*time.Microsecond + rand.N(300*time.Microsecond))
				}
				err := ctx.Err()
				select {
				case <-ctx.Done():
					err = ctx.Err() // it may have ended just now
					if err == nil {
						t.Error("it is done, without an error")
					}
				default:
				}
				switch took := time.Since(start); {
				case errors.Is(err, context.DeadlineExceeded) && took < limit:
					t.Errorf("it ended after %v of %v", took, limit)
				case errors.Is(err, context.DeadlineExceeded):
					expiredCalls.Add(1)
				case err != nil && how != 2:
					t.Errorf("nobody cancelled it, and yet: %v", err)
				case err != nil:
					cancelled.Add(1)
				default:
					ended.Add(1)
				}
				c.unbound(call, stop)
				cancel()
			}
		})
	}
	wg.Wait()
	if ended.Load() == 0 || expiredCalls.Load() == 0 || cancelled.Load() == 0 {
		t.Errorf("%d ended, %d ran out of time, %d were cancelled: not every case happened", ended.Load(), expiredCalls.Load(), cancelled.Load())
	}
	// Each that waits is told, also after all that.
	for range 50 {
		wg.Go(func() {
			ctx, call, stop := c.bound(context.Background())
			defer c.unbound(call, stop)
			select {
			case <-ctx.Done():
			case <-time.After(10 * time.Second):
				t.Error("it did not end by its deadline")
			}
		})
	}
	wg.Wait()
}

// A call allocates nothing for its deadline. Not with the race detector, under
// which sync.Pool drops at random; scripts/test.sh runs it without.
func TestDeadlineAllocations(t *testing.T) {
	if raceEnabled {
		t.Skip("sync.Pool drops at random under the race detector")
	}
	c := lazy(t, Config{})
	if n := testing.AllocsPerRun(1000, func() {
		_, call, stop := c.bound(context.Background())
		c.unbound(call, stop)
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
