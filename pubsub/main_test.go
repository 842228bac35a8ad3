package pubsub_test

import (
	"errors"
	"flag"
	"log"
	"os"
	"testing"

	"github.com/relay-platform/redis/conn"
)

// TestMain leaves the examples out where there is no Redis for them. They
// compile all the same.
func TestMain(m *testing.M) {
	flag.Parse()
	if os.Getenv("REDIS_URL") == "" {
		if err := flag.Set("test.skip", "^Example"); err != nil {
			log.Fatal(err)
		}
	}
	os.Exit(m.Run())
}

// unused returns a Client that connects at its first use, which fails a test of
// input that must be refused before anything is sent.
func unused(t *testing.T) *conn.Client {
	t.Helper()
	c, err := conn.Open(t.Context(), conn.Config{Addrs: []string{"127.0.0.1:1"}, Lazy: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if n := c.Stats().Dials; n != 0 {
			t.Errorf("%d attempts to connect", n)
		}
		if err := c.Close(t.Context()); err != nil {
			t.Error(err)
		}
	})
	return c
}

func wantArgument(t *testing.T, name string, err error, argument string) {
	t.Helper()
	var bad *conn.ArgumentError
	if !errors.As(err, &bad) || !errors.Is(err, conn.ErrInvalidArgument) {
		t.Errorf("%s: got %v, not an ArgumentError", name, err)
	} else if bad.Name != argument {
		t.Errorf("%s: the error names %q, not %q", name, bad.Name, argument)
	}
}
