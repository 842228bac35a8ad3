package conn

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"runtime"
	"sync"
	"testing"
	"time"
	"weak"

	"github.com/redis/rueidis"
)

// shared returns what Shared does for a lazy Client.
func shared(t *testing.T, cfg Config) *Client {
	t.Helper()
	cfg.Lazy = true
	c, err := Shared(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return c
}

// entries is how many connections Shared holds.
func entries() int {
	registry.mu.Lock()
	defer registry.mu.Unlock()
	return len(registry.entries)
}

func same(a, b *Client) bool { return a.core == b.core }

type pointerObserver struct{ _ int }

func (*pointerObserver) Observe(context.Context, Event) {}

// Two types whose values take no space: their pointers are all equal.
type (
	emptyObserver  struct{}
	emptyObserver2 struct{}
)

func (*emptyObserver) Observe(context.Context, Event)  {}
func (*emptyObserver2) Observe(context.Context, Event) {}

// Configs that mean the same share a connection, however it was said.
func TestSharedSame(t *testing.T) {
	tlsConfig, observer := &tls.Config{}, &pointerObserver{}
	for _, group := range [][]Config{
		{{}, {Addrs: []string{"localhost"}}, {Addrs: []string{"localhost:6379"}}, {URL: "redis://localhost"}, {URL: "valkey://localhost:6379/0"}, {Mode: ModeStandalone}, {CommandTimeout: DefaultCommandTimeout, MaxRetries: DefaultMaxRetries}},
		{{URL: "redis://u:p@h:1/2"}, {Addrs: []string{"h:1"}, Username: "u", Password: "p", DB: 2}, {URL: "redis://h:1?db=2", Username: "u", Password: "p"}},
		{{URL: "redis://h?addr=i"}, {Addrs: []string{"h", "i"}}, {Addrs: []string{"h:6379", "i"}, Mode: ModeCluster}},
		{{URL: "redis://h?master_set=m"}, {Addrs: []string{"h"}, SentinelMaster: "m"}},
		{{URL: "rediss://h"}, {URL: "valkeys://h"}},
		{{Addrs: []string{"h"}, TLS: tlsConfig}, {URL: "rediss://h", TLS: tlsConfig}},
		{{Addrs: []string{"h"}, Observer: observer}, {URL: "redis://h", Observer: observer}},
		{{MaxRetries: -1}, {MaxRetries: -5}},
	} {
		first := shared(t, group[0])
		for _, cfg := range group[1:] {
			if !same(shared(t, cfg), first) {
				t.Errorf("%v and %v do not share", cfg, group[0])
			}
		}
	}
}

// Configs that differ in anything do not share.
func TestSharedDifferent(t *testing.T) {
	base := func() Config { return Config{Addrs: []string{"h"}, Password: "p"} }
	seen := map[*core]string{shared(t, base()).core: "base"}
	for name, change := range map[string]func(*Config){
		"Addrs":             func(c *Config) { c.Addrs = []string{"i"} },
		"Mode":              func(c *Config) { c.Mode = ModeCluster },
		"SentinelMaster":    func(c *Config) { c.SentinelMaster = "m" },
		"Username":          func(c *Config) { c.Username = "u" },
		"Password":          func(c *Config) { c.Password = "q" },
		"Password \xff":     func(c *Config) { c.Password = "\xff" },
		"Password \xfe":     func(c *Config) { c.Password = "\xfe" },
		"Password \ufffd":   func(c *Config) { c.Password = "\ufffd" },
		"words in one":      func(c *Config) { c.Username, c.Password = "u p", "q" },
		"words in both":     func(c *Config) { c.Username, c.Password = "u", "p q" },
		"no Password":       func(c *Config) { c.Password = "" },
		"SentinelUsername":  func(c *Config) { c.SentinelMaster, c.SentinelUsername, c.SentinelPassword = "m", "u", "q" },
		"SentinelPassword":  func(c *Config) { c.SentinelMaster, c.SentinelPassword = "m", "q" },
		"DB":                func(c *Config) { c.DB = 1 },
		"KeyPrefix":         func(c *Config) { c.KeyPrefix = "k" },
		"KeyPrefix \xff":    func(c *Config) { c.KeyPrefix = "\xff" },
		"KeyPrefix \xfe":    func(c *Config) { c.KeyPrefix = "\xfe" },
		"ClientName":        func(c *Config) { c.ClientName = "n" },
		"TLS":               func(c *Config) { c.TLS = &tls.Config{} },
		"another TLS":       func(c *Config) { c.TLS = &tls.Config{} },
		"TLS by URL":        func(c *Config) { c.Addrs, c.URL = nil, "rediss://h" },
		"ConnectTimeout":    func(c *Config) { c.ConnectTimeout = time.Minute },
		"CommandTimeout":    func(c *Config) { c.CommandTimeout = time.Minute },
		"ProbeInterval":     func(c *Config) { c.ProbeInterval = time.Minute },
		"ProbeTimeout":      func(c *Config) { c.ProbeTimeout = time.Minute },
		"MaxRetries":        func(c *Config) { c.MaxRetries = -1 },
		"MaxPending":        func(c *Config) { c.MaxPending = 1 },
		"PoolSize":          func(c *Config) { c.PoolSize = 1 },
		"BufferBytes":       func(c *Config) { c.BufferBytes = 1 << 16 },
		"Observer":          func(c *Config) { c.Observer = &pointerObserver{} },
		"another Observer":  func(c *Config) { c.Observer = &pointerObserver{} },
		"an empty Observer": func(c *Config) { c.Observer = &emptyObserver{} },
		"and of a type":     func(c *Config) { c.Observer = &emptyObserver2{} },
	} {
		cfg := base()
		change(&cfg)
		c := shared(t, cfg).core
		if other, ok := seen[c]; ok {
			t.Errorf("%s shares with %s", name, other)
		}
		seen[c] = name
	}
}

// What cannot be compared is refused, and so is what Open refuses.
func TestSharedRefuses(t *testing.T) {
	for field, cfg := range map[string]Config{
		"Credentials": {Credentials: someCredentials},
		"NewClient":   {NewClient: func(rueidis.ClientOption) (rueidis.Client, error) { return nil, nil }},
		"Observer":    {Observer: ObserverFunc(func(context.Context, Event) {})},
		"DB":          {DB: -1},
		"URL":         {URL: "h"},
	} {
		c, err := Shared(t.Context(), cfg)
		wantArgument(t, err, "Config."+field)
		if c != nil {
			t.Errorf("%s: a Client all the same", field)
		}
	}
	if n := entries(); n != 0 {
		t.Errorf("%d entries are left", n)
	}
}

// The connection is there until the last Close, and then for nobody; closing
// one Client twice counts once.
func TestSharedCounts(t *testing.T) {
	noLeaks(t)
	cfg := Config{Addrs: []string{"127.0.0.1:1"}, Lazy: true}
	var cs [3]*Client
	for i := range cs {
		var err error
		if cs[i], err = Shared(t.Context(), cfg); err != nil {
			t.Fatal(err)
		}
	}
	if entries() != 1 {
		t.Errorf("%d entries", entries())
	}
	for range 3 {
		if err := cs[0].Close(t.Context()); err != nil {
			t.Error(err)
		}
	}
	if err := cs[1].Close(t.Context()); err != nil {
		t.Error(err)
	}
	if s := cs[2].State(); s == End || entries() != 1 {
		t.Fatalf("the last user's connection is %v", s)
	}
	if err := cs[2].Close(t.Context()); err != nil {
		t.Error(err)
	}
	if s := cs[2].State(); s != End || entries() != 0 {
		t.Errorf("after the last Close it is %v, with %d entries", s, entries())
	}
	again := shared(t, cfg)
	if same(again, cs[2]) || again.State() == End {
		t.Error("what was closed is given out again")
	}
}

// Many at once get one connection, and it is closed once.
func TestSharedConcurrently(t *testing.T) {
	noLeaks(t)
	cfg := Config{Addrs: []string{"127.0.0.1:1"}, Lazy: true}
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 15 {
				c, err := Shared(context.Background(), cfg)
				if err != nil {
					t.Error(err)
					return
				}
				if c.State() == End {
					t.Error("a Client that is closed already is given out")
				}
				if err := c.Close(context.Background()); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	if n := entries(); n != 0 {
		t.Errorf("%d entries are left", n)
	}
}

// Who fails to open tells all who waited for it why, and the next one tries
// anew.
func TestSharedFails(t *testing.T) {
	noLeaks(t)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := ln.Addr().String()
	_ = ln.Close()
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			c, err := Shared(t.Context(), Config{Addrs: []string{addr}})
			if c != nil || !errors.Is(err, ErrRefused) || !errors.Is(err, ErrNotConnected) {
				t.Errorf("%v, %v", c, err)
			}
		})
	}
	wg.Wait()
	if n := entries(); n != 0 {
		t.Fatalf("%d entries are left", n)
	}
	p := newPeer(t, nil)
	c, err := Shared(t.Context(), Config{Addrs: []string{p.addr}})
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Close(t.Context()); err != nil {
		t.Error(err)
	}
}

// One who runs out of time while another opens gets an error of this package,
// and does not spoil it for the other; nothing is left open.
func TestSharedOutOfTime(t *testing.T) {
	noLeaks(t)
	hello := make(chan struct{})
	p := newPeer(t, func(args []string) string {
		if args[0] == "HELLO" {
			<-hello
		}
		return ""
	})
	cfg := Config{Addrs: []string{p.addr}}
	var wg sync.WaitGroup
	wg.Go(func() {
		c, err := Shared(t.Context(), cfg)
		if err != nil {
			t.Error(err)
			return
		}
		if err := c.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	if !poll(5*time.Second, func() bool { return entries() == 1 && p.accepted() > 0 }) {
		t.Fatal("nobody opens")
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	c, err := Shared(ctx, cfg)
	if c != nil || !errors.Is(err, ErrTimeout) || !errors.Is(err, context.DeadlineExceeded) || Retry(err) != RetryOK {
		t.Errorf("%v, %v", c, err)
	}
	close(hello)
	wg.Wait()
	if !poll(5*time.Second, func() bool { return entries() == 0 }) {
		t.Error("the connection stays open")
	}
}

// The *tls.Config that tells two Configs apart lives as long as the connection:
// else another one could get its address, and with it the connection.
func TestSharedKeepsTLSConfig(t *testing.T) {
	pointer := func() weak.Pointer[tls.Config] {
		cfg := &tls.Config{ServerName: "first"}
		shared(t, Config{Addrs: []string{"h"}, TLS: cfg})
		return weak.Make(cfg)
	}()
	for range 3 {
		runtime.GC()
	}
	if pointer.Value() == nil {
		t.Error("the tls.Config was collected, its address may be given to another")
	}
}
