package integration_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/relay-platform/redis/conn"
	"github.com/relay-platform/redis/internal/redistest"
	"github.com/relay-platform/redis/session"
)

type device struct {
	Name  string
	Roles []string
}

func newSessions(tb testing.TB, c *conn.Client, opts session.Options) *session.Store[device] {
	tb.Helper()
	sessions, err := session.New[device](c, opts)
	must(tb, err)
	return sessions
}

// sessionKey returns the only session's key in Redis.
func sessionKey(tb testing.TB, c *conn.Client, id session.ID) string {
	tb.Helper()
	pattern := c.Keyspace("session").Pattern(id.Handle() + "*")
	raw, err := c.Raw(tb.Context())
	must(tb, err)
	var keys []string
	for _, node := range raw.Nodes() {
		k, err := node.Do(tb.Context(), node.B().Keys().Pattern(pattern).Build()).AsStrSlice()
		must(tb, err)
		keys = append(keys, k...)
	}
	for _, k := range keys {
		if k != keys[0] { // a replica has it too
			tb.Fatalf("two keys: %v", keys)
		}
	}
	if len(keys) == 0 {
		tb.Fatalf("no key matches %s", pattern)
	}
	return keys[0]
}

// serverTime returns the time by the server's clock.
func serverTime(tb testing.TB, s *redistest.Server) time.Time {
	tb.Helper()
	reply, err := s.Do(tb.Context(), "TIME")
	must(tb, err)
	parts, ok := reply.([]any)
	if !ok || len(parts) != 2 {
		tb.Fatalf("TIME gave %v", reply)
	}
	var seconds, micros int64
	_, err = fmt.Sscan(fmt.Sprintln(parts...), &seconds, &micros)
	must(tb, err)
	return time.Unix(seconds, micros*1000)
}

// A session is what was created, for as long as it lives.
func TestAnySessionLife(t *testing.T) {
	t.Parallel()
	cfg := anyConfig(t)
	c := open(t, cfg)
	ctx := t.Context()
	sessions := newSessions(t, c, session.Options{})
	before := serverTime(t, anyGroup(t).Servers[0])
	data := device{"phone", []string{"admin", "ops"}}

	id, created, err := sessions.Create(ctx, "ada", data)
	must(t, err)
	got, err := sessions.Get(ctx, id)
	must(t, err)
	if got.User != "ada" || !cmp.Equal(got.Metadata, data) {
		t.Errorf("got %+v", got)
	}
	if got.Created.Before(before.Add(-time.Second)) || got.Created.After(before.Add(10*time.Second)) {
		t.Errorf("created at %v, when the server said %v", got.Created, before)
	}
	if got.Deadline != got.Created.Add(session.DefaultLifetime) {
		t.Errorf("created %v, deadline %v", got.Created, got.Deadline)
	}
	if got.ExpiresIn > session.DefaultIdleTimeout || got.ExpiresIn < session.DefaultIdleTimeout-10*time.Second {
		t.Errorf("it expires in %v", got.ExpiresIn)
	}
	got.ExpiresIn, created.ExpiresIn = 0, 0
	if diff := cmp.Diff(created, got); diff != "" {
		t.Errorf("Create and Get (- Create, + Get):\n%s", diff)
	}
	// By another ID, also one that differs in one bit, there is nothing.
	other := []byte(id.Reveal())
	if other[0]++; other[0] > 'z' || other[0] == '[' || other[0] == ':' {
		other[0] = 'A'
	}
	if _, err := sessions.Get(ctx, session.IDFromString(string(other))); !errors.Is(err, session.ErrNotFound) {
		t.Errorf("another ID: %v", err)
	}
	must(t, sessions.Touch(ctx, id))
	must(t, sessions.Delete(ctx, id))
	must(t, sessions.Delete(ctx, id))
	if _, err := sessions.Get(ctx, id); !errors.Is(err, session.ErrNotFound) {
		t.Errorf("after Delete: %v", err)
	}
	if err := sessions.Touch(ctx, id); !errors.Is(err, session.ErrNotFound) {
		t.Errorf("Touch after Delete: %v", err)
	}
	if _, err := sessions.Get(ctx, id); !errors.Is(err, session.ErrNotFound) {
		t.Errorf("Touch brought it back: %v", err)
	}
}

// Metadata without fields is an object too.
func TestAnySessionEmptyMetadata(t *testing.T) {
	t.Parallel()
	sessions, err := session.New[map[string]int](open(t, anyConfig(t)), session.Options{})
	must(t, err)
	id, _, err := sessions.Create(t.Context(), "ada", nil)
	must(t, err)
	got, err := sessions.Get(t.Context(), id)
	if err != nil || len(got.Metadata) != 0 {
		t.Errorf("got %+v, %v", got, err)
	}
}

// The end is the idle time-out after the last Touch, and never beyond the
// deadline; Redis' clock decides.
func TestAnySessionTime(t *testing.T) {
	t.Parallel()
	c := open(t, anyConfig(t))
	ctx := t.Context()
	see := oracle(t, c)
	sessions := newSessions(t, c, session.Options{IdleTimeout: time.Hour, Lifetime: 3 * time.Hour})
	left := func(key string) time.Duration {
		d, err := see.PTTL(ctx, key).Result()
		must(t, err)
		return d
	}
	id, created, err := sessions.Create(ctx, "ada", device{})
	must(t, err)
	key := sessionKey(t, c, id)
	if d := left(key); d > time.Hour || d < 59*time.Minute {
		t.Errorf("after Create it lives for %v", d)
	}
	// Almost idle for too long: Get changes nothing, Touch gives the whole time.
	must(t, see.PExpire(ctx, key, time.Minute).Err())
	_, err = sessions.Get(ctx, id)
	must(t, err)
	if d := left(key); d > time.Minute {
		t.Errorf("Get prolonged it to %v", d)
	}
	must(t, sessions.Touch(ctx, id))
	if d := left(key); d > time.Hour || d < 59*time.Minute {
		t.Errorf("after Touch it lives for %v", d)
	}
	// Almost at the deadline: Touch gives what is left.
	now := created.Created
	must(t, see.HSet(ctx, key, "deadline", fmt.Sprint(now.Add(2*time.Minute).UnixMilli())).Err())
	must(t, sessions.Touch(ctx, id))
	if d := left(key); d > 2*time.Minute || d < time.Minute {
		t.Errorf("near its deadline it lives for %v", d)
	}
	// Past it, there is nothing left.
	must(t, see.HSet(ctx, key, "deadline", fmt.Sprint(now.Add(-time.Minute).UnixMilli())).Err())
	if err := sessions.Touch(ctx, id); !errors.Is(err, session.ErrNotFound) {
		t.Errorf("past its deadline: %v", err)
	}
	if n, err := see.Exists(ctx, key).Result(); n != 0 || err != nil {
		t.Errorf("past its deadline the record is there: %d, %v", n, err)
	}
}

// The same, waiting for it: without Touch a session ends; with Touch it outlives
// the idle time-out and ends at its deadline.
func TestAnySessionEnds(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	sessions := newSessions(t, open(t, anyConfig(t)), session.Options{IdleTimeout: time.Second, Lifetime: 2 * time.Second})
	start := time.Now()
	idle, _, err := sessions.Create(ctx, "ada", device{})
	must(t, err)
	active, _, err := sessions.Create(ctx, "ada", device{})
	must(t, err)
	ended := func(id session.ID, touch bool) time.Duration {
		within(t, 5*time.Second, "the session ends", func() bool {
			if touch {
				if err := sessions.Touch(ctx, active); err != nil && !errors.Is(err, session.ErrNotFound) {
					t.Fatal(err)
				}
			}
			_, err := sessions.Get(ctx, id)
			return errors.Is(err, session.ErrNotFound)
		})
		return time.Since(start)
	}
	if d := ended(idle, true); d < time.Second {
		t.Errorf("the idle one ended after %v", d)
	}
	if _, err := sessions.Get(ctx, active); err != nil {
		t.Errorf("the active one, after %v: %v", time.Since(start), err)
	}
	if d := ended(active, true); d < 2*time.Second || d > 4*time.Second {
		t.Errorf("the active one ended after %v", d)
	}
}

// Redis holds no ID, only its hash, and nothing without a TTL.
func TestSessionIDStaysOutOfRedis(t *testing.T) {
	t.Parallel()
	s := redistest.Standalone(t, redistest.Options{})
	c := open(t, conn.Config{URL: s.URL()})
	ctx := t.Context()
	monitor, err := s.Dial(ctx) // sees every command that reaches the server
	must(t, err)
	defer monitor.Close()
	_, err = monitor.Do(ctx, "CONFIG", "SET", "slowlog-log-slower-than", "0", "slowlog-max-len", "1000")
	must(t, err)

	sessions := newSessions(t, c, session.Options{})
	var ids []session.ID
	for range 20 {
		id, _, err := sessions.Create(ctx, "ada", device{Name: "phone"})
		must(t, err)
		_, err = sessions.Get(ctx, id)
		must(t, err)
		must(t, sessions.Touch(ctx, id))
		ids = append(ids, id)
	}
	must(t, sessions.Delete(ctx, ids[0]))
	log, err := monitor.Do(ctx, "SLOWLOG", "GET", "-1")
	must(t, err)
	seen := fmt.Sprint(log)
	keys, err := monitor.Do(ctx, "KEYS", "*")
	must(t, err)
	all, ok := keys.([]any)
	if !ok || len(all) != 19 {
		t.Fatalf("the keys are %v", keys)
	}
	for _, key := range all {
		record, err := monitor.Do(ctx, "HGETALL", key)
		must(t, err)
		ttl, err := monitor.Do(ctx, "PTTL", key)
		must(t, err)
		if n, ok := ttl.(int64); !ok || n <= 0 {
			t.Errorf("%v has a TTL of %v", key, ttl)
		}
		seen += fmt.Sprint(key, record)
	}
	if !strings.Contains(seen, "session:"+ids[0].Handle()) || !strings.Contains(strings.ToLower(seen), "evalsha") {
		t.Fatalf("the log does not show what it should: %.500s", seen)
	}
	for i, id := range ids {
		if strings.Contains(seen, id.Reveal()) {
			t.Errorf("Redis has seen the ID %v", id)
		}
		for _, other := range ids[:i] {
			if other == id {
				t.Error("one ID twice")
			}
		}
	}
}

// No error shows an ID.
func TestAnySessionErrorsShowNoID(t *testing.T) {
	t.Parallel()
	c := open(t, anyConfig(t))
	ctx, cancel := context.WithCancel(t.Context())
	sessions := newSessions(t, c, session.Options{})
	id, _, err := sessions.Create(ctx, "ada", device{})
	must(t, err)
	see := oracle(t, c)
	key := sessionKey(t, c, id)
	var errs []error
	add := func(err error) {
		if err == nil || errors.Is(err, session.ErrNotFound) != strings.Contains(err.Error(), "not found") {
			t.Errorf("got %v", err)
		}
		errs = append(errs, err)
	}
	// A record that is damaged is no session, and no ErrNotFound.
	must(t, see.HSet(ctx, key, "data", "nonsense").Err())
	_, err = sessions.Get(ctx, id)
	add(err)
	must(t, see.HSet(ctx, key, "data", "{}", "created", "nonsense").Err())
	_, err = sessions.Get(ctx, id)
	add(err)
	must(t, see.HDel(ctx, key, "created").Err())
	_, err = sessions.Get(ctx, id)
	add(err)
	must(t, see.Del(ctx, key).Err())
	_, err = sessions.Get(ctx, id)
	add(err)
	must(t, see.Set(ctx, key, "x", time.Minute).Err())
	_, err = sessions.Get(ctx, id)
	add(err)
	add(sessions.Touch(ctx, id))
	if !errors.Is(err, conn.ErrWrongType) {
		t.Errorf("another type: %v", err)
	}
	cancel()
	_, err = sessions.Get(ctx, id)
	add(err)
	add(sessions.Touch(ctx, id))
	add(sessions.Delete(ctx, id))
	if !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
	for _, err := range errs {
		if text := err.Error(); strings.Contains(text, id.Reveal()) || !strings.Contains(text, id.Handle()) {
			t.Errorf("the error is %q", text)
		}
	}
}

// A reply that is lost does not make a second session, and is no error.
func TestFaultSessionLostReply(t *testing.T) {
	t.Parallel()
	s := redistest.Standalone(t, redistest.Options{})
	p := redistest.NewProxy(t, s)
	c := open(t, conn.Config{Addrs: []string{p.Addr()}})
	sessions := newSessions(t, c, session.Options{})
	_, _, err := sessions.Create(t.Context(), "warm-up", device{}) // the script is loaded now
	must(t, err)
	lost, err := p.SwallowReply(redistest.Command("EVALSHA"), true)
	must(t, err)
	id, created, err := sessions.Create(t.Context(), "ada", device{})
	_, reply, waitErr := lost.Wait(timeout(t, 5*time.Second))
	if waitErr != nil {
		t.Fatalf("the fault did not happen: %v", waitErr)
	}
	must(t, err)
	// The second time the script has found what the first time made.
	if at := fmt.Sprint(created.Created.UnixMilli()); !strings.Contains(string(reply), at) {
		t.Errorf("created at %s, and the reply that was lost is %q", at, reply)
	}
	if got, err := sessions.Get(t.Context(), id); err != nil || got.Created != created.Created {
		t.Errorf("got %+v, %v; created %+v", got, err, created)
	}
	if n, err := s.Do(t.Context(), "DBSIZE"); err != nil || n != int64(2) {
		t.Errorf("%v sessions, %v; not 2", n, err)
	}
}

func TestAnySessionIsObserved(t *testing.T) {
	t.Parallel()
	r := &recorder{module: "session"}
	cfg := anyConfig(t)
	cfg.Observer = r
	sessions := newSessions(t, open(t, cfg), session.Options{})
	ctx := t.Context()
	id, _, err := sessions.Create(ctx, "ada", device{})
	must(t, err)
	_, err = sessions.Get(ctx, id)
	must(t, err)
	must(t, sessions.Touch(ctx, id))
	must(t, sessions.Delete(ctx, id))
	_, _ = sessions.Get(ctx, id)
	_, _, _ = sessions.Create(ctx, "", device{})
	r.want(t, "create:ok", "get:ok", "touch:ok", "delete:ok", "get:miss", "create:error")
}
