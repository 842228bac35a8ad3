package conn

import (
	"context"
	"errors"
	"time"

	"github.com/redis/rueidis"
)

// Outcome sorts how an operation ended into few classes, fit for the labels of
// a metric.
type Outcome string

// The outcomes that this package reports. Capabilities add their own, such as
// "denied" or "lost", and document them.
const (
	OutcomeOK           Outcome = "ok"
	OutcomeMiss         Outcome = "miss" // the key does not exist
	OutcomeError        Outcome = "error"
	OutcomeTimeout      Outcome = "timeout"
	OutcomeNotConnected Outcome = "not_connected"
	OutcomeUnknown      Outcome = "unknown" // ErrUnknownOutcome
	OutcomeCanceled     Outcome = "canceled"
)

// Event is one operation, as an Observer is told of it.
type Event struct {
	Module   string        // "conn", "cache", "session" …: who did it
	Op       string        // a command ("GET") or an operation of the module; never a key
	Start    time.Time     // when it began
	Duration time.Duration // how long the caller waited
	Outcome  Outcome       // how it ended
	Source   string        // where the answer came from: "remote", or what the module documents
	Count    int           // how many commands, keys or units it was about; at least 1
	Err      error         // nil when Outcome is ok or miss
}

// Observer is told of operations: for metrics, traces or logs. An operation of a
// capability and the commands that it consists of are events of their own, with
// another Module: count those of one Module. A script is one event, named after
// it, whether or not it had to be loaded.
// Observe runs on
// the caller's goroutine after the operation has ended, so it must be fast and
// safe for concurrent use; a panic in it is recovered and counted in
// Stats.ObserverPanics. ctx is the context of the operation; what it carries
// (a span, say) can be used, though it may have ended.
type Observer interface {
	Observe(ctx context.Context, e Event)
}

// ObserverFunc is a function that is an Observer.
type ObserverFunc func(ctx context.Context, e Event)

// Observe calls f.
func (f ObserverFunc) Observe(ctx context.Context, e Event) { f(ctx, e) }

// Observed reports whether there is an Observer, so that a capability need not
// take the time for an event that nobody gets.
func (c *Client) Observed() bool { return c.cfg.Observer != nil }

// Observe reports an event of a capability to the Observer, if there is one.
// An empty Outcome is filled in from Err, a zero Count becomes 1.
func (c *Client) Observe(ctx context.Context, e Event) {
	if c.cfg.Observer == nil {
		return
	}
	if e.Outcome == "" {
		e.Outcome = OutcomeOf(e.Err)
	}
	e.Count = max(e.Count, 1)
	defer func() {
		if p := recover(); p != nil {
			c.stats.observerPanics.Add(1)
		}
	}()
	c.cfg.Observer.Observe(ctx, e)
}

// OutcomeOf returns the class of an error of this package, or of a capability
// that wraps one. What a capability's own errors mean, such as a lock that
// another holds, is OutcomeError here, and better told in its events.
func OutcomeOf(err error) Outcome {
	switch {
	case err == nil:
		return OutcomeOK
	case rueidis.IsRedisNil(err):
		return OutcomeMiss
	case errors.Is(err, ErrUnknownOutcome):
		return OutcomeUnknown
	case errors.Is(err, ErrTimeout):
		return OutcomeTimeout
	case errors.Is(err, context.Canceled):
		return OutcomeCanceled
	case errors.Is(err, ErrNotConnected):
		return OutcomeNotConnected
	}
	return OutcomeError
}
