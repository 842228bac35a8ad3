package integration_test

import (
	"context"
	"errors"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/relay-platform/redis/conn"
	"github.com/relay-platform/redis/internal/redistest"
)

// unusedAddr returns an address on loopback where nobody listens.
func unusedAddr(tb testing.TB) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(tb, err)
	defer l.Close()
	return l.Addr().String()
}

// silentAddr returns the address of a listener that accepts and says nothing.
func silentAddr(tb testing.TB) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(tb, err)
	done := make(chan struct{})
	go func() {
		defer close(done)
		var held []net.Conn
		for {
			nc, err := l.Accept()
			if err != nil {
				for _, nc := range held {
					nc.Close()
				}
				return
			}
			held = append(held, nc)
		}
	}()
	tb.Cleanup(func() { l.Close(); <-done })
	return l.Addr().String()
}

// Each reason not to connect is an error of its own, which says the address,
// within the connect time-out.
func TestOpenSaysWhy(t *testing.T) {
	t.Parallel()
	secured := redistest.Standalone(t, redistest.Options{Password: "right"})
	full := redistest.Standalone(t, redistest.Options{Config: map[string]string{"maxclients": "2"}})
	plain := redistest.SharedStandalone(t, redistest.Options{})
	refused, silent := unusedAddr(t), silentAddr(t)
	hold := open(t, conn.Config{URL: full.URL()})
	// The server keeps one place more than maxclients for none; take the rest.
	var held []*redistest.Conn
	for range 16 {
		c, err := full.Dial(t.Context())
		if err != nil {
			break
		}
		held = append(held, c)
		if _, err := c.Do(t.Context(), "PING"); err != nil {
			break
		}
	}
	t.Cleanup(func() {
		for _, c := range held {
			c.Close()
		}
	})
	_ = hold

	const timeout = time.Second
	for _, tc := range []struct {
		name string
		cfg  conn.Config
		want error
		addr string
	}{
		{"refused", conn.Config{Addrs: []string{refused}}, conn.ErrRefused, refused},
		{"no such host", conn.Config{Addrs: []string{"no-such-host.invalid:6379"}}, conn.ErrDNS, "no-such-host.invalid"},
		{"no such socket", conn.Config{Addrs: []string{"/no/such/socket"}}, conn.ErrRefused, "/no/such/socket"},
		{"silent", conn.Config{Addrs: []string{silent}}, conn.ErrTimeout, silent},
		{"wrong password", conn.Config{Addrs: []string{secured.Addr()}, Password: "wrong"}, conn.ErrAuth, secured.Addr()},
		{"no password", conn.Config{Addrs: []string{secured.Addr()}}, conn.ErrAuth, secured.Addr()},
		{"unknown user", conn.Config{Addrs: []string{secured.Addr()}, Username: "nobody", Password: "x"}, conn.ErrAuth, secured.Addr()},
		{"not a cluster", conn.Config{Addrs: []string{plain.Addr()}, Mode: conn.ModeCluster}, conn.ErrWrongMode, plain.Addr()},
		{"no TLS there", conn.Config{URL: "rediss://" + plain.Addr()}, conn.ErrTimeout, plain.Addr()},
		{"too many clients", conn.Config{Addrs: []string{full.Addr()}}, conn.ErrMaxClients, full.Addr()},
		{"several, all refused", conn.Config{Addrs: []string{refused, unusedAddr(t)}, Mode: conn.ModeCluster}, conn.ErrRefused, refused},
		{"Sentinels refused", conn.Config{Addrs: []string{refused}, SentinelMaster: "m"}, conn.ErrRefused, refused},
		{"not a Sentinel", conn.Config{Addrs: []string{plain.Addr()}, SentinelMaster: "m"}, conn.ErrWrongMode, plain.Addr()},
	} {
		t.Run(tc.name, func(t *testing.T) {
			tc.cfg.ConnectTimeout = timeout
			start := time.Now()
			c, err := conn.Open(t.Context(), tc.cfg)
			took := time.Since(start)
			if err == nil {
				_ = c.Close(t.Context())
				t.Fatal("it connected")
			}
			t.Logf("%v: %v", took.Round(time.Millisecond), err)
			if !errors.Is(err, tc.want) {
				t.Errorf("the error is not %q", tc.want)
			}
			for _, other := range []error{conn.ErrRefused, conn.ErrDNS, conn.ErrTLS, conn.ErrAuth, conn.ErrMaxClients, conn.ErrTimeout, conn.ErrWrongMode} {
				if !errors.Is(tc.want, other) && errors.Is(err, other) {
					t.Errorf("the error is also %q", other)
				}
			}
			if !strings.Contains(err.Error(), tc.addr) {
				t.Errorf("the error does not say %s", tc.addr)
			}
			if took > timeout+500*time.Millisecond {
				t.Errorf("it took %v with a connect time-out of %v", took, timeout)
			}
		})
	}
}

// NOPERM at the handshake (SELECT, here) and a wrong database number.
func TestOpenPermission(t *testing.T) {
	t.Parallel()
	s := redistest.Standalone(t, redistest.Options{Users: []string{"few on >pw ~* +ping +hello +get"}})
	_, err := conn.Open(t.Context(), conn.Config{Addrs: []string{s.Addr()}, Username: "few", Password: "pw", DB: 1})
	if !errors.Is(err, conn.ErrPermission) || conn.Retry(err) != conn.RetryNo {
		t.Errorf("got %v", err)
	}
	// Lazy, it does not take the refusal for an answer.
	lazy := open(t, conn.Config{Addrs: []string{s.Addr()}, Username: "few", Password: "pw", DB: 1, Lazy: true})
	if err := lazy.Do(t.Context(), lazy.B().Get().Key("k").Build()).Error(); !errors.Is(err, conn.ErrPermission) {
		t.Errorf("lazy: %v", err)
	}
	within(t, 3*time.Second, "the state says so", func() bool { return lazy.State() == conn.Failed })
	// What it may do is enough to connect.
	c := open(t, conn.Config{Addrs: []string{s.Addr()}, Username: "few", Password: "pw"})
	if err := c.Do(t.Context(), c.B().Set().Key("k").Value("v").Build()).Error(); !errors.Is(err, conn.ErrPermission) || conn.Retry(err) != conn.RetryNo {
		t.Errorf("got %v", err)
	}
}

// A cancelled context ends Open before the connect time-out.
func TestOpenEndsWithContext(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	start := time.Now()
	_, err := conn.Open(ctx, conn.Config{Addrs: []string{silentAddr(t)}})
	if took := time.Since(start); took > time.Second || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("after %v: %v", took, err)
	}
}

// A lazy Client needs no server until it is used, and connects then.
func TestLazyStandalone(t *testing.T) {
	t.Parallel()
	s := redistest.Standalone(t, redistest.Options{})
	must(t, s.Stop(t.Context()))
	c := open(t, conn.Config{URL: s.URL(), Lazy: true})
	if c.State() != conn.Disconnected || c.Stats().Dials != 0 {
		t.Fatalf("it is %v after %d dials, before its first use", c.State(), c.Stats().Dials)
	}
	start := time.Now()
	err := c.Do(t.Context(), c.B().Set().Key("k").Value("v").Build()).Error()
	if !errors.Is(err, conn.ErrNotConnected) || !errors.Is(err, conn.ErrRefused) || errors.Is(err, conn.ErrUnknownOutcome) {
		t.Errorf("a write while the server is down: %v", err)
	}
	t.Logf("refused after %v: %v", time.Since(start), err)
	must(t, s.Start(t.Context()))
	took := within(t, 3*time.Second, "a write succeeds after the server has started", func() bool {
		return c.Do(t.Context(), c.B().Set().Key("k").Value("v").Build()).Error() == nil
	})
	t.Logf("first write %v after the start", took)
}

// Shared gives one Client per configuration, and closes it with the last user.
func TestSharedOneConnection(t *testing.T) {
	t.Parallel()
	s := redistest.Standalone(t, redistest.Options{})
	cfg := conn.Config{URL: s.URL(), ClientName: "shared"}
	var clients []*conn.Client
	for range 8 {
		c, err := conn.Shared(t.Context(), cfg)
		must(t, err)
		clients = append(clients, c)
	}
	if n := clientsNamed(t, s, "shared"); n != 1 {
		t.Errorf("%d connections, not 1", n)
	}
	for _, c := range clients[1:] {
		for range 3 { // however often: it counts once
			must(t, c.Close(t.Context()))
		}
	}
	must(t, clients[0].Do(t.Context(), clients[0].B().Ping().Build()).Error())
	must(t, clients[0].Close(t.Context()))
	for _, c := range clients {
		if err := c.Do(t.Context(), c.B().Ping().Build()).Error(); !errors.Is(err, conn.ErrClosed) {
			t.Errorf("after the last Close: %v", err)
		}
	}
	within(t, time.Second, "the server has lost the connection", func() bool { return clientsNamed(t, s, "shared") == 0 })
}

func clientsNamed(tb testing.TB, s *redistest.Server, name string) int {
	tb.Helper()
	list, err := s.Do(tb.Context(), "CLIENT", "LIST")
	must(tb, err)
	text, ok := list.(string)
	if !ok {
		tb.Fatalf("CLIENT LIST gave %T", list)
	}
	return strings.Count(text, "name="+name+" ")
}
