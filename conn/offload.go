package conn

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/redis/rueidis"
)

// giveUp notes that a call ended before its reply came, and left a command in a
// ring. A time-out is a reason to look at the server; a caller that changed its
// mind is not, unless the ring is filling up.
func (c *Client) giveUp(cause error) {
	c.stats.timeouts.Add(1)
	if c.gate.abandoned.Add(1) > most/4 || errors.Is(cause, context.DeadlineExceeded) {
		c.kick()
	}
}

// indirectCall describes a call to offload.
type indirectCall struct {
	op      string
	write   bool
	ownConn bool // it takes no place in a ring
}

// offload makes a call on a goroutine of its own, and leaves it there when the
// context ends first.
func offload[T any](ctx context.Context, c *Client, how indirectCall, run func(context.Context, rueidis.Client) T) (T, error) {
	var none T
	if !c.gate.enterIndirect() {
		return none, &Error{Op: how.op, Kinds: []error{ErrClosed}}
	}
	defer c.gate.leaveIndirect()
	if _, ok := ctx.Deadline(); !ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, c.cfg.CommandTimeout)
		defer cancel()
	}
	raw, err := c.await(ctx, how.op)
	if err != nil {
		return none, err
	}
	if err := c.takePlaces(ctx, how); err != nil {
		return none, err
	}
	type outcome struct {
		res   T
		panic any
	}
	done := make(chan outcome, 1)
	go func() {
		var o outcome
		defer func() {
			o.panic = recover() // a misuse of the builder: the caller's, not ours
			if !how.ownConn {
				if ctx.Err() != nil {
					c.giveUp(ctx.Err())
				}
				c.gate.leaveRoom()
			}
			<-c.gate.pending
			done <- o
		}()
		o.res = run(ctx, raw)
	}()
	select {
	case o := <-done:
		if o.panic != nil {
			panic(o.panic)
		}
		return o.res, nil
	case <-ctx.Done():
		return none, c.callError(how.op, how.write, ctx.Err())
	}
}

// heardPause is the least time between two looks that heard asks for: where one
// node of a cluster is down, the others answer all the time.
const heardPause = 500 * time.Millisecond

// heard has the prober look when a call was answered although the state says
// that the server is not there. (A call that failed is no news.)
func (c *Client) heard(err error) {
	if err != nil || c.State() == Connected {
		return
	}
	last, now := c.lastHeard.Load(), time.Now().UnixNano()
	if now-last > int64(heardPause) && c.lastHeard.CompareAndSwap(last, now) {
		c.kick()
	}
}

// takePlaces waits for a goroutine's place and for one in the ring.
func (c *Client) takePlaces(ctx context.Context, how indirectCall) error {
	g, op := &c.gate, how.op
	select {
	case g.pending <- struct{}{}:
	default:
		select {
		case g.pending <- struct{}{}:
		case <-c.ctx.Done():
			return &Error{Op: op, Kinds: []error{ErrClosed}}
		case <-ctx.Done():
			return notSent(op, fmt.Errorf("%d calls are waiting already (Config.MaxPending): %w", cap(g.pending), ctx.Err()))
		}
	}
	if how.ownConn || g.tryRoom() {
		return nil
	}
	g.waiting.Add(1)
	defer g.waiting.Add(-1)
	for !g.tryRoom() { // again, as leaveDirect only signals those that it sees
		select {
		case <-g.room:
		case <-c.ctx.Done():
			<-g.pending
			return &Error{Op: op, Kinds: []error{ErrClosed}}
		case <-ctx.Done():
			<-g.pending
			return notSent(op, fmt.Errorf("not sent, as the server is not answering: %w", ctx.Err()))
		}
	}
	return nil
}
