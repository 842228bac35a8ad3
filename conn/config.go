package conn

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/redis/rueidis"
)

// Defaults of the fields of [Config].
const (
	DefaultAddr           = "localhost:6379"
	DefaultConnectTimeout = 5 * time.Second
	DefaultCommandTimeout = 3 * time.Second
	DefaultProbeInterval  = time.Second
	DefaultProbeTimeout   = time.Second
	DefaultMaxRetries     = 3
	DefaultMaxPending     = 16384
	DefaultPoolSize       = 64
	DefaultBufferBytes    = 1 << 20
)

// maxDuration bounds the durations of a [Config]: a deadline that far away must
// not overflow.
const maxDuration = 24 * time.Hour

// Mode says what kind of deployment the addresses of a [Config] belong to.
type Mode string

// The modes. The zero value, ModeAuto, means sentinel where
// Config.SentinelMaster is set, cluster where there are several addresses, and
// standalone otherwise. It never asks the server: a Client that is configured
// as standalone and finds a cluster node fails with [ErrWrongMode].
const (
	ModeAuto       Mode = ""
	ModeStandalone Mode = "standalone"
	ModeSentinel   Mode = "sentinel"
	ModeCluster    Mode = "cluster"
)

// Credentials is what Config.Credentials returns.
type Credentials struct {
	Username string // empty means the default user
	Password string
	// RefreshAfter is when to ask again and authenticate open connections anew.
	// Zero means never: the credentials are then only used for new connections.
	// A time less than a second away, or past, means in a second.
	RefreshAfter time.Time
}

// Config says how to connect. The zero value connects to localhost:6379,
// without TLS or password. No method changes a Config; it may be copied and
// used for several Clients.
//
// Printing a Config in any way (fmt's verbs, JSON, log/slog) shows no
// password, no user info of the URL and no key material. Beyond its reach are
// what reads the fields themselves, as fmt does for an unexported field of
// another struct, and the verb %p, against which go vet warns.
type Config struct {
	// URL is redis, rediss (TLS), valkey, valkeys (TLS) or unix, as in
	//
	//	redis://user:password@host:6379/0
	//	rediss://host:6380?addr=host2:6380&mode=cluster
	//	redis://sentinel:26379?addr=sentinel2:26379&master_set=mymaster
	//	unix:///run/redis.sock?db=1
	//
	// Its parameters are addr (repeatable), db, mode, master_set, client_name,
	// key_prefix, connect_timeout, command_timeout (Go durations) and lazy;
	// any other is an error. A field that is set as well must say the same as
	// the URL, or Open fails. Empty means that only the fields count.
	URL string

	// Addrs are the servers' addresses, host:port (6379 where there is no
	// port) or the path of a Unix socket: one for ModeStandalone, the
	// Sentinels' for ModeSentinel (26379 where there is no port), one or more
	// nodes' for ModeCluster. Empty means DefaultAddr, or what URL says.
	Addrs []string

	// Mode is the kind of deployment; see ModeAuto for what empty means.
	Mode Mode

	// SentinelMaster is the name under which the Sentinels know the primary.
	// Setting it selects ModeSentinel.
	SentinelMaster string

	// Username and Password authenticate with the servers. An empty Username
	// with a Password means the default user.
	Username string
	Password string

	// SentinelUsername and SentinelPassword authenticate with the Sentinels,
	// which do not get Username and Password.
	SentinelUsername string
	SentinelPassword string

	// Credentials is asked for user name and password at each new connection,
	// and again when what it returned says so, for passwords that rotate. Its
	// context ends with the connect time-out. It excludes Username and
	// Password, and is never asked for the Sentinels' credentials. It must be
	// safe for concurrent use. Nil means Username and Password.
	Credentials func(ctx context.Context) (Credentials, error)

	// DB is the number of the logical database. Zero is the default one, and
	// the only one that a Cluster has.
	DB int

	// KeyPrefix is put in front of every key, channel and script key that is
	// made with Client.Keyspace, as it is: "myapp:" gives "myapp:cache:…". It
	// must not contain '{' or '}', which would decide the cluster slot of
	// every key. Empty means no prefix.
	KeyPrefix string

	// ClientName is shown by CLIENT LIST. Empty means none. It must not
	// contain spaces or control characters.
	ClientName string

	// TLS turns TLS on. Nil means no TLS, unless the URL's scheme is rediss or
	// valkeys, which stands for an empty tls.Config. It is also used toward
	// Sentinels. Certificates are verified against the host of each address
	// (or TLS.ServerName) unless TLS.InsecureSkipVerify asks otherwise. TLS 1.2
	// is the least version whatever TLS.MinVersion says.
	TLS *tls.Config

	// ConnectTimeout bounds one attempt to connect: name look-up, TCP, TLS and
	// Redis handshake. Zero means DefaultConnectTimeout (5 s); the most for it
	// and the other durations is 24 h.
	ConnectTimeout time.Duration

	// CommandTimeout bounds every call whose context has no deadline of its
	// own. Zero means DefaultCommandTimeout (3 s). A connection on which
	// nothing came back for this long, although a PING was sent, is cut.
	CommandTimeout time.Duration

	// ProbeInterval is the pause between two probes of every primary. Zero
	// means DefaultProbeInterval (1 s).
	ProbeInterval time.Duration

	// ProbeTimeout is how long the answer to a probe may take before the
	// state becomes Reconnecting. Zero means DefaultProbeTimeout (1 s). A
	// server that is frozen is noticed within ProbeInterval + ProbeTimeout;
	// one that closed its connections, at once.
	ProbeTimeout time.Duration

	// MaxRetries is how often a read is tried again after a network error or
	// while a server is loading or a cluster is re-forming, within its
	// deadline. Zero means DefaultMaxRetries (3), negative none. Writes are
	// never tried again.
	MaxRetries int

	// MaxPending bounds the calls that may be waiting while a server does not
	// answer, as each holds a goroutine. Calls beyond it wait for a place, by
	// their deadline, whatever node of a cluster they are for. Zero means
	// DefaultMaxPending (16384).
	MaxPending int

	// PoolSize is about how many connections to one node there may be beside the
	// shared one, for blocking and dedicated commands; idle ones are closed
	// after a minute. Zero means DefaultPoolSize (64). rueidis miscounts those
	// whose commands were given up, so there can be more for a while.
	PoolSize int

	// BufferBytes is the size of the read and the write buffer of one
	// connection, taken together. Zero means DefaultBufferBytes (1 MiB).
	BufferBytes int

	// Lazy makes Open return without connecting; the first call connects, in
	// every mode. The default is that Open fails when it cannot connect.
	Lazy bool

	// Observer is told of every operation of this Client and of the
	// capabilities that are built on it. Nil means nobody is, at no cost.
	Observer Observer

	// NewClient builds the rueidis client, so that it can be wrapped (with
	// rueidisotel.NewClient, say). It must pass the option on unchanged, or
	// the promises of this package do not hold. Nil means rueidis.NewClient.
	NewClient func(rueidis.ClientOption) (rueidis.Client, error)
}

// resolved is a Config after validation: the URL merged in, every default
// filled in. The zero values of Config mean defaults; here they mean themselves.
type resolved struct {
	Config
	mode Mode
}

func (cfg Config) resolve() (resolved, error) {
	r := resolved{Config: cfg}
	if cfg.URL != "" {
		if err := r.mergeURL(); err != nil {
			return r, err
		}
	}
	if err := r.resolveMode(); err != nil {
		return r, err
	}
	if err := r.resolveAddrs(); err != nil {
		return r, err
	}
	if err := r.checkIdentity(); err != nil {
		return r, err
	}
	return r, r.fillDefaults()
}

func (r *resolved) resolveMode() error {
	r.mode = r.Mode
	switch r.Mode {
	case ModeAuto:
		switch {
		case r.SentinelMaster != "":
			r.mode = ModeSentinel
		case len(r.Addrs) > 1:
			r.mode = ModeCluster
		default:
			r.mode = ModeStandalone
		}
	case ModeStandalone, ModeSentinel, ModeCluster:
	default:
		return configError("Mode", "%q is not a mode: use standalone, sentinel or cluster", truncate(string(r.Mode)))
	}
	switch {
	case r.mode == ModeSentinel && r.SentinelMaster == "":
		return configError("SentinelMaster", "must be set in mode sentinel: the name in the Sentinels' \"sentinel monitor\" line")
	case r.mode != ModeSentinel && r.SentinelMaster != "":
		return configError("SentinelMaster", "is set, but the mode is %s", r.mode)
	case r.mode != ModeSentinel && r.SentinelUsername != "":
		return configError("SentinelUsername", "is set, but the mode is %s", r.mode)
	case r.mode != ModeSentinel && r.SentinelPassword != "":
		return configError("SentinelPassword", "is set, but the mode is %s", r.mode)
	case r.SentinelUsername != "" && r.SentinelPassword == "":
		return configError("SentinelPassword", "is empty, but SentinelUsername is set")
	case r.mode == ModeStandalone && len(r.Addrs) > 1:
		return configError("Addrs", "a standalone server has one address, not %d: set Mode to cluster or sentinel", len(r.Addrs))
	case r.mode == ModeCluster && r.DB != 0:
		return configError("DB", "a cluster has only database 0, not %d", r.DB)
	}
	return nil
}

func (r *resolved) resolveAddrs() error {
	if len(r.Addrs) == 0 {
		r.Addrs = []string{DefaultAddr}
		if r.mode == ModeSentinel {
			r.Addrs = []string{"localhost:26379"}
		}
	}
	port := "6379"
	if r.mode == ModeSentinel {
		port = "26379"
	}
	out := make([]string, len(r.Addrs))
	for i, addr := range r.Addrs {
		a, err := normalizeAddr(addr, port)
		if err != nil {
			return configError("Addrs", "%v", err)
		}
		if isSocket(a) && r.mode != ModeStandalone {
			return configError("Addrs", "a Unix socket (%s) can only be used in mode standalone", a)
		}
		out[i] = a
	}
	r.Addrs = out
	return nil
}

func (r *resolved) checkIdentity() error {
	switch {
	case r.Credentials != nil && (r.Username != "" || r.Password != ""):
		return configError("Credentials", "excludes Username and Password: set one or the other")
	case r.Username != "" && r.Password == "" && r.Credentials == nil:
		return configError("Password", "is empty, but Username is set")
	case r.DB < 0:
		return configError("DB", "%d is negative", r.DB)
	case strings.ContainsAny(r.KeyPrefix, "{}"):
		return configError("KeyPrefix", "%q contains a brace, which would decide the cluster slot of every key", truncate(r.KeyPrefix))
	case len(r.KeyPrefix) > maxPrefix:
		return configError("KeyPrefix", "is %d bytes long, more than %d", len(r.KeyPrefix), maxPrefix)
	case strings.ContainsFunc(r.ClientName, func(c rune) bool { return c <= ' ' || c > '~' }):
		return configError("ClientName", "%q has a space or a character outside ASCII, which Redis refuses", truncate(r.ClientName))
	}
	return nil
}

func (r *resolved) fillDefaults() error {
	for _, d := range []struct {
		name string
		v    *time.Duration
		def  time.Duration
	}{
		{"ConnectTimeout", &r.ConnectTimeout, DefaultConnectTimeout},
		{"CommandTimeout", &r.CommandTimeout, DefaultCommandTimeout},
		{"ProbeInterval", &r.ProbeInterval, DefaultProbeInterval},
		{"ProbeTimeout", &r.ProbeTimeout, DefaultProbeTimeout},
	} {
		switch {
		case *d.v == 0:
			*d.v = d.def
		case *d.v < time.Millisecond, *d.v > maxDuration:
			return configError(d.name, "%v is not between a millisecond and %v; zero means %v", *d.v, maxDuration, d.def)
		}
	}
	for _, d := range []struct {
		name          string
		v             *int
		def, min, max int
	}{
		{"MaxPending", &r.MaxPending, DefaultMaxPending, 1, 1 << 20},
		{"PoolSize", &r.PoolSize, DefaultPoolSize, 1, 1 << 16},
		{"BufferBytes", &r.BufferBytes, DefaultBufferBytes, 8 << 10, 1 << 30},
	} {
		switch {
		case *d.v == 0:
			*d.v = d.def
		case *d.v < d.min, *d.v > d.max:
			return configError(d.name, "%d is not between %d and %d; zero means %d", *d.v, d.min, d.max, d.def)
		}
	}
	switch {
	case r.MaxRetries == 0:
		r.MaxRetries = DefaultMaxRetries
	case r.MaxRetries < 0:
		r.MaxRetries = 0
	}
	if r.TLS != nil {
		t := r.TLS.Clone()
		t.MinVersion = max(t.MinVersion, tls.VersionTLS12)
		r.TLS = t
	}
	return nil
}

func isSocket(addr string) bool { return strings.HasPrefix(addr, "/") }

// normalizeAddr returns host:port, or the path of a Unix socket as it is.
func normalizeAddr(addr, port string) (string, error) {
	if isSocket(addr) {
		return addr, nil
	}
	if addr == "" {
		return "", errors.New("an address is empty")
	}
	if strings.Contains(addr, "://") || strings.ContainsAny(addr, "/@ ") {
		// Not echoed: what was meant as a URL may hold a password.
		return "", errors.New("an address is host:port, not a URL")
	}
	host, p, err := net.SplitHostPort(addr)
	if err != nil { // no port
		host, p = addr, port
		if strings.HasPrefix(addr, "[") && strings.HasSuffix(addr, "]") {
			host = addr[1 : len(addr)-1]
		}
		if _, err := netip.ParseAddr(host); err != nil && strings.ContainsAny(addr, ":[]") {
			return "", fmt.Errorf("%q is not host:port", truncate(addr))
		}
	}
	if strings.ContainsFunc(host, func(c rune) bool { return c <= ' ' || c == 0x7f || strings.ContainsRune(`[]?#\"`, c) }) {
		return "", errors.New("an address has a character that no host name has")
	}
	if host == "" {
		if strings.HasPrefix(addr, "[") {
			return "", fmt.Errorf("%q is not host:port", truncate(addr))
		}
		host = "localhost"
	}
	if p == "" {
		p = port
	}
	if n, err := strconv.ParseUint(p, 10, 16); err != nil || n == 0 {
		// Not echoed: in a URL without its @ the password stands here.
		return "", fmt.Errorf("the port of an address (host %q) is not a number from 1 to 65535", truncate(host))
	}
	return net.JoinHostPort(host, p), nil
}

// configError names the field at fault and matches ErrInvalidArgument.
func configError(field, format string, args ...any) error {
	return &ArgumentError{Name: "Config." + field, Problem: fmt.Sprintf(format, args...)}
}
