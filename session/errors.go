package session

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/relay-platform/redis/conn"
)

// opError says which session an error was about, by its handle.
type opError struct {
	op  string
	id  ID
	err error
}

func (e *opError) Error() string {
	text := strings.TrimPrefix(strings.TrimPrefix(e.err.Error(), "session: "), "conn: ")
	if e.id.IsZero() { // Create, or what cannot be an ID
		return "session: " + e.op + ": " + text
	}
	return "session: " + e.op + " " + e.id.Handle() + ": " + text
}

func (e *opError) Unwrap() error { return e.err }

// done tells the Observer of an operation, and returns its error with what it
// was about. Events have Module "session", Op create, get, touch or delete, and
// Outcome miss for ErrNotFound.
func (s *Store[M]) done(ctx context.Context, op string, id ID, start time.Time, err error) error {
	if err != nil {
		err = &opError{op: op, id: id, err: err}
	}
	if s.c.Observed() {
		e := conn.Event{Module: "session", Op: op, Start: start, Duration: time.Since(start), Source: "remote", Err: err}
		if errors.Is(err, ErrNotFound) {
			e.Outcome, e.Err = conn.OutcomeMiss, nil
		}
		s.c.Observe(ctx, e)
	}
	return err
}

// invalid is the error for bad input to New.
func invalid(name, problem string) error {
	return fmt.Errorf("session: %w", &conn.ArgumentError{Name: name, Problem: problem})
}
