package health_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"net/http"
	"net/http/httptest"
	"time"

	"github.com/relay-platform/redis/conn"
	"github.com/relay-platform/redis/health"
)

// The two probes of an orchestrator. A lazy Client lets the process start, and
// say that it is not ready, while Redis is down.
func Example() {
	cfg, err := conn.FromEnv()
	if err != nil {
		log.Fatal(err)
	}
	cfg.Lazy = true
	client, err := conn.Open(context.Background(), cfg)
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close(context.Background())
	checker, err := health.New(client, health.Options{})
	if err != nil {
		log.Fatal(err)
	}
	mux := http.NewServeMux()
	mux.Handle("/livez", health.LivenessHandler())
	mux.Handle("/readyz", checker.ReadinessHandler())
	// log.Fatal(http.ListenAndServe(":8080", mux))

	for _, path := range []string{"/livez", "/readyz"} {
		w := httptest.NewRecorder()
		mux.ServeHTTP(w, httptest.NewRequest(http.MethodGet, path, nil))
		fmt.Println(path, w.Code)
	}
	// Output:
	// /livez 200
	// /readyz 200
}

// open connects as the environment says; see Example for how.
func open() *conn.Client {
	cfg, err := conn.FromEnv()
	if err != nil {
		log.Fatal(err)
	}
	client, err := conn.Open(context.Background(), cfg)
	if err != nil {
		log.Fatal(err)
	}
	return client
}

// One check, and telling reasons apart.
func ExampleChecker_Check() {
	client := open()
	defer client.Close(context.Background())
	checker, err := health.New(client, health.Options{Timeout: time.Second})
	if err != nil {
		log.Fatal(err)
	}
	r := checker.Check(context.Background())
	switch {
	case r.Healthy:
		fmt.Println("healthy:", r.Status)
	case r.Reason == health.ReasonLoading:
		fmt.Println("starting, try again soon:", r.Err)
	case errors.Is(r.Err, conn.ErrAuth):
		fmt.Println("somebody has to mend the password:", r.Err)
	default:
		fmt.Println(r.Status, r.Reason, r.Err)
	}
	// Output: healthy: ok
}

// A log line when Redis becomes unhealthy, and when it recovers.
func ExampleChecker_Watch() {
	client := open()
	defer client.Close(context.Background())
	checker, err := health.New(client, health.Options{})
	if err != nil {
		log.Fatal(err)
	}
	first := make(chan struct{})
	watcher, err := checker.Watch(health.WatchOptions{
		Interval: 30 * time.Second,
		OnChange: func(_ context.Context, before, now health.Result) {
			fmt.Printf("Redis: %q -> %q\n", before.Status, now.Status)
			close(first)
		},
	})
	if err != nil {
		log.Fatal(err)
	}
	<-first
	if err := watcher.Stop(context.Background()); err != nil {
		log.Fatal(err)
	}
	// Output: Redis: "" -> "ok"
}

// A service that can do without writes is ready while Redis is degraded.
func ExampleOptions_ready() {
	client := open()
	defer client.Close(context.Background())
	checker, err := health.New(client, health.Options{
		Ready: func(r health.Result) bool { return r.Status != health.StatusDown },
		Terse: true, // the port is public
	})
	if err != nil {
		log.Fatal(err)
	}
	w := httptest.NewRecorder()
	checker.ReadinessHandler().ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/readyz", nil))
	fmt.Println(w.Code, w.Header().Get("Content-Type"))
	// Output: 200 application/json
}
