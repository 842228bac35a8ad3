package conn

import (
	"cmp"
	"crypto/tls"
	"net"
	"net/netip"
	"net/url"
	"os"
	"strconv"
	"strings"
)

// FromEnv returns the Config that these variables describe; one that is unset
// or empty means the default.
//
//	REDIS_URL         as Config.URL
//	REDIS_HOST        host name or IP address       localhost
//	REDIS_PORT        1 to 65535                    6379
//	REDIS_USERNAME    as Config.Username
//	REDIS_PASSWORD    as Config.Password
//	REDIS_DB          number of the database        0
//	REDIS_KEY_PREFIX  as Config.KeyPrefix
//	REDIS_TLS         true or false                 false, or as REDIS_URL says
//
// Sentinels and a Cluster are described by REDIS_URL alone: see Config.URL. The
// Config holds what the variables say as they say it; Open reads the URL.
//
// Where REDIS_URL and another variable are both set, they must not contradict
// each other. The error names the variable that is wrong; it never shows the
// URL or the password.
func FromEnv() (Config, error) { return fromEnv(os.Getenv) }

func fromEnv(get func(string) string) (Config, error) {
	cfg := Config{
		URL:       get("REDIS_URL"),
		Username:  get("REDIS_USERNAME"),
		Password:  get("REDIS_PASSWORD"),
		KeyPrefix: get("REDIS_KEY_PREFIX"),
	}
	host, port, db, useTLS := strings.Trim(get("REDIS_HOST"), "[]"), get("REDIS_PORT"), get("REDIS_DB"), get("REDIS_TLS")

	if port != "" {
		n, err := strconv.ParseUint(port, 10, 16)
		if err != nil || n == 0 {
			return Config{}, envError("REDIS_PORT", "must be a port, 1 to 65535")
		}
		port = strconv.FormatUint(n, 10)
	}
	if _, err := netip.ParseAddr(host); err != nil && strings.ContainsAny(host, "/@: ") {
		return Config{}, envError("REDIS_HOST", "must be a host name or IP address alone; the port goes to REDIS_PORT, a URL to REDIS_URL")
	}
	if db != "" {
		n, err := strconv.Atoi(db)
		if err != nil || n < 0 {
			return Config{}, envError("REDIS_DB", "must be the number of a database, such as 0")
		}
		cfg.DB = n
	}
	on, err := strconv.ParseBool(useTLS)
	if err != nil && useTLS != "" {
		return Config{}, envError("REDIS_TLS", "must be true or false")
	}
	if on {
		cfg.TLS = &tls.Config{MinVersion: tls.VersionTLS12}
	}
	if cfg.URL != "" {
		if err := agreesWithURL(cfg.URL, host, port, useTLS != "", on); err != nil {
			return Config{}, err
		}
	} else if host != "" || port != "" {
		cfg.Addrs = []string{net.JoinHostPort(cmp.Or(host, "localhost"), cmp.Or(port, "6379"))}
	}
	r, err := cfg.resolve()
	if err != nil {
		return Config{}, renameToEnv(err, get)
	}
	if db != "" && r.DB != cfg.DB { // a zero in Config.DB says nothing, in REDIS_DB it does
		return Config{}, envError("REDIS_DB", "contradicts REDIS_URL: unset one of them")
	}
	return cfg, nil
}

// agreesWithURL refuses a REDIS_HOST, REDIS_PORT or REDIS_TLS that says other
// things than REDIS_URL: nobody can know which of the two was meant.
func agreesWithURL(raw, host, port string, tlsSet, tlsOn bool) error {
	u, err := url.Parse(raw)
	if err != nil {
		return nil //nolint:nilerr // resolve reports it, without quoting it
	}
	urlPort := u.Port()
	if urlPort == "" {
		urlPort = "6379"
		if u.Query().Has("master_set") {
			urlPort = "26379"
		}
	}
	switch {
	case host != "" && u.Hostname() != host:
		return envError("REDIS_HOST", "and REDIS_URL name different hosts: unset one of them")
	case port != "" && urlPort != port:
		return envError("REDIS_PORT", "and REDIS_URL name different ports: unset one of them")
	case tlsSet && tlsOn != (u.Scheme == "rediss" || u.Scheme == "valkeys") && u.Scheme != "unix":
		return envError("REDIS_TLS", "and the scheme of REDIS_URL contradict each other: use rediss for TLS, or unset one")
	}
	return nil
}

func envError(name, problem string) error {
	return &ArgumentError{Name: name, Problem: problem}
}

// renameToEnv turns the name of a field into that of the variable that it came
// from: its own, where that is set, or else REDIS_URL.
func renameToEnv(err error, get func(string) string) error {
	arg, ok := err.(*ArgumentError) //nolint:errorlint // resolve returns it bare
	if !ok {
		return err
	}
	field := strings.TrimPrefix(arg.Name, "Config.")
	own := map[string]string{
		"Username": "REDIS_USERNAME", "Password": "REDIS_PASSWORD", "DB": "REDIS_DB", "KeyPrefix": "REDIS_KEY_PREFIX", "Addrs": "REDIS_HOST",
	}
	name, problem := own[field], strings.ReplaceAll(arg.Problem, "Config.URL", "REDIS_URL")
	switch {
	case field == "URL":
		name = "REDIS_URL"
	case get("REDIS_URL") != "" && (name == "" || get(name) == "") && (field != "Password" || get("REDIS_USERNAME") == ""):
		name, problem = "REDIS_URL", field+" "+problem
	}
	if get("REDIS_USERNAME") != "" {
		problem = strings.ReplaceAll(problem, "Username", "REDIS_USERNAME")
	}
	return envError(cmp.Or(name, arg.Name), problem)
}
