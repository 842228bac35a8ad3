package integration_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/rueidis"

	"github.com/relay-platform/redis/conn"
	"github.com/relay-platform/redis/internal/redistest"
)

// TLS in every way it can go wrong: closed, and told apart (test 16).
func TestTLSMatrix(t *testing.T) {
	t.Parallel()
	certs := redistest.Certificates()
	good := redistest.Standalone(t, redistest.Options{TLS: &redistest.TLS{}})
	mutual := redistest.Standalone(t, redistest.Options{TLS: &redistest.TLS{ClientCert: true}})
	stale := redistest.Standalone(t, redistest.Options{TLS: &redistest.TLS{Expired: true}})
	other := redistest.Standalone(t, redistest.Options{TLS: &redistest.TLS{Host: "redis.example"}})
	ca := func(change func(*tls.Config)) *tls.Config {
		c := &tls.Config{RootCAs: certs.CA, MinVersion: tls.VersionTLS12}
		if change != nil {
			change(c)
		}
		return c
	}
	for _, tc := range []struct {
		name string
		s    *redistest.Server
		tls  *tls.Config
		ok   bool
	}{
		{"private CA", good, ca(nil), true},
		{"system CAs only", good, &tls.Config{MinVersion: tls.VersionTLS12}, false},
		{"another CA", good, &tls.Config{RootCAs: certs.OtherCA, MinVersion: tls.VersionTLS12}, false},
		{"verification off, as asked", good, &tls.Config{InsecureSkipVerify: true, MinVersion: tls.VersionTLS12}, true},
		{"expired", stale, ca(nil), false},
		{"another host", other, ca(nil), false},
		{"another host, asked for", other, ca(func(c *tls.Config) { c.ServerName = "redis.example" }), true},
		{"client certificate missing", mutual, ca(nil), false},
		{"client certificate of another CA", mutual, ca(func(c *tls.Config) { c.Certificates = []tls.Certificate{certs.Foreign} }), false},
		{"client certificate", mutual, ca(func(c *tls.Config) { c.Certificates = []tls.Certificate{certs.Client} }), true},
		{"at most TLS 1.1", good, ca(func(c *tls.Config) { c.MinVersion, c.MaxVersion = tls.VersionTLS10, tls.VersionTLS11 }), false},
		{"at most TLS 1.2", good, ca(func(c *tls.Config) { c.MaxVersion = tls.VersionTLS12 }), true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			c, err := conn.Open(t.Context(), conn.Config{Addrs: []string{tc.s.Addr()}, TLS: tc.tls, ConnectTimeout: 2 * time.Second})
			if err == nil {
				defer c.Close(t.Context())
				must(t, c.Do(t.Context(), c.B().Set().Key("k").Value("v").Build()).Error())
			}
			t.Log(err)
			if tc.ok != (err == nil) {
				t.Errorf("connected: %t", err == nil)
			}
			if !tc.ok && (!errors.Is(err, conn.ErrTLS) || !strings.Contains(err.Error(), tc.s.Addr()) || conn.Retry(err) != conn.RetryNo) {
				t.Errorf("got %v", err)
			}
		})
	}
	// No TLS toward a TLS port fails, too, and does not hang.
	if _, err := conn.Open(t.Context(), conn.Config{Addrs: []string{good.Addr()}, ConnectTimeout: time.Second}); err == nil {
		t.Error("connected to a TLS port without TLS")
	} else {
		t.Logf("without TLS: %v", err)
	}
}

// TLS and passwords go to every node and to the Sentinels.
func TestTLSGroups(t *testing.T) {
	t.Parallel()
	for _, topology := range []redistest.Topology{redistest.TopologySentinel, redistest.TopologyCluster} {
		t.Run(string(topology), func(t *testing.T) {
			t.Parallel()
			g, err := redistest.StartGroup(t.Context(), topology, redistest.Options{
				TLS: &redistest.TLS{ClientCert: true}, Password: "data-password", SentinelPassword: "sentinel-password",
			})
			must(t, err)
			t.Cleanup(func() {
				if err := g.Close(); err != nil {
					t.Error(err)
				}
			})
			certs := redistest.Certificates()
			cfg := conn.Config{Addrs: g.Addrs(), Password: "data-password", TLS: &tls.Config{
				RootCAs: certs.CA, Certificates: []tls.Certificate{certs.Client}, MinVersion: tls.VersionTLS12,
			}}
			if topology == redistest.TopologySentinel {
				cfg.SentinelMaster, cfg.SentinelPassword = redistest.MasterName, "sentinel-password"
			} else {
				cfg.Mode = conn.ModeCluster
			}
			c := open(t, cfg)
			for i := range 50 {
				must(t, c.Do(t.Context(), c.B().Set().Key(itoa(i)).Value("v").Build()).Error())
			}
			if topology == redistest.TopologySentinel {
				cfg.SentinelPassword = "wrong"
				if _, err := conn.Open(t.Context(), cfg); !errors.Is(err, conn.ErrAuth) {
					t.Errorf("with the Sentinels' password wrong: %v", err)
				}
			}
			cfg.SentinelPassword, cfg.Password = "", "wrong"
			if topology == redistest.TopologySentinel {
				cfg.SentinelPassword = "sentinel-password"
			}
			if _, err := conn.Open(t.Context(), cfg); !errors.Is(err, conn.ErrAuth) {
				t.Errorf("with the servers' password wrong: %v", err)
			}
			// The certificate of each node is verified for its own address.
			cfg.Password, cfg.TLS = "data-password", &tls.Config{RootCAs: certs.OtherCA, MinVersion: tls.VersionTLS12}
			if _, err := conn.Open(t.Context(), cfg); !errors.Is(err, conn.ErrTLS) {
				t.Errorf("with another CA: %v", err)
			}
		})
	}
}

// Credentials are asked for at each connection, and anew when they say so.
func TestCredentialsRotate(t *testing.T) {
	t.Parallel()
	s := redistest.Standalone(t, redistest.Options{Users: []string{"app on >first ~* &* +@all"}})
	var asked atomic.Int64
	var password atomic.Value
	password.Store("first")
	c := open(t, conn.Config{Addrs: []string{s.Addr()}, Credentials: func(context.Context) (conn.Credentials, error) {
		asked.Add(1)
		return conn.Credentials{Username: "app", Password: password.Load().(string), RefreshAfter: time.Now().Add(100 * time.Millisecond)}, nil
	}})
	w := watch(t, c)
	within(t, 6*time.Second, "asked again while connected", func() bool { return asked.Load() >= 3 })
	if n := c.Stats().Dials; n != 1 {
		t.Errorf("refreshing took %d connections", n)
	}
	password.Store("second")
	_, err := s.Do(t.Context(), "ACL", "SETUSER", "app", "resetpass", ">second")
	must(t, err)
	_, err = s.Do(t.Context(), "CLIENT", "KILL", "USER", "app")
	must(t, err)
	w.await(t, conn.Reconnecting, 3*time.Second)
	w.await(t, conn.Connected, 3*time.Second)
	must(t, c.Do(t.Context(), c.B().Ping().Build()).Error())

	// One that hangs is given up within the connect time-out; one that fails
	// says why.
	start := time.Now()
	_, err = conn.Open(t.Context(), conn.Config{
		Addrs: []string{s.Addr()}, ConnectTimeout: 300 * time.Millisecond,
		Credentials: func(ctx context.Context) (conn.Credentials, error) {
			<-ctx.Done()
			return conn.Credentials{}, ctx.Err()
		},
	})
	if took := time.Since(start); err == nil || took > 2*time.Second {
		t.Errorf("after %v: %v", took, err)
	}
	vault := errors.New("the vault is sealed")
	_, err = conn.Open(t.Context(), conn.Config{
		Addrs:       []string{s.Addr()},
		Credentials: func(context.Context) (conn.Credentials, error) { return conn.Credentials{}, vault },
	})
	if !errors.Is(err, vault) || !errors.Is(err, conn.ErrAuth) {
		t.Errorf("got %v", err)
	}
}

// No password appears in anything that can be printed, whatever goes wrong
// (test 13).
func TestSecretCanaries(t *testing.T) {
	t.Parallel()
	const canary, canary2 = "canary-Tr0ub4dor", "canary-2-H0rse"
	s := redistest.Standalone(t, redistest.Options{Users: []string{"app on >" + canary + " ~app:* +@read +ping +hello"}})
	var out bytes.Buffer
	texts := 0
	logs := []*slog.Logger{slog.New(slog.NewJSONHandler(&out, nil)), slog.New(slog.NewTextHandler(&out, nil))}
	show := func(v any) {
		if v == nil {
			return
		}
		texts++
		fmt.Fprintf(&out, "%v %+v %#v %s %q\n", v, v, v, v, v)
		if b, err := json.Marshal(v); err == nil {
			out.Write(b)
		}
		for _, l := range logs {
			l.Info("canary", "v", v)
		}
		if err, ok := v.(error); ok {
			for err != nil {
				fmt.Fprintf(&out, "%v %+v %#v\n", err, err, err)
				if many, ok := err.(interface{ Unwrap() []error }); ok {
					for _, e := range many.Unwrap() {
						fmt.Fprintf(&out, "%v %+v\n", e, e)
					}
				}
				err = errors.Unwrap(err)
			}
		}
	}
	try := func(cfg conn.Config) *conn.Client {
		show(cfg)
		show(&cfg)
		cfg.ConnectTimeout = 300 * time.Millisecond
		c, err := conn.Open(t.Context(), cfg)
		show(err)
		if c != nil {
			closeAtEnd(t, c)
			show(c)
			c.OnStateChange(func(ch conn.StateChange) { _ = ch })
		}
		return c
	}
	dead := unusedAddr(t)
	c := try(conn.Config{Addrs: []string{s.Addr()}, Username: "app", Password: canary})
	if c == nil {
		t.Fatal("the right password does not connect")
	}
	try(conn.Config{Addrs: []string{s.Addr()}, Username: "app", Password: canary2})
	try(conn.Config{URL: "redis://app:" + canary2 + "@" + s.Addr()})
	try(conn.Config{URL: "redis://app:" + canary2 + "@" + dead})
	try(conn.Config{URL: "redis://app:" + canary2 + "#x@" + dead})
	try(conn.Config{URL: "redis://app:" + canary2 + "/x?y@" + dead})
	try(conn.Config{URL: canary2 + "://" + dead})
	try(conn.Config{URL: "app:" + canary2 + "@" + dead})
	try(conn.Config{URL: "redis://" + dead + "?password=" + canary2})
	try(conn.Config{Addrs: []string{"redis://app:" + canary2 + "@" + dead}})
	try(conn.Config{Addrs: []string{"app:" + canary2 + "@" + dead}})
	try(conn.Config{Addrs: []string{s.Addr()}, SentinelMaster: "m", Password: canary2, SentinelPassword: canary2})
	try(conn.Config{Addrs: []string{dead}, Mode: conn.ModeCluster, Password: canary2})
	try(conn.Config{Addrs: []string{s.Addr()}, Credentials: func(context.Context) (conn.Credentials, error) {
		return conn.Credentials{Username: "app", Password: canary2}, nil
	}})
	// Commands that carry secrets, and fail in every way.
	for _, cmd := range []rueidis.Completed{
		c.B().Auth().Username("app").Password(canary2).Build(),
		c.B().Arbitrary("CONFIG", "SET", "requirepass", canary2).Build(),
		c.B().Arbitrary("NOSUCHCOMMAND", canary2).Build(),
		c.B().Arbitrary("AUTH", canary2).Build(),
		c.B().Set().Key("other:" + canary2).Value(canary2).Build(),
		c.B().Eval().Script("return redis.error_reply('x')").Numkeys(0).Arg(canary2).Build(),
	} {
		show(c.Do(t.Context(), cmd).Error())
	}
	must(t, s.Freeze(t.Context()))
	show(c.Do(timeout(t, 50*time.Millisecond), c.B().Auth().Username("app").Password(canary2).Build()).Error())
	must(t, s.Thaw(t.Context()))
	show(c.LastStateChange())
	t.Logf("%d values shown, %d bytes of text", texts, out.Len())
	if strings.Contains(out.String(), "canary-") {
		i := strings.Index(out.String(), "canary-")
		t.Errorf("a secret is shown: …%s…", out.String()[max(0, i-200):min(out.Len(), i+50)])
	}
	if texts < 40 {
		t.Error("too few values were shown")
	}
}

// Every error of a server has its sentinel and its class (test 17). The errors
// are the server's own, not made up.
func TestEveryServerErrorHasItsKind(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	s := redistest.Standalone(t, redistest.Options{
		Users:  []string{"few on >few ~few:* +get +set +ping +hello"},
		Config: map[string]string{"min-replicas-to-write": "0", "busy-reply-threshold": "100"},
	})
	replica := redistest.Standalone(t, redistest.Options{Config: map[string]string{"replica-serve-stale-data": "no"}})
	c := open(t, conn.Config{URL: s.URL()})
	few := open(t, conn.Config{Addrs: []string{s.Addr()}, Username: "few", Password: "few"})
	admin := func(srv *redistest.Server, args ...any) {
		t.Helper()
		if _, err := srv.Do(ctx, args...); err != nil {
			t.Fatalf("%v: %v", args, err)
		}
	}
	set := func(c *conn.Client) error { return c.Do(ctx, c.B().Set().Key("k").Value("v").Build()).Error() }
	check := func(what string, err, kind error, class conn.RetryClass) {
		t.Helper()
		t.Logf("%s: %v", what, err)
		if !errors.Is(err, kind) || conn.Retry(err) != class || errors.Is(err, conn.ErrUnknownOutcome) {
			t.Errorf("%s: %v is not %q, or of class %d, not %d", what, err, kind, conn.Retry(err), class)
		}
		var e *conn.Error
		if !errors.As(err, &e) || e.Op == "" {
			t.Errorf("%s: not a conn.Error with an operation: %#v", what, err)
		}
	}

	check("NOPERM", set(few), conn.ErrPermission, conn.RetryNo)
	admin(s, "SET", "text", "x")
	check("WRONGTYPE", c.Do(ctx, c.B().Lpush().Key("text").Element("x").Build()).Error(), conn.ErrWrongType, conn.RetryNo)
	check("WRONGTYPE in a script", conn.NewScript("test.type", "return redis.call('LPUSH', KEYS[1], 'x')").Run(ctx, c, []string{"text"}, nil).Error(), conn.ErrWrongType, conn.RetryNo)

	admin(s, "CONFIG", "SET", "maxmemory", "1")
	check("OOM", set(c), conn.ErrOutOfMemory, conn.RetryOK)
	check("OOM in a script", conn.NewScript("test.oom", "return redis.call('SET', KEYS[1], 'x')").Run(ctx, c, []string{"k"}, nil).Error(), conn.ErrOutOfMemory, conn.RetryOK)
	if err := c.Do(ctx, c.B().Del().Key("k").Build()).Error(); err != nil {
		t.Errorf("DEL while out of memory: %v", err)
	}
	admin(s, "CONFIG", "SET", "maxmemory", "0")

	admin(s, "CONFIG", "SET", "min-replicas-to-write", "1")
	check("NOREPLICAS", set(c), conn.ErrNoReplicas, conn.RetryOK)
	admin(s, "CONFIG", "SET", "min-replicas-to-write", "0")

	// A directory that does not let it save makes it refuse writes.
	if _, err := s.Do(ctx, "CONFIG", "SET", "save", "1 1"); err == nil {
		admin(s, "CONFIG", "SET", "stop-writes-on-bgsave-error", "yes")
	}

	rc := open(t, conn.Config{URL: replica.URL()})
	rw := watch(t, rc)
	host, port, _ := strings.Cut(s.Addr(), ":")
	admin(s, "ACL", "SETUSER", "default", "on", "nopass", "~*", "&*", "+@all")
	admin(replica, "REPLICAOF", host, port)
	within(t, 20*time.Second, "the replica follows", func() bool {
		info, err := replica.Info(ctx, "replication")
		return err == nil && info["master_link_status"] == "up"
	})
	check("READONLY", set(rc), conn.ErrReadOnly, conn.RetryOK)
	check("READONLY in a script", conn.NewScript("test.ro", "return redis.call('SET', KEYS[1], 'x')").Run(ctx, rc, []string{"k"}, nil).Error(), conn.ErrReadOnly, conn.RetryOK)
	must(t, s.Kill(ctx))
	within(t, 10*time.Second, "the replica lost its primary", func() bool {
		info, err := replica.Info(ctx, "replication")
		return err == nil && info["master_link_status"] == "down"
	})
	check("MASTERDOWN", rc.Do(ctx, rc.B().Get().Key("k").Build()).Error(), conn.ErrMasterDown, conn.RetryOK)
	down := rw.await(t, conn.Reconnecting, 5*time.Second)
	if !errors.Is(down.Cause, conn.ErrMasterDown) {
		t.Errorf("the state's cause is %v", down.Cause)
	}
}

// In a cluster: the errors that only a cluster has.
func TestClusterErrorsHaveTheirKind(t *testing.T) {
	t.Parallel()
	g := redistest.Cluster(t, redistest.Options{})
	ctx := t.Context()
	// A Client that takes a node for a standalone server is told so.
	_, err := conn.Open(ctx, conn.Config{Addrs: g.Addrs()[:1], Mode: conn.ModeStandalone})
	if !errors.Is(err, conn.ErrWrongMode) || !strings.Contains(err.Error(), "mode=cluster") {
		t.Errorf("a cluster node as a standalone server: %v", err)
	}
	c := open(t, conn.Config{Addrs: g.Addrs()[:1], Mode: conn.ModeCluster})
	// Take the slot of one key away from everybody.
	key := "gone"
	owner, err := g.Primary(ctx, key)
	must(t, err)
	for _, s := range g.Servers {
		if _, err := s.Do(ctx, "CLUSTER", "DELSLOTS", conn.Slot(key)); err != nil {
			t.Logf("%v", err) // replicas
		}
	}
	_ = owner
	var got error
	within(t, 10*time.Second, "CLUSTERDOWN", func() bool {
		got = c.Do(ctx, c.B().Set().Key(key).Value("v").Build()).Error()
		return errors.Is(got, conn.ErrClusterDown)
	})
	t.Log(got)
	if conn.Retry(got) != conn.RetryOK || errors.Is(got, conn.ErrUnknownOutcome) {
		t.Errorf("%v", got)
	}
	within(t, 5*time.Second, "the state says so", func() bool {
		ch := c.LastStateChange()
		return ch.To == conn.Reconnecting && errors.Is(ch.Cause, conn.ErrClusterDown)
	})
}

// The least that a user of conn alone has to be allowed (test 14): the ACL line
// of the README, on every topology.
func TestAnyLeastPrivilege(t *testing.T) {
	t.Parallel()
	acl := strings.Fields("on >pw ~app:* resetchannels -@all +hello +ping +client|setname +get +set +evalsha +eval")
	g := redistest.Default(t, redistest.Options{})
	cfg := conn.Config{Addrs: g.Addrs(), Username: "app", Password: "pw", KeyPrefix: "app:", ClientName: "least"}
	switch g.Topology() {
	case redistest.TopologySentinel:
		cfg.SentinelMaster = redistest.MasterName
	case redistest.TopologyCluster:
		cfg.Mode = conn.ModeCluster
	}
	for _, s := range g.Servers {
		setuser := func(rules ...string) error {
			args := []any{"ACL", "SETUSER", "app"}
			for _, r := range rules {
				args = append(args, r)
			}
			_, err := s.Do(t.Context(), args...)
			return err
		}
		must(t, setuser(acl...))
		switch g.Topology() {
		case redistest.TopologySentinel:
			must(t, setuser("+role"))
		case redistest.TopologyCluster:
			must(t, setuser("+cluster|slots", "+cluster|shards", "+cluster|info"))
		}
		if err := setuser("+client|setinfo"); err != nil && !strings.Contains(err.Error(), "Unknown command") {
			t.Fatal(err) // Redis 7.0 does not have it
		}
	}
	c := open(t, cfg)
	k := c.Keyspace("x").Key("k")
	must(t, c.Do(t.Context(), c.B().Set().Key(k).Value("v").Build()).Error())
	must(t, conn.NewScript("test.get", "return redis.call('GET', KEYS[1])").Run(t.Context(), c, []string{k}, nil).Error())
	if c.State() != conn.Connected {
		t.Errorf("it is %v", c.LastStateChange())
	}
	if err := c.Do(t.Context(), c.B().Get().Key("another").Build()).Error(); !errors.Is(err, conn.ErrPermission) {
		t.Errorf("another application's key: %v", err)
	}
}
