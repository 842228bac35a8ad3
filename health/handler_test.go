package health

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

func serve(tb testing.TB, h http.Handler, method string) *httptest.ResponseRecorder {
	tb.Helper()
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequestWithContext(tb.Context(), method, "/", nil))
	return w
}

func TestHandlerHeaders(t *testing.T) {
	t.Parallel()
	s, _ := one(says())
	ready := testChecker(t, s, Options{}).ReadinessHandler()
	for name, h := range map[string]http.Handler{"liveness": LivenessHandler(), "readiness": ready} {
		// A real server: it is what leaves out the body of a HEAD.
		server := httptest.NewServer(h)
		defer server.Close()
		for _, method := range []string{http.MethodGet, http.MethodHead} {
			req, err := http.NewRequestWithContext(t.Context(), method, server.URL, nil)
			if err != nil {
				t.Fatal(err)
			}
			res, err := server.Client().Do(req)
			if err != nil {
				t.Fatal(err)
			}
			body, err := io.ReadAll(res.Body)
			if err != nil {
				t.Fatal(err)
			}
			_ = res.Body.Close()
			if res.StatusCode != http.StatusOK || res.Header.Get("Content-Type") != "application/json" || res.Header.Get("Cache-Control") != "no-store" ||
				res.Header.Get("X-Content-Type-Options") != "nosniff" || res.ContentLength <= 0 {
				t.Errorf("%s %s: %d %v, length %d", method, name, res.StatusCode, res.Header, res.ContentLength)
			}
			if (method == http.MethodHead) != (len(body) == 0) || method == http.MethodGet && !json.Valid(body) {
				t.Errorf("%s %s: %q", method, name, body)
			}
		}
		for _, method := range []string{http.MethodPost, http.MethodPut, http.MethodDelete, http.MethodOptions} {
			if res := serve(t, h, method); res.Code != http.StatusMethodNotAllowed || res.Header().Get("Allow") != "GET, HEAD" {
				t.Errorf("%s %s: %d, Allow %q", method, name, res.Code, res.Header().Get("Allow"))
			}
		}
	}
}

// Ready when healthy, or when Options.Ready says so; never when that panics.
func TestReady(t *testing.T) {
	t.Parallel()
	healthy, degraded, down := says(), says("min_slaves_good_slaves:0"), answer{err: refused("h:1")}
	tolerant := func(r Result) bool { return r.Status != StatusDown }
	for _, tc := range []struct {
		name   string
		answer answer
		ready  func(Result) bool
		want   int
	}{
		{"healthy", healthy, nil, 200},
		{"degraded", degraded, nil, 503},
		{"down", down, nil, 503},
		{"healthy, tolerant", healthy, tolerant, 200},
		{"degraded, tolerant", degraded, tolerant, 200},
		{"down, tolerant", down, tolerant, 503},
		{"panic", healthy, func(Result) bool { panic("boom") }, 503},
	} {
		s, _ := one(tc.answer)
		k := testChecker(t, s, Options{Ready: tc.ready})
		res := serve(t, k.ReadinessHandler(), http.MethodGet)
		var body struct {
			Ready   bool   `json:"ready"`
			Healthy bool   `json:"healthy"`
			Mode    string `json:"mode"`
			Error   string `json:"error"`
		}
		if err := json.NewDecoder(res.Body).Decode(&body); err != nil {
			t.Fatal(err)
		}
		if res.Code != tc.want || body.Ready != (tc.want == 200) || body.Mode != "standalone" || body.Healthy != (body.Error == "") {
			t.Errorf("%s: %d %+v", tc.name, res.Code, body)
		}
		if tc.name == "panic" && (len(s.events) != 2 || s.events[1].Op != "callback" || s.events[1].Err == nil) {
			t.Errorf("the panic was not reported: %+v", s.events)
		}
	}
}

// Terse tells strangers nothing of the servers.
func TestTerse(t *testing.T) {
	t.Parallel()
	s, _ := one(answer{err: refused("10.0.0.1:6379")})
	res := serve(t, testChecker(t, s, Options{Terse: true}).ReadinessHandler(), http.MethodGet)
	var body map[string]any
	if err := json.NewDecoder(res.Body).Decode(&body); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"ready", "healthy", "status", "reason", "checked_at"} {
		if _, ok := body[name]; !ok {
			t.Errorf("%s is missing", name)
		}
		delete(body, name)
	}
	if len(body) > 0 || res.Code != http.StatusServiceUnavailable {
		t.Errorf("%d, and also %v", res.Code, body)
	}
}

// A result is used for MaxAge from the end of its check; probes meanwhile share
// one check, also after one of them went away.
func TestReadinessSharesChecks(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, n := one(says())
		n.takes = 100 * time.Millisecond
		h := testChecker(t, s, Options{}).ReadinessHandler()
		storm := func(want int) {
			t.Helper()
			var wg sync.WaitGroup
			for range 1000 {
				wg.Go(func() {
					if res := serve(t, h, http.MethodGet); res.Code != http.StatusOK {
						t.Errorf("%d", res.Code)
					}
				})
			}
			wg.Wait()
			if n.questions() != want {
				t.Errorf("%d questions, not %d", n.questions(), want)
			}
		}
		storm(1)
		time.Sleep(DefaultMaxAge)
		storm(1)
		time.Sleep(time.Nanosecond)
		storm(2)

		time.Sleep(2 * DefaultMaxAge)
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		wg.Go(func() { // the one that began the check goes away
			w := httptest.NewRecorder()
			h.ServeHTTP(w, httptest.NewRequestWithContext(ctx, http.MethodGet, "/", nil))
			if w.Body.Len() != 0 {
				t.Errorf("an answer to nobody: %s", w.Body)
			}
		})
		time.Sleep(50 * time.Millisecond)
		wg.Go(func() { storm(3) })
		synctest.Wait()
		cancel()
		wg.Wait()

		// When all go away the check ends too, and the next one is another.
		time.Sleep(2 * DefaultMaxAge)
		ctx, cancel = context.WithTimeout(t.Context(), time.Millisecond)
		defer cancel()
		h.ServeHTTP(httptest.NewRecorder(), httptest.NewRequestWithContext(ctx, http.MethodGet, "/", nil))
		storm(5)
	})
}

// With a negative MaxAge only checks under way are shared.
func TestReadinessWithoutAge(t *testing.T) {
	t.Parallel()
	s, n := one(says())
	h := testChecker(t, s, Options{MaxAge: -1}).ReadinessHandler()
	for range 3 {
		serve(t, h, http.MethodGet)
	}
	if n.questions() != 3 {
		t.Errorf("%d questions", n.questions())
	}
}

// A frozen Redis is 503 after the time-out, and liveness does not notice.
func TestReadinessOfAFrozenServer(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, n := one(says())
		n.stuck = make(chan struct{})
		start := time.Now()
		if res := serve(t, testChecker(t, s, Options{}).ReadinessHandler(), http.MethodGet); res.Code != http.StatusServiceUnavailable || time.Since(start) != DefaultTimeout {
			t.Errorf("%d after %v", res.Code, time.Since(start))
		}
		if res := serve(t, LivenessHandler(), http.MethodGet); res.Code != http.StatusOK {
			t.Errorf("%d", res.Code)
		}
		close(n.stuck)
	})
}
