package integration_test

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/relay-platform/redis/conn"
	"github.com/relay-platform/redis/health"
	"github.com/relay-platform/redis/internal/redistest"
)

// What a healthy server tells is what INFO, asked past the Client, tells.
func TestHealthOfAHealthyServer(t *testing.T) {
	t.Parallel()
	s := redistest.Standalone(t, redistest.Options{Config: map[string]string{"maxmemory": "100mb", "maxmemory-policy": "volatile-lru", "appendonly": "yes"}})
	k, _ := newChecker(t, conn.Config{URL: s.URL()}, health.Options{})
	r := check(t, k, health.DefaultTimeout)
	t.Log(describe(r))
	info, err := s.Info(t.Context())
	must(t, err)
	kind, real := "redis", info["redis_version"]
	if v := info["valkey_version"]; v != "" {
		kind, real = "valkey", v
	}
	if !r.Healthy || r.Server == nil || r.Server.Info == nil {
		t.Fatalf("%+v", r)
	}
	got, i := r.Server, r.Server.Info
	if got.Kind != kind || got.Version != real || got.Role != "primary" || !got.Tracking {
		t.Errorf("%+v, the server is %s %s", got, kind, real)
	}
	used, err := strconv.ParseInt(info["used_memory"], 10, 64)
	must(t, err)
	if i.UsedMemory < used*9/10 || i.UsedMemory > used*11/10 || i.MaxMemory != 100<<20 || i.MaxMemoryPolicy != "volatile-lru" {
		t.Errorf("memory: %+v, the server says %d", i, used)
	}
	if i.ConnectedClients < 1 || i.MaxClients < 100 || i.Persistence != health.PersistenceAOF || i.ConnectedReplicas != 0 || i.ReplicationLink != "" {
		t.Errorf("%+v", i)
	}
	if r.Connection.State != conn.Connected || r.Mode != conn.ModeStandalone || len(r.Nodes) != 1 || r.Nodes[0].Addr != s.Addr() {
		t.Errorf("connection %v, mode %v, nodes %+v", r.Connection, r.Mode, r.Nodes)
	}
	if !warned(r, health.WarnEviction) || len(r.Warnings) != 1 {
		t.Errorf("warnings: %+v", r.Warnings)
	}
	t.Logf("%s %s, %d clients, %s used, %v", got.Kind, got.Version, i.ConnectedClients, i.UsedMemoryHuman, r.ResponseTime)
}

// A server that is down, and that comes back.
func TestHealthServerDown(t *testing.T) {
	t.Parallel()
	s := redistest.Standalone(t, redistest.Options{})
	k, _ := newChecker(t, quick(conn.Config{URL: s.URL()}), health.Options{})
	if r := check(t, k, health.DefaultTimeout); !r.Healthy || !warned(r, health.WarnPersistenceOff) {
		t.Fatal(describe(r))
	}
	must(t, s.Kill(t.Context()))
	r := becomes(t, k, 2*time.Second, health.ReasonRefused)
	if r.Status != health.StatusDown || !errors.Is(r.Err, conn.ErrRefused) || r.Server != nil {
		t.Errorf("%s", describe(r))
	}
	// While the client pauses between its attempts, too: never another reason.
	for range 200 {
		if r := check(t, k, health.DefaultTimeout); r.Reason != health.ReasonRefused {
			t.Fatalf("while the server is down: %s", describe(r))
		}
	}
	must(t, s.Start(t.Context()))
	becomes(t, k, 5*time.Second, health.ReasonNone)
}

// A frozen server has one reason through all phases of the connection: silent,
// cut by the client, dialled again in vain.
func TestHealthDeadlineFrozen(t *testing.T) {
	t.Parallel()
	s := redistest.Standalone(t, redistest.Options{})
	const limit = 300 * time.Millisecond
	k, c := newChecker(t, quick(conn.Config{URL: s.URL()}), health.Options{Timeout: limit})
	if r := check(t, k, limit); !r.Healthy {
		t.Fatal(describe(r))
	}
	before := c.Stats()
	must(t, s.Freeze(t.Context()))
	start, checks := time.Now(), 0
	for time.Since(start) < 5*time.Second {
		r := check(t, k, limit)
		checks++
		if r.Reason != health.ReasonNoAnswer || r.Status != health.StatusDown || !errors.Is(r.Err, conn.ErrTimeout) {
			t.Fatalf("%v after the freeze: %s", time.Since(start), describe(r))
		}
	}
	after := c.Stats()
	t.Logf("%d checks while frozen; the client lost %d connections and dialled %d times", checks, after.ConnsLost-before.ConnsLost, after.Dials-before.Dials)
	if after.Dials == before.Dials {
		t.Error("the client never dialled again: only the first phase was seen")
	}
	must(t, s.Thaw(t.Context()))
	becomes(t, k, 3*time.Second, health.ReasonNone)
}

// A server that loads its data.
func TestHealthLoading(t *testing.T) {
	t.Parallel()
	s := redistest.Standalone(t, redistest.Options{Config: map[string]string{
		"key-load-delay": "100", "loading-process-events-interval-bytes": "1024", "enable-debug-command": "yes",
	}})
	k, _ := newChecker(t, quick(conn.Config{URL: s.URL()}), health.Options{})
	_, err := s.Do(t.Context(), "DEBUG", "POPULATE", 20000)
	must(t, err)
	_, err = s.Do(t.Context(), "SAVE")
	must(t, err)
	must(t, s.Kill(t.Context()))
	must(t, s.Start(t.Context()))
	r := becomes(t, k, 5*time.Second, health.ReasonLoading)
	info, err := s.Info(t.Context(), "persistence")
	must(t, err)
	if info["loading"] != "1" {
		t.Fatal("the fault did not happen: the server has loaded already")
	}
	if r.Status != health.StatusDown || !errors.Is(r.Err, conn.ErrLoading) || r.Server == nil || r.Server.Info == nil || !r.Server.Info.Loading {
		t.Errorf("%s, %+v", describe(r), r.Server)
	}
	becomes(t, k, 20*time.Second, health.ReasonNone)
	n, err := s.Do(t.Context(), "DBSIZE")
	must(t, err)
	if fmt.Sprint(n) != "20000" {
		t.Errorf("%v keys after loading", n)
	}
}

// A server that was made a replica: read-only, then without its primary, then
// refusing reads too.
func TestHealthReplica(t *testing.T) {
	t.Parallel()
	primary := redistest.Standalone(t, redistest.Options{})
	s := redistest.Standalone(t, redistest.Options{})
	k, _ := newChecker(t, quick(conn.Config{URL: s.URL()}), health.Options{})
	host, port := "127.0.0.1", primary.Addr()[len("127.0.0.1:"):]
	_, err := s.Do(t.Context(), "REPLICAOF", host, port)
	must(t, err)
	r := becomes(t, k, 10*time.Second, health.ReasonReadOnly)
	writeFails(t, s, "READONLY")
	if r.Status != health.StatusDegraded || !errors.Is(r.Err, conn.ErrReadOnly) || r.Server.Role != "replica" || r.Server.Info.ReplicationLink != "up" {
		t.Errorf("%s, %+v", describe(r), r.Server)
	}
	p, _ := newChecker(t, conn.Config{URL: primary.URL()}, health.Options{})
	if r := check(t, p, health.DefaultTimeout); !r.Healthy || r.Server.Info.ConnectedReplicas != 1 {
		t.Errorf("the primary: %s, %+v", describe(r), r.Server.Info)
	}

	must(t, primary.Kill(t.Context()))
	r = becomes(t, k, 5*time.Second, health.ReasonReplicationLinkDown)
	if r.Status != health.StatusDegraded || r.Server.Info.ReplicationLink != "down" || !errors.Is(r.Err, conn.ErrReadOnly) {
		t.Errorf("%s, %+v", describe(r), r.Server.Info)
	}
	config(t, s, "replica-serve-stale-data", "no")
	r = becomes(t, k, 2*time.Second, health.ReasonReplicationLinkDown)
	if _, err := s.Do(t.Context(), "GET", "k"); err == nil {
		t.Fatal("the fault did not happen: the replica serves stale data")
	}
	if r.Status != health.StatusDown || !errors.Is(r.Err, conn.ErrMasterDown) {
		t.Errorf("a replica that refuses reads: %s", describe(r))
	}
	_, err = s.Do(t.Context(), "REPLICAOF", "NO", "ONE")
	must(t, err)
	becomes(t, k, 5*time.Second, health.ReasonNone)
	writeWorks(t, s)
}

// Writes refused for lack of memory, as INFO shows it, and as only the write
// probe finds it.
func TestHealthOutOfMemory(t *testing.T) {
	t.Parallel()
	s := redistest.Standalone(t, redistest.Options{})
	k, _ := newChecker(t, quick(conn.Config{URL: s.URL()}), health.Options{})
	probe, _ := newChecker(t, quick(conn.Config{URL: s.URL()}), health.Options{WriteProbe: true})
	for i := range 20 {
		_, err := s.Do(t.Context(), "SET", "k"+strconv.Itoa(i), strings.Repeat("x", 100<<10))
		must(t, err)
	}
	config(t, s, "maxmemory", "2mb", "maxmemory-policy", "noeviction")
	writeFails(t, s, "OOM")
	for _, k := range []*health.Checker{k, probe} {
		r := becomes(t, k, time.Second, health.ReasonOutOfMemory)
		if r.Status != health.StatusDegraded || !errors.Is(r.Err, conn.ErrOutOfMemory) {
			t.Errorf("%s", describe(r))
		}
	}
	// volatile-*, and nothing to evict.
	config(t, s, "maxmemory-policy", "volatile-lru")
	writeFails(t, s, "OOM")
	r := becomes(t, k, time.Second, health.ReasonOutOfMemory)
	if !warned(r, health.WarnEviction) {
		t.Errorf("%s", describe(r))
	}
	// allkeys-*: the server makes room.
	config(t, s, "maxmemory-policy", "allkeys-lru")
	writeWorks(t, s)
	becomes(t, k, time.Second, health.ReasonNone)
	becomes(t, probe, time.Second, health.ReasonNone)
	if r := check(t, k, health.DefaultTimeout); r.Server.Info.EvictedKeys == 0 || !warned(r, health.WarnEviction) {
		t.Errorf("%s, %+v", describe(r), r.Server.Info)
	}
	config(t, s, "maxmemory", "0")
	if r := becomes(t, k, time.Second, health.ReasonNone); warned(r, health.WarnEviction) {
		t.Errorf("nothing can be evicted: %s", describe(r))
	}
}

// The last snapshot failed, and writes are refused for it: PING tells.
func TestHealthPersistenceFailing(t *testing.T) {
	t.Parallel()
	s := redistest.Standalone(t, redistest.Options{Config: map[string]string{"enable-protected-configs": "yes"}})
	k, _ := newChecker(t, quick(conn.Config{URL: s.URL()}), health.Options{})
	dir, err := s.Do(t.Context(), "CONFIG", "GET", "dir")
	must(t, err)
	config(t, s, "save", "3600 1", "dir", "/proc")
	bgsave := func(want string) {
		t.Helper()
		_, err := s.Do(t.Context(), "BGSAVE")
		must(t, err)
		within(t, 5*time.Second, "the snapshot ended "+want, func() bool {
			info, err := s.Info(t.Context(), "persistence")
			must(t, err)
			return info["rdb_bgsave_in_progress"] == "0" && info["rdb_last_bgsave_status"] == want
		})
	}
	bgsave("err")
	writeFails(t, s, "MISCONF")
	r := becomes(t, k, time.Second, health.ReasonPersistence)
	if r.Status != health.StatusDegraded || !errors.Is(r.Err, conn.ErrPersistence) || r.Server.Info.Persistence != health.PersistenceRDB {
		t.Errorf("%s, %+v", describe(r), r.Server.Info)
	}
	config(t, s, "stop-writes-on-bgsave-error", "no")
	writeWorks(t, s)
	if r := becomes(t, k, time.Second, health.ReasonNone); !warned(r, health.WarnSaveFailed) {
		t.Errorf("%s", describe(r))
	}
	pairs, _ := dir.([]any)
	config(t, s, "stop-writes-on-bgsave-error", "yes", "dir", pairs[1])
	bgsave("ok")
	if r := becomes(t, k, time.Second, health.ReasonNone); warned(r, health.WarnSaveFailed) {
		t.Errorf("%s", describe(r))
	}
}

// min-replicas-to-write is not met: with no replica INFO shows it, with too few
// only the write probe finds it.
func TestHealthNoReplicas(t *testing.T) {
	t.Parallel()
	s := redistest.Standalone(t, redistest.Options{})
	replica := redistest.Standalone(t, redistest.Options{})
	k, _ := newChecker(t, quick(conn.Config{URL: s.URL()}), health.Options{})
	probe, _ := newChecker(t, quick(conn.Config{URL: s.URL()}), health.Options{WriteProbe: true})
	config(t, s, "min-replicas-to-write", "1")
	writeFails(t, s, "NOREPLICAS")
	for _, k := range []*health.Checker{k, probe} {
		if r := becomes(t, k, time.Second, health.ReasonNoReplicas); r.Status != health.StatusDegraded || !errors.Is(r.Err, conn.ErrNoReplicas) {
			t.Errorf("%s", describe(r))
		}
	}
	_, err := replica.Do(t.Context(), "REPLICAOF", "127.0.0.1", s.Addr()[len("127.0.0.1:"):])
	must(t, err)
	becomes(t, k, 10*time.Second, health.ReasonNone)
	writeWorks(t, s)
	config(t, s, "min-replicas-to-write", "2")
	writeFails(t, s, "NOREPLICAS")
	becomes(t, probe, time.Second, health.ReasonNoReplicas)
	config(t, s, "min-replicas-to-write", "0")
	becomes(t, probe, time.Second, health.ReasonNone)
}

// A script that does not end blocks the server: no answer at first, then BUSY.
func TestHealthBusy(t *testing.T) {
	t.Parallel()
	s := redistest.Standalone(t, redistest.Options{Config: map[string]string{"busy-reply-threshold": "100"}})
	k, _ := newChecker(t, quick(conn.Config{URL: s.URL()}), health.Options{Timeout: 500 * time.Millisecond})
	ended := make(chan error, 1)
	go func() {
		_, err := s.Do(context.WithoutCancel(t.Context()), "EVAL", "while true do end", 0)
		ended <- err
	}()
	r := becomes(t, k, 5*time.Second, health.ReasonBusy)
	if r.Status != health.StatusDown || !errors.Is(r.Err, conn.ErrBusy) {
		t.Errorf("%s", describe(r))
	}
	_, err := s.Do(t.Context(), "SCRIPT", "KILL")
	must(t, err)
	if err := <-ended; err == nil {
		t.Error("the fault did not happen: the script ended by itself")
	}
	becomes(t, k, 5*time.Second, health.ReasonNone)
}

// Slow is not dead.
func TestHealthSlow(t *testing.T) {
	t.Parallel()
	s := redistest.Standalone(t, redistest.Options{})
	proxy := redistest.NewProxy(t, s)
	k, _ := newChecker(t, conn.Config{Addrs: []string{proxy.Addr()}}, health.Options{SlowAfter: 100 * time.Millisecond})
	if r := check(t, k, health.DefaultTimeout); !r.Healthy || r.Slow && r.ResponseTime < 100*time.Millisecond {
		t.Fatal(describe(r))
	}
	proxy.Latency(400 * time.Millisecond)
	r := check(t, k, health.DefaultTimeout)
	t.Log(describe(r))
	if !r.Healthy || !r.Slow || r.ResponseTime < 400*time.Millisecond || !warned(r, health.WarnSlow) {
		t.Errorf("%s", describe(r))
	}
	proxy.Latency(0)
	within(t, 5*time.Second, "it is fast again", func() bool { return !check(t, k, health.DefaultTimeout).Slow })
}

// A connection that is cut says nothing of the server. Cut twice in one check,
// with the server's answer lost on the way, it does.
func TestHealthLostConnection(t *testing.T) {
	t.Parallel()
	s := redistest.Standalone(t, redistest.Options{})
	proxy := redistest.NewProxy(t, s)
	k, c := newChecker(t, conn.Config{Addrs: []string{proxy.Addr()}}, health.Options{})
	for range 100 {
		_, err := s.Do(t.Context(), "CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
		must(t, err)
		if r := check(t, k, health.DefaultTimeout); !r.Healthy {
			t.Fatalf("%s", describe(r))
		}
	}
	t.Logf("%d connections lost, every check healthy", c.Stats().ConnsLost)
	if c.Stats().ConnsLost < 10 {
		t.Error("the fault did not happen")
	}
	for range 2 {
		_, err := proxy.SwallowReply(redistest.Command("INFO"), true)
		must(t, err)
	}
	r := check(t, k, health.DefaultTimeout)
	t.Log(describe(r))
	if r.Reason != health.ReasonUnreachable || proxy.Stats().Swallowed != 2 {
		t.Errorf("%s, after %d replies that were swallowed", describe(r), proxy.Stats().Swallowed)
	}
	becomes(t, k, 5*time.Second, health.ReasonNone)
}
