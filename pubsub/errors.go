package pubsub

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/relay-platform/redis/conn"
)

// opError says which channel an error was about.
type opError struct {
	op, channel string
	err         error
}

func (e *opError) Error() string {
	return "pubsub: " + e.op + " " + quote(e.channel) + ": " + strings.TrimPrefix(e.err.Error(), "conn: ")
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
// was about. Events have Module "pubsub" and Op publish, subscribe, handle (one
// message), receive (a lost connection) or gap.
func (p *PubSub) done(ctx context.Context, op, channel string, start time.Time, err error) error {
	if err != nil {
		err = &opError{op: op, channel: channel, err: err}
	}
	if p.c.Observed() {
		p.c.Observe(ctx, conn.Event{Module: "pubsub", Op: op, Start: start, Duration: time.Since(start), Source: "remote", Err: err})
	}
	return err
}

// event tells the Observer of what happened in a subscription.
func (s *Subscription) event(op string, start time.Time, err error) {
	_ = s.p.done(s.handling, op, s.name, start, err)
}
