package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/alicebob/miniredis/v2"

	"github.com/relay-platform/redis/conn"
	"github.com/relay-platform/redis/internal/redistest"
)

// server is the Redis that the demo runs on.
type server struct {
	what    string       // for the reader
	cfg     conn.Config  // with a key prefix of this run's
	fromEnv bool         // it is the user's
	stop    func() error // ends what the demo started
}

// findServer returns the Redis that the environment names, or else starts one:
// in a container, as a process of this machine, or, with neither, inside of this
// program.
func findServer(ctx context.Context) (*server, error) {
	s := &server{what: "yours, which REDIS_URL names", fromEnv: true, stop: func() error { return nil }}
	if os.Getenv("REDIS_URL") == "" {
		// The variables that describe another server must not be mixed with ours.
		for _, name := range []string{"REDIS_HOST", "REDIS_PORT", "REDIS_USERNAME", "REDIS_PASSWORD", "REDIS_DB", "REDIS_TLS"} {
			if os.Getenv(name) != "" {
				return nil, fmt.Errorf("%s is set, but REDIS_URL is not: %w", name, errHalfEnv)
			}
		}
		var err error
		if s, err = startServer(ctx); err != nil {
			return nil, err
		}
	}
	// The first step connects from the environment, as a service would.
	var err error
	if s.cfg, err = conn.FromEnv(); err != nil {
		return nil, errors.Join(err, s.stop())
	}
	// So that the demo neither meets what is in Redis nor leaves anything there.
	s.cfg.KeyPrefix += "demo-" + strings.ToLower(rand.Text()[:8]) + ":"
	s.cfg.ClientName = "relay-redis-demo"
	return s, nil
}

// errHalfEnv is returned when it is not plain which server is wanted.
var errHalfEnv = errors.New("the demo does not know which server you mean")

// startServer starts a server and names it in REDIS_URL.
func startServer(ctx context.Context) (*server, error) {
	started, err := redistest.StartServer(ctx, redistest.Options{})
	if err != nil && ctx.Err() == nil {
		// A Docker engine without the image, perhaps; a redis-server will do.
		var localErr error
		if started, localErr = redistest.StartServer(ctx, redistest.Options{Version: redistest.Local}); localErr != nil {
			return startEmbedded(ctx, errors.Join(err, localErr))
		}
		err = nil
	}
	if err != nil {
		return nil, errors.Join(err, redistest.Shutdown())
	}
	s := &server{
		what: fmt.Sprintf("a Redis that this demo has started at %s, and stops at its end", started.Addr()),
		stop: func() error { return errors.Join(started.Close(), redistest.Shutdown()) },
	}
	if err := os.Setenv("REDIS_URL", started.URL()); err != nil {
		return nil, errors.Join(err, s.stop())
	}
	return s, nil
}

// startEmbedded runs an imitation of Redis in this program. cause is why no Redis
// could be started.
func startEmbedded(ctx context.Context, cause error) (*server, error) {
	if err := errors.Join(ctx.Err(), redistest.Shutdown()); err != nil {
		return nil, errors.Join(err, cause)
	}
	m, err := miniredis.Run()
	if err != nil {
		return nil, errors.Join(err, cause)
	}
	s := &server{
		what: fmt.Sprintf("an imitation inside of this program (miniredis) at %s, because no Redis could be started:\n"+
			"        %s\n"+
			"        Its times say nothing about a Redis.", m.Addr(), strings.ReplaceAll(cause.Error(), "\n", "\n        ")),
		stop: func() error { m.Close(); return nil },
	}
	if err := os.Setenv("REDIS_URL", "redis://"+m.Addr()); err != nil {
		return nil, errors.Join(err, s.stop())
	}
	return s, nil
}
