package health

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/relay-platform/redis/conn"
)

func TestOptionsThatCannotBeUsed(t *testing.T) {
	t.Parallel()
	var bad *conn.ArgumentError
	if _, err := New(nil, Options{}); !errors.As(err, &bad) || bad.Name != "c" {
		t.Errorf("%v", err)
	}
	for name, o := range map[string]Options{"Options.Timeout": {Timeout: -1}, "Options.SlowAfter": {SlowAfter: time.Microsecond}} {
		if _, err := newChecker(&fakeSource{}, o); !errors.As(err, &bad) || bad.Name != name || !errors.Is(err, conn.ErrInvalidArgument) {
			t.Errorf("%s: %v", name, err)
		}
	}
	k := testChecker(t, &fakeSource{}, Options{})
	for name, o := range map[string]WatchOptions{
		"WatchOptions.Interval": {Interval: -1, OnResult: func(context.Context, Result) {}},
		"WatchOptions.OnChange": {},
	} {
		if _, err := k.Watch(o); !errors.As(err, &bad) || bad.Name != name {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// A check ends within its time-out, also when nothing ever comes back.
func TestCheckNeverHangs(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, n := one(says())
		n.stuck = make(chan struct{})
		k := testChecker(t, s, Options{})
		for range 3 {
			start := time.Now()
			r := k.Check(t.Context())
			if d := time.Since(start); d != DefaultTimeout || r.Reason != ReasonNoAnswer || r.ResponseTime != DefaultTimeout {
				t.Errorf("after %v: %s %v", d, r.Reason, r.Err)
			}
		}
		if n.questions() != 1 {
			t.Errorf("asked %d times: questions pile up", n.questions())
		}
		// The caller's own deadline, and its giving up.
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		start := time.Now()
		if r := k.Check(ctx); r.Reason != ReasonNoAnswer || time.Since(start) != time.Second {
			t.Errorf("after %v: %s %v", time.Since(start), r.Reason, r.Err)
		}
		if r := k.Check(ctx); r.Reason != ReasonCanceled || r.Status != StatusUnknown {
			t.Errorf("a context that had ended: %s %v", r.Reason, r.Err)
		}
		cancel()
		ctx, cancel = context.WithCancel(t.Context())
		time.AfterFunc(time.Second, cancel)
		if r := k.Check(ctx); r.Reason != ReasonCanceled || !errors.Is(r.Err, context.Canceled) {
			t.Errorf("given up: %s %v", r.Reason, r.Err)
		}
		if last, _, _ := k.Last(); last.Status == StatusUnknown {
			t.Error("a check that was given up counts")
		}
		// An answer counts, although it was asked for long ago.
		time.AfterFunc(time.Second, func() { close(n.stuck) })
		if r := k.Check(t.Context()); !r.Healthy {
			t.Errorf("it answered: %s %v", r.Reason, r.Err)
		}
	})
}

// A failure that was asked for before a check began is not that check's answer.
func TestOldFailuresDoNotCount(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, n := one(answer{err: refused("h:1")})
		n.takes = time.Second
		k := testChecker(t, s, Options{})
		var wg sync.WaitGroup
		wg.Go(func() {
			if r := k.Check(t.Context()); r.Reason != ReasonRefused {
				t.Errorf("%s %v", r.Reason, r.Err)
			}
		})
		time.Sleep(500 * time.Millisecond)
		synctest.Wait()
		n.set(says()) // what the question on its way gets is settled
		if r := k.Check(t.Context()); !r.Healthy {
			t.Errorf("%s %v", r.Reason, r.Err)
		}
		wg.Wait()
		if n.questions() != 2 {
			t.Errorf("asked %d times", n.questions())
		}
	})
}

// A thousand checks at once are a few questions, also when they fail.
func TestChecksShareQuestions(t *testing.T) {
	t.Parallel()
	for name, a := range map[string]answer{"healthy": says(), "refused": {err: refused("h:1")}} {
		synctest.Test(t, func(t *testing.T) {
			s, n := one(a)
			n.takes = 10 * time.Millisecond
			k := testChecker(t, s, Options{})
			var wg sync.WaitGroup
			for range 1000 {
				wg.Go(func() { k.Check(t.Context()) })
			}
			wg.Wait()
			if n.questions() > 3 {
				t.Errorf("%s: asked %d times", name, n.questions())
			}
		})
	}
}

// CONFIG GET is asked once a minute, and never again once it is refused.
func TestSaveIsAskedSeldom(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name string
		err  error
		want int
	}{
		{"answered", nil, 3},
		{"refused", replied(conn.ErrPermission, "NOPERM"), 1},
		{"not now", replied(conn.ErrBusy, "BUSY"), 150},
	} {
		synctest.Test(t, func(t *testing.T) {
			a := says()
			a.saveErr = tc.err
			s, n := one(a)
			k := testChecker(t, s, Options{})
			for range 150 {
				k.Check(t.Context())
				time.Sleep(time.Second)
			}
			asked := 0
			for _, q := range n.asked {
				if q.save {
					asked++
				}
			}
			if asked != tc.want {
				t.Errorf("%s: asked %d times in 150 s, not %d", tc.name, asked, tc.want)
			}
		})
	}
}

// Slow is healthy, and marked.
func TestSlowIsNotDead(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, n := one(says())
		k := testChecker(t, s, Options{})
		for takes, slow := range map[time.Duration]bool{DefaultSlowAfter: false, DefaultSlowAfter + 1: true, DefaultTimeout - 1: true} {
			n.takes = takes
			r := k.Check(t.Context())
			if !r.Healthy || !r.Nodes[0].Healthy || r.Slow != slow || r.ResponseTime != takes || r.Nodes[0].Slow != slow || (len(r.Warnings) == 1) != slow {
				t.Errorf("%v: healthy %t, slow %t, %v, %+v", takes, r.Healthy, r.Slow, r.ResponseTime, r.Warnings)
			}
		}
	})
}

// A connection that was lost is asked for once more.
func TestLostConnectionIsAskedAgain(t *testing.T) {
	t.Parallel()
	s, n := one(answer{err: &conn.Error{Kinds: []error{conn.ErrNotConnected}, Err: errors.New("EOF")}})
	k := testChecker(t, s, Options{})
	if r := k.Check(t.Context()); r.Reason != ReasonUnreachable || n.questions() != 2 {
		t.Errorf("%s after %d questions", r.Reason, n.questions())
	}
	n.set(answer{err: refused("h:1")})
	if k.Check(t.Context()); n.questions() != 3 {
		t.Errorf("a dead server is asked again: %d", n.questions())
	}
}

// The Observer is told of each check.
func TestChecksAreObserved(t *testing.T) {
	t.Parallel()
	s, n := one(says())
	k := testChecker(t, s, Options{})
	k.Check(t.Context())
	n.set(answer{err: refused("h:1")})
	k.Check(t.Context())
	if len(s.events) != 2 || s.events[0].Module != "health" || s.events[0].Op != "check" || s.events[0].Err != nil || !errors.Is(s.events[1].Err, conn.ErrRefused) {
		t.Errorf("%+v", s.events)
	}
}
