package lock

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/relay-platform/redis/conn"
)

// The Outcomes of events beside conn's.
const (
	OutcomeHeld conn.Outcome = "held" // ErrHeld
	OutcomeLost conn.Outcome = "lost" // ErrNotHeld
)

// opError says what an error was about. It is formatted only when somebody reads
// it: a lock that is held is an everyday answer.
type opError struct {
	op, name string
	err      error
}

func (e *opError) Error() string {
	text := strings.TrimPrefix(strings.TrimPrefix(e.err.Error(), "lock: "), "conn: ")
	return "lock: " + e.op + " " + quote(e.name) + ": " + text
}

func (e *opError) Unwrap() error { return e.err }

// quote shows a name whatever bytes it has, and not all of a long one.
func quote(name string) string {
	const most = 64
	if len(name) > most {
		return fmt.Sprintf("%.*q…", most, name)
	}
	return fmt.Sprintf("%q", name)
}

// done tells the Observer of an operation, and returns its error with what it
// was about. Events have Module "lock", Op acquire, release, or discard (the
// clean-up after an acquire whose reply was lost), and the Outcomes above.
func (l *Locker) done(ctx context.Context, op, name string, start time.Time, err error) error {
	if err != nil {
		err = &opError{op: op, name: name, err: err}
	}
	if l.c.Observed() {
		e := conn.Event{Module: "lock", Op: op, Start: start, Duration: time.Since(start), Source: "remote", Err: err}
		switch {
		case errors.Is(err, ErrHeld):
			e.Outcome, e.Err = OutcomeHeld, nil
		case errors.Is(err, ErrNotHeld):
			e.Outcome = OutcomeLost
		}
		l.c.Observe(ctx, e)
	}
	return err
}
