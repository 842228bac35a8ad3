package conn

import (
	"crypto/tls"
	"net"
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
	host, port, useTLS := get("REDIS_HOST"), get("REDIS_PORT"), get("REDIS_TLS")

	if port != "" {
		if n, err := strconv.Atoi(port); err != nil || n < 1 || n > 65535 {
			return Config{}, envError("REDIS_PORT", "must be a port, 1 to 65535")
		}
	}
	if strings.ContainsAny(host, "/@ ") || (strings.Contains(host, ":") && net.ParseIP(strings.Trim(host, "[]")) == nil) {
		return Config{}, envError("REDIS_HOST", "must be a host name or IP address alone; the port goes to REDIS_PORT, a URL to REDIS_URL")
	}
	if db := get("REDIS_DB"); db != "" {
		n, err := strconv.Atoi(db)
		if err != nil || n < 0 {
			return Config{}, envError("REDIS_DB", "must be the number of a database, such as 0")
		}
		cfg.DB = n
	}
	if useTLS != "" {
		on, err := strconv.ParseBool(useTLS)
		if err != nil {
			return Config{}, envError("REDIS_TLS", "must be true or false")
		}
		if scheme, _, ok := strings.Cut(cfg.URL, "://"); ok && on != (scheme == "rediss" || scheme == "valkeys") && scheme != "unix" {
			return Config{}, envError("REDIS_TLS", "and the scheme of REDIS_URL contradict each other: use rediss for TLS, or unset one")
		}
		if on {
			cfg.TLS = &tls.Config{MinVersion: tls.VersionTLS12}
		}
	}
	if cfg.URL == "" {
		if host != "" || port != "" {
			if host == "" {
				host = "localhost"
			}
			if port == "" {
				port = "6379"
			}
			cfg.Addrs = []string{net.JoinHostPort(strings.Trim(host, "[]"), port)}
		}
	} else if err := agreesWithURL(cfg.URL, host, port); err != nil {
		return Config{}, err
	}
	if _, err := cfg.resolve(); err != nil {
		return Config{}, renameToEnv(err)
	}
	return cfg, nil
}

// agreesWithURL refuses a REDIS_HOST or REDIS_PORT that names another server
// than REDIS_URL: nobody can know which of the two was meant.
func agreesWithURL(raw, host, port string) error {
	u, err := url.Parse(raw)
	if err != nil {
		return nil //nolint:nilerr // resolve reports it, without quoting it
	}
	urlPort := u.Port()
	if urlPort == "" {
		urlPort = "6379"
	}
	if host != "" && u.Hostname() != strings.Trim(host, "[]") {
		return envError("REDIS_HOST", "and REDIS_URL name different hosts: unset one of them")
	}
	if port != "" && urlPort != port {
		return envError("REDIS_PORT", "and REDIS_URL name different ports: unset one of them")
	}
	return nil
}

func envError(name, problem string) error {
	return &ArgumentError{Name: name, Problem: problem}
}

// renameToEnv turns the name of a field into that of the variable it came from.
func renameToEnv(err error) error {
	arg, ok := err.(*ArgumentError) //nolint:errorlint // resolve returns it bare
	if !ok {
		return err
	}
	names := map[string]string{
		"Config.URL": "REDIS_URL", "Config.Addrs": "REDIS_HOST", "Config.Username": "REDIS_USERNAME",
		"Config.Password": "REDIS_PASSWORD", "Config.DB": "REDIS_DB", "Config.KeyPrefix": "REDIS_KEY_PREFIX",
	}
	if name := names[arg.Name]; name != "" {
		return envError(name, strings.NewReplacer("Config.URL", "REDIS_URL", "Username", "REDIS_USERNAME").Replace(arg.Problem))
	}
	return err
}
