package ratelimit

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/relay-platform/redis/conn"
)

// Bounds of a [Limit].
const (
	MaxPerWindow = 1 << 50 // numbers in scripts are exact up to 2^53
	MinWindow    = time.Millisecond
	MaxWindow    = 366 * 24 * time.Hour
)

// Limit is how much may be consumed in a window of time.
type Limit struct {
	// Max is the most that is admitted in any window, 1 to MaxPerWindow.
	Max int
	// Window is the length of the window, MinWindow (1 ms) to MaxWindow (366
	// days).
	Window time.Duration
}

func (l Limit) check(name string) error {
	switch {
	case l.Max < 1, int64(l.Max) > MaxPerWindow:
		return &conn.ArgumentError{Name: name + ".Max", Problem: fmt.Sprintf("%d is not between 1 and 2^50", l.Max)}
	case l.Window < MinWindow, l.Window > MaxWindow:
		return &conn.ArgumentError{Name: name + ".Window", Problem: fmt.Sprintf("%v is not between %v and 366 days", l.Window, MinWindow)}
	}
	return nil
}

// Options are the optional settings of a [Limiter].
type Options struct {
	// Limit is for calls without WithLimit. The zero Limit means that every
	// call has to bring its own.
	Limit Limit
}

// Limiter limits one action. It is safe for concurrent use and holds nothing
// that has to be closed. Make one with [New].
type Limiter struct {
	c      *conn.Client
	keys   conn.Keyspace
	action string
	limit  Limit
}

// New returns the limiter of an action, such as "login". Limiters of one action
// and window share their counters, in all processes; others share nothing. New
// does not talk to Redis. Bad input is an *conn.ArgumentError.
func New(c *conn.Client, action string, opts Options) (*Limiter, error) {
	if c == nil {
		return nil, fmt.Errorf("ratelimit: %w", &conn.ArgumentError{Name: "client", Problem: "is nil: pass what conn.Open returned"})
	}
	if err := conn.CheckName("action", action); err != nil {
		return nil, fmt.Errorf("ratelimit: %w", err)
	}
	if opts.Limit != (Limit{}) {
		if err := opts.Limit.check("Options.Limit"); err != nil {
			return nil, fmt.Errorf("ratelimit: %w", err)
		}
	}
	return &Limiter{c: c, keys: c.Keyspace("ratelimit"), action: action, limit: opts.Limit}, nil
}

// Result is the answer to Consume.
type Result struct {
	Allowed   bool
	Limit     Limit // the one that was applied
	Remaining int   // what could still be consumed right after this call; never negative
	// ResetAfter is when nothing will be counted any more and all of Limit.Max
	// is available, if nobody consumes in between. Zero if nothing is counted.
	ResetAfter time.Duration
	// RetryAfter is, for a call that was denied, when the same call will be
	// allowed, if nobody consumes in between. Zero for a call that was allowed.
	RetryAfter time.Duration
}

// Option changes one call.
type Option func(*call)

type call struct {
	cost  int
	limit Limit
	named string // where the limit came from
}

// WithCost makes the call consume n, and not 1. It is admitted as a whole or not
// at all. n less than 1 or above the limit is an *conn.ArgumentError: waiting
// would not help.
func WithCost(n int) Option { return func(c *call) { c.cost = n } }

// WithLimit applies another limit to the call than Options.Limit. Calls with
// different windows are counted apart; calls with one window and different Max
// are counted together, and each is held against its own Max.
func WithLimit(l Limit) Option { return func(c *call) { c.limit, c.named = l, "limit" } }

// Consume asks for one unit (see WithCost) on behalf of an identifier, such as a
// user name or an IP address, and charges it if it is allowed. A denial is a
// Result, not an error, and charges nothing. On an error the Result is the zero
// one, which does not allow; bad input is an *conn.ArgumentError.
func (l *Limiter) Consume(ctx context.Context, identifier string, opts ...Option) (Result, error) {
	start := time.Now()
	call := call{cost: 1, limit: l.limit, named: "Options.Limit"}
	for _, o := range opts {
		o(&call)
	}
	r, err := l.consume(ctx, identifier, call)
	return r, l.done(ctx, identifier, start, call, r, err)
}

func (l *Limiter) consume(ctx context.Context, identifier string, call call) (Result, error) {
	if err := conn.CheckName("identifier", identifier); err != nil {
		return Result{}, err
	}
	if err := call.limit.check(call.named); err != nil {
		return Result{}, err
	}
	switch {
	case call.cost < 1:
		return Result{}, &conn.ArgumentError{Name: "cost", Problem: fmt.Sprintf("%d is less than 1", call.cost)}
	case call.cost > call.limit.Max:
		return Result{}, &conn.ArgumentError{Name: "cost", Problem: fmt.Sprintf("%d is more than the limit of %d: it would never be allowed", call.cost, call.limit.Max)}
	}
	key := l.keys.Tagged(identifier, l.action, call.limit.Window.String())
	if len(key) > conn.MaxKey { // prefix, action and escapes add to it
		return Result{}, &conn.ArgumentError{Name: "identifier", Problem: fmt.Sprintf("makes a Redis key of %d bytes, more than %d", len(key), conn.MaxKey)}
	}
	n, err := consumeScript.Run(ctx, l.c, []string{key}, []string{
		strconv.Itoa(call.limit.Max), strconv.Itoa(call.cost), strconv.FormatInt(stepMicros(call.limit.Window), 10), strconv.Itoa(steps),
	}).AsIntSlice()
	if err != nil {
		return Result{}, err
	}
	if len(n) != 4 {
		return Result{}, fmt.Errorf("the script returned %d numbers, not 4", len(n))
	}
	return Result{
		Allowed: n[0] == 1, Limit: call.limit, Remaining: max(0, call.limit.Max-int(n[1])),
		ResetAfter: time.Duration(n[2]) * time.Microsecond, RetryAfter: time.Duration(n[3]) * time.Microsecond,
	}, nil
}
