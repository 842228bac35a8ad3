package conn

import (
	"context"
	"sync"
	"sync/atomic"
	"time"
)

// callContext gives a call without a deadline one, without what
// context.WithTimeout costs (5 allocations, more than the command itself): it
// is pooled, and its timer is armed once for many calls.
//
// Its life: begin sets the deadline, end takes it back. The timer fires at or
// before the current deadline, and is set again where it came too early. The
// races, and why each is safe:
//
//   - The timer fires while the call ends: both move deadline by
//     compare-and-swap, so exactly one wins. If the timer wins, done is closed
//     for this call and end drops the object; if end wins, the timer finds 0.
//   - The timer is about to go idle while the next call begins: begin stores
//     the deadline and then looks at armed; expire clears armed and then looks
//     at the deadline. One of the two sees the other and arms the timer.
//   - The object was reused between the timer's look and its swap: the swap
//     only succeeds when the deadline is the same, and then it has passed.
type callContext struct {
	parent   context.Context
	epoch    time.Time
	pool     *sync.Pool
	done     chan struct{}
	timer    *time.Timer
	onCancel func() // is cancelled; made once, as a method value is an allocation
	err      error  // written before done is closed
	deadline atomic.Int64
	armed    atomic.Bool
}

const (
	idle    = 0
	expired = -1
)

func newCallPool(epoch time.Time) *sync.Pool {
	p := &sync.Pool{}
	p.New = func() any {
		c := &callContext{epoch: epoch, pool: p, parent: context.Background(), done: make(chan struct{})}
		// Made before anyone can arm it, so that only who won armed touches it.
		c.timer = time.AfterFunc(time.Hour, c.expire)
		c.timer.Stop()
		c.onCancel = c.cancelled
		return c
	}
	return p
}

// begin starts a call that ends after d.
func (c *callContext) begin(parent context.Context, d time.Duration) {
	c.parent = parent
	c.deadline.Store(int64(time.Since(c.epoch) + d))
	c.arm(d)
}

func (c *callContext) arm(d time.Duration) {
	// It is armed nearly always, and a load costs a fraction of the swap.
	if !c.armed.Load() && c.armed.CompareAndSwap(false, true) {
		c.timer.Reset(d)
	}
}

// end ends the call and gives the object back, unless its time was up.
func (c *callContext) end() {
	dl := c.deadline.Load()
	if dl != expired && c.deadline.CompareAndSwap(dl, idle) {
		c.parent = context.Background() // keep nothing of the caller's alive
		c.pool.Put(c)
	}
}

func (c *callContext) expire() {
	c.armed.Store(false)
	dl := c.deadline.Load()
	if dl == idle || dl == expired {
		return
	}
	if left := time.Duration(dl) - time.Since(c.epoch); left > 0 {
		c.arm(left)
		return
	}
	c.fail(dl, context.DeadlineExceeded)
}

// cancelled is called when the parent ended. It only runs during the call that
// registered it or after it, and then the object is not used again: see unbound.
func (c *callContext) cancelled() {
	if dl := c.deadline.Load(); dl > 0 {
		c.fail(dl, c.parent.Err())
	}
}

// fail ends the call that has deadline dl with err, if it has not ended.
func (c *callContext) fail(dl int64, err error) {
	if c.deadline.CompareAndSwap(dl, expired) {
		c.err = err
		close(c.done)
	}
}

// Deadline implements context.Context.
func (c *callContext) Deadline() (time.Time, bool) {
	if dl := c.deadline.Load(); dl > 0 {
		return c.epoch.Add(time.Duration(dl)), true
	}
	return time.Now(), true
}

// Done implements context.Context.
func (c *callContext) Done() <-chan struct{} { return c.done }

// Err implements context.Context.
func (c *callContext) Err() error {
	select {
	case <-c.done:
		return c.err
	default:
		return nil
	}
}

// Value implements context.Context.
func (c *callContext) Value(key any) any { return c.parent.Value(key) }
