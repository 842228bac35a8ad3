package conn

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/redis/rueidis"
)

func openGateway(mode Mode, maxPending int) *gateway {
	g := newGateway(mode, maxPending)
	g.open.Store(true)
	return &g
}

// Calls are made directly as long as those under way and those given up fit
// into the ring together, and the gateway is open and nobody waits.
func TestGatewayBound(t *testing.T) {
	g := openGateway(ModeStandalone, 1)
	for i := range most {
		if !g.enterDirect() {
			t.Fatalf("call %d is not made directly", i)
		}
	}
	if g.enterDirect() || g.calls() != most {
		t.Fatalf("more than %d are: %d", most, g.calls())
	}
	g.leaveDirect()
	g.abandoned.Add(1)
	if g.enterDirect() {
		t.Error("what was given up does not count")
	}
	g.answered(g.generation.Load(), 1)
	if !g.enterDirect() {
		t.Error("what was given up still counts after a probe was answered")
	}
	g.leaveDirect()
	g.waiting.Add(1)
	if g.enterDirect() {
		t.Error("it overtakes a call that waits")
	}
	g.waiting.Add(-1)
	g.suspect()
	if g.enterDirect() {
		t.Error("it is made directly although a connection was lost")
	}
	g.answered(g.generation.Load(), 0)
	if !g.enterDirect() {
		t.Error("it is not made directly although every primary answered since")
	}
}

// An answer that was asked for before a connection was lost does not open the
// gateway, in whatever order the two take their steps.
func TestGatewayStaleAnswer(t *testing.T) {
	g := openGateway(ModeStandalone, 1)
	before := g.generation.Load()
	g.suspect()
	g.answered(before, 0)
	if g.open.Load() {
		t.Error("an answer from before the loss opened it")
	}
	for range 2000 {
		generation := g.generation.Load()
		var wg sync.WaitGroup
		wg.Go(func() { g.answered(generation, 0) })
		wg.Go(func() { g.suspect() })
		wg.Wait()
		if g.open.Load() {
			t.Fatal("a loss beside an answer left it open")
		}
	}
}

// The prober goes on while Close waits for calls; its answers must not let new
// ones in, or Close would wait for those, too.
func TestGatewayStaysShut(t *testing.T) {
	g := openGateway(ModeStandalone, 1)
	g.shut()
	g.answered(g.generation.Load(), 0)
	if g.enterDirect() || g.enterIndirect() {
		t.Error("a call is let in after Close")
	}
	for range 2000 {
		g := openGateway(ModeStandalone, 1)
		var wg sync.WaitGroup
		wg.Go(func() { g.answered(g.generation.Load(), 0) })
		wg.Go(func() { g.shut() })
		wg.Wait()
		if g.open.Load() {
			t.Fatal("an answer beside Close left it open")
		}
	}
}

// Close is told when the last call has ended, whichever way it was made.
func TestGatewayDrains(t *testing.T) {
	g := openGateway(ModeStandalone, 1)
	if !g.enterDirect() || !g.enterIndirect() {
		t.Fatal("not let in")
	}
	g.shut()
	g.leaveDirect()
	<-g.drained // a look is in order
	if g.calls() != 1 {
		t.Fatalf("%d calls", g.calls())
	}
	g.leaveIndirect()
	select {
	case <-g.drained:
	default:
		t.Error("nobody is told")
	}
	if g.calls() != 0 {
		t.Errorf("%d calls", g.calls())
	}
}

// In mode cluster a call does not wait for a place: nobody knows in which ring.
func TestGatewayRoom(t *testing.T) {
	one, several := openGateway(ModeStandalone, 1), openGateway(ModeCluster, 1)
	for range most {
		if !one.tryRoom() || !several.tryRoom() {
			t.Fatal("no room")
		}
	}
	if one.tryRoom() || !several.tryRoom() {
		t.Error("the bound is for one ring only")
	}
	one.leaveRoom()
	if !one.tryRoom() {
		t.Error("a place that was left is not given again")
	}
}

// Many that wait for few places all get one, and none is forgotten: a place
// that is free while somebody waits is found, also when two look at once.
func TestGatewayNoLostPlace(t *testing.T) {
	g := openGateway(ModeStandalone, 1)
	g.abandoned.Store(most - 1) // one place, and no probe to wake anybody
	var wg sync.WaitGroup
	var got atomic.Int64
	for range 16 {
		wg.Go(func() {
			for range 500 {
				for !g.tryRoom() {
					<-g.room
				}
				got.Add(1)
				runtime.Gosched() // so that others find it full
				g.leaveRoom()
			}
		})
	}
	done := make(chan struct{})
	go func() { wg.Wait(); close(done) }()
	select {
	case <-done:
	case <-time.After(20 * time.Second):
		t.Fatalf("stuck after %d of 8000, with %d of 1 place taken", got.Load(), g.sending.Load())
	}
}

// fakeRaw is a rueidis.Client that a test hands to offload; nothing is called
// on it.
type fakeRaw struct{ rueidis.Client }

// offloading returns a Client as it is once connected, that sends nothing.
func offloading(t *testing.T, maxPending int) *Client {
	t.Helper()
	r, err := Config{MaxPending: maxPending}.resolve()
	if err != nil {
		t.Fatal(err)
	}
	c, err := newClient(r)
	if err != nil {
		t.Fatal(err)
	}
	c.raw.Store(&rawClient{Client: fakeRaw{}})
	t.Cleanup(func() { c.cancel(); <-c.stopped })
	return c
}

// A caller comes back at its deadline, or within the command time-out, while
// what it called hangs; the goroutine that is left is counted, and gives its
// places back when it ends.
func TestOffloadComesBack(t *testing.T) {
	for name, limit := range map[string]time.Duration{"deadline": 100 * time.Millisecond, "command time-out": 0} {
		synctest.Test(t, func(t *testing.T) {
			c := offloading(t, 4)
			ctx, want := t.Context(), c.cfg.CommandTimeout
			if limit > 0 {
				var cancel context.CancelFunc
				ctx, cancel = context.WithTimeout(ctx, limit)
				defer cancel()
				want = limit
			}
			hang, start := make(chan struct{}), time.Now()
			_, err := offload(ctx, c, indirectCall{op: "SET", write: true}, func(context.Context, rueidis.Client) int { <-hang; return 1 })
			if took := time.Since(start); took != want {
				t.Errorf("%s: it took %v", name, took)
			}
			wantIs(t, err, ErrTimeout, ErrUnknownOutcome)
			if !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("%s: %v", name, err)
			}
			if n := c.Stats().Pending; n != 1 || c.gate.calls() != 0 || c.gate.sending.Load() != 1 {
				t.Errorf("%s: %d pending, %d calls, %d sending", name, n, c.gate.calls(), c.gate.sending.Load())
			}
			close(hang)
			synctest.Wait()
			if n := c.Stats().Pending; n != 0 || c.gate.sending.Load() != 0 || c.gate.abandoned.Load() != 1 || c.Stats().Timeouts != 1 {
				t.Errorf("%s: left %d pending, %d sending; %+v", name, n, c.gate.sending.Load(), c.Stats())
			}
		})
	}
}

// A panic of what was called (a misuse of the builder, say) is the caller's,
// and costs no place.
func TestOffloadPanics(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := offloading(t, 1)
		for range 3 {
			func() {
				defer func() {
					if p := recover(); p != "misuse" {
						t.Errorf("recovered %v", p)
					}
				}()
				_, err := offload(t.Context(), c, indirectCall{op: "GET"}, func(context.Context, rueidis.Client) int { panic("misuse") })
				t.Errorf("it returned %v", err)
			}()
		}
		if n := c.gate.calls(); n != 0 || c.Stats().Pending != 0 || c.gate.sending.Load() != 0 {
			t.Errorf("%d calls, %+v", n, c.Stats())
		}
	})
}

// Beyond MaxPending a call waits for a place, by its deadline, and is then
// known not to have been sent.
func TestOffloadMaxPending(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := offloading(t, 2)
		hang := make(chan struct{})
		var wg sync.WaitGroup
		for range 2 {
			wg.Go(func() {
				if _, err := offload(t.Context(), c, indirectCall{op: "GET"}, func(context.Context, rueidis.Client) int { <-hang; return 1 }); err != nil {
					t.Error(err)
				}
			})
		}
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		defer cancel()
		start := time.Now()
		_, err := offload(ctx, c, indirectCall{op: "SET", write: true}, func(context.Context, rueidis.Client) int {
			t.Error("a third call runs")
			return 1
		})
		if took := time.Since(start); took != 50*time.Millisecond {
			t.Errorf("it took %v", took)
		}
		wantIs(t, err, ErrTimeout) // and not ErrUnknownOutcome
		wg.Go(func() {             // one that has time gets the next place
			got, err := offload(t.Context(), c, indirectCall{op: "GET"}, func(context.Context, rueidis.Client) int { return 7 })
			if got != 7 || err != nil {
				t.Errorf("%d, %v", got, err)
			}
		})
		synctest.Wait()
		close(hang)
		wg.Wait()
	})
}

// Where the ring is full, a call waits unsent; it is told so at its deadline.
func TestOffloadFullRing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := offloading(t, 8)
		c.gate.abandoned.Store(most)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err := offload(ctx, c, indirectCall{op: "SET", write: true}, func(context.Context, rueidis.Client) int {
			t.Error("it is sent")
			return 1
		})
		wantIs(t, err, ErrTimeout)
		if c.Stats().Pending != 0 || c.gate.waiting.Load() != 0 {
			t.Errorf("%+v, %d waiting", c.Stats(), c.gate.waiting.Load())
		}
		// One with a connection of its own needs no place.
		if got, err := offload(t.Context(), c, indirectCall{op: "BLPOP", ownConn: true}, func(context.Context, rueidis.Client) int { return 7 }); got != 7 || err != nil {
			t.Errorf("%d, %v", got, err)
		}
		// An answered probe frees the places.
		var wg sync.WaitGroup
		wg.Go(func() {
			if got, err := offload(t.Context(), c, indirectCall{op: "GET"}, func(context.Context, rueidis.Client) int { return 7 }); got != 7 || err != nil {
				t.Errorf("%d, %v", got, err)
			}
		})
		synctest.Wait()
		c.gate.answered(c.gate.generation.Load(), most)
		wg.Wait()
	})
}

// After Close a call is ErrClosed, also one that waits for a place, and was not
// sent.
func TestOffloadAfterClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for name, fill := range map[string]func(*Client){
			"places": func(c *Client) { c.gate.pending <- struct{}{} },
			"ring":   func(c *Client) { c.gate.abandoned.Store(most) },
		} {
			c := offloading(t, 1)
			fill(c)
			var wg sync.WaitGroup
			wg.Go(func() {
				_, err := offload(t.Context(), c, indirectCall{op: "SET", write: true}, func(context.Context, rueidis.Client) int {
					t.Error("it is sent")
					return 1
				})
				wantIs(t, err, ErrClosed)
			})
			synctest.Wait()
			c.gate.shut()
			c.cancel()
			wg.Wait()
			if c.gate.calls() != 0 {
				t.Errorf("%s: %d calls", name, c.gate.calls())
			}
			_, err := offload(t.Context(), c, indirectCall{op: "GET"}, func(context.Context, rueidis.Client) int { return 1 })
			wantIs(t, err, ErrClosed)
		}
	})
}

// awaitBackground waits for goroutines that were left, says how many there
// still are when it may not wait any longer, and keeps no place.
func TestGatewayAwaitsGoroutines(t *testing.T) {
	g := openGateway(ModeStandalone, 8)
	for range 3 {
		g.pending <- struct{}{}
	}
	giveUp := make(chan struct{})
	close(giveUp)
	if left := g.awaitBackground(giveUp); left != 3 || len(g.pending) != 3 {
		t.Errorf("%d are left, %d places taken", left, len(g.pending))
	}
	for range 3 {
		<-g.pending
	}
	if left := g.awaitBackground(make(chan struct{})); left != 0 || len(g.pending) != 0 {
		t.Errorf("%d are left, %d places taken", left, len(g.pending))
	}
}

// What a Client says of itself after Close is that nothing is going on.
func TestStatsAfterClose(t *testing.T) {
	c := lazy(t, Config{})
	if err := c.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if s := c.Stats(); s != (Stats{}) {
		t.Errorf("%s", fmt.Sprintf("%+v", s))
	}
}
