package conn

import (
	"errors"
	"log/slog"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// told collects what a listener is told of.
type told struct {
	mu      sync.Mutex
	changes []StateChange
}

func (w *told) listen(s StateChange) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.changes = append(w.changes, s)
}

func (w *told) states() []State {
	w.mu.Lock()
	defer w.mu.Unlock()
	out := make([]State, len(w.changes))
	for i, s := range w.changes {
		out[i] = s.To
	}
	return out
}

var life = []State{Connecting, Connected, Reconnecting, Connected, Reconnecting, Failed, Connected, End}

// Every listener is told of every transition, in order, with its cause and time.
func TestStatesInOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := offloading(t, 1)
		if c.State() != Disconnected || c.LastStateChange() != (StateChange{}) {
			t.Errorf("it begins as %v", c.LastStateChange())
		}
		var a, b told
		c.OnStateChange(a.listen)
		c.OnStateChange(b.listen)
		cause := errors.New("cause")
		for _, s := range life {
			time.Sleep(time.Second)
			c.states.set(s, cause)
			if c.State() != s || c.LastStateChange().To != s {
				t.Errorf("it is %v, not %v", c.State(), s)
			}
		}
		synctest.Wait()
		for _, w := range []*told{&a, &b} {
			if !slices.Equal(w.states(), life) {
				t.Fatalf("told of %v", w.states())
			}
			from, at := Disconnected, time.Time{}
			for _, s := range w.changes {
				if s.From != from || !s.At.After(at) || !errors.Is(s.Cause, cause) {
					t.Errorf("%+v after %v at %v", s, from, at)
				}
				from, at = s.To, s.At
			}
		}
	})
}

// Nothing follows End, and no state follows itself.
func TestStatesEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := offloading(t, 1)
		var w told
		c.OnStateChange(w.listen)
		for _, s := range []State{Connecting, Connecting, Connected, Connected, End, End, Connected, Reconnecting} {
			c.states.set(s, nil)
		}
		synctest.Wait()
		if want := []State{Connecting, Connected, End}; !slices.Equal(w.states(), want) || c.State() != End {
			t.Errorf("told of %v, want %v", w.states(), want)
		}
	})
}

// A listener that panics is told of the next transition, as are the others.
func TestStatesPanic(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := offloading(t, 1)
		var w told
		c.OnStateChange(func(s StateChange) { w.listen(s); panic("listener") })
		c.OnStateChange(w.listen)
		c.states.set(Connecting, nil)
		c.states.set(Connected, nil)
		synctest.Wait()
		if got := w.states(); len(got) != 4 || c.Stats().ListenerPanics != 2 {
			t.Errorf("told of %v, %d panics counted", got, c.Stats().ListenerPanics)
		}
	})
}

// A listener that blocks holds up neither the one who changes the state nor
// other listeners, and is told of all that it missed, in order.
func TestStatesBlock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := offloading(t, 1)
		var slow, fast told
		release := make(chan struct{})
		c.OnStateChange(func(s StateChange) { <-release; slow.listen(s) })
		c.OnStateChange(fast.listen)
		for _, s := range life {
			c.states.set(s, nil) // in a bubble, blocking here would be a deadlock
		}
		synctest.Wait()
		if !slices.Equal(fast.states(), life) || len(slow.states()) != 0 {
			t.Errorf("fast was told of %v, slow of %v", fast.states(), slow.states())
		}
		close(release)
		synctest.Wait()
		if !slices.Equal(slow.states(), life) {
			t.Errorf("slow was told of %v", slow.states())
		}
	})
}

// After remove nothing more comes: not what is queued, not what follows. Remove
// can be called twice, and from within.
func TestStatesRemove(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := offloading(t, 1)
		var a, b, kept told
		release := make(chan struct{})
		removeA := c.OnStateChange(func(s StateChange) { a.listen(s); <-release })
		var removeB func()
		removeB = c.OnStateChange(func(s StateChange) { b.listen(s); removeB() })
		c.OnStateChange(kept.listen)
		c.states.set(Connecting, nil)
		synctest.Wait()
		c.states.set(Connected, nil) // queued behind the call that blocks
		removeA()
		removeA()
		if n := len(c.states.listeners); n != 1 {
			t.Errorf("%d listeners are kept, of whom two were removed", n)
		}
		close(release)
		c.states.set(Reconnecting, nil)
		synctest.Wait()
		if len(a.states()) != 1 || len(b.states()) != 1 || len(kept.states()) != 3 {
			t.Errorf("told of %v, %v and %v", a.states(), b.states(), kept.states())
		}
	})
}

// A listener that comes late is told of what follows only.
func TestStatesLateListener(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := offloading(t, 1)
		c.states.set(Connecting, nil)
		var w told
		c.OnStateChange(w.listen)
		c.states.set(Connected, nil)
		synctest.Wait()
		if want := []State{Connected}; !slices.Equal(w.states(), want) {
			t.Errorf("told of %v", w.states())
		}
	})
}

// Listeners come, go and panic while the state changes: each is told of a
// gapless run of transitions.
func TestStatesConcurrently(t *testing.T) {
	c := lazy(t, Config{})
	const rounds = 300
	var wg sync.WaitGroup
	var gaps atomic.Int64
	gapless := func() func(StateChange) {
		var last atomic.Int32
		last.Store(-1)
		return func(s StateChange) {
			if from := last.Swap(int32(s.To)); from >= 0 && State(from) != s.From {
				gaps.Add(1)
			}
		}
	}
	for range 4 {
		c.OnStateChange(gapless())
		wg.Go(func() {
			for i := range rounds {
				c.states.set(State(1+i%4), nil)
				_, _ = c.State(), c.LastStateChange()
			}
		})
		wg.Go(func() {
			for i := range rounds {
				check := gapless()
				remove := c.OnStateChange(func(s StateChange) {
					check(s)
					if i%7 == 0 {
						panic("listener")
					}
				})
				runtime.Gosched()
				remove()
			}
		})
	}
	wg.Wait()
	if gaps.Load() != 0 {
		t.Errorf("%d transitions were left out", gaps.Load())
	}
}

// An idle listener costs no goroutine.
func TestStatesGoroutines(t *testing.T) {
	c := lazy(t, Config{})
	delivering := func() (n int) {
		for _, stack := range goroutines() {
			if strings.Contains(stack, "conn.(*listener).") {
				n++
			}
		}
		return n
	}
	var calls atomic.Int64
	hold := make(chan struct{})
	for range 50 {
		c.OnStateChange(func(StateChange) { calls.Add(1); <-hold })
	}
	// Polled, as one of an earlier test may be about to return.
	if !poll(5*time.Second, func() bool { return delivering() == 0 }) {
		t.Errorf("50 listeners have %d goroutines", delivering())
	}
	c.states.set(Connecting, nil)
	if !poll(5*time.Second, func() bool { return calls.Load() == 50 }) || delivering() != 50 {
		t.Errorf("%d of 50 are told, by %d goroutines", calls.Load(), delivering())
	}
	close(hold)
	if !poll(5*time.Second, func() bool { return delivering() == 0 }) {
		t.Errorf("after a transition 50 listeners have %d goroutines", delivering())
	}
}

func TestStateText(t *testing.T) {
	for s, want := range map[State]string{
		Disconnected: "disconnected", Connecting: "connecting", Connected: "connected", Reconnecting: "reconnecting", Failed: "error", End: "end", 99: "unknown",
	} {
		if got := s.String(); got != want {
			t.Errorf("%d is %q, want %q", int(s), got, want)
		}
	}
	var b strings.Builder
	slog.New(slog.NewTextHandler(&b, nil)).Info("m", "change", StateChange{From: Connected, To: Reconnecting, Cause: errors.New("gone")})
	for _, part := range []string{"change.from=connected", "change.to=reconnecting", "change.cause=gone"} {
		if !strings.Contains(b.String(), part) {
			t.Errorf("slog shows %s", b.String())
		}
	}
}
