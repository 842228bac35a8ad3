package health

import (
	"context"
	"fmt"
	"time"

	"github.com/relay-platform/redis/conn"
)

// panicError is the panic of a user's function.
type panicError struct{ value any }

func (e *panicError) Error() string { return fmt.Sprintf("health: a callback panicked: %v", e.value) }

// reportPanic tells the Observer of a panic that was recovered.
func (k *Checker) reportPanic(v any, start time.Time) {
	k.src.observe(context.Background(), conn.Event{
		Module: "health", Op: "callback", Start: start, Duration: time.Since(start), Source: "local", Err: &panicError{v},
	})
}
