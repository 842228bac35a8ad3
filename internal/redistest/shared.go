package redistest

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"
)

// shared is what tests of this process share, by options.
var shared struct {
	mu      sync.Mutex
	servers map[string]func() (*Server, error)
}

// SharedStandalone returns a standalone server with default options that tests
// share: see [Shared].
func SharedStandalone(tb testing.TB) *Server {
	tb.Helper()
	shared.mu.Lock()
	if shared.servers == nil {
		shared.servers = map[string]func() (*Server, error){}
	}
	o := Options{}
	start, ok := shared.servers[o.key()]
	if !ok {
		start = sync.OnceValues(func() (*Server, error) {
			ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
			defer cancel()
			return StartServer(ctx, o)
		})
		shared.servers[o.key()] = start
	}
	shared.mu.Unlock()
	s, err := start()
	if err != nil {
		tb.Fatal(err)
	}
	return s
}

func closeShared() error {
	shared.mu.Lock()
	defer shared.mu.Unlock()
	var errs []error
	for _, start := range shared.servers {
		if s, err := start(); err == nil {
			errs = append(errs, s.Close())
		}
	}
	shared.servers = nil
	return errors.Join(errs...)
}
