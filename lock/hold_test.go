package lock

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

// The context ends with the validity, counted from the sending: with a cause,
// and its children with it.
func TestHoldEnds(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		sent := now()
		time.Sleep(300 * time.Millisecond) // the answer took its time
		h := newHold(t.Context(), sent, time.Second)
		child, cancel := context.WithCancel(h)
		defer cancel()
		if d, ok := h.Deadline(); !ok || !d.Equal(sent.monotonic.Add(time.Second)) {
			t.Errorf("the deadline is %v, %v", d, ok)
		}
		time.Sleep(700*time.Millisecond - 1)
		synctest.Wait()
		if h.Err() != nil || child.Err() != nil {
			t.Fatalf("over a nanosecond early: %v, %v", h.Err(), child.Err())
		}
		<-child.Done()
		if took := time.Since(sent.monotonic); took != time.Second {
			t.Errorf("over after %v", took)
		}
		if !errors.Is(h.Err(), context.Canceled) || !errors.Is(child.Err(), context.Canceled) || !errors.Is(context.Cause(child), ErrNotHeld) {
			t.Errorf("it ended with %v, its child with %v because of %v", h.Err(), child.Err(), context.Cause(child))
		}
	})
}

// A timer that is late, or stood still with the machine, keeps nobody from seeing
// that the time is over; once somebody saw it, the children know as well.
func TestHoldLooksAtTheClocks(t *testing.T) {
	t.Parallel()
	for name, ask := range map[string]func(*hold){
		"Err":  func(h *hold) { _ = h.Err() },
		"Done": func(h *hold) { h.Done() },
	} {
		for clock, sent := range map[string]moment{
			"monotonic": {time.Now().Add(-time.Hour), time.Now().Round(0)}, // the wall clock was set back
			"wall":      {time.Now(), time.Now().Add(-time.Hour).Round(0)}, // the machine was suspended
		} {
			h := newHold(t.Context(), now(), time.Hour)
			child, cancel := context.WithCancel(h)
			h.sent = sent // behind the timer's back
			ask(h)
			if child.Err() == nil {
				t.Errorf("after %s, with the %s clock past the end, the child has no error", name, clock)
			}
			if h.Err() == nil {
				t.Errorf("after %s, with the %s clock past the end, there is no error", name, clock)
			}
			cancel()
			h.end()
		}
	}
}

// Elapsed is by the clock by which more has passed.
func TestElapsed(t *testing.T) {
	t.Parallel()
	t0 := time.Now()
	for _, tc := range []struct{ monotonic, wall, want time.Duration }{
		{time.Minute, time.Minute, time.Minute},
		{time.Minute, time.Hour, time.Hour},    // suspended, or set forward
		{time.Minute, -time.Hour, time.Minute}, // set back
	} {
		sent := moment{t0, t0.Round(0)}
		if d := sent.elapsed(moment{t0.Add(tc.monotonic), t0.Round(0).Add(tc.wall)}); d != tc.want {
			t.Errorf("after %v and %v: %v, not %v", tc.monotonic, tc.wall, d, tc.want)
		}
	}
}

// The parent's end is the lock's context's end, with the parent's reason.
func TestHoldEndsWithItsParent(t *testing.T) {
	t.Parallel()
	reason := errors.New("enough")
	parent, cancel := context.WithCancelCause(t.Context())
	h := newHold(parent, now(), time.Hour)
	cancel(reason)
	if <-h.Done(); !errors.Is(context.Cause(h), reason) {
		t.Errorf("it ended because of %v", context.Cause(h))
	}
	h.end()

	early, stop := context.WithTimeout(t.Context(), time.Minute)
	defer stop()
	h = newHold(early, now(), time.Hour)
	defer h.end()
	want, _ := early.Deadline()
	if d, _ := h.Deadline(); !d.Equal(want) {
		t.Errorf("the deadline is %v and not the parent's, which is earlier", d)
	}
}

// A lock is over before Redis can give it to another: by 1% and 2 ms.
func TestValidity(t *testing.T) {
	t.Parallel()
	for ttl, want := range map[time.Duration]time.Duration{
		10 * time.Second: 9898 * time.Millisecond,
		MinTTL:           7900 * time.Microsecond,
	} {
		if got := validity(ttl); got != want {
			t.Errorf("a TTL of %v is believed for %v, not %v", ttl, got, want)
		}
	}
}
