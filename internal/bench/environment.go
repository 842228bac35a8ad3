package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"time"

	"github.com/redis/rueidis"

	"github.com/relay-platform/redis/internal/redistest"
)

// environment is what all rows share.
type environment struct {
	url      string
	prefix   string
	rounds   int
	duration time.Duration
	labels   bool
	report   report

	control rueidis.Client
	server  *redistest.Server // nil with $REDIS_URL
}

// newEnvironment takes the server at $REDIS_URL or starts one.
func newEnvironment(ctx context.Context, opts options) (*environment, error) {
	env := &environment{
		url:      os.Getenv("REDIS_URL"),
		prefix:   "relay-bench:" + strconv.Itoa(os.Getpid()) + ":",
		rounds:   opts.rounds,
		duration: opts.duration,
	}
	if env.url == "" {
		s, err := redistest.StartServer(ctx, redistest.Options{})
		if err != nil {
			return nil, err
		}
		env.server, env.url = s, s.URL()
	}
	var err error
	if env.control, err = openRueidis(env.url, func(o *rueidis.ClientOption) { o.DisableCache = true }); err != nil {
		return nil, errors.Join(err, env.close())
	}
	version, err := serverVersion(ctx, env.control)
	if err != nil {
		return nil, errors.Join(err, env.close())
	}
	env.report = report{
		Time: time.Now(), Go: runtime.Version(), CPUs: runtime.NumCPU(), GOMAXPROCS: runtime.GOMAXPROCS(0),
		Server: version, Peers: peerVersions(), Rounds: opts.rounds, Slice: opts.duration.String(),
	}
	return env, nil
}

func (e *environment) close() error {
	if e.control != nil {
		e.control.Close()
	}
	if e.server != nil {
		return e.server.Close()
	}
	return nil
}

// removeKeys deletes what the sides wrote, however the run ends.
func (e *environment) removeKeys(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	for cursor := uint64(0); ; {
		page, err := e.control.Do(ctx, e.control.B().Scan().Cursor(cursor).Match(e.prefix+"*").Count(1000).Build()).AsScanEntry()
		if err != nil {
			return fmt.Errorf("remove keys: %w", err)
		}
		if len(page.Elements) > 0 {
			if err := e.control.Do(ctx, e.control.B().Unlink().Key(page.Elements...).Build()).Error(); err != nil {
				return fmt.Errorf("remove keys: %w", err)
			}
		}
		if cursor = page.Cursor; cursor == 0 {
			return nil
		}
	}
}

// serverVersion returns "redis 8.0.2" or "valkey 8.1.1".
func serverVersion(ctx context.Context, c rueidis.Client) (string, error) {
	info, err := c.Do(ctx, c.B().Info().Section("server").Build()).ToString()
	if err != nil {
		return "", fmt.Errorf("ask the server for its version: %w", err)
	}
	fields := map[string]string{}
	for line := range strings.Lines(info) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), ":")
		fields[name] = value
	}
	if v := fields["valkey_version"]; v != "" {
		return "valkey " + v, nil
	}
	return "redis " + fields["redis_version"], nil
}

// peerVersions returns the versions of the modules that we are compared with.
func peerVersions() []string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return nil
	}
	var peers []string
	for _, m := range info.Deps {
		if strings.HasPrefix(m.Path, "github.com/redis/") {
			peers = append(peers, strings.TrimPrefix(m.Path, "github.com/redis/")+" "+m.Version)
		}
	}
	return peers
}
