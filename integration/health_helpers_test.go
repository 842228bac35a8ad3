package integration_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/relay-platform/redis/conn"
	"github.com/relay-platform/redis/health"
	"github.com/relay-platform/redis/internal/redistest"
)

// quick is a configuration whose time-outs are short, so that a fault passes
// through all its phases (silent, cut, dialled again) within a few seconds.
func quick(cfg conn.Config) conn.Config {
	cfg.CommandTimeout, cfg.ConnectTimeout = 500*time.Millisecond, time.Second
	cfg.ProbeInterval, cfg.ProbeTimeout = 200*time.Millisecond, 300*time.Millisecond
	return cfg
}

// newChecker returns a Checker of a new Client.
func newChecker(tb testing.TB, cfg conn.Config, opts health.Options) (*health.Checker, *conn.Client) {
	tb.Helper()
	c := open(tb, cfg)
	k, err := health.New(c, opts)
	must(tb, err)
	return k, c
}

// check checks once, and fails the test if that took longer than it may.
func check(tb testing.TB, k *health.Checker, limit time.Duration) health.Result {
	tb.Helper()
	start := time.Now()
	r := k.Check(tb.Context())
	if took := time.Since(start); took > limit+slack {
		tb.Errorf("a check took %v, with a time-out of %v", took, limit)
	}
	consistent(tb, r)
	return r
}

// consistent checks what holds for every result.
func consistent(tb testing.TB, r health.Result) {
	tb.Helper()
	if r.Healthy != (r.Err == nil) || r.Healthy != (r.Status == health.StatusOK) || r.Healthy != (r.Reason == health.ReasonNone) {
		tb.Errorf("healthy %t, status %q, reason %q, error %v contradict each other", r.Healthy, r.Status, r.Reason, r.Err)
	}
	if r.CheckedAt.IsZero() || r.ResponseTime <= 0 || r.Mode == "" {
		tb.Errorf("checked at %v, response time %v, mode %q", r.CheckedAt, r.ResponseTime, r.Mode)
	}
	if errors.Is(r.Err, conn.ErrUnknownOutcome) {
		tb.Errorf("a check writes nothing, and yet: %v", r.Err)
	}
	if _, err := json.Marshal(r); err != nil {
		tb.Error(err)
	}
}

// becomes waits until checks give a reason, prints how long that took and what
// the result says, and returns it.
func becomes(tb testing.TB, k *health.Checker, d time.Duration, want health.Reason) health.Result {
	tb.Helper()
	var r health.Result
	start := time.Now()
	for {
		r = k.Check(tb.Context())
		consistent(tb, r)
		if r.Reason == want {
			break
		}
		if time.Since(start) > d {
			tb.Fatalf("not %q within %v, but %s", want, d, describe(r))
		}
		time.Sleep(5 * time.Millisecond) // the pause of a poll
	}
	tb.Logf("%q after %v: %s", want, time.Since(start).Round(time.Millisecond), describe(r))
	return r
}

func describe(r health.Result) string {
	var codes []string
	for _, w := range r.Warnings {
		codes = append(codes, w.Code+" "+w.Addr)
	}
	return fmt.Sprintf("%s/%s in %v, connection %v, warnings %q: %v", r.Status, r.Reason, r.ResponseTime.Round(10*time.Microsecond), r.Connection.State, codes, r.Err)
}

// warned reports whether a result has a warning.
func warned(r health.Result, code string) bool {
	for _, w := range r.Warnings {
		if w.Code == code {
			return true
		}
	}
	return false
}

// config sets directives of a running server.
func config(tb testing.TB, s *redistest.Server, pairs ...any) {
	tb.Helper()
	_, err := s.Do(tb.Context(), append([]any{"CONFIG", "SET"}, pairs...)...)
	must(tb, err)
}

// writeFails fails the test unless a write through a connection of its own is
// refused with an error that starts with code: the fault has happened.
func writeFails(tb testing.TB, s *redistest.Server, code string) {
	tb.Helper()
	_, err := s.Do(tb.Context(), "SET", "health:write", "1")
	if err == nil || !strings.Contains(err.Error(), code) {
		tb.Fatalf("the fault did not happen: a write gave %v, not %s", err, code)
	}
}

// writeWorks fails the test unless a write is served.
func writeWorks(tb testing.TB, s *redistest.Server) {
	tb.Helper()
	_, err := s.Do(tb.Context(), "SET", "health:write", "1", "PX", 1000)
	must(tb, err)
}

// calls returns how often the server ran a command, by commandstats.
func calls(tb testing.TB, s *redistest.Server, command string) int {
	tb.Helper()
	info, err := s.Info(tb.Context(), "commandstats")
	must(tb, err)
	var n int
	_, _ = fmt.Sscanf(info["cmdstat_"+command], "calls=%d", &n)
	return n
}

// startTopology starts a group of the test's own.
func startTopology(tb testing.TB, tp redistest.Topology, opts redistest.Options) *redistest.Group {
	tb.Helper()
	g, err := redistest.StartGroup(tb.Context(), tp, opts)
	must(tb, err)
	tb.Cleanup(func() {
		if err := g.Close(); err != nil {
			tb.Error(err)
		}
	})
	return g
}
