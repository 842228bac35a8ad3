package redistest

import (
	"cmp"
	"context"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"
)

// startTimeout is how long a server may take until it answers.
const startTimeout = 20 * time.Second

// controlUser is the user that the package's own control traffic logs in as, so
// that it keeps working whatever a test does to the others.
const controlUser = "redistest-control"

var controlPassword = sync.OnceValue(rand.Text)

// A Server is one running server: a standalone one, or a node of a [Group]. Its
// methods are safe for concurrent use.
type Server struct {
	name     string
	opts     Options
	sentinel bool
	port     *port
	gate     *Proxy // nil: clients connect directly
	id       int    // in the network of a group
	bus      *port  // of a cluster's node, and its gate
	busGate  *Proxy
	socket   string
	run      runner
	files    map[string][]byte

	mu     sync.Mutex // over run, and what follows
	frozen bool
	down   bool
	closed bool
}

// StartServer starts a standalone server and waits until it answers. Close it.
// Tests use [Standalone].
func StartServer(ctx context.Context, opts Options) (*Server, error) {
	s, err := newServer(ctx, "standalone", opts, false)
	if err != nil {
		return nil, err
	}
	s.files[configFile] = s.config(nil)
	return s, s.launch(ctx)
}

// gates returns those that there are.
func (s *Server) gates() []*Proxy {
	return slices.DeleteFunc([]*Proxy{s.gate, s.busGate}, func(p *Proxy) bool { return p == nil })
}

// newServer prepares a server: its port, its files but the configuration, and
// what will run it.
func newServer(ctx context.Context, name string, opts Options, sentinel bool) (*Server, error) {
	strict := opts.Version != "" || envServerSet()
	opts, err := opts.withDefaults()
	if err != nil {
		return nil, err
	}
	s := &Server{name: name, opts: opts, sentinel: sentinel, down: true, files: map[string][]byte{}}
	if opts.TLS != nil {
		if s.files, err = Certificates().files(opts.TLS); err != nil {
			return nil, err
		}
	}
	s.run, err = newRunner(ctx, spec{version: opts.Version, strictVersion: strict, sentinel: sentinel, socket: opts.Socket})
	if err != nil {
		return nil, err
	}
	if s.port, err = reservePort(); err != nil {
		return nil, errors.Join(err, s.run.remove(ctx))
	}
	return s, nil
}

// config returns the configuration file. More are the directives of the
// server's part in a group; the user's win over them.
func (s *Server) config(more map[string]string) []byte {
	c := map[string]string{
		"bind":           "127.0.0.1",
		"protected-mode": "no",
		"loglevel":       "notice",
	}
	if !s.sentinel {
		// A test's server writes to disk only when asked to, and starts an
		// initial synchronisation at once: the default waits 5 s for others.
		c["save"] = ""
		c["repl-diskless-sync-delay"] = "0"
	}
	if s.opts.TLS != nil {
		c["port"] = "0"
		c["tls-port"] = fmt.Sprint(s.port.number)
		c["tls-cert-file"] = "server.pem"
		c["tls-key-file"] = "server.key"
		c["tls-ca-cert-file"] = "ca.pem"
		c["tls-auth-clients"] = "optional"
		if s.opts.TLS.ClientCert {
			c["tls-auth-clients"] = "yes"
		}
	} else {
		c["port"] = fmt.Sprint(s.port.number)
	}
	if s.opts.Socket {
		c["unixsocket"], s.socket = s.run.socketPaths()
		c["unixsocketperm"] = "777"
	}
	password := s.opts.Password
	if s.sentinel {
		password = s.opts.SentinelPassword
	}
	if password != "" {
		c["requirepass"] = quote(password)
	}
	maps.Copy(c, more)
	if !s.sentinel {
		maps.Copy(c, s.opts.Config)
	}
	var b strings.Builder
	for _, k := range slices.Sorted(maps.Keys(c)) {
		fmt.Fprintf(&b, "%s %s\n", k, cmp.Or(c[k], `""`))
	}
	users := append([]string{controlUser + " on >" + controlPassword() + " ~* &* +@all"}, s.opts.Users...)
	for _, u := range users {
		fmt.Fprintf(&b, "user %s\n", u)
	}
	return []byte(b.String())
}

// quote writes a value as redis.conf reads it.
func quote(s string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`, "\r", `\r`).Replace(s) + `"`
}

// launch starts the server for the first time; on failure nothing is left.
func (s *Server) launch(ctx context.Context) error {
	err := s.start(ctx)
	if err == nil {
		err = s.AwaitReady(ctx)
	}
	if err != nil {
		return errors.Join(err, s.Close())
	}
	return nil
}

// Name says which server of its group this is, such as "node 2".
func (s *Server) Name() string { return s.name }

// Addr returns the address for clients, "127.0.0.1:port". It stays the same
// until Close, whatever happens to the server.
func (s *Server) Addr() string {
	if s.gate != nil {
		return s.gate.Addr()
	}
	return s.port.addr()
}

// URL returns the address with the scheme and the password.
func (s *Server) URL() string {
	u := url.URL{Scheme: "redis", Host: s.Addr()}
	if s.opts.TLS != nil {
		u.Scheme = "rediss"
	}
	if s.opts.Password != "" {
		u.User = url.UserPassword("", s.opts.Password)
	}
	return u.String()
}

// Socket returns the path of the Unix socket, or "" without [Options.Socket].
func (s *Server) Socket() string { return s.socket }

// TLSConfig returns a configuration with which a client is let in, or nil where
// the server has no TLS. It does not make up for an Expired or a Host.
func (s *Server) TLSConfig() *tls.Config {
	if s.opts.TLS == nil {
		return nil
	}
	return Certificates().ClientConfig()
}

// Proxy returns the gate that clients pass on their way to a server of a group,
// for faults on that way; the other servers and control traffic do not notice.
// It is nil for a standalone server, where a proxy is made with [NewProxy], and
// with [Options.Direct].
func (s *Server) Proxy() *Proxy { return s.gate }

// Dial opens a connection for control traffic: past the gates, and with all
// rights.
func (s *Server) Dial(ctx context.Context) (*Conn, error) {
	var config *tls.Config
	if s.opts.TLS != nil {
		config = Certificates().ClientConfig()
		// Also a server with an expired or a foreign certificate has to be
		// controlled; what clients think of it is theirs to find out.
		config.InsecureSkipVerify = true
	}
	c, err := dial(ctx, s.port.addr(), config)
	if err != nil {
		return nil, fmt.Errorf("redistest: connect to %s (%s): %w", s.name, s.port.addr(), err)
	}
	if _, err := c.Do(ctx, "AUTH", controlUser, controlPassword()); err != nil {
		_ = c.Close()
		return nil, fmt.Errorf("redistest: log in to %s (%s): %w", s.name, s.port.addr(), err)
	}
	return c, nil
}

// Do runs one command on the server, past the gates and with all rights, on a
// connection of its own. See [Conn.Do] for the reply.
func (s *Server) Do(ctx context.Context, args ...any) (any, error) {
	c, err := s.Dial(ctx)
	if err != nil {
		return nil, err
	}
	defer c.Close() //nolint:errcheck // the reply is what counts
	reply, err := c.Do(ctx, args...)
	if err != nil {
		return nil, fmt.Errorf("redistest: %.60s on %s: %w", fmt.Sprint(args...), s.name, err)
	}
	return reply, nil
}

// Info returns the fields of INFO's sections, all of them when none is named.
func (s *Server) Info(ctx context.Context, sections ...any) (map[string]string, error) {
	reply, err := s.Do(ctx, append([]any{"INFO"}, sections...)...)
	if err != nil {
		return nil, err
	}
	text, _ := reply.(string)
	return fields(text), nil
}

// fields parses "name:value" lines.
func fields(text string) map[string]string {
	m := map[string]string{}
	for line := range strings.Lines(text) {
		if k, v, ok := strings.Cut(strings.TrimRight(line, "\r\n"), ":"); ok {
			m[k] = v
		}
	}
	return m
}

// Logs returns the end of the server's log, for the message of a failed test.
func (s *Server) Logs(ctx context.Context) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.run.logs(ctx)
}
