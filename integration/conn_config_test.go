package integration_test

import (
	"errors"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/rueidis"

	"github.com/relay-platform/redis/conn"
	"github.com/relay-platform/redis/internal/redistest"
)

// Every scheme of a URL reaches a server, with the database, name and prefix
// that it says.
func TestURLs(t *testing.T) {
	t.Parallel()
	plain := redistest.Standalone(t, redistest.Options{Password: "p@ss/word#1", Socket: true})
	secret := url.QueryEscape("p@ss/word#1")
	secure := redistest.Standalone(t, redistest.Options{TLS: &redistest.TLS{}})
	for _, u := range []string{
		"redis://:" + secret + "@" + plain.Addr() + "/3?client_name=by-url&key_prefix=p:",
		"valkey://default:" + secret + "@" + plain.Addr() + "?db=3&client_name=by-url&key_prefix=p:",
		"unix://:" + secret + "@" + plain.Socket() + "?db=3&client_name=by-url&key_prefix=p:",
	} {
		c := open(t, conn.Config{URL: u})
		key := c.Keyspace("x").Key("k")
		must(t, c.Do(t.Context(), c.B().Set().Key(key).Value(u).Build()).Error())
		info, err := c.Do(t.Context(), c.B().Arbitrary("CLIENT", "INFO").Build()).ToString()
		must(t, err)
		if !strings.Contains(info, "name=by-url ") || !strings.Contains(info, "db=3 ") {
			t.Errorf("%s: the server sees %q", u, info)
		}
		if key != "p:x:k" {
			t.Errorf("the key is %q", key)
		}
	}
	for _, u := range []string{"rediss://" + secure.Addr(), "valkeys://" + secure.Addr()} {
		// The system's CAs do not know this server's: it must fail, as TLS.
		if _, err := conn.Open(t.Context(), conn.Config{URL: u}); !errors.Is(err, conn.ErrTLS) {
			t.Errorf("%s: %v", u, err)
		}
		c := open(t, conn.Config{URL: u, TLS: secure.TLSConfig()})
		must(t, c.Do(t.Context(), c.B().Ping().Build()).Error())
	}
}

// NewClient wraps the rueidis client, and sees every command.
func TestNewClientWraps(t *testing.T) {
	t.Parallel()
	s := redistest.SharedStandalone(t, redistest.Options{})
	var built atomic.Int64
	c := open(t, conn.Config{URL: s.URL(), NewClient: func(o rueidis.ClientOption) (rueidis.Client, error) {
		built.Add(1)
		return rueidis.NewClient(o)
	}})
	must(t, c.Do(t.Context(), c.B().Ping().Build()).Error())
	if built.Load() != 1 {
		t.Errorf("built %d clients", built.Load())
	}
	// One that gives nothing and no error is told so, and does not crash.
	_, err := conn.Open(t.Context(), conn.Config{URL: s.URL(), NewClient: func(rueidis.ClientOption) (rueidis.Client, error) {
		return nil, nil
	}, ConnectTimeout: time.Second})
	if err == nil {
		t.Error("a NewClient that returns nothing connects")
	}
}

// More calls at once than the ring has places are all served, and none starves.
func TestMoreCallsThanTheRingHasPlaces(t *testing.T) {
	t.Parallel()
	s := redistest.SharedStandalone(t, redistest.Options{})
	p := redistest.NewProxy(t, s)
	p.Latency(20 * time.Millisecond) // keeps calls under way
	c := open(t, conn.Config{Addrs: []string{p.Addr()}})
	storm(t, c, 5000)
	if st := c.Stats(); st.Timeouts != 0 || st.Calls != 0 || st.Pending != 0 {
		t.Errorf("%+v", st)
	}
}

// Callers that change their minds, all the time, cost other calls nothing.
func TestCancelStormIsCheap(t *testing.T) {
	t.Parallel()
	s := redistest.SharedStandalone(t, redistest.Options{})
	p := redistest.NewProxy(t, s)
	p.Latency(5 * time.Millisecond)
	c := open(t, conn.Config{Addrs: []string{p.Addr()}})
	var cut atomic.Int64
	stop := load(64, func(_, _ int) {
		ctx := timeout(t, time.Millisecond)
		if err := c.Do(ctx, c.B().Get().Key("k").Build()).Error(); errors.Is(err, conn.ErrTimeout) {
			cut.Add(1)
		}
	})
	defer stop()
	within(t, 10*time.Second, "many are cut", func() bool { return cut.Load() > 5000 })
	for range 50 {
		if err := c.Do(t.Context(), c.B().Get().Key("k").Build()).Error(); err != nil && !rueidis.IsRedisNil(err) {
			t.Fatalf("another call: %v", err)
		}
	}
	stop()
	if st := c.Stats(); st.Dials != 1 || c.State() != conn.Connected {
		t.Errorf("%+v, %v", st, c.State())
	}
	within(t, 3*time.Second, "nothing is left", func() bool { return c.Stats().Pending == 0 })
}
