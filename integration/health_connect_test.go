package integration_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/relay-platform/redis/conn"
	"github.com/relay-platform/redis/health"
	"github.com/relay-platform/redis/internal/redistest"
)

// Each reason why no connection can be made has a reason of its own, through a
// lazy Client, again and again.
func TestFaultHealthCannotConnect(t *testing.T) {
	t.Parallel()
	plain := redistest.SharedStandalone(t, redistest.Options{})
	secured := redistest.Standalone(t, redistest.Options{Password: "right", Users: []string{"few on >pw ~* +ping +hello +info"}})
	full := redistest.Standalone(t, redistest.Options{Config: map[string]string{"maxclients": "2"}})
	cluster := redistest.Shared(t, redistest.TopologyCluster, redistest.Options{})
	open(t, conn.Config{URL: full.URL()})
	for range 16 { // the last place, and those that the server keeps beside
		c, err := full.Dial(t.Context())
		if err != nil {
			break
		}
		t.Cleanup(func() { c.Close() })
	}
	for _, tc := range []struct {
		name string
		cfg  conn.Config
		want health.Reason
		is   error
	}{
		{"refused", conn.Config{Addrs: []string{unusedAddr(t)}}, health.ReasonRefused, conn.ErrRefused},
		{"no such host", conn.Config{Addrs: []string{"no-such-host.invalid:6379"}}, health.ReasonDNS, conn.ErrDNS},
		{"silent", conn.Config{Addrs: []string{silentAddr(t)}}, health.ReasonNoAnswer, conn.ErrTimeout},
		{"no TLS there", conn.Config{URL: "rediss://" + plain.Addr()}, health.ReasonNoAnswer, conn.ErrTimeout},
		{"wrong password", conn.Config{Addrs: []string{secured.Addr()}, Password: "canary-wrong"}, health.ReasonAuth, conn.ErrAuth},
		{"no password", conn.Config{Addrs: []string{secured.Addr()}}, health.ReasonAuth, conn.ErrAuth},
		{"no permission", conn.Config{Addrs: []string{secured.Addr()}, Username: "few", Password: "pw", DB: 1}, health.ReasonPermission, conn.ErrPermission},
		{"too many clients", conn.Config{Addrs: []string{full.Addr()}}, health.ReasonMaxClients, conn.ErrMaxClients},
		{"a cluster's node", conn.Config{Addrs: cluster.Addrs()[:1]}, health.ReasonWrongMode, conn.ErrWrongMode},
		{"no cluster", conn.Config{Addrs: []string{plain.Addr()}, Mode: conn.ModeCluster}, health.ReasonWrongMode, conn.ErrWrongMode},
		{"Sentinels refused", conn.Config{Addrs: []string{unusedAddr(t)}, SentinelMaster: "m"}, health.ReasonRefused, conn.ErrRefused},
		{"cluster refused", conn.Config{Addrs: []string{unusedAddr(t), unusedAddr(t)}}, health.ReasonRefused, conn.ErrRefused},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			cfg := quick(tc.cfg)
			cfg.Lazy = true
			k, _ := newChecker(t, cfg, health.Options{})
			start := time.Now()
			for i := 0; i < 20 && (i < 3 || time.Since(start) < 2*time.Second); i++ {
				r := check(t, k, health.DefaultTimeout)
				if r.Reason != tc.want || r.Status != health.StatusDown || !errors.Is(r.Err, tc.is) {
					t.Fatalf("not %q: %s", tc.want, describe(r))
				}
				time.Sleep(20 * time.Millisecond) // through several of the client's attempts
			}
			r := k.Check(t.Context())
			t.Log(describe(r))
			body, err := json.Marshal(r)
			must(t, err)
			if text := string(body) + fmt.Sprintf("%+v %#v", r, r); strings.Contains(text, "canary") {
				t.Errorf("the password is in %s", text)
			}
		})
	}
}

// A password that changes is found when the connection has to be made again,
// and so is the right one.
func TestHealthPasswordChanges(t *testing.T) {
	t.Parallel()
	s := redistest.Standalone(t, redistest.Options{Users: []string{"app on >first ~* &* +@all"}})
	k, _ := newChecker(t, quick(conn.Config{Addrs: []string{s.Addr()}, Username: "app", Password: "first"}), health.Options{})
	if r := check(t, k, health.DefaultTimeout); !r.Healthy {
		t.Fatal(describe(r))
	}
	set := func(args ...any) {
		t.Helper()
		_, err := s.Do(t.Context(), append([]any{"ACL", "SETUSER", "app"}, args...)...)
		must(t, err)
	}
	set("resetpass", ">second")
	if r := check(t, k, health.DefaultTimeout); !r.Healthy {
		t.Errorf("the server let the connection live: %s", describe(r))
	}
	n, err := s.Do(t.Context(), "CLIENT", "KILL", "USER", "app")
	must(t, err)
	r := becomes(t, k, 2*time.Second, health.ReasonAuth)
	if n == int64(0) || r.Status != health.StatusDown {
		t.Errorf("killed %v: %s", n, describe(r))
	}
	for range 200 {
		if r := check(t, k, health.DefaultTimeout); r.Reason != health.ReasonAuth {
			t.Fatalf("with the wrong password: %s", describe(r))
		}
	}
	set("resetpass", ">first")
	becomes(t, k, 3*time.Second, health.ReasonNone)
}

// A Client that was closed.
func TestHealthClosedClient(t *testing.T) {
	t.Parallel()
	for _, tp := range []redistest.Topology{redistest.TopologyStandalone, redistest.TopologyCluster} {
		g := redistest.Shared(t, tp, redistest.Options{})
		c, err := conn.Open(t.Context(), conn.Config{URL: g.URL()})
		must(t, err)
		k, err := health.New(c, health.Options{})
		must(t, err)
		if r := check(t, k, health.DefaultTimeout); !r.Healthy {
			t.Fatal(describe(r))
		}
		must(t, c.Close(t.Context()))
		r := check(t, k, health.DefaultTimeout)
		t.Log(describe(r))
		if r.Reason != health.ReasonClosed || r.Status != health.StatusDown || r.Connection.State != conn.End || !errors.Is(r.Err, conn.ErrClosed) {
			t.Errorf("%s", describe(r))
		}
	}
}

// The caller's context bounds a check too, and giving up says nothing of Redis.
func TestHealthDeadline(t *testing.T) {
	t.Parallel()
	s := redistest.Standalone(t, redistest.Options{})
	k, _ := newChecker(t, conn.Config{URL: s.URL()}, health.Options{})
	if r := check(t, k, health.DefaultTimeout); !r.Healthy {
		t.Fatal(describe(r))
	}
	must(t, s.Freeze(t.Context()))
	defer func() { must(t, s.Thaw(context.Background())) }()
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	start := time.Now()
	r := k.Check(ctx)
	took := time.Since(start)
	if r.Reason != health.ReasonNoAnswer || took > 100*time.Millisecond+slack {
		t.Errorf("after %v: %s", took, describe(r))
	}
	ctx, cancel = context.WithCancel(t.Context())
	time.AfterFunc(100*time.Millisecond, cancel)
	start = time.Now()
	r = k.Check(ctx)
	took = time.Since(start)
	if r.Reason != health.ReasonCanceled || r.Status != health.StatusUnknown || took > 100*time.Millisecond+slack {
		t.Errorf("after %v: %s", took, describe(r))
	}
	if last, _, _ := k.Last(); last.Reason != health.ReasonNoAnswer {
		t.Errorf("a check that was given up counts: %s", describe(last))
	}
}
