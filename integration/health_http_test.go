package integration_test

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/relay-platform/redis/conn"
	"github.com/relay-platform/redis/health"
	"github.com/relay-platform/redis/internal/redistest"
)

// probe asks a handler and returns the status and the body.
func probe(tb testing.TB, h http.Handler, path string) (int, map[string]any) {
	tb.Helper()
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequestWithContext(tb.Context(), http.MethodGet, path, nil))
	var body map[string]any
	must(tb, json.Unmarshal(w.Body.Bytes(), &body))
	return w.Code, body
}

// A service over HTTP, while its Redis is killed and comes back: alive all the
// time, ready when Redis is.
func TestHealthHandlers(t *testing.T) {
	t.Parallel()
	s := redistest.Standalone(t, redistest.Options{})
	k, _ := newChecker(t, quick(conn.Config{URL: s.URL()}), health.Options{MaxAge: 50 * time.Millisecond})
	mux := http.NewServeMux()
	mux.Handle("/livez", health.LivenessHandler())
	mux.Handle("/readyz", k.ReadinessHandler())
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	client := server.Client()
	t.Cleanup(client.CloseIdleConnections)
	get := func(path string) (int, string) {
		t.Helper()
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, server.URL+path, nil)
		must(t, err)
		res, err := client.Do(req)
		must(t, err)
		defer res.Body.Close()
		body, err := io.ReadAll(res.Body)
		must(t, err)
		return res.StatusCode, string(body)
	}
	alive := func() {
		t.Helper()
		if code, body := get("/livez"); code != 200 || body != `{"status":"ok"}` {
			t.Errorf("liveness: %d %s", code, body)
		}
	}
	code, body := get("/readyz")
	alive()
	t.Logf("%d %s", code, body)
	if code != 200 {
		t.Errorf("readiness: %d %s", code, body)
	}
	must(t, s.Kill(t.Context()))
	within(t, 3*time.Second, "503", func() bool { code, body = get("/readyz"); alive(); return code == 503 })
	t.Logf("%d %s", code, body)
	must(t, s.Start(t.Context()))
	took := within(t, 5*time.Second, "200", func() bool { code, body = get("/readyz"); alive(); return code == 200 })
	t.Logf("ready %v after the start", took)
	must(t, s.Freeze(t.Context()))
	within(t, 5*time.Second, "503", func() bool { code, body = get("/readyz"); alive(); return code == 503 })
	t.Logf("%d %s", code, body)
	must(t, s.Thaw(t.Context()))
	within(t, 5*time.Second, "200", func() bool { code, _ = get("/readyz"); return code == 200 })
}

// A thousand probes at the same moment, and a storm of them for two seconds, are
// one check per MaxAge to Redis; and so is a storm on a server that is frozen or
// down, where nothing may pile up.
func TestFaultHealthProbeStorm(t *testing.T) {
	// Not parallel: a storm takes every core, and others measure time.
	for _, tp := range []redistest.Topology{redistest.TopologyStandalone, redistest.TopologyCluster} {
		t.Run(string(tp), func(t *testing.T) {
			g := startTopology(t, tp, redistest.Options{Direct: true, NodeTimeout: 60000})
			filled(t, g)
			const maxAge = 500 * time.Millisecond
			k, c := newChecker(t, quick(conn.Config{URL: g.URL()}), health.Options{MaxAge: maxAge})
			h := k.ReadinessHandler()
			infos := func() (most int) {
				for _, s := range g.Servers {
					most = max(most, calls(t, s, "info"))
				}
				return most
			}
			// The count itself asks INFO, as does rueidis when it connects.
			before := infos()
			storm := func(n int) (ok int) {
				var wg sync.WaitGroup
				var mu sync.Mutex
				gate := make(chan struct{})
				for range n {
					wg.Go(func() {
						<-gate
						if code, _ := probe(t, h, "/readyz"); code == 200 {
							mu.Lock()
							ok++
							mu.Unlock()
						}
					})
				}
				close(gate)
				wg.Wait()
				return ok
			}
			ok := storm(1000)
			one := infos() - before - 1
			t.Logf("1,000 probes at once: %d ready, %d INFO to the busiest node", ok, one)
			if ok != 1000 || one > 3 {
				t.Errorf("%d of 1000 ready, %d INFO", ok, one)
			}
			if one < 1 {
				t.Error("Redis was not asked at all")
			}

			before = infos()
			start, probes := time.Now(), 0
			for time.Since(start) < 2*time.Second {
				probes += 100
				if ok := storm(100); ok != 100 {
					t.Errorf("%d of 100 ready", ok)
				}
			}
			n := infos() - before - 1
			t.Logf("%d probes in %v: %d INFO to the busiest node", probes, time.Since(start).Round(time.Millisecond), n)
			if limit := int(time.Since(start)/maxAge) + 2; n > limit {
				t.Errorf("%d INFO, more than %d", n, limit)
			}

			// The check itself is shared too.
			before = infos()
			var wg sync.WaitGroup
			for range 1000 {
				wg.Go(func() { k.Check(t.Context()) })
			}
			wg.Wait()
			n = infos() - before - 1
			t.Logf("1,000 checks at once: %d INFO", n)
			if n > 200 {
				t.Errorf("%d INFO for 1,000 checks at once", n)
			}

			victim := g.Servers[0]
			must(t, victim.Freeze(t.Context()))
			within(t, 5*time.Second, "not ready", func() bool { code, _ := probe(t, h, "/readyz"); return code == 503 })
			start = time.Now()
			pending := int64(0)
			for time.Since(start) < time.Second {
				if ok := storm(200); ok != 0 {
					t.Errorf("%d of 200 ready while a server is frozen", ok)
				}
				pending = max(pending, c.Stats().Pending)
			}
			t.Logf("while frozen: at most %d calls pending in the client", pending)
			if pending > 10 {
				t.Errorf("%d calls pending: they pile up", pending)
			}
			must(t, victim.Thaw(context.Background()))
			within(t, 10*time.Second, "ready", func() bool { code, _ := probe(t, h, "/readyz"); return code == 200 })
		})
	}
}

// A watcher tells of a dead server long before its interval is over, of each
// change once, and of nothing after Stop.
func TestHealthWatch(t *testing.T) {
	t.Parallel()
	s := redistest.Standalone(t, redistest.Options{})
	k, _ := newChecker(t, quick(conn.Config{URL: s.URL()}), health.Options{})
	type change struct{ before, now health.Result }
	changes := make(chan change, 100)
	var results int
	w, err := k.Watch(health.WatchOptions{
		Interval: time.Minute,
		OnResult: func(context.Context, health.Result) { results++; panic("a callback that panics harms nobody") },
		OnChange: func(_ context.Context, before, now health.Result) { changes <- change{before, now} },
	})
	must(t, err)
	next := func(d time.Duration) change {
		t.Helper()
		select {
		case c := <-changes:
			return c
		case <-time.After(d):
			t.Fatalf("no change within %v", d)
			return change{}
		}
	}
	if c := next(2 * time.Second); !c.now.Healthy || c.before.Status != "" {
		t.Errorf("%+v", c)
	}
	start := time.Now()
	must(t, s.Kill(t.Context()))
	c := next(5 * time.Second)
	t.Logf("%v after the kill: %s", time.Since(start).Round(time.Millisecond), describe(c.now))
	if !c.before.Healthy || c.now.Reason != health.ReasonRefused && c.now.Reason != health.ReasonUnreachable {
		t.Errorf("%+v", c)
	}
	must(t, s.Start(t.Context()))
	start = time.Now()
	for c = next(5 * time.Second); !c.now.Healthy; c = next(5 * time.Second) {
		t.Logf("then: %s", describe(c.now))
	}
	t.Logf("%v after the start: %s", time.Since(start).Round(time.Millisecond), describe(c.now))
	stop := time.Now()
	must(t, w.Stop(timeout(t, 5*time.Second)))
	stats := w.Stats()
	t.Logf("stopped in %v: %+v", time.Since(stop).Round(time.Microsecond), stats)
	if stats.Panics == 0 || stats.Panics != int64(results) || stats.Changes < 3 || stats.Checks < 3 || len(changes) != 0 {
		t.Errorf("%+v, %d results, %d changes left", stats, results, len(changes))
	}
}
