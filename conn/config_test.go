package conn

import (
	"context"
	"crypto/tls"
	"errors"
	"math"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/redis/rueidis"
)

func someCredentials(context.Context) (Credentials, error) { return Credentials{}, nil }

// The zero Config means what the documentation says that it means.
func TestConfigDefaults(t *testing.T) {
	r, err := Config{}.resolve()
	if err != nil {
		t.Fatal(err)
	}
	want := resolved{mode: ModeStandalone, Config: Config{
		Addrs: []string{"localhost:6379"}, ConnectTimeout: 5 * time.Second, CommandTimeout: 3 * time.Second,
		ProbeInterval: time.Second, ProbeTimeout: time.Second, MaxRetries: 3, MaxPending: 16384, PoolSize: 64, BufferBytes: 1 << 20,
	}}
	if !reflect.DeepEqual(r, want) {
		t.Errorf("got  %#v\nwant %#v", r.Config.ConnectTimeout, want)
		t.Errorf("got %+v, want %+v", reflect.ValueOf(r).Field(1), reflect.ValueOf(want).Field(1))
	}
}

// Every field of Config is in one of the tables of this file: a new one that
// nobody validates or tests fails here.
func TestConfigFieldsAreCovered(t *testing.T) {
	covered := map[string]bool{}
	for _, tc := range badConfigs {
		covered[tc.field] = true
	}
	for _, name := range []string{"Lazy", "Observer", "MaxRetries", "Username", "TLS", "NewClient"} {
		covered[name] = true // any value is right; TestConfigKeepsFields has them
	}
	for i := range reflect.TypeFor[Config]().NumField() {
		if name := reflect.TypeFor[Config]().Field(i).Name; !covered[name] {
			t.Errorf("no test has a wrong Config.%s", name)
		}
	}
}

var badConfigs = []struct {
	name  string
	field string
	cfg   Config
}{
	{"no mode", "Mode", Config{Mode: "primary"}},
	{"a mode is lower case", "Mode", Config{Mode: "Cluster"}},
	{"sentinel without a master", "SentinelMaster", Config{Mode: ModeSentinel}},
	{"standalone with a master", "SentinelMaster", Config{Mode: ModeStandalone, SentinelMaster: "m"}},
	{"cluster with a master", "SentinelMaster", Config{Mode: ModeCluster, SentinelMaster: "m"}},
	{"the Sentinels' user without Sentinels", "SentinelUsername", Config{SentinelUsername: "u"}},
	{"the Sentinels' password without Sentinels", "SentinelPassword", Config{SentinelPassword: "p"}},
	{"the Sentinels' user without a password", "SentinelPassword", Config{SentinelMaster: "m", SentinelUsername: "u"}},
	{"standalone with two addresses", "Addrs", Config{Mode: ModeStandalone, Addrs: []string{"a", "b"}}},
	{"cluster with a database", "DB", Config{Mode: ModeCluster, DB: 1}},
	{"several addresses are a cluster, with a database", "DB", Config{Addrs: []string{"a", "b"}, DB: 1}},
	{"negative database", "DB", Config{DB: -1}},
	{"socket in a cluster", "Addrs", Config{Addrs: []string{"/a.sock", "/b.sock"}}},
	{"socket of a Sentinel", "Addrs", Config{Addrs: []string{"/a.sock"}, SentinelMaster: "m"}},
	{"empty address", "Addrs", Config{Addrs: []string{""}}},
	{"the second address is empty", "Addrs", Config{Addrs: []string{"a", ""}}},
	{"user without a password", "Password", Config{Username: "u"}},
	{"credentials and a password", "Credentials", Config{Credentials: someCredentials, Password: "p"}},
	{"credentials and a user", "Credentials", Config{Credentials: someCredentials, Username: "u"}},
	{"opening brace in the prefix", "KeyPrefix", Config{KeyPrefix: "a{b"}},
	{"closing brace in the prefix", "KeyPrefix", Config{KeyPrefix: "a}b"}},
	{"long prefix", "KeyPrefix", Config{KeyPrefix: strings.Repeat("p", maxPrefix+1)}},
	{"space in the name", "ClientName", Config{ClientName: "a b"}},
	{"newline in the name", "ClientName", Config{ClientName: "a\n"}},
	{"a name outside ASCII", "ClientName", Config{ClientName: "é"}},
	{"DEL in the name", "ClientName", Config{ClientName: "\x7f"}},
	{"negative", "ConnectTimeout", Config{ConnectTimeout: -1}},
	{"a number where a duration was meant", "ConnectTimeout", Config{ConnectTimeout: 5}},
	{"too long", "ConnectTimeout", Config{ConnectTimeout: math.MaxInt64}},
	{"negative", "CommandTimeout", Config{CommandTimeout: -time.Second}},
	{"just too short", "CommandTimeout", Config{CommandTimeout: time.Millisecond - 1}},
	{"overflows a deadline", "CommandTimeout", Config{CommandTimeout: math.MaxInt64}},
	{"negative", "ProbeInterval", Config{ProbeInterval: -1}},
	{"too long", "ProbeInterval", Config{ProbeInterval: math.MaxInt64}},
	{"negative", "ProbeTimeout", Config{ProbeTimeout: -1}},
	{"too long", "ProbeTimeout", Config{ProbeTimeout: math.MaxInt64}},
	{"negative", "MaxPending", Config{MaxPending: -1}},
	{"too many", "MaxPending", Config{MaxPending: math.MaxInt}},
	{"negative", "PoolSize", Config{PoolSize: -1}},
	{"too many", "PoolSize", Config{PoolSize: math.MaxInt}},
	{"negative", "BufferBytes", Config{BufferBytes: -1}},
	{"too small", "BufferBytes", Config{BufferBytes: 8<<10 - 1}},
	{"too large", "BufferBytes", Config{BufferBytes: math.MaxInt}},
	{"a URL that is none", "URL", Config{URL: "localhost:6379"}},
}

func TestConfigRefuses(t *testing.T) {
	for _, tc := range badConfigs {
		t.Run(tc.field+": "+tc.name, func(t *testing.T) {
			_, err := tc.cfg.resolve()
			wantArgument(t, err, "Config."+tc.field)
			c, openErr := Open(t.Context(), tc.cfg)
			if c != nil || openErr == nil || openErr.Error() != err.Error() {
				t.Errorf("Open: %v, %v; resolve: %v", c, openErr, err)
			}
			if Retry(err) != RetryNo {
				t.Error("Retry says that the same Config may work later")
			}
		})
	}
}

// What a user supplied is shown in an error, but not a megabyte of it.
func TestConfigErrorsAreShort(t *testing.T) {
	long := strings.Repeat("x", 1<<20)
	for _, cfg := range []Config{
		{Mode: Mode(long)},
		{KeyPrefix: "{" + long},
		{ClientName: " " + long},
		{Addrs: []string{long + ":1:2"}},
		{URL: "redis://h?" + long + "=1"},
		{URL: "redis://h?lazy=" + long},
		{URL: "redis://h?mode=" + long},
		{URL: long},
	} {
		if _, err := cfg.resolve(); err == nil || len(err.Error()) > 500 {
			t.Errorf("%T of %d bytes", err, len(err.Error()))
		}
	}
}

func TestConfigBounds(t *testing.T) {
	for _, cfg := range []Config{
		{ConnectTimeout: time.Millisecond, CommandTimeout: time.Millisecond, ProbeInterval: time.Millisecond, ProbeTimeout: time.Millisecond},
		{ConnectTimeout: time.Hour, CommandTimeout: time.Hour, ProbeInterval: time.Hour, ProbeTimeout: time.Hour},
		{MaxPending: 1, PoolSize: 1, BufferBytes: 8 << 10},
		{MaxPending: 1 << 20, PoolSize: 1 << 14, BufferBytes: 64 << 20},
		{KeyPrefix: strings.Repeat("p", maxPrefix), ClientName: "!name~", DB: 1 << 20},
	} {
		r, err := cfg.resolve()
		if err != nil {
			t.Errorf("%+v: %v", cfg, err)
		}
		// Said explicitly, no value is replaced by a default.
		for i := range reflect.TypeFor[Config]().NumField() {
			got, want := reflect.ValueOf(r.Config).Field(i), reflect.ValueOf(cfg).Field(i)
			if !want.IsZero() && !reflect.DeepEqual(got.Interface(), want.Interface()) {
				t.Errorf("%s became %v", reflect.TypeFor[Config]().Field(i).Name, got)
			}
		}
	}
}

func TestConfigKeepsFields(t *testing.T) {
	o := ObserverFunc(func(context.Context, Event) {})
	n := func(rueidis.ClientOption) (rueidis.Client, error) { return nil, errors.ErrUnsupported }
	r, err := Config{Username: "u", Password: "p", Lazy: true, Observer: o, NewClient: n}.resolve()
	if err != nil || r.Username != "u" || r.Password != "p" || !r.Lazy || r.Observer == nil || r.NewClient == nil {
		t.Errorf("%v: %+v", err, r)
	}
	for given, want := range map[int]int{0: 3, -1: 0, -100: 0, 1: 1, 50: 50} {
		if r, err := (Config{MaxRetries: given}).resolve(); err != nil || r.MaxRetries != want {
			t.Errorf("MaxRetries %d became %d, want %d: %v", given, r.MaxRetries, want, err)
		}
	}
	if r, err := (Config{Credentials: someCredentials}).resolve(); err != nil || r.Credentials == nil {
		t.Errorf("%v", err)
	}
	if r, err := (Config{SentinelMaster: "m", SentinelUsername: "u", SentinelPassword: "p"}).resolve(); err != nil || r.SentinelUsername != "u" || r.SentinelPassword != "p" {
		t.Errorf("%v", err)
	}
}

// resolve changes neither the slice nor the tls.Config of its caller, and TLS
// 1.2 is the least whatever the caller asks for.
func TestConfigIsNotChanged(t *testing.T) {
	addrs := []string{"a", "b"}
	for given, want := range map[uint16]uint16{0: tls.VersionTLS12, tls.VersionTLS10: tls.VersionTLS12, tls.VersionTLS12: tls.VersionTLS12, tls.VersionTLS13: tls.VersionTLS13} {
		cfg := Config{Addrs: addrs, TLS: &tls.Config{MinVersion: given, ServerName: "s"}}
		r, err := cfg.resolve()
		if err != nil {
			t.Fatal(err)
		}
		if r.TLS.MinVersion != want || r.TLS.ServerName != "s" {
			t.Errorf("MinVersion %x became %x, want %x", given, r.TLS.MinVersion, want)
		}
		if cfg.TLS.MinVersion != given || !slices.Equal(addrs, []string{"a", "b"}) {
			t.Errorf("the caller's Config changed: %x, %q", cfg.TLS.MinVersion, addrs)
		}
	}
}

func TestModes(t *testing.T) {
	for _, tc := range []struct {
		cfg   Config
		mode  Mode
		addrs string
	}{
		{Config{}, ModeStandalone, "localhost:6379"},
		{Config{Addrs: []string{"a"}}, ModeStandalone, "a:6379"},
		{Config{Addrs: []string{"a"}, Mode: ModeCluster}, ModeCluster, "a:6379"},
		{Config{Mode: ModeCluster}, ModeCluster, "localhost:6379"},
		{Config{Addrs: []string{"a", "b:1"}}, ModeCluster, "a:6379 b:1"},
		{Config{Addrs: []string{"a", "b:1"}, SentinelMaster: "m"}, ModeSentinel, "a:26379 b:1"},
		{Config{SentinelMaster: "m"}, ModeSentinel, "localhost:26379"},
		{Config{SentinelMaster: "m", Mode: ModeSentinel, DB: 3}, ModeSentinel, "localhost:26379"},
		{Config{Mode: ModeStandalone, DB: 3}, ModeStandalone, "localhost:6379"},
		{Config{Addrs: []string{"/run/redis.sock"}}, ModeStandalone, "/run/redis.sock"},
	} {
		r, err := tc.cfg.resolve()
		if err != nil || r.mode != tc.mode || strings.Join(r.Addrs, " ") != tc.addrs {
			t.Errorf("%v: %s %v: %v", tc.cfg, r.mode, r.Addrs, err)
		}
		if c := lazy(t, tc.cfg); tc.cfg.Addrs != nil && c.Mode() != tc.mode {
			t.Errorf("Mode of the Client is %s", c.Mode())
		}
	}
}

func TestAddresses(t *testing.T) {
	for given, want := range map[string]string{
		"h":                   "h:6379",
		"h:1":                 "h:1",
		"h:65535":             "h:65535",
		"h:":                  "h:6379",
		":7000":               "localhost:7000",
		"10.0.0.1":            "10.0.0.1:6379",
		"10.0.0.1:7000":       "10.0.0.1:7000",
		"::1":                 "[::1]:6379",
		"[::1]":               "[::1]:6379",
		"[::1]:7000":          "[::1]:7000",
		"2001:db8::2:1":       "[2001:db8::2:1]:6379",
		"fe80::1%eth0":        "[fe80::1%eth0]:6379",
		"[fe80::1%eth0]":      "[fe80::1%eth0]:6379",
		"[fe80::1%eth0]:7000": "[fe80::1%eth0]:7000",
		"redis_1.local":       "redis_1.local:6379",
		"bücher.example":      "bücher.example:6379",
		"/run/redis.sock":     "/run/redis.sock",
		"/run/with space@x:1": "/run/with space@x:1",
	} {
		if got, err := normalizeAddr(given, "6379"); err != nil || got != want {
			t.Errorf("%q became %q, want %q: %v", given, got, want, err)
		}
	}
	for _, given := range []string{
		"", "redis://h", "redis://:hunter2@h", "user:hunter2@h:6379", "h:6379/0", "h:1:2", "a:b:c", "h 1", " h", "h:6379 ",
		"h:0", "h:65536", "h:-1", "h:+1", "h:http", "h:6379?db=1", "h:hunter2", "h\n", "h\x00:1", "h\r\nSET a b", "h\tx",
		"[", "]", "[]", "[]:1", "[h", "[h]x", "[::1", "::1]", "h#1", "h\\x", "h?x",
	} {
		got, err := normalizeAddr(given, "6379")
		if err == nil {
			t.Errorf("%q became %q", given, got)
		} else if strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%q: the error shows what may be a password: %v", given, err)
		} else if strings.ContainsAny(err.Error(), "\n\r\x00") {
			t.Errorf("%q: the error is not one line: %q", given, err)
		}
	}
}
