package conn

import (
	"crypto/tls"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// mergeURL adds what Config.URL says to the fields. Its errors never quote the
// URL: any part of one that does not parse may be part of a password.
func (r *resolved) mergeURL() error {
	if !strings.Contains(r.URL, "://") {
		return configError("URL", "has no scheme: write redis://host:port (the URL is not shown, as it may hold a password)")
	}
	u, err := url.Parse(r.URL)
	if err != nil {
		return configError("URL", "is malformed (it is not shown, as it may hold a password); characters like / ? # @ %% in a password must be percent-encoded")
	}
	secure := false
	switch u.Scheme {
	case "redis", "valkey", "unix":
	case "rediss", "valkeys":
		secure = true
	default:
		return configError("URL", "its scheme is none of redis, rediss, valkey, valkeys and unix (the URL is not shown, as it may hold a password)")
	}
	if u.Fragment != "" || u.Opaque != "" {
		return configError("URL", "has a fragment or no //; a # in a password must be percent-encoded as %%23")
	}

	if strings.Contains(u.RawQuery, "@") {
		// The rest of a password with a bare ? in it, which would be shown as
		// the name or value of a parameter.
		return configError("URL", "has an @ after a ?; a ? in a password must be percent-encoded as %%3F, an @ in a parameter as %%40")
	}
	query, err := url.ParseQuery(u.RawQuery)
	if err != nil {
		return configError("URL", "its parameters are malformed")
	}
	m := merger{set: map[string]bool{}}
	m.addrs(r, u, query)
	if user := u.User; user != nil {
		password, _ := user.Password()
		m.str("Username", &r.Username, user.Username())
		m.str("Password", &r.Password, password)
	}
	if u.Scheme != "unix" {
		if path := strings.Trim(u.Path, "/"); path != "" {
			m.num("DB", &r.DB, path, "the path")
		}
	}
	if secure && r.TLS == nil {
		r.TLS = &tls.Config{MinVersion: tls.VersionTLS12}
	} else if !secure && r.TLS != nil && u.Scheme != "unix" {
		return configError("URL", "its scheme says no TLS, but Config.TLS is set: use rediss or valkeys")
	}
	for _, name := range sortedKeys(query) {
		values := query[name]
		if name != "addr" && len(values) > 1 {
			return configError("URL", "parameter %q is given %d times", truncate(name), len(values))
		}
		m.param(r, name, values[0])
	}
	return m.err
}

// merger merges values of the URL into fields and keeps the first error.
type merger struct {
	set map[string]bool // fields the URL already set
	err error
}

func (m *merger) fail(err error) {
	if m.err == nil {
		m.err = err
	}
}

func (m *merger) addrs(r *resolved, u *url.URL, query url.Values) {
	var addrs []string
	if u.Scheme == "unix" {
		if u.Host != "" || u.Path == "" {
			m.fail(configError("URL", "a unix URL has three slashes and an absolute path: unix:///run/redis.sock"))
			return
		}
		addrs = append(addrs, u.Path)
	} else if u.Host != "" {
		addrs = append(addrs, u.Host)
	}
	addrs = append(addrs, query["addr"]...)
	if len(addrs) == 0 {
		return
	}
	if len(r.Addrs) > 0 && !slices.Equal(r.Addrs, addrs) {
		m.fail(configError("Addrs", "contradicts Config.URL: set one of them"))
		return
	}
	r.Addrs = addrs
}

func (m *merger) param(r *resolved, name, value string) {
	switch name {
	case "addr": // in addrs
	case "db":
		m.num("DB", &r.DB, value, "parameter db")
	case "mode":
		m.str("Mode", (*string)(&r.Mode), value)
	case "master_set":
		m.str("SentinelMaster", &r.SentinelMaster, value)
	case "client_name":
		m.str("ClientName", &r.ClientName, value)
	case "key_prefix":
		m.str("KeyPrefix", &r.KeyPrefix, value)
	case "connect_timeout":
		m.duration("ConnectTimeout", &r.ConnectTimeout, value)
	case "command_timeout":
		m.duration("CommandTimeout", &r.CommandTimeout, value)
	case "lazy":
		b, err := strconv.ParseBool(value)
		if err != nil {
			m.fail(configError("URL", "parameter lazy: %q is neither true nor false", truncate(value)))
		}
		r.Lazy = r.Lazy || b
	default:
		m.fail(configError("URL", "unknown parameter %q: known are addr, client_name, command_timeout, connect_timeout, db, key_prefix, lazy, master_set and mode", truncate(name)))
	}
}

// merge reports whether field may take the URL's value, where differs says
// that it already holds another one.
func (m *merger) merge(field string, isSet, differs bool) bool {
	if (isSet || m.set[field]) && differs {
		m.fail(configError(field, "contradicts Config.URL: set one of them"))
		return false
	}
	m.set[field] = true
	return true
}

func (m *merger) str(field string, p *string, v string) {
	if v != "" && m.merge(field, *p != "", *p != v) {
		*p = v
	}
}

func (m *merger) num(field string, p *int, v, what string) {
	n, err := strconv.Atoi(v)
	if err != nil || n < 0 {
		m.fail(configError("URL", "%s must be the number of a database, such as 0", what))
		return
	}
	if m.merge(field, *p != 0, *p != n) {
		*p = n
	}
}

func (m *merger) duration(field string, p *time.Duration, v string) {
	d, err := time.ParseDuration(v)
	if err != nil || d <= 0 {
		m.fail(configError("URL", "the value of the parameter for %s is not a positive duration such as 500ms or 3s", field))
		return
	}
	if m.merge(field, *p != 0, *p != d) {
		*p = d
	}
}

func sortedKeys(v url.Values) []string {
	keys := make([]string, 0, len(v))
	for k := range v {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}
