package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/relay-platform/redis/cache"
	"github.com/relay-platform/redis/conn"
	"github.com/relay-platform/redis/health"
	"github.com/relay-platform/redis/lock"
	"github.com/relay-platform/redis/ratelimit"
	"github.com/relay-platform/redis/session"
)

// demo runs the steps on one server.
type demo struct {
	out    io.Writer
	server *server
	c      *conn.Client
}

// steps runs them in order, until one fails. Each does something, checks that
// it is as it should be, and returns what it has proved.
func (d *demo) steps(ctx context.Context) error {
	for _, step := range []struct {
		name string
		run  func(context.Context) (proved string, err error)
	}{
		{"Connect", d.connect},
		{"Cache", d.cache},
		{"Session", d.session},
		{"Rate limit", d.ratelimit},
		{"Lock", d.lock},
		{"Health", d.health},
	} {
		start := time.Now()
		proved, err := step.run(ctx)
		took := float64(time.Since(start).Microseconds()) / 1000
		if err != nil {
			fmt.Fprintf(d.out, "  FAILED  %-11s %8.1f ms\n", step.name, took)
			return fmt.Errorf("step %q: %w", step.name, err)
		}
		fmt.Fprintf(d.out, "  ok      %-11s %8.1f ms   %s\n", step.name, took, proved)
	}
	return nil
}

func (d *demo) connect(ctx context.Context) (string, error) {
	c, err := conn.Open(ctx, d.server.cfg)
	if err != nil {
		return "", err
	}
	d.c = c
	answer, err := c.Do(ctx, c.B().Ping().Build()).ToString()
	if err != nil {
		return "", err
	}
	if answer != "PONG" {
		return "", fmt.Errorf("the server answered %q to PING", answer)
	}
	return "connected as REDIS_URL says, and got an answer", nil
}

type user struct{ Name, Email string }

func (d *demo) cache(ctx context.Context) (string, error) {
	users, err := cache.New[user](d.c, "user", cache.Options{TTL: time.Minute})
	if err != nil {
		return "", err
	}
	if _, err := users.Get(ctx, "42"); !errors.Is(err, cache.ErrMiss) {
		return "", fmt.Errorf("user 42 should not be cached yet: %w", orNil(err))
	}
	ada := user{Name: "Ada", Email: "ada@example.org"}
	if err := users.Set(ctx, "42", ada); err != nil {
		return "", err
	}
	got, err := users.Get(ctx, "42")
	if err != nil {
		return "", err
	}
	if got != ada {
		return "", fmt.Errorf("stored %+v and read back %+v", ada, got)
	}
	return fmt.Sprintf("stored the user %s for a minute, and read the same back", got.Name), nil
}

func (d *demo) session(ctx context.Context) (string, error) {
	type settings struct{ Theme string }
	sessions, err := session.New[settings](d.c, session.Options{IdleTimeout: time.Minute, Lifetime: 10 * time.Minute})
	if err != nil {
		return "", err
	}
	id, _, err := sessions.Create(ctx, "ada", settings{Theme: "dark"})
	if err != nil {
		return "", err
	}
	cookie := id.Reveal() // as a browser would send it back
	s, err := sessions.Get(ctx, session.IDFromString(cookie))
	if err != nil {
		return "", err
	}
	if s.User != "ada" || s.Metadata.Theme != "dark" {
		return "", fmt.Errorf("the session is %+v", s)
	}
	if err := sessions.Delete(ctx, id); err != nil {
		return "", err
	}
	if _, err := sessions.Get(ctx, id); !errors.Is(err, session.ErrNotFound) {
		return "", fmt.Errorf("the session outlived its end: %w", orNil(err))
	}
	return fmt.Sprintf("logged %s in, knew her by her cookie, and not any more after logging out", s.User), nil
}

func (d *demo) ratelimit(ctx context.Context) (string, error) {
	const most = 3
	logins, err := ratelimit.New(d.c, "login", ratelimit.Options{Limit: ratelimit.Limit{Max: most, Window: 10 * time.Second}})
	if err != nil {
		return "", err
	}
	for allowed := 0; ; allowed++ {
		r, err := logins.Consume(ctx, "ada")
		if err != nil {
			return "", err
		}
		if r.Allowed && allowed < most {
			continue
		}
		if r.Allowed || allowed < most {
			return "", fmt.Errorf("with a limit of %d, call %d gave %+v", most, allowed+1, r)
		}
		return fmt.Sprintf("let %d calls pass and stopped the next one, which may come back in %.1f s", allowed, r.RetryAfter.Seconds()), nil
	}
}

func (d *demo) lock(ctx context.Context) (string, error) {
	locks, err := lock.New(d.c, lock.Options{})
	if err != nil {
		return "", err
	}
	mine, err := locks.TryAcquire(ctx, "report", 10*time.Second)
	if err != nil {
		return "", err
	}
	if _, err := locks.TryAcquire(ctx, "report", 10*time.Second); !errors.Is(err, lock.ErrHeld) {
		return "", fmt.Errorf("two hold one lock: %w", orNil(err))
	}
	if err := mine.Context().Err(); err != nil {
		return "", fmt.Errorf("the lock was over at once: %w", err)
	}
	if err := mine.Release(ctx); err != nil {
		return "", err
	}
	next, err := locks.TryAcquire(ctx, "report", 10*time.Second)
	if err != nil {
		return "", err
	}
	return "took a lock, saw the next one turned away, and served once it was given back", next.Release(ctx)
}

func (d *demo) health(ctx context.Context) (string, error) {
	checker, err := health.New(d.c, health.Options{})
	if err != nil {
		return "", err
	}
	r := checker.Check(ctx)
	if !r.Healthy {
		return "", fmt.Errorf("the server is not healthy: %w", r.Err)
	}
	if r.Server == nil || r.Server.Info == nil || r.Server.Version == "" {
		return "the server is healthy", nil // and tells nothing of itself
	}
	return fmt.Sprintf("the server is healthy: %s %s, %s of memory in use", r.Server.Kind, r.Server.Version, r.Server.Info.UsedMemoryHuman), nil
}

// orNil is an error to wrap where an error was expected and another, or none,
// came.
func orNil(err error) error {
	if err == nil {
		return errors.New("no error came")
	}
	return err
}
