package redistest

import (
	"context"
	"errors"
	"fmt"
	"os"
	"testing"
	"time"
)

// Standalone starts one server, and removes it when the test ends.
func Standalone(tb testing.TB, opts Options) *Server {
	tb.Helper()
	s, err := StartServer(tb.Context(), opts)
	if err != nil {
		tb.Fatal(err)
	}
	closeWith(tb, s.Close, s)
	return s
}

// closeWith makes the test's end close something, and fail if that fails. The
// servers' logs go with a test that has failed, in a verbose run.
func closeWith(tb testing.TB, shut func() error, servers ...*Server) {
	tb.Helper()
	tb.Cleanup(func() {
		if tb.Failed() && testing.Verbose() {
			ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
			defer cancel()
			for _, s := range servers {
				tb.Logf("log of %s at %s (itself at %s):\n%s", s.name, s.Addr(), s.port.addr(), s.Logs(ctx))
			}
		}
		if err := shut(); err != nil {
			tb.Errorf("clean up: %v", err)
		}
	})
}

// Shutdown removes whatever this process started and is still there. Programs
// defer it; tests call it through [Main].
func Shutdown() error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	err := closeShared()
	if e := started.Load(); e != nil {
		err = errors.Join(err, e.shutdown(ctx))
	}
	return err
}

// Main runs a package's tests, then removes what they shared, and exits. A
// package that uses [Shared] needs it:
//
//	func TestMain(m *testing.M) { redistest.Main(m) }
//
// Checks run after that, as for leaked goroutines, and make the run fail when
// they return an error.
func Main(m *testing.M, checks ...func() error) {
	code := m.Run()
	errs := []error{Shutdown()}
	for _, check := range checks {
		errs = append(errs, check())
	}
	if err := errors.Join(errs...); err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = max(code, 1)
	}
	os.Exit(code)
}

// NewProxy starts a proxy in front of a server, and ends it with the test. It
// reads the protocol unless the server speaks TLS.
func NewProxy(tb testing.TB, s *Server) *Proxy {
	tb.Helper()
	p, err := StartProxy(s.port.addr(), s.opts.TLS != nil)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(p.Close)
	return p
}

// Sentinel starts a primary, two replicas and three Sentinels, and removes them
// when the test ends.
func Sentinel(tb testing.TB, opts Options) *Group {
	tb.Helper()
	return start(tb, TopologySentinel, opts)
}

// Cluster starts three primaries with a replica each, and removes them when the
// test ends.
func Cluster(tb testing.TB, opts Options) *Group {
	tb.Helper()
	return start(tb, TopologyCluster, opts)
}

// Default starts a group of the default topology, and removes it when the test
// ends.
func Default(tb testing.TB, opts Options) *Group {
	tb.Helper()
	return start(tb, "", opts)
}

func start(tb testing.TB, t Topology, opts Options) *Group {
	tb.Helper()
	g, err := StartGroup(tb.Context(), t, opts)
	if err != nil {
		tb.Fatal(err)
	}
	closeWith(tb, g.Close, g.All()...)
	return g
}
