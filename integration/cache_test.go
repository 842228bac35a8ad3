package integration_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/relay-platform/redis/cache"
	"github.com/relay-platform/redis/conn"
)

func newCache[V any](tb testing.TB, c *conn.Client, namespace string, opts cache.Options) *cache.Cache[V] {
	tb.Helper()
	values, err := cache.New[V](c, namespace, opts)
	must(tb, err)
	return values
}

// roundTrip checks that a value comes back as it was, and is in Redis as stored.
func roundTrip[V any](t *testing.T, c *conn.Client, prefix string, value V, stored string) {
	t.Helper()
	values := newCache[V](t, c, "n", cache.Options{TTL: time.Minute})
	ctx := t.Context()
	must(t, values.Set(ctx, "k", value))
	if got, err := oracle(t, c).Get(ctx, prefix+"cache:n:k").Result(); got != stored || err != nil {
		t.Errorf("%T: Redis holds %q, %v; not %q", value, got, err, stored)
	}
	if got, err := values.Get(ctx, "k"); err != nil || !cmp.Equal(got, value) {
		t.Errorf("%T: got %v, %v; not %v", value, got, err, value)
	}
	must(t, values.Delete(ctx, "k"))
	var zero V
	if got, err := values.Get(ctx, "k"); !errors.Is(err, cache.ErrMiss) || !cmp.Equal(got, zero) {
		t.Errorf("%T: after Delete: %v, %v", value, got, err)
	}
	must(t, values.Delete(ctx, "k")) // no error where there is nothing
}

// What is set comes back; texts and bytes as they are, the rest as JSON.
func TestAnyCacheValues(t *testing.T) {
	t.Parallel()
	cfg := anyConfig(t)
	c := open(t, cfg)
	type user struct {
		Name string
		Tags []string `json:"tags,omitempty"`
	}
	type name string
	roundTrip(t, c, cfg.KeyPrefix, user{"Ada", []string{"a"}}, `{"Name":"Ada","tags":["a"]}`)
	roundTrip(t, c, cfg.KeyPrefix, &user{Name: "Ada"}, `{"Name":"Ada"}`)
	roundTrip(t, c, cfg.KeyPrefix, `"quoted" <&> `+"\x00\xff", `"quoted" <&> `+"\x00\xff")
	roundTrip(t, c, cfg.KeyPrefix, "", "")
	roundTrip(t, c, cfg.KeyPrefix, []byte("\x00\xff\r\n"), "\x00\xff\r\n")
	roundTrip(t, c, cfg.KeyPrefix, []byte{}, "")
	roundTrip(t, c, cfg.KeyPrefix, name("x"), `"x"`) // not string itself: JSON
	roundTrip(t, c, cfg.KeyPrefix, map[string]int{"a": 1}, `{"a":1}`)
	roundTrip[any](t, c, cfg.KeyPrefix, []any{"a", 1.5}, `["a",1.5]`)
	roundTrip(t, c, cfg.KeyPrefix, 0, "0") // a zero value is no miss
}

// No entry lives for ever: an hour where nobody says otherwise.
func TestAnyCacheTTL(t *testing.T) {
	t.Parallel()
	cfg := anyConfig(t)
	c := open(t, cfg)
	ctx := t.Context()
	for ttl, want := range map[time.Duration]time.Duration{0: time.Hour, time.Minute: time.Minute} {
		values := newCache[int](t, c, ttl.String(), cache.Options{TTL: ttl})
		must(t, values.Set(ctx, "k", 1))
		got, err := oracle(t, c).PTTL(ctx, c.Keyspace("cache", ttl.String()).Key("k")).Result()
		if err != nil || got > want || got < want-10*time.Second {
			t.Errorf("TTL %v: the entry lives for %v, %v", ttl, got, err)
		}
	}
	brief := newCache[int](t, c, "brief", cache.Options{TTL: 20 * time.Millisecond})
	must(t, brief.Set(ctx, "k", 1))
	within(t, 2*time.Second, "the entry is gone", func() bool {
		_, err := brief.Get(ctx, "k")
		return errors.Is(err, cache.ErrMiss)
	})
}

// Names cannot reach other entries.
func TestAnyCacheNamesAreApart(t *testing.T) {
	t.Parallel()
	c := open(t, anyConfig(t))
	ctx := t.Context()
	type at struct{ namespace, key string }
	entries := []at{{"a", "b"}, {"a", "b:c"}, {"a:b", "c"}, {"a", "{b}"}, {"a", "%7Bb%7D"}, {"a", "b*"}, {"a", "b\n"}, {"ä", "b"}}
	for i, e := range entries {
		must(t, newCache[int](t, c, e.namespace, cache.Options{}).Set(ctx, e.key, i))
	}
	for i, e := range entries {
		if got, err := newCache[int](t, c, e.namespace, cache.Options{}).Get(ctx, e.key); got != i || err != nil {
			t.Errorf("%q in %q is %d, %v; not %d", e.key, e.namespace, got, err, i)
		}
	}
}

// What is not ours is an error that says so, never a miss and never a value.
func TestAnyCacheForeignValues(t *testing.T) {
	t.Parallel()
	cfg := anyConfig(t)
	c := open(t, cfg)
	ctx := t.Context()
	type user struct {
		Name string
		Age  int
	}
	users := newCache[user](t, c, "n", cache.Options{})
	see := oracle(t, c)

	must(t, see.Set(ctx, cfg.KeyPrefix+"cache:n:text", `{"Age":42,`, time.Minute).Err())
	must(t, see.Set(ctx, cfg.KeyPrefix+"cache:n:other", `{"Name":"Ada","Age":"x"}`, time.Minute).Err())
	for _, key := range []string{"text", "other"} {
		v, err := users.Get(ctx, key)
		if err == nil || errors.Is(err, cache.ErrMiss) || v != (user{}) || !strings.Contains(err.Error(), `cache: get "`+key+`": `) {
			t.Errorf("%s: got %v, %v", key, v, err)
		}
	}
	must(t, see.LPush(ctx, cfg.KeyPrefix+"cache:n:list", "x").Err())
	must(t, see.Expire(ctx, cfg.KeyPrefix+"cache:n:list", time.Minute).Err())
	if _, err := users.Get(ctx, "list"); !errors.Is(err, conn.ErrWrongType) || errors.Is(err, cache.ErrMiss) {
		t.Errorf("a list: %v", err)
	}
}

// Errors of contexts and of the connection come through.
func TestCacheErrors(t *testing.T) {
	t.Parallel()
	values := newCache[int](t, open(t, conn.Config{Addrs: []string{unusedAddr(t)}, Lazy: true}), "n", cache.Options{})
	ctx, cancel := context.WithCancel(t.Context())
	_, err := values.Get(ctx, "k")
	if !errors.Is(err, conn.ErrNotConnected) || !errors.Is(err, conn.ErrRefused) || errors.Is(err, cache.ErrMiss) {
		t.Errorf("nobody there: %v", err)
	}
	cancel()
	if err := values.Set(ctx, "k", 1); !errors.Is(err, context.Canceled) || errors.Is(err, conn.ErrUnknownOutcome) {
		t.Errorf("cancelled before: %v", err)
	}
}

// recorder is an Observer that keeps the events of one module.
type recorder struct {
	module string
	mu     sync.Mutex
	events []string // op:outcome
}

func (r *recorder) Observe(_ context.Context, e conn.Event) {
	if e.Module != r.module {
		return
	}
	text := e.Op + ":" + string(e.Outcome)
	if e.Duration <= 0 || e.Start.IsZero() || e.Count < 1 {
		text += " (incomplete)"
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.events = append(r.events, text)
}

func (r *recorder) want(t *testing.T, events ...string) {
	t.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	if diff := cmp.Diff(events, r.events); diff != "" {
		t.Errorf("events (- wanted, + reported):\n%s", diff)
	}
}

// Each operation is reported once, by a name that holds no key.
func TestAnyCacheIsObserved(t *testing.T) {
	t.Parallel()
	r := &recorder{module: "cache"}
	cfg := anyConfig(t)
	cfg.Observer = r
	values := newCache[int](t, open(t, cfg), "n", cache.Options{})
	ctx := t.Context()
	_, _ = values.Get(ctx, "k")
	must(t, values.Set(ctx, "k", 1))
	_, err := values.Get(ctx, "k")
	must(t, err)
	must(t, values.Delete(ctx, "k"))
	_, _ = values.Get(ctx, "")
	r.want(t, "get:miss", "set:ok", "get:ok", "delete:ok", "get:error")
}
