package lock

import (
	"context"
	"time"
)

// moment is a point in time by both clocks. The monotonic one does not step, and
// may stop while the machine is suspended; the wall clock may step, and goes on.
type moment struct{ monotonic, wall time.Time }

func now() moment {
	t := time.Now()
	return moment{monotonic: t, wall: t.Round(0)} // Round(0) strips the monotonic reading
}

// elapsed returns what has passed by the clock by which more has passed: it is
// safe to believe a lock over too early.
func (m moment) elapsed(until moment) time.Duration {
	return max(until.monotonic.Sub(m.monotonic), until.wall.Sub(m.wall))
}

// hold is the context of a lock. A timer ends it; as timers can be late, whoever
// asks looks at the clocks too.
type hold struct {
	context.Context // made by WithCancelCause
	cancel          context.CancelCauseFunc
	sent            moment
	validity        time.Duration
	timer           *time.Timer
}

func newHold(parent context.Context, sent moment, validity time.Duration) *hold {
	ctx, cancel := context.WithCancelCause(parent)
	h := &hold{Context: ctx, cancel: cancel, sent: sent, validity: validity}
	h.timer = time.AfterFunc(validity-sent.elapsed(now()), func() { h.cancel(ErrNotHeld) })
	return h
}

// end ends the context and all its children.
func (h *hold) end() {
	h.timer.Stop()
	h.cancel(ErrNotHeld)
}

// check ends the context if its time is over. A child that was made of it is a
// child of the embedded context and knows nothing of the clocks, so that one is
// cancelled before anybody is told.
func (h *hold) check() {
	if h.sent.elapsed(now()) >= h.validity {
		h.cancel(ErrNotHeld)
	}
}

// Deadline returns when the lock's time is over, or the parent's deadline where
// that is earlier.
func (h *hold) Deadline() (time.Time, bool) {
	end := h.sent.monotonic.Add(h.validity)
	if d, ok := h.Context.Deadline(); ok && d.Before(end) {
		return d, true
	}
	return end, true
}

// Done returns a channel that is closed when the context has ended.
func (h *hold) Done() <-chan struct{} {
	h.check()
	return h.Context.Done()
}

// Err returns nil only while the lock is held.
func (h *hold) Err() error {
	h.check()
	return h.Context.Err()
}
