package pubsub

import (
	"context"
	"fmt"
	"runtime/debug"
	"sync/atomic"
	"time"

	"github.com/relay-platform/redis/conn"
)

// DefaultQueueSize is how many messages wait for the handler at most, where
// SubscribeOptions.QueueSize is zero.
const DefaultQueueSize = 1024

// Handler is called for one message after the other. Its context carries the
// values of the context given to Subscribe, and ends only when Close does not
// wait any longer. An error it returns is given to OnError; the message is not
// delivered again.
type Handler[T any] func(ctx context.Context, m Message[T]) error

// SubscribeOptions are the optional settings of a subscription. The zero value
// is useful.
type SubscribeOptions struct {
	// QueueSize is how many messages may wait for the handler; one more drops
	// the oldest. Their size is not bounded. Zero means DefaultQueueSize (1024),
	// negative is an error.
	QueueSize int

	// OnGap is called when messages may have been lost because the connection
	// was, after it was made again: in its place in the order of messages, on the
	// handler's goroutine, with the handler's context. It is a good moment to
	// reload what the messages keep up to date. Nil means that nobody is told.
	OnGap func(ctx context.Context)

	// OnError is called with what goes wrong: the handler's errors and panics
	// (*PanicError), messages that cannot be decoded, on the handler's goroutine;
	// a lost connection and each failed attempt to make it again, on the
	// subscription's own. So it must be safe for concurrent use, and while it
	// runs it holds up this subscription, though no other. Nil means that errors
	// are only counted. It should not call Close.
	OnError func(err error)
}

// PanicError is given to OnError when the handler or OnGap panicked.
type PanicError struct {
	Value any    // what it panicked with
	Stack []byte // where
}

func (e *PanicError) Error() string { return fmt.Sprintf("panic: %v", e.Value) }

// Stats are counters since Subscribe.
type Stats struct {
	Received int64 // messages from Redis
	Handled  int64 // messages that the handler was called with and has ended, however
	Dropped  int64 // messages that found the queue full, or were left when Close stopped waiting
	Errors   int64 // messages that could not be decoded, and errors of the handler
	Panics   int64 // panics recovered in the handler, OnGap and OnError
	Gaps     int64 // times that the connection was lost and made again
	Waiting  int64 // messages in the queue now
}

type counters struct {
	received, handled, dropped, errors, panics, gaps atomic.Int64
}

// Subscription is a subscription that Redis has confirmed. Its methods are safe
// for concurrent use. It has to be closed, before the Client is.
type Subscription struct {
	p             *PubSub
	name, channel string // as given, and in Redis
	opts          SubscribeOptions
	handle        func(ctx context.Context, text string) error

	queue *queue
	stats counters

	life     context.Context // of the connection; ends with Close
	stop     context.CancelFunc
	handling context.Context // of the handler; ends when Close gives up
	abort    context.CancelFunc
	done     chan struct{} // closed when the handler's goroutine has ended
}

// insideKey marks the context of a subscription's handler.
type insideKey struct{ s *Subscription }

// Subscribe calls handler for every message that is published on the channel
// from when it returns, which is when Redis has confirmed the subscription. ctx
// bounds that only, by the command time-out where it has no deadline; the
// subscription lives until Close. On an error there is no subscription; bad input
// is an *conn.ArgumentError.
func Subscribe[T any](ctx context.Context, p *PubSub, channel string, handler Handler[T], opts SubscribeOptions) (*Subscription, error) {
	start := time.Now()
	s, err := subscribe(ctx, p, channel, handler, opts)
	return s, p.done(ctx, "subscribe", channel, start, err)
}

func subscribe[T any](ctx context.Context, p *PubSub, name string, handler Handler[T], opts SubscribeOptions) (*Subscription, error) {
	channel, err := p.channel(name)
	switch {
	case err != nil:
		return nil, err
	case handler == nil:
		return nil, &conn.ArgumentError{Name: "handler", Problem: "is nil"}
	case opts.QueueSize < 0:
		return nil, &conn.ArgumentError{Name: "SubscribeOptions.QueueSize", Problem: fmt.Sprintf("%d is negative; zero means %d", opts.QueueSize, DefaultQueueSize)}
	case opts.QueueSize == 0:
		opts.QueueSize = DefaultQueueSize
	}
	s := &Subscription{p: p, name: name, channel: channel, opts: opts, queue: newQueue(opts.QueueSize), done: make(chan struct{})}
	s.handle = func(ctx context.Context, text string) error {
		m, err := open[T](name, text)
		if err != nil {
			return err
		}
		defer s.stats.handled.Add(1)
		return handler(ctx, m)
	}
	values := context.WithoutCancel(ctx)
	s.life, s.stop = context.WithCancel(values)
	s.handling, s.abort = context.WithCancel(context.WithValue(values, insideKey{s}, true))

	if _, ok := ctx.Deadline(); !ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, p.c.CommandTimeout())
		defer cancel()
	}
	confirmed := make(chan error, 1)
	go s.receive(confirmed)
	select {
	case err = <-confirmed:
	case <-ctx.Done():
		err = p.c.WrapError("SUBSCRIBE", false, ctx.Err())
	}
	if err != nil {
		s.stop()
		s.abort()
		return nil, err
	}
	go s.work() // only now: what failed calls no handler
	return s, nil
}

// Stats returns the counters.
func (s *Subscription) Stats() Stats {
	return Stats{
		Received: s.stats.received.Load(), Handled: s.stats.handled.Load(), Dropped: s.stats.dropped.Load(),
		Errors: s.stats.errors.Load(), Panics: s.stats.panics.Load(), Gaps: s.stats.gaps.Load(), Waiting: int64(s.queue.len()),
	}
}

// Close ends the subscription, and returns when the messages that wait have been
// handled. When ctx ends first, the handler's context is ended, the rest is
// dropped, and Close returns an error that says how many messages that is; the
// handler may then still be running. A second Close does the same.
//
// Called by the handler with the handler's own context it does not wait.
func (s *Subscription) Close(ctx context.Context) error {
	s.stop()
	if ctx.Value(insideKey{s}) != nil {
		return nil
	}
	select {
	case <-s.done:
		return nil
	case <-ctx.Done():
	}
	s.queue.close()
	n := s.queue.discard()
	s.stats.dropped.Add(int64(n))
	s.abort()
	return &opError{op: "close", channel: s.name, err: fmt.Errorf("%d messages were not handled: %w", n, ctx.Err())}
}

// work calls the handler, until the queue is closed and empty.
func (s *Subscription) work() {
	defer close(s.done)
	defer s.abort() // frees the context
	for {
		it, ok := s.queue.take()
		if !ok {
			return
		}
		if it.gap {
			s.stats.gaps.Add(1)
			s.event("gap", time.Now(), nil)
			if s.opts.OnGap != nil {
				_ = s.guard(func() error { s.opts.OnGap(s.handling); return nil }) // it has told
			}
			continue
		}
		start := time.Now()
		err := s.guard(func() error { return s.handle(s.handling, it.text) })
		s.event("handle", start, err)
	}
}

// guard runs a function of the user's, and tells OnError what came of it.
func (s *Subscription) guard(fn func() error) (err error) {
	defer func() {
		if v := recover(); v != nil {
			s.stats.panics.Add(1)
			err = &PanicError{Value: v, Stack: debug.Stack()}
		} else if err != nil {
			s.stats.errors.Add(1)
		}
		if err != nil {
			s.tell("handle", err)
		}
	}()
	return fn()
}

// tell calls OnError.
func (s *Subscription) tell(op string, err error) {
	if s.opts.OnError == nil {
		return
	}
	defer func() {
		if recover() != nil {
			s.stats.panics.Add(1)
		}
	}()
	s.opts.OnError(&opError{op: op, channel: s.name, err: err})
}
