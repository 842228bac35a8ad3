package health

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/relay-platform/redis/conn"
)

func startWatch(tb testing.TB, k *Checker, opts WatchOptions) *Watcher {
	tb.Helper()
	w, err := k.Watch(opts)
	if err != nil {
		tb.Fatal(err)
	}
	return w
}

func stopWatch(tb testing.TB, w *Watcher) {
	tb.Helper()
	if err := w.Stop(context.Background()); err != nil {
		tb.Error(err)
	}
}

// A check per interval, give or take a tenth, and one at the start. The bubble
// fails if a goroutine is left after Stop.
func TestWatchInterval(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, n := one(says())
		var results atomic.Int64
		w := startWatch(t, testChecker(t, s, Options{}), WatchOptions{OnResult: func(context.Context, Result) { results.Add(1) }})
		synctest.Wait()
		if n.questions() != 1 {
			t.Errorf("%d checks at the start", n.questions())
		}
		time.Sleep(DefaultInterval*9/10 - 1)
		synctest.Wait()
		if n.questions() != 1 {
			t.Error("the second check came too early")
		}
		time.Sleep(1000*DefaultInterval - DefaultInterval*9/10)
		synctest.Wait()
		if c := n.questions(); c < 950 || c > 1050 || int64(c) != results.Load() || w.Stats().Checks != int64(c) {
			t.Errorf("%d checks in 1,000 intervals, %d results, %+v", c, results.Load(), w.Stats())
		}
		stopWatch(t, w)
		before := n.questions()
		time.Sleep(10 * DefaultInterval)
		if n.questions() != before || len(s.listeners) != 0 {
			t.Errorf("%d checks after Stop, %d listeners", n.questions()-before, len(s.listeners))
		}
		stopWatch(t, w)
	})
}

// Changes of status or reason, the first result among them, in order; nothing
// else is a change.
func TestWatchChanges(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, n := one(says())
		type change struct{ before, now Reason }
		var got []change
		var first Status = "?"
		w := startWatch(t, testChecker(t, s, Options{}), WatchOptions{OnChange: func(_ context.Context, before, now Result) {
			if len(got) == 0 {
				first = before.Status
			}
			got = append(got, change{before.Reason, now.Reason})
		}})
		for _, a := range []answer{says(), {err: refused("h:1")}, {err: refused("h:1")}, says("loading:1"), says("connected_clients:8"), says("connected_clients:9")} {
			synctest.Wait()
			n.set(a)
			time.Sleep(2 * DefaultInterval)
		}
		stopWatch(t, w)
		want := []change{{"", ""}, {"", ReasonRefused}, {ReasonRefused, ReasonLoading}, {ReasonLoading, ""}}
		if len(got) != len(want) || first != "" || w.Stats().Changes != int64(len(want)) {
			t.Fatalf("%+v after %q, %+v", got, first, w.Stats())
		}
		for i := range want {
			if got[i] != want[i] {
				t.Errorf("change %d: %+v, not %+v", i, got[i], want[i])
			}
		}
	})
}

// A change of the connection's state brings the next check forward; many of
// them bring ten a second.
func TestWatchFollowsTheConnection(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, n := one(says())
		w := startWatch(t, testChecker(t, s, Options{}), WatchOptions{Interval: time.Hour, OnResult: func(context.Context, Result) {}})
		time.Sleep(time.Minute)
		s.becomes(conn.StateChange{To: conn.Reconnecting})
		synctest.Wait()
		if n.questions() != 2 {
			t.Errorf("%d checks", n.questions())
		}
		for range 10000 { // for 10 s
			s.becomes(conn.StateChange{To: conn.Connected})
			time.Sleep(time.Millisecond)
		}
		if c := n.questions() - 2; c < 90 || c > 101 {
			t.Errorf("%d checks in 10 s of a connection that flaps", c)
		}
		stopWatch(t, w)
	})
}

// A callback that panics is counted and reported; the next call comes.
func TestWatchPanic(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, _ := one(says())
		changes := 0
		w := startWatch(t, testChecker(t, s, Options{}), WatchOptions{
			OnResult: func(context.Context, Result) { panic("boom") },
			OnChange: func(context.Context, Result, Result) { changes++ },
		})
		time.Sleep(3 * DefaultInterval)
		stopWatch(t, w)
		stats := w.Stats()
		if stats.Panics < 2 || stats.Panics != stats.Checks || changes != 1 {
			t.Errorf("%+v, %d changes", stats, changes)
		}
		reported := int64(0)
		for _, e := range s.events {
			var p *panicError
			if e.Op == "callback" && errors.As(e.Err, &p) {
				reported++
			}
		}
		if reported != stats.Panics {
			t.Errorf("%d panics, %d reported", stats.Panics, reported)
		}
	})
}

// A callback that hangs delays neither the checks nor the other callback; of
// what it misses the newest result waits for it, and every change up to a limit.
func TestWatchSlowCallback(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, n := one(says())
		hold := make(chan struct{})
		var results, changes []Result
		other := 0
		w := startWatch(t, testChecker(t, s, Options{}), WatchOptions{
			OnResult: func(_ context.Context, r Result) { <-hold; results = append(results, r) },
			OnChange: func(_ context.Context, _, r Result) { <-hold; changes = append(changes, r) },
		})
		w2 := startWatch(t, testChecker(t, s, Options{}), WatchOptions{OnResult: func(context.Context, Result) { other++ }})
		down := answer{err: refused("h:1")}
		for i := range 200 {
			if i%2 == 0 {
				n.set(down)
			} else {
				n.set(says())
			}
			s.becomes(conn.StateChange{To: conn.Connected})
			time.Sleep(minPause)
			synctest.Wait()
		}
		stats := w.Stats()
		if stats.Checks < 190 || stats.Changes < 190 || other < 190 {
			t.Fatalf("a slow callback delays: %+v, the other got %d", stats, other)
		}
		close(hold)
		synctest.Wait()
		// One was being delivered; the newest waited.
		if len(results) != 2 || len(changes) != 1+maxChanges {
			t.Fatalf("%d results and %d changes were delivered", len(results), len(changes))
		}
		if want := (stats.Checks - 2) + (stats.Changes - 1 - maxChanges); w.Stats().Skipped != want {
			t.Errorf("%d skipped, not %d", w.Stats().Skipped, want)
		}
		last, _, _ := w.k.Last()
		if newest := results[1]; !newest.CheckedAt.Equal(last.CheckedAt) {
			t.Errorf("the newest result is of %v, delivered was that of %v", last.CheckedAt, newest.CheckedAt)
		}
		for i := 2; i < len(changes); i++ {
			if !changes[i-1].CheckedAt.Before(changes[i].CheckedAt) {
				t.Error("changes out of order")
			}
		}
		stopWatch(t, w)
		stopWatch(t, w2)
	})
}

// Stop waits for the callback that is running, and no other begins; it does not
// wait for the callback that calls it, nor for longer than its context.
func TestWatchStop(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, _ := one(says())
		k := testChecker(t, s, Options{})
		var running, calls atomic.Int64
		w := startWatch(t, k, WatchOptions{OnResult: func(ctx context.Context, _ Result) {
			calls.Add(1)
			running.Add(1)
			defer running.Add(-1)
			<-ctx.Done()
			time.Sleep(time.Second)
		}})
		synctest.Wait()
		s.becomes(conn.StateChange{To: conn.Connected})
		time.Sleep(2 * minPause) // a second result waits, and is never delivered
		synctest.Wait()
		if c := w.Stats().Checks; c != 2 {
			t.Errorf("%d checks", c)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		defer cancel()
		if err := w.Stop(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("a Stop whose context ended: %v", err)
		}
		stopWatch(t, w)
		if running.Load() != 0 || calls.Load() != 1 {
			t.Errorf("%d callbacks after Stop, %d calls", running.Load(), calls.Load())
		}

		stopped := make(chan error, 1)
		var self *Watcher
		ready := make(chan struct{})
		self = startWatch(t, k, WatchOptions{OnResult: func(ctx context.Context, _ Result) {
			<-ready
			stopped <- self.Stop(ctx)
		}})
		close(ready)
		select {
		case err := <-stopped:
			if err != nil {
				t.Error(err)
			}
		case <-time.After(time.Minute):
			t.Error("Stop from a callback waits for that callback")
		}
		stopWatch(t, self)
	})
}

// Stop ends a check that is under way, and nobody is told of it.
func TestWatchStopDuringACheck(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, n := one(says())
		n.takes = time.Second
		w := startWatch(t, testChecker(t, s, Options{}), WatchOptions{OnResult: func(_ context.Context, r Result) { t.Errorf("told: %+v", r) }})
		synctest.Wait()
		start := time.Now()
		stopWatch(t, w)
		if d := time.Since(start); d != 0 {
			t.Errorf("Stop took %v", d)
		}
	})
}
