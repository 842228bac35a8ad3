package conn

import (
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"strings"
)

// view is everything of a Config that may be shown.
type view struct {
	Mode      Mode     `json:"mode"`
	Addrs     []string `json:"addrs"`
	Master    string   `json:"sentinel_master,omitempty"`
	DB        int      `json:"db"`
	KeyPrefix string   `json:"key_prefix,omitempty"`
	Name      string   `json:"client_name,omitempty"`
	TLS       bool     `json:"tls"`
	Auth      bool     `json:"auth"`
	Error     string   `json:"error,omitempty"`
}

func (cfg Config) view() view {
	r, err := cfg.resolve()
	if err != nil {
		// The fields may be anything, an address may be a URL: show none.
		return view{Error: err.Error()}
	}
	return r.view()
}

func (r *resolved) view() view {
	return view{
		Mode: r.mode, Addrs: r.Addrs, Master: r.SentinelMaster, DB: r.DB, KeyPrefix: r.KeyPrefix, Name: r.ClientName,
		TLS: r.TLS != nil, Auth: r.Password != "" || r.Credentials != nil,
	}
}

func (v view) String() string {
	if v.Error != "" {
		return "conn.Config{invalid: " + v.Error + "}"
	}
	var b strings.Builder
	fmt.Fprintf(&b, "conn.Config{%s %s", v.Mode, strings.Join(v.Addrs, ","))
	if v.Master != "" {
		fmt.Fprintf(&b, " master=%s", v.Master)
	}
	fmt.Fprintf(&b, " db=%d", v.DB)
	if v.KeyPrefix != "" {
		fmt.Fprintf(&b, " prefix=%q", v.KeyPrefix)
	}
	if v.Name != "" {
		fmt.Fprintf(&b, " name=%s", v.Name)
	}
	fmt.Fprintf(&b, " tls=%t auth=%t}", v.TLS, v.Auth)
	return b.String()
}

func (v view) logValue() slog.Value {
	if v.Error != "" {
		return slog.GroupValue(slog.String("error", v.Error))
	}
	attrs := []slog.Attr{slog.String("mode", string(v.Mode)), slog.Any("addrs", v.Addrs)}
	if v.Master != "" {
		attrs = append(attrs, slog.String("sentinel_master", v.Master))
	}
	attrs = append(attrs, slog.Int("db", v.DB))
	if v.KeyPrefix != "" {
		attrs = append(attrs, slog.String("key_prefix", v.KeyPrefix))
	}
	if v.Name != "" {
		attrs = append(attrs, slog.String("client_name", v.Name))
	}
	return slog.GroupValue(append(attrs, slog.Bool("tls", v.TLS), slog.Bool("auth", v.Auth))...)
}

// String describes the Config without its secrets.
func (cfg Config) String() string { return cfg.view().String() }

// Format prints what String returns, for every verb: %+v and %#v would
// otherwise print the password.
func (cfg Config) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, cfg.String()) }

// MarshalJSON writes the Config without its secrets. It cannot be read back.
func (cfg Config) MarshalJSON() ([]byte, error) { return json.Marshal(cfg.view()) }

// LogValue implements slog.LogValuer without the secrets.
func (cfg Config) LogValue() slog.Value { return cfg.view().logValue() }

// String describes the Client: its configuration without secrets, and its state.
func (c *Client) String() string {
	return "conn.Client{" + c.State().String() + " " + c.cfg.view().String() + "}"
}

// Format prints what String returns, for every verb.
func (c *Client) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, c.String()) }

// MarshalJSON writes the configuration without secrets, and the state.
func (c *Client) MarshalJSON() ([]byte, error) {
	return json.Marshal(struct {
		State  string `json:"state"`
		Config view   `json:"config"`
	}{c.State().String(), c.cfg.view()})
}

// LogValue implements slog.LogValuer without secrets.
func (c *Client) LogValue() slog.Value {
	return slog.GroupValue(slog.String("state", c.State().String()), slog.Any("config", c.cfg.view().logValue()))
}

// truncate shortens what a user supplied to what an error may carry.
func truncate(s string) string {
	const most = 64
	if len(s) <= most {
		return s
	}
	return s[:most] + "…"
}
