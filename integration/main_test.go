package integration_test

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/relay-platform/redis/conn"
	"github.com/relay-platform/redis/internal/redistest"
)

// TestMain removes the servers that tests shared, and then fails the run if a
// goroutine is left: of a Client that was closed, a server, or a proxy.
func TestMain(m *testing.M) {
	redistest.Main(m, func() error {
		// In mode cluster rueidis may have a refresh of the topology sleep for
		// up to a second after Close, and close what a refresh removed after 5.
		deadline := time.Now().Add(8 * time.Second)
		for {
			err := goleak.Find(
				// HTTP connections to the Docker engine, which its client keeps.
				goleak.IgnoreAnyFunction("net/http.(*persistConn).readLoop"),
				goleak.IgnoreAnyFunction("net/http.(*persistConn).writeLoop"),
			)
			if err == nil || time.Now().After(deadline) {
				return err
			}
		}
	})
}

// open returns a Client that the test's end closes, and fails the test if it
// cannot be had or does not close within its time.
func open(tb testing.TB, cfg conn.Config) *conn.Client {
	tb.Helper()
	c, err := conn.Open(tb.Context(), cfg)
	if err != nil {
		tb.Fatal(err)
	}
	closeAtEnd(tb, c)
	return c
}

func closeAtEnd(tb testing.TB, c *conn.Client) {
	tb.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		if err := c.Close(ctx); err != nil {
			tb.Errorf("Close: %v", err)
		}
		if n := c.Stats().Conns; n != 0 {
			tb.Errorf("Close left %d connections open", n)
		}
	})
}

var prefixes atomic.Int64

// newPrefix returns a key prefix of the test's own, for servers that tests share.
func newPrefix(tb testing.TB) string {
	name := strings.NewReplacer("/", "-", "{", "", "}", "").Replace(tb.Name())
	return fmt.Sprintf("%s-%d-%d:", name, os.Getpid(), prefixes.Add(1))
}

// must fails the test on an error.
func must(tb testing.TB, err error) {
	tb.Helper()
	if err != nil {
		tb.Fatal(err)
	}
}

// within waits until ok says so, and fails the test if that takes longer than d.
// It is for what gives no event that could be awaited.
func within(tb testing.TB, d time.Duration, what string, ok func() bool) time.Duration {
	tb.Helper()
	start := time.Now()
	for tick := time.NewTicker(2 * time.Millisecond); ; <-tick.C {
		if ok() {
			tick.Stop()
			return time.Since(start)
		}
		if time.Since(start) > d {
			tick.Stop()
			tb.Fatalf("not within %v: %s", d, what)
		}
	}
}

// changes collects the transitions of a Client.
type changes struct {
	c  *conn.Client
	ch chan conn.StateChange
}

func watch(tb testing.TB, c *conn.Client) *changes {
	w := &changes{c: c, ch: make(chan conn.StateChange, 4096)}
	tb.Cleanup(c.OnStateChange(func(s conn.StateChange) { w.ch <- s }))
	return w
}

// await returns the next transition to a state, skipping others.
func (w *changes) await(tb testing.TB, to conn.State, d time.Duration) conn.StateChange {
	tb.Helper()
	t := time.After(d)
	for {
		select {
		case s := <-w.ch:
			if s.To == to {
				return s
			}
		case <-t:
			tb.Fatalf("not %v within %v: %v", to, d, w.c)
		}
	}
}

func timeout(tb testing.TB, d time.Duration) context.Context {
	ctx, cancel := context.WithTimeout(tb.Context(), d)
	tb.Cleanup(cancel)
	return ctx
}

func itoa(i int) string { return strconv.Itoa(i) }
