package conn

import (
	"crypto/tls"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestURLFields(t *testing.T) {
	for raw, want := range map[string]Config{
		"redis://":                         {Addrs: []string{"localhost:6379"}},
		"redis://h":                        {Addrs: []string{"h:6379"}},
		"REDIS://h":                        {Addrs: []string{"h:6379"}},
		"redis://h:7000":                   {Addrs: []string{"h:7000"}},
		"redis://h/":                       {Addrs: []string{"h:6379"}},
		"redis://[::1]":                    {Addrs: []string{"[::1]:6379"}},
		"redis://[::1]:7000/2":             {Addrs: []string{"[::1]:7000"}, DB: 2},
		"valkey://h/3":                     {Addrs: []string{"h:6379"}, DB: 3},
		"redis://h?db=3":                   {Addrs: []string{"h:6379"}, DB: 3},
		"redis://h/3?db=3":                 {Addrs: []string{"h:6379"}, DB: 3},
		"redis://:p@h":                     {Addrs: []string{"h:6379"}, Password: "p"},
		"redis://u:p@h":                    {Addrs: []string{"h:6379"}, Username: "u", Password: "p"},
		"redis://u:a%40b%2Fc%3Fd%23e%25@h": {Addrs: []string{"h:6379"}, Username: "u", Password: "a@b/c?d#e%"},
		"redis://h?addr=i&addr=j:1":        {Addrs: []string{"h:6379", "i:6379", "j:1"}, Mode: ModeCluster},
		"redis://h?mode=cluster":           {Addrs: []string{"h:6379"}, Mode: ModeCluster},
		"redis://?addr=h&mode=standalone":  {Addrs: []string{"h:6379"}, Mode: ModeStandalone},
		"redis://h?addr=i&master_set=m":    {Addrs: []string{"h:26379", "i:26379"}, Mode: ModeSentinel, SentinelMaster: "m"},
		"redis://h?client_name=n&key_prefix=p%3A&connect_timeout=2s&command_timeout=150ms&lazy=true": {
			Addrs: []string{"h:6379"}, ClientName: "n", KeyPrefix: "p:", ConnectTimeout: 2 * time.Second, CommandTimeout: 150 * time.Millisecond, Lazy: true,
		},
		"redis://h?lazy=false":              {Addrs: []string{"h:6379"}},
		"unix:///run/redis.sock":            {Addrs: []string{"/run/redis.sock"}},
		"unix:///run/redis.sock?db=1":       {Addrs: []string{"/run/redis.sock"}, DB: 1},
		"unix://u:p@/run/redis.sock?db=1":   {Addrs: []string{"/run/redis.sock"}, DB: 1, Username: "u", Password: "p"},
		"redis://h?client_name=":            {Addrs: []string{"h:6379"}},
		"redis://h?client_name=a%40b&db=07": {Addrs: []string{"h:6379"}, ClientName: "a@b", DB: 7},
	} {
		got, err := Config{URL: raw}.resolve()
		if err != nil {
			t.Errorf("%s: %v", raw, err)
			continue
		}
		if want.Mode == "" {
			want.Mode = ModeStandalone
		}
		if want.ConnectTimeout == 0 {
			want.ConnectTimeout, want.CommandTimeout = DefaultConnectTimeout, DefaultCommandTimeout
		}
		if !slices.Equal(got.Addrs, want.Addrs) || got.mode != want.Mode || got.DB != want.DB || got.Username != want.Username ||
			got.Password != want.Password || got.SentinelMaster != want.SentinelMaster || got.ClientName != want.ClientName ||
			got.KeyPrefix != want.KeyPrefix || got.ConnectTimeout != want.ConnectTimeout || got.CommandTimeout != want.CommandTimeout ||
			got.Lazy != want.Lazy || got.TLS != nil {
			t.Errorf("%s: %+v", raw, got)
		}
	}
}

func TestURLTLS(t *testing.T) {
	for raw, want := range map[string]bool{
		"redis://h": false, "valkey://h": false, "unix:///s": false, "rediss://h": true, "valkeys://h": true, "Rediss://h": true,
	} {
		r, err := Config{URL: raw}.resolve()
		if err != nil || (r.TLS != nil) != want {
			t.Errorf("%s: TLS %v: %v", raw, r.TLS, err)
		}
		if want && (r.TLS.InsecureSkipVerify || r.TLS.MinVersion < tls.VersionTLS12) {
			t.Errorf("%s: does not verify, or speaks an old TLS", raw)
		}
	}
	// The URL's scheme does not replace what the field says of TLS.
	r, err := Config{URL: "rediss://h", TLS: &tls.Config{ServerName: "s"}}.resolve()
	if err != nil || r.TLS.ServerName != "s" {
		t.Errorf("%v: %v", r.TLS, err)
	}
	_, err = Config{URL: "redis://h", TLS: &tls.Config{}}.resolve()
	wantArgument(t, err, "Config.URL")
}

func TestURLAgreesWithFields(t *testing.T) {
	same := Config{
		URL:   "redis://u:p@h:1/3?addr=i&master_set=m&client_name=n&key_prefix=k:&connect_timeout=2s&command_timeout=1s&mode=sentinel",
		Addrs: []string{"h:1", "i"}, DB: 3, Username: "u", Password: "p", Mode: ModeSentinel, SentinelMaster: "m", ClientName: "n",
		KeyPrefix: "k:", ConnectTimeout: 2 * time.Second, CommandTimeout: time.Second,
	}
	if _, err := same.resolve(); err != nil {
		t.Errorf("the same said twice: %v", err)
	}
	for field, change := range map[string]func(*Config){
		"Addrs":          func(c *Config) { c.Addrs = []string{"h:1"} },
		"DB":             func(c *Config) { c.DB = 4 },
		"Username":       func(c *Config) { c.Username = "hunter2" },
		"Password":       func(c *Config) { c.Password = "hunter2" },
		"Mode":           func(c *Config) { c.Mode = ModeCluster },
		"SentinelMaster": func(c *Config) { c.SentinelMaster = "other" },
		"ClientName":     func(c *Config) { c.ClientName = "other" },
		"KeyPrefix":      func(c *Config) { c.KeyPrefix = "other:" },
		"ConnectTimeout": func(c *Config) { c.ConnectTimeout = time.Second },
		"CommandTimeout": func(c *Config) { c.CommandTimeout = time.Minute },
	} {
		cfg := same
		change(&cfg)
		_, err := cfg.resolve()
		wantArgument(t, err, "Config."+field)
		if err != nil && strings.Contains(err.Error(), "hunter2") {
			t.Errorf("the secret is in %v", err)
		}
	}
	// What only one of them says is taken from there.
	r, err := Config{URL: "redis://h", Password: "p", DB: 2}.resolve()
	if err != nil || r.Password != "p" || r.DB != 2 {
		t.Errorf("%+v: %v", r, err)
	}
	_, err = Config{URL: "redis://:p@h", Credentials: someCredentials}.resolve()
	wantArgument(t, err, "Config.Credentials")
}

func TestURLRefuses(t *testing.T) {
	for raw, field := range map[string]string{
		"http://h":                          "URL",
		"h:6379":                            "URL",
		"localhost":                         "URL",
		"//h":                               "URL",
		"redis:h":                           "URL",
		"redis://h#x":                       "URL",
		"redis://:p#q@h":                    "URL",
		"redis://:p/q@h":                    "URL",
		"redis://:12/q@h":                   "URL",
		"redis://:?q@h":                     "URL",
		"redis://:?q&r@h":                   "URL",
		"redis://:%zz@h":                    "URL",
		"redis://h\n":                       "URL",
		"redis://h:x":                       "URL",
		"redis://h:1:2":                     "Addrs",
		"redis://h?%zz=1":                   "URL",
		"redis://h?a;b":                     "URL",
		"redis://h/x":                       "URL",
		"redis://h/-1":                      "URL",
		"redis://h/1/2":                     "URL",
		"redis://h?db=x":                    "URL",
		"redis://h?db=":                     "URL",
		"redis://h?db=-1":                   "URL",
		"redis://h?db=99999999999999999999": "URL",
		"redis://h/1?db=2":                  "DB",
		"redis://h/0?db=2":                  "DB",
		"redis://h/2?db=0":                  "DB",
		"redis://h?unknown=1":               "URL",
		"redis://h?DB=1":                    "URL",
		"redis://h?skip_verify=true":        "URL",
		"redis://h?db=1&db=1":               "URL",
		"redis://h?lazy=1&lazy=0":           "URL",
		"redis://h?lazy=yes":                "URL",
		"redis://h?lazy":                    "URL",
		"redis://h?connect_timeout=5":       "URL",
		"redis://h?connect_timeout=0s":      "URL",
		"redis://h?command_timeout=-1s":     "URL",
		"redis://h?mode=master":             "Mode",
		"redis://h?key_prefix=%7B":          "KeyPrefix",
		"redis://h?client_name=a+b":         "ClientName",
		"redis://h?addr=":                   "Addrs",
		"redis://h:0":                       "Addrs",
		"redis://h?addr=:hunter2":           "Addrs",
		"redis://u@h":                       "Password",
		"unix://h/run/redis.sock":           "URL",
		"unix://":                           "URL",
		"unix:/run/redis.sock?x=1":          "URL",
		"unix:///a.sock?addr=/b.sock":       "Addrs",
	} {
		t.Run(raw, func(t *testing.T) {
			_, err := Config{URL: raw}.resolve()
			wantArgument(t, err, "Config."+field)
			if err != nil && strings.Contains(err.Error(), "hunter2") {
				t.Errorf("the secret is in %v", err)
			}
		})
	}
	// A message names the parameter at fault, and all that there are.
	_, err := Config{URL: "redis://h?skip_verify=true"}.resolve()
	for _, part := range []string{`"skip_verify"`, "addr", "client_name", "command_timeout", "connect_timeout", "db", "key_prefix", "lazy", "master_set", "mode"} {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("%v: does not mention %s", err, part)
		}
	}
}

// canary stands for a secret; nothing that is printed may hold it.
const canary = "hunter2canary"

// Whatever a URL holds, it does not crash anything. What was meant as a
// password, as an @ follows it, is in no error and no String, whether it was
// encoded as it should or not.
func FuzzURL(f *testing.F) {
	for _, s := range [][2]string{
		{"redis://:", "@h"},
		{"rediss://u:", "@h:1/2?db=3"},
		{"redis://", ":p@h"},
		{"redis://:?", "@h"},
		{"redis://:1/", "@h"},
		{"redis://:1?db=", "@h"},
		{"redis://:?a&", "=@h"},
		{"redis://:#", "@h"},
		{"redis://:1?mode=", "@h"},
		{"redis://:%zz", "@h"},
		{"redis://:@", "@h"},
		{"redis://:[", "]@h"},
		{"unix://:", "@/s"},
		{"http://:", "@h"},
		{"redis:", "@h"},
		{"", "@h"},
		{":", "@"},
		{"redis://h?addr=", "@h"},
		{"redis://:1?client_name=+", "@h"},
		{"redis://:1?key_prefix={", "@h"},
		{"redis://:1?lazy=", "@h"},
		{"redis://a:1?", "=1&b=@"},
		{"redis://a?x=%40", ""},
		{"redis://:\x00", "@h"},
		{"redis://:\n", "@h"},
		{"redis://::", ":@h:1:2"},
		{"redis://:1/2#?", "@h"},
		{"redis://h/", "?mode=x@y"},
		{"redis://", "?@"},
	} {
		f.Add(s[0], s[1])
	}
	f.Fuzz(func(t *testing.T, before, after string) {
		cfg := Config{URL: before + canary + after, Lazy: true}
		r, err := cfg.resolve()
		if err != nil {
			shown := err.Error() + cfg.String()
			if strings.Contains(after, "@") && strings.Contains(shown, canary) {
				t.Errorf("%q: the secret is in %s", cfg.URL, shown)
			}
			wantArgument(t, err, err.(*ArgumentError).Name) //nolint:errorlint // resolve returns it bare
			return
		}
		if (strings.Contains(r.Username, canary) || strings.Contains(r.Password, canary)) && strings.Contains(cfg.String(), canary) && strings.Count(cfg.URL, canary) == 1 {
			t.Errorf("%q: the secret is in %s", cfg.URL, cfg)
		}
		for _, a := range r.Addrs {
			if a == "" || (!isSocket(a) && strings.ContainsAny(a, "/@ \r\n")) {
				t.Errorf("%q: the address %q", cfg.URL, a)
			}
		}
	})
}
