package cache

import (
	"fmt"
	"strings"

	"github.com/relay-platform/redis/conn"
)

// opError says what an error was about. It is formatted only when somebody
// reads it: a miss is an everyday answer.
type opError struct {
	op, key string
	err     error
}

func (e *opError) Error() string {
	text := strings.TrimPrefix(strings.TrimPrefix(e.err.Error(), "cache: "), "conn: ")
	return "cache: " + e.op + " " + quote(e.key) + ": " + text
}

func (e *opError) Unwrap() error { return e.err }

// quote shows a key whatever bytes it has, and not all of a long one.
func quote(key string) string {
	const most = 64
	if len(key) > most {
		return fmt.Sprintf("%.*q…", most, key)
	}
	return fmt.Sprintf("%q", key)
}

// invalid is the error for bad input to New.
func invalid(name, problem string) error {
	return fmt.Errorf("cache: %w", &conn.ArgumentError{Name: name, Problem: problem})
}
