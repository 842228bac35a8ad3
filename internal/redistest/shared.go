package redistest

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"
)

// shared is what the tests of this process share, by topology and options. Each
// is started by the first that asks; the others wait for it.
var shared struct {
	mu     sync.Mutex
	groups map[string]func() (*Group, error)
}

// Shared returns a group of a topology, empty meaning [DefaultTopology], that all
// tests of the process with equal wishes share: starting one costs 0.4 to 4 s.
// It is for tests that only use keys of their own. They must not flush it, kill
// or freeze its servers, change its configuration or put faults on its gates. It
// lives until [Shutdown], which [Main] calls.
func Shared(tb testing.TB, t Topology, opts Options) *Group {
	tb.Helper()
	if t == "" {
		var err error
		if t, err = DefaultTopology(); err != nil {
			tb.Fatal(err)
		}
	}
	// The test's own context would take the group away from the others.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(tb.Context()), time.Minute)
	defer cancel()
	g, err := sharedGroup(ctx, t, opts)
	if err != nil {
		tb.Fatal(err)
	}
	return g
}

// SharedStandalone returns the server of a shared standalone [Group].
func SharedStandalone(tb testing.TB, opts Options) *Server {
	tb.Helper()
	return Shared(tb, TopologyStandalone, opts).Servers[0]
}

func sharedGroup(ctx context.Context, t Topology, opts Options) (*Group, error) {
	key := string(t) + " " + opts.key()
	shared.mu.Lock()
	start, ok := shared.groups[key]
	if !ok {
		start = sync.OnceValues(func() (*Group, error) { return StartGroup(ctx, t, opts) })
		if shared.groups == nil {
			shared.groups = map[string]func() (*Group, error){}
		}
		shared.groups[key] = start
	}
	shared.mu.Unlock()
	return start()
}

// closeShared removes what is shared; a test that asks later gets a new one.
func closeShared() error {
	shared.mu.Lock()
	groups := shared.groups
	shared.groups = nil
	shared.mu.Unlock()
	var errs []error
	for _, start := range groups {
		if g, err := start(); err == nil { // why it did not start was told then
			errs = append(errs, g.Close())
		}
	}
	return errors.Join(errs...)
}
