package conn

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"log"
	"log/slog"
	"strings"
	"testing"
)

// printed returns what v looks like by every way that logs take.
func printed(v any) map[string]string {
	out := map[string]string{}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%10v", "%-10.3s", "%t"} {
		out[verb] = fmt.Sprintf(verb, v)
	}
	out["Print"] = fmt.Sprint(v)
	out["Println"] = fmt.Sprintln(v)
	if s, ok := v.(fmt.Stringer); ok {
		out["String"] = s.String()
	}
	if text, err := json.Marshal(v); err == nil {
		out["JSON"] = string(text)
	} else {
		out["JSON"] = "error: " + err.Error()
	}
	for name, handler := range map[string]func(*bytes.Buffer) slog.Handler{
		"slog text": func(b *bytes.Buffer) slog.Handler { return slog.NewTextHandler(b, nil) },
		"slog JSON": func(b *bytes.Buffer) slog.Handler { return slog.NewJSONHandler(b, nil) },
	} {
		var b bytes.Buffer
		slog.New(handler(&b)).Info("m", "v", v, slog.Any("any", v), slog.Group("g", "v", v))
		out[name] = b.String()
	}
	var b bytes.Buffer
	log.New(&b, "", 0).Printf("%+v", v)
	out["log"] = b.String()
	return out
}

func secretConfigs(t *testing.T) map[string]Config {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return map[string]Config{
		"fields":   {Username: "u", Password: canary, Addrs: []string{"h:1"}},
		"Sentinel": {SentinelMaster: "m", SentinelPassword: canary, SentinelUsername: "u", Password: canary, Addrs: []string{"h:1"}},
		"URL":      {URL: "redis://" + canary + ":" + canary + "@h:1/2?client_name=n"},
		"unix":     {URL: "unix://u:" + canary + "@/run/redis.sock"},
		"TLS": {Addrs: []string{"h:1"}, TLS: &tls.Config{
			ServerName: "s", Certificates: []tls.Certificate{{PrivateKey: key, Certificate: [][]byte{[]byte(canary)}}},
		}},
		"invalid":         {Username: canary, Password: canary, DB: -1},
		"URL invalid":     {URL: "redis://:" + canary + "@h?x=1"},
		"URL unparseable": {URL: "redis://:%zz" + canary + "@h"},
		"address is one":  {Addrs: []string{"redis://:" + canary + "@h"}},
		"contradiction":   {URL: "redis://:" + canary + "@h", Password: canary + "2"},
	}
}

// private is what a leak of the private key of a Config would show.
func private(cfg Config) []string {
	secrets := []string{canary, fmt.Sprintf("%x", canary), fmt.Sprintf("%X", canary), fmt.Sprint([]byte(canary)), "PrivateKey"}
	if cfg.TLS != nil {
		d, err := cfg.TLS.Certificates[0].PrivateKey.(*ecdsa.PrivateKey).Bytes()
		if err != nil {
			panic(err)
		}
		secrets = append(secrets, fmt.Sprintf("%x", d), fmt.Sprint(d), fmt.Sprint(cfg.TLS.Certificates[0].PrivateKey))
	}
	return secrets
}

func TestConfigShowsNoSecret(t *testing.T) {
	for name, cfg := range secretConfigs(t) {
		type nested struct {
			Config  Config
			Pointer *Config
		}
		secrets := private(cfg)
		for how, v := range map[string]any{
			"value": cfg, "pointer": &cfg, "nested": nested{cfg, &cfg}, "pointer to nested": &nested{cfg, &cfg}, "slice": []Config{cfg},
			"map": map[string]Config{"c": cfg}, "interface": []any{cfg, &cfg}, "embedded": struct{ Config }{cfg},
		} {
			for by, text := range printed(v) {
				for _, s := range secrets {
					if strings.Contains(text, s) {
						t.Errorf("%s, %s, %s: shows %.20q: %s", name, how, by, s, text)
					}
				}
			}
		}
	}
}

func TestClientShowsNoSecret(t *testing.T) {
	for name, cfg := range secretConfigs(t) {
		if _, err := cfg.resolve(); err != nil {
			continue
		}
		c := lazy(t, cfg)
		type nested struct{ Client *Client }
		for how, v := range map[string]any{"Client": c, "nested": nested{c}, "slice": []*Client{c}, "map": map[string]*Client{"c": c}} {
			for by, text := range printed(v) {
				for _, s := range private(cfg) {
					if strings.Contains(text, s) {
						t.Errorf("%s, %s, %s: shows %.20q: %s", name, how, by, s, text)
					}
				}
			}
		}
	}
}

// What is shown is of use: where, how, and in what state.
func TestShown(t *testing.T) {
	cfg := Config{
		Addrs: []string{"a", "b:1"}, SentinelMaster: "m", Username: "u", Password: "p", DB: 2, KeyPrefix: "k:", ClientName: "n", TLS: &tls.Config{},
	}
	const text = `conn.Config{sentinel a:26379,b:1 master=m db=2 prefix="k:" name=n tls=true auth=true}`
	if got := cfg.String(); got != text {
		t.Errorf("String is %s", got)
	}
	if got := fmt.Sprintf("%+v|%#v|%d|%v", cfg, cfg, cfg, &cfg); got != text+"|"+text+"|"+text+"|"+text {
		t.Errorf("formatted as %s", got)
	}
	if got, want := (Config{}).String(), "conn.Config{standalone localhost:6379 db=0 tls=false auth=false}"; got != want {
		t.Errorf("String is %s", got)
	}
	if got, want := (Config{DB: -1}).String(), "conn.Config{invalid: conn: Config.DB: -1 is negative}"; got != want {
		t.Errorf("String is %s", got)
	}

	c := lazy(t, cfg)
	if got := c.String(); got != "conn.Client{disconnected "+text+"}" {
		t.Errorf("the Client's String is %s", got)
	}
	const object = `{"mode":"sentinel","addrs":["a:26379","b:1"],"sentinel_master":"m","db":2,"key_prefix":"k:","client_name":"n","tls":true,"auth":true}`
	for v, want := range map[any]string{&cfg: object, c: `{"state":"disconnected","config":` + object + `}`} {
		if got, err := json.Marshal(v); err != nil || string(got) != want {
			t.Errorf("JSON is %s, want %s: %v", got, want, err)
		}
	}
	for v, want := range map[any]string{
		&cfg:            "v.mode=sentinel v.addrs=\"[a:26379 b:1]\" v.sentinel_master=m v.db=2 v.key_prefix=k: v.client_name=n v.tls=true v.auth=true\n",
		c:               "v.state=disconnected v.config.mode=sentinel v.config.addrs=\"[a:26379 b:1]\" v.config.sentinel_master=m v.config.db=2 v.config.key_prefix=k: v.config.client_name=n v.config.tls=true v.config.auth=true\n",
		&Config{DB: -1}: "v.error=\"conn: Config.DB: -1 is negative\"\n",
	} {
		var b bytes.Buffer
		slog.New(slog.NewTextHandler(&b, nil)).Info("m", "v", v)
		if _, got, _ := strings.Cut(b.String(), "msg=m "); got != want {
			t.Errorf("slog shows %s, want %s", got, want)
		}
	}
}

// A nil pointer in a log line is no reason to crash.
func TestNilIsPrintable(t *testing.T) {
	for _, v := range []any{(*Config)(nil), (*Client)(nil)} {
		for by, text := range map[string]string{"%v": fmt.Sprintf("%v", v), "%+v": fmt.Sprintf("%+v", v), "%s": fmt.Sprintf("%s", v)} {
			if text != "<nil>" {
				t.Errorf("%T by %s is %s", v, by, text)
			}
		}
		if text, err := json.Marshal(v); err != nil || string(text) != "null" {
			t.Errorf("%T in JSON is %s: %v", v, text, err)
		}
	}
}
