package conn

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// Close lets the calls that are under way end, closes every connection, and
// returns when nothing of the Client is running any more. New calls fail with
// ErrClosed from now on. When ctx ends first, the remaining calls are cut off
// (writes among them with ErrUnknownOutcome) and Close returns an error that
// says how many. A second Close waits for the first one and returns nil.
//
// A Client from Shared counts: only when the last one is closed is the
// connection. Until then, closing one returns at once, and it is no longer to be
// used.
func (c *Client) Close(ctx context.Context) error {
	if c.shared != nil {
		if c.released.Swap(true) || !c.shared.release() {
			return nil
		}
		return c.shared.client.Close(ctx)
	}
	if c.closing.Swap(true) {
		select {
		case <-c.ended:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	defer close(c.ended)
	c.gate.shut()
	err := c.drain(ctx)

	c.cancel() // ends the prober and dials under way
	c.closeRaw(ctx)
	err = errors.Join(err, c.awaitGoroutines(ctx))
	c.states.set(End, nil)
	return errors.Join(err, c.awaitListeners(ctx))
}

// closeGrace is for what ends by itself when every connection is closed, also
// when Close's context has ended.
const closeGrace = time.Second

// awaitGoroutines waits for the prober and for calls that were given up. All
// connections are closed, so nothing holds them but functions of the user's
// that do not return (Config.NewClient and what it wraps).
func (c *Client) awaitGoroutines(ctx context.Context) error {
	limit, cancel := context.WithCancel(context.Background())
	defer cancel()
	stop := context.AfterFunc(ctx, func() { time.AfterFunc(closeGrace, cancel) })
	defer stop()
	select {
	case <-c.stopped:
	case <-limit.Done():
		return fmt.Errorf("conn: close: the prober has not ended: does Config.NewClient return? %w", ctx.Err())
	}
	if left := c.gate.awaitBackground(limit.Done()); left > 0 {
		return fmt.Errorf("conn: close: %d calls have not ended: does a wrapper of Config.NewClient hang? %w", left, ctx.Err())
	}
	return nil
}

// drain waits for the calls under way.
func (c *Client) drain(ctx context.Context) error {
	for {
		n := c.gate.calls()
		if n == 0 {
			return nil
		}
		select {
		case <-c.gate.drained:
		case <-ctx.Done():
			return fmt.Errorf("conn: close: %d calls were cut off: %w", n, ctx.Err())
		}
	}
}

// closeRaw closes the rueidis client. Its Close exchanges a last PING with
// each server, which is pointless, and slow, where the server is not answering.
func (c *Client) closeRaw(ctx context.Context) {
	closed := make(chan struct{})
	go func() {
		defer close(closed)
		if raw := c.raw.Load(); raw != nil {
			raw.close()
		}
	}()
	if c.State() == Connected && ctx.Err() == nil {
		t := time.NewTimer(200 * time.Millisecond)
		select {
		case <-closed:
		case <-ctx.Done():
		case <-t.C:
		}
		t.Stop()
	}
	c.dialer.cut()
	select {
	case <-closed:
	case <-ctx.Done():
		select {
		case <-closed:
		case <-time.After(closeGrace):
		}
	}
}

// awaitListeners waits until every listener has been told of End.
func (c *Client) awaitListeners(ctx context.Context) error {
	done := make(chan struct{})
	go func() { c.states.running.Wait(); close(done) }()
	select {
	case <-done:
		return nil
	case <-ctx.Done():
	}
	// ctx may have ended long ago; a listener that works still gets its chance.
	grace := time.NewTimer(100 * time.Millisecond)
	defer grace.Stop()
	select {
	case <-done:
		return nil
	case <-grace.C:
		return fmt.Errorf("conn: close: a state listener has not returned: %w", ctx.Err())
	}
}
