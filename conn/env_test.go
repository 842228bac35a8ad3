package conn

import (
	"errors"
	"fmt"
	"strings"
	"testing"
)

func env(vars map[string]string) func(string) string {
	return func(name string) string { return vars[name] }
}

func TestFromEnvReadsTheEnvironment(t *testing.T) {
	for _, name := range []string{"REDIS_URL", "REDIS_HOST", "REDIS_PORT", "REDIS_USERNAME", "REDIS_DB", "REDIS_TLS"} {
		t.Setenv(name, "") // set and empty is the same as unset
	}
	t.Setenv("REDIS_PASSWORD", "p")
	t.Setenv("REDIS_KEY_PREFIX", "k:")
	cfg, err := FromEnv()
	if err != nil || cfg.Password != "p" || cfg.KeyPrefix != "k:" || cfg.Addrs != nil || cfg.URL != "" || cfg.TLS != nil {
		t.Errorf("%v: %v", cfg, err)
	}
}

func TestFromEnv(t *testing.T) {
	for _, tc := range []struct {
		vars  map[string]string
		want  Config // what resolves
		addrs string
		tls   bool
	}{
		{nil, Config{}, "localhost:6379", false},
		{map[string]string{"REDIS_URL": "redis://u:p@h:1/2"}, Config{Username: "u", Password: "p", DB: 2}, "h:1", false},
		{map[string]string{"REDIS_URL": "rediss://h"}, Config{}, "h:6379", true},
		{map[string]string{"REDIS_HOST": "h"}, Config{}, "h:6379", false},
		{map[string]string{"REDIS_HOST": "::1"}, Config{}, "[::1]:6379", false},
		{map[string]string{"REDIS_HOST": "[::1]", "REDIS_PORT": "1"}, Config{}, "[::1]:1", false},
		{map[string]string{"REDIS_PORT": "65535"}, Config{}, "localhost:65535", false},
		{map[string]string{"REDIS_PORT": "06379"}, Config{}, "localhost:6379", false},
		{map[string]string{"REDIS_HOST": "h", "REDIS_PORT": "1"}, Config{}, "h:1", false},
		{map[string]string{"REDIS_PASSWORD": "p"}, Config{Password: "p"}, "localhost:6379", false},
		{map[string]string{"REDIS_USERNAME": "u", "REDIS_PASSWORD": "p"}, Config{Username: "u", Password: "p"}, "localhost:6379", false},
		{map[string]string{"REDIS_DB": "0"}, Config{}, "localhost:6379", false},
		{map[string]string{"REDIS_DB": "7"}, Config{DB: 7}, "localhost:6379", false},
		{map[string]string{"REDIS_KEY_PREFIX": "k:"}, Config{KeyPrefix: "k:"}, "localhost:6379", false},
		{map[string]string{"REDIS_TLS": "true"}, Config{}, "localhost:6379", true},
		{map[string]string{"REDIS_TLS": "1"}, Config{}, "localhost:6379", true},
		{map[string]string{"REDIS_TLS": "false"}, Config{}, "localhost:6379", false},
		{map[string]string{"REDIS_TLS": "0"}, Config{}, "localhost:6379", false},
		// All together, and each agrees with the URL.
		{map[string]string{
			"REDIS_URL": "rediss://u:p@h:1/2?key_prefix=k:", "REDIS_HOST": "h", "REDIS_PORT": "1", "REDIS_USERNAME": "u",
			"REDIS_PASSWORD": "p", "REDIS_DB": "2", "REDIS_KEY_PREFIX": "k:", "REDIS_TLS": "true",
		}, Config{Username: "u", Password: "p", DB: 2, KeyPrefix: "k:"}, "h:1", true},
		{map[string]string{
			"REDIS_HOST": "h", "REDIS_PORT": "1", "REDIS_USERNAME": "u", "REDIS_PASSWORD": "p", "REDIS_DB": "2", "REDIS_KEY_PREFIX": "k:", "REDIS_TLS": "true",
		}, Config{Username: "u", Password: "p", DB: 2, KeyPrefix: "k:"}, "h:1", true},
		// The URL leaves something open, and the variable says it.
		{map[string]string{"REDIS_URL": "redis://h", "REDIS_PASSWORD": "p", "REDIS_DB": "2"}, Config{Password: "p", DB: 2}, "h:6379", false},
		{map[string]string{"REDIS_URL": "redis://h", "REDIS_PORT": "6379"}, Config{}, "h:6379", false},
		{map[string]string{"REDIS_URL": "redis://h?addr=i&master_set=m", "REDIS_PORT": "26379"}, Config{}, "h:26379 i:26379", false},
		{map[string]string{"REDIS_URL": "redis://[::1]:1", "REDIS_HOST": "::1", "REDIS_TLS": "false"}, Config{}, "[::1]:1", false},
		{map[string]string{"REDIS_URL": "REDISS://h", "REDIS_TLS": "true"}, Config{}, "h:6379", true},
		{map[string]string{"REDIS_URL": "valkeys://h", "REDIS_TLS": "true"}, Config{}, "h:6379", true},
	} {
		t.Run(fmt.Sprint(tc.vars), func(t *testing.T) {
			cfg, err := fromEnv(env(tc.vars))
			if err != nil {
				t.Fatal(err)
			}
			r, err := cfg.resolve()
			if err != nil {
				t.Fatal(err)
			}
			if got := strings.Join(r.Addrs, " "); got != tc.addrs || (r.TLS != nil) != tc.tls {
				t.Errorf("address %s, want %s; TLS %t, want %t", got, tc.addrs, r.TLS != nil, tc.tls)
			}
			if r.Username != tc.want.Username || r.Password != tc.want.Password || r.DB != tc.want.DB || r.KeyPrefix != tc.want.KeyPrefix {
				t.Errorf("%q %q %d %q", r.Username, r.Password, r.DB, r.KeyPrefix)
			}
			if r.TLS != nil && r.TLS.InsecureSkipVerify {
				t.Error("the certificate is not verified")
			}
		})
	}
}

var badEnvs = []struct {
	names string // of the variables that the error may name
	vars  map[string]string
}{
	{"REDIS_URL", map[string]string{"REDIS_URL": "h:6379"}},
	{"REDIS_URL", map[string]string{"REDIS_URL": "redis://h?x=1"}},
	{"REDIS_URL", map[string]string{"REDIS_URL": "redis://h?mode=x"}},
	{"REDIS_URL", map[string]string{"REDIS_URL": "redis://h?mode=sentinel"}},
	{"REDIS_URL", map[string]string{"REDIS_URL": "redis://h?client_name=%20"}},
	{"REDIS_URL", map[string]string{"REDIS_URL": "redis://h?key_prefix=%7B"}},
	{"REDIS_URL", map[string]string{"REDIS_URL": "redis://h?connect_timeout=1us"}},
	{"REDIS_URL", map[string]string{"REDIS_URL": "redis://h:0"}},
	{"REDIS_URL", map[string]string{"REDIS_URL": "redis://u@h"}},
	{"REDIS_URL", map[string]string{"REDIS_URL": "redis://h?addr=i&db=2"}},
	{"REDIS_HOST", map[string]string{"REDIS_HOST": "h:6379"}},
	{"REDIS_HOST", map[string]string{"REDIS_HOST": "redis://h"}},
	{"REDIS_HOST", map[string]string{"REDIS_HOST": "/run/redis.sock"}},
	{"REDIS_HOST", map[string]string{"REDIS_HOST": "a b"}},
	{"REDIS_HOST", map[string]string{"REDIS_HOST": "a\nb"}},
	{"REDIS_HOST", map[string]string{"REDIS_HOST": "h", "REDIS_URL": "redis://i"}},
	{"REDIS_HOST", map[string]string{"REDIS_HOST": "localhost", "REDIS_URL": "unix:///run/redis.sock"}},
	{"REDIS_PORT", map[string]string{"REDIS_PORT": "0"}},
	{"REDIS_PORT", map[string]string{"REDIS_PORT": "65536"}},
	{"REDIS_PORT", map[string]string{"REDIS_PORT": "-1"}},
	{"REDIS_PORT", map[string]string{"REDIS_PORT": "x"}},
	{"REDIS_PORT", map[string]string{"REDIS_PORT": "6379 "}},
	{"REDIS_PORT", map[string]string{"REDIS_PORT": "tcp://10.0.0.1:6379"}}, // as Kubernetes sets it for a service named redis
	{"REDIS_PORT", map[string]string{"REDIS_PORT": "1", "REDIS_URL": "redis://h:2"}},
	{"REDIS_PORT", map[string]string{"REDIS_PORT": "1", "REDIS_URL": "redis://h"}},
	{"REDIS_USERNAME", map[string]string{"REDIS_USERNAME": "u", "REDIS_PASSWORD": "p", "REDIS_URL": "redis://v:p@h"}},
	{"REDIS_PASSWORD", map[string]string{"REDIS_PASSWORD": "q", "REDIS_URL": "redis://:p@h"}},
	{"REDIS_PASSWORD REDIS_USERNAME", map[string]string{"REDIS_USERNAME": "u"}},
	{"REDIS_DB", map[string]string{"REDIS_DB": "x"}},
	{"REDIS_DB", map[string]string{"REDIS_DB": "-1"}},
	{"REDIS_DB", map[string]string{"REDIS_DB": "1.5"}},
	{"REDIS_DB", map[string]string{"REDIS_DB": "1", "REDIS_URL": "redis://h/2"}},
	{"REDIS_DB", map[string]string{"REDIS_DB": "1", "REDIS_URL": "redis://h/0"}},
	{"REDIS_DB", map[string]string{"REDIS_DB": "0", "REDIS_URL": "redis://h/2"}},
	{"REDIS_KEY_PREFIX", map[string]string{"REDIS_KEY_PREFIX": "{"}},
	{"REDIS_KEY_PREFIX", map[string]string{"REDIS_KEY_PREFIX": "a", "REDIS_URL": "redis://h?key_prefix=b"}},
	{"REDIS_TLS", map[string]string{"REDIS_TLS": "yes"}},
	{"REDIS_TLS", map[string]string{"REDIS_TLS": "true", "REDIS_URL": "redis://h"}},
	{"REDIS_TLS", map[string]string{"REDIS_TLS": "false", "REDIS_URL": "rediss://h"}},
	{"REDIS_TLS", map[string]string{"REDIS_TLS": "false", "REDIS_URL": "REDISS://h"}},
	{"REDIS_TLS", map[string]string{"REDIS_TLS": "false", "REDIS_URL": "valkeys://h"}},
}

// A variable that is wrong, or contradicts another one, is named.
func TestFromEnvRefuses(t *testing.T) {
	for _, tc := range badEnvs {
		t.Run(fmt.Sprint(tc.vars), func(t *testing.T) {
			cfg, err := fromEnv(env(tc.vars))
			var bad *ArgumentError
			if !errors.As(err, &bad) || !errors.Is(err, ErrInvalidArgument) {
				t.Fatalf("%v: %v", cfg, err)
			}
			if !strings.Contains(" "+tc.names+" ", " "+bad.Name+" ") {
				t.Errorf("%v: names %s", err, bad.Name)
			}
			if strings.Contains(err.Error(), "Config.") {
				t.Errorf("%v: names a field, which whoever sets a variable does not know", err)
			}
		})
	}
}

// No error shows the password, or anything of the URL but a parameter; also
// when a secret ended up in a variable that is not for it.
func TestFromEnvShowsNoSecret(t *testing.T) {
	for _, url := range []string{
		"redis://:" + canary + "@h", "redis://" + canary + ":" + canary + "@h:1/2?key_prefix=b", "rediss://u:" + canary + "@h/2", "h:" + canary,
		"redis://:%zz" + canary + "@h", "redis://:" + canary + "?@h", "redis://:?" + canary + "@h", "redis://:1/" + canary + "@h", "redis://h:" + canary,
		"redis://:" + canary + "@h?mode=x", "http://:" + canary + "@h", canary,
	} {
		for _, tc := range badEnvs {
			vars := map[string]string{"REDIS_PASSWORD": canary + "2"}
			for k, v := range tc.vars {
				vars[k] = v
			}
			vars["REDIS_URL"] = url
			if _, err := fromEnv(env(vars)); err == nil || strings.Contains(err.Error(), canary) {
				t.Errorf("%v: %v", vars, err)
			}
		}
	}
	for _, name := range []string{"REDIS_URL", "REDIS_HOST", "REDIS_PORT", "REDIS_USERNAME", "REDIS_PASSWORD", "REDIS_DB", "REDIS_TLS"} {
		for _, value := range []string{canary, "redis://:" + canary + "@h", canary + "@h", "h:" + canary, "u:" + canary + "@h:1", canary + "\n", " " + canary} {
			for _, with := range badEnvs {
				vars := map[string]string{name: value}
				for k, v := range with.vars {
					if k != name {
						vars[k] = v
					}
				}
				cfg, err := fromEnv(env(vars))
				if err != nil && strings.Contains(err.Error(), canary) {
					t.Errorf("%v: %v", vars, err)
				}
				if err == nil && name != "REDIS_HOST" && strings.Contains(cfg.String(), canary) {
					t.Errorf("%v: %v", vars, cfg)
				}
			}
		}
	}
}
