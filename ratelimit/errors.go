package ratelimit

import (
	"context"
	"crypto/sha256"
	"fmt"
	"strings"
	"time"

	"github.com/relay-platform/redis/conn"
)

// OutcomeDenied is the Outcome of the events of calls that were denied.
const OutcomeDenied conn.Outcome = "denied"

// opError says what an error was about. Identifiers are often addresses of
// people or of their machines, and errors end in logs: so only a hash.
type opError struct {
	action, identifier string
	err                error
}

func (e *opError) Error() string {
	const most = 64
	action := fmt.Sprintf("%q", e.action)
	if len(e.action) > most {
		action = fmt.Sprintf("%.*q…", most, e.action)
	}
	sum := sha256.Sum256([]byte(e.identifier))
	return fmt.Sprintf("ratelimit: consume %s for identifier %x: %s", action, sum[:6], strings.TrimPrefix(e.err.Error(), "conn: "))
}

func (e *opError) Unwrap() error { return e.err }

// done tells the Observer of a call, and returns its error with what it was
// about. Events have Module "ratelimit", Op consume, the cost as Count, and
// Outcome OutcomeDenied for what was denied.
func (l *Limiter) done(ctx context.Context, identifier string, start time.Time, call call, r Result, err error) error {
	if err != nil {
		err = &opError{action: l.action, identifier: identifier, err: err}
	}
	if l.c.Observed() {
		e := conn.Event{Module: "ratelimit", Op: "consume", Start: start, Duration: time.Since(start), Source: "remote", Count: call.cost, Err: err}
		if err == nil && !r.Allowed {
			e.Outcome = OutcomeDenied
		}
		l.c.Observe(ctx, e)
	}
	return err
}
