package integration_test

import (
	"strings"
	"testing"
	"time"

	"github.com/relay-platform/redis/cache"
	"github.com/relay-platform/redis/conn"
	"github.com/relay-platform/redis/internal/redistest"
	"github.com/relay-platform/redis/lock"
	"github.com/relay-platform/redis/ratelimit"
	"github.com/relay-platform/redis/session"
)

// Nothing is left of any capability but what dies by itself: every key has a
// TTL, and no connection outlives Close (test 23; goroutines are TestMain's).
func TestNothingIsLeft(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	s := redistest.Standalone(t, redistest.Options{})
	c, err := conn.Open(ctx, conn.Config{URL: s.URL(), KeyPrefix: "app:", ClientName: "left"})
	must(t, err)

	users, err := cache.New[string](c, "user", cache.Options{})
	must(t, err)
	must(t, users.Set(ctx, "1", "x"))
	sessions, err := session.New[map[string]string](c, session.Options{})
	must(t, err)
	_, _, err = sessions.Create(ctx, "user-1", map[string]string{"role": "admin"})
	must(t, err)
	limits, err := ratelimit.New(c, "login", ratelimit.Options{Limit: ratelimit.Limit{Max: 3, Window: time.Minute}})
	must(t, err)
	for range 5 {
		_, err = limits.Consume(ctx, "user-1")
		must(t, err)
	}
	locks, err := lock.New(c, lock.Options{})
	must(t, err)
	held, err := locks.TryAcquire(ctx, "job", time.Minute)
	must(t, err)
	other, err := locks.TryAcquire(ctx, "other", time.Minute)
	must(t, err)
	must(t, other.Release(ctx))

	reply, err := s.Do(ctx, "KEYS", "*")
	must(t, err)
	keys, ok := reply.([]any)
	if !ok || len(keys) < 4 {
		t.Fatalf("KEYS gave %v: the capabilities left less than they should", reply)
	}
	for _, k := range keys {
		key, _ := k.(string)
		ttl, err := s.Do(ctx, "PTTL", key)
		must(t, err)
		ms, _ := ttl.(int64)
		t.Logf("%-60s %v", key, time.Duration(ms)*time.Millisecond)
		if ms < 0 {
			t.Errorf("%s has no TTL", key)
		}
		if !strings.HasPrefix(key, "app:") {
			t.Errorf("%s lacks the prefix", key)
		}
	}
	must(t, held.Release(ctx))
	must(t, c.Close(ctx))
	within(t, 2*time.Second, "the server has lost every connection", func() bool { return clientsNamed(t, s, "left") == 0 })
}
