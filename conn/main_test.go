package conn

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"
)

// needServer matches the examples that talk to the server of REDIS_URL. The
// others always run.
const needServer = "^Example(Open|FromEnv|Client_.*|Script_.*|Shared|Observer)$"

// TestMain leaves those examples out where there is no server for them. They
// compile all the same.
func TestMain(m *testing.M) {
	flag.Parse()
	if os.Getenv("REDIS_URL") == "" {
		if err := flag.Set("test.skip", needServer); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(2)
		}
	}
	os.Exit(m.Run())
}

// noLeaks fails the test if goroutines of this package or of rueidis are left
// at its end that were not there when noLeaks was called. A test that uses it
// must not run in parallel with others.
func noLeaks(t *testing.T) {
	t.Helper()
	before := goroutines()
	t.Cleanup(func() {
		var left []string
		// In mode cluster rueidis may have a refresh sleep for up to a second.
		ok := poll(3*time.Second, func() bool {
			left = left[:0]
			for id, stack := range goroutines() {
				if _, old := before[id]; !old {
					left = append(left, stack)
				}
			}
			return len(left) == 0
		})
		if !ok {
			t.Errorf("%d goroutines are left:\n%s", len(left), strings.Join(left, "\n\n"))
		}
	})
}

// goroutines returns the stacks of all goroutines but the caller's and those
// of the testing package, by their ids.
func goroutines() map[string]string {
	buf := make([]byte, 1<<20)
	for {
		n := runtime.Stack(buf, true)
		if n < len(buf) {
			buf = buf[:n]
			break
		}
		buf = make([]byte, 2*len(buf))
	}
	all := map[string]string{}
	for i, stack := range strings.Split(string(buf), "\n\n") {
		id, _, _ := strings.Cut(strings.TrimPrefix(stack, "goroutine "), " ")
		if i > 0 && !strings.Contains(stack, "testing.(*T).Run(") && !strings.Contains(stack, "testing.(*M).startAlarm") {
			all[id] = stack
		}
	}
	return all
}

// poll waits until ok says so, for what gives no event that could be awaited.
func poll(d time.Duration, ok func() bool) bool {
	for limit := time.Now().Add(d); ; time.Sleep(time.Millisecond) {
		if ok() {
			return true
		}
		if time.Now().After(limit) {
			return ok()
		}
	}
}

// lazy returns a Client that connects at its first use, and fails the test if
// something used it: what is refused before anything is sent must not dial.
func lazy(t *testing.T, cfg Config) *Client {
	t.Helper()
	if cfg.URL == "" && cfg.Addrs == nil {
		cfg.Addrs = []string{"127.0.0.1:1"}
	}
	cfg.Lazy = true
	c, err := Open(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if n := c.Stats().Dials; n != 0 {
			t.Errorf("%d attempts to connect", n)
		}
		if err := c.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return c
}

// wantArgument fails the test unless err is an *ArgumentError for that name.
func wantArgument(t *testing.T, err error, name string) {
	t.Helper()
	var bad *ArgumentError
	switch {
	case err == nil:
		t.Errorf("no error for %s", name)
	case !errors.As(err, &bad) || !errors.Is(err, ErrInvalidArgument):
		t.Errorf("%v: a %T, not an *ArgumentError", err, err)
	case bad.Name != name:
		t.Errorf("%v: names %q, not %q", err, bad.Name, name)
	case bad.Problem == "":
		t.Errorf("%v: does not say what is wrong", err)
	}
}

// wantIs fails the test unless err matches exactly the given ones of kinds.
func wantIs(t *testing.T, err error, kinds ...error) {
	t.Helper()
	for _, k := range allSentinels {
		want := false
		for _, w := range kinds {
			want = want || w == k //nolint:errorlint // of the list above
		}
		if got := errors.Is(err, k); got != want {
			t.Errorf("%q matches %q: %t, want %t", err, k, got, want)
		}
	}
}

// allSentinels are the sentinels of the package; TestSentinelsAreListed keeps
// the list complete.
var allSentinels = []error{
	ErrClosed, ErrNotConnected, ErrTimeout, ErrUnknownOutcome, ErrConnectionLost, ErrRefused, ErrDNS, ErrTLS, ErrMaxClients, ErrWrongMode,
	ErrAuth, ErrPermission, ErrReadOnly, ErrOutOfMemory, ErrLoading, ErrBusy, ErrMasterDown, ErrNoReplicas, ErrPersistence,
	ErrClusterDown, ErrTryAgain, ErrCrossSlot, ErrWrongType, ErrInvalidArgument,
}
