package health

import (
	"context"
	"encoding/json"
	"net/http"
	"strconv"
	"time"
)

// LivenessHandler answers 200 to GET and HEAD as long as the process serves
// requests, whatever Redis does: an orchestrator restarts a process that is not
// alive, and that would mend no Redis. The body is {"status":"ok"}.
func LivenessHandler() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if allowed(w, r) {
			write(w, http.StatusOK, json.RawMessage(`{"status":"ok"}`))
		}
	})
}

// ReadinessHandler answers GET and HEAD with 200 when the process is ready for
// traffic as far as Redis is concerned (Options.Ready), and with 503 otherwise.
// The body is the Result as JSON with "ready" before it, or with Options.Terse
// a few of its fields; the response must not be stored by caches.
//
// It answers with the last result, of a Watch too, where that is no older than
// Options.MaxAge. Otherwise it checks, and all requests that come meanwhile wait
// for that check: Redis sees at most one check at a time, and one in MaxAge.
func (k *Checker) ReadinessHandler() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !allowed(w, r) {
			return
		}
		result, ok := k.recent()
		if !ok {
			// The check serves others too, so it does not end with this request;
			// only one that everybody else has given up is not ours.
			for {
				result, _, ok = k.probes.do(r.Context(), "", k.opts.Timeout+time.Second, k.recheck)
				if !ok || result.Status != StatusUnknown {
					break
				}
			}
		}
		if !ok {
			return // the caller has gone
		}
		ready := k.ready(result)
		status := http.StatusOK
		if !ready {
			status = http.StatusServiceUnavailable
		}
		write(w, status, k.body(result, ready))
	})
}

// recheck checks, unless somebody else has since the caller looked.
func (k *Checker) recheck(ctx context.Context) Result {
	if r, ok := k.recent(); ok {
		return r
	}
	return k.Check(ctx)
}

// recent returns the last result if it is not too old.
func (k *Checker) recent() (Result, bool) {
	r, ended, ok := k.Last()
	return r, ok && time.Since(ended) <= k.opts.MaxAge
}

func (k *Checker) ready(r Result) (ready bool) {
	if k.opts.Ready == nil {
		return r.Healthy
	}
	defer func() {
		if v := recover(); v != nil {
			ready = false
			k.reportPanic(v, time.Now())
		}
	}()
	return k.opts.Ready(r)
}

func (k *Checker) body(r Result, ready bool) any {
	if k.opts.Terse {
		return struct {
			Ready     bool      `json:"ready"`
			Healthy   bool      `json:"healthy"`
			Status    Status    `json:"status"`
			Reason    Reason    `json:"reason,omitempty"`
			CheckedAt time.Time `json:"checked_at"`
		}{ready, r.Healthy, r.Status, r.Reason, r.CheckedAt}
	}
	return readiness{ready, r}
}

// readiness is a Result with "ready" before it.
type readiness struct {
	ready  bool
	result Result
}

// MarshalJSON puts ready into the result's object.
func (r readiness) MarshalJSON() ([]byte, error) {
	b, err := json.Marshal(r.result)
	if err != nil {
		return nil, err
	}
	return append([]byte(`{"ready":`+strconv.FormatBool(r.ready)+","), b[1:]...), nil
}

// allowed refuses methods other than GET and HEAD.
func allowed(w http.ResponseWriter, r *http.Request) bool {
	if r.Method == http.MethodGet || r.Method == http.MethodHead {
		return true
	}
	w.Header().Set("Allow", "GET, HEAD")
	http.Error(w, "use GET or HEAD", http.StatusMethodNotAllowed)
	return false
}

// write sends a response that nobody may store. net/http leaves out the body
// where the request is a HEAD.
func write(w http.ResponseWriter, status int, body any) {
	b, err := json.Marshal(body)
	if err != nil {
		http.Error(w, "health: "+err.Error(), http.StatusInternalServerError)
		return
	}
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Content-Length", strconv.Itoa(len(b)))
	w.WriteHeader(status)
	_, _ = w.Write(b) // the caller may have gone
}
