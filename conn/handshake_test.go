package conn

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math/big"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/redis/rueidis"
)

// shownError is err by every way that logs take, and that of all that it wraps.
func shownError(err error) string {
	var b bytes.Buffer
	slog.New(slog.NewJSONHandler(&b, nil)).Info("m", "err", err)
	slog.New(slog.NewTextHandler(&b, nil)).Info("m", "err", err)
	text, _ := json.Marshal(err)
	fmt.Fprintf(&b, "%v %+v %#v %q %s", err, err, err, err, text)
	var walk func(error)
	walk = func(err error) {
		if err == nil {
			return
		}
		fmt.Fprintf(&b, " %+v %#v", err, err)
		switch w := err.(type) { //nolint:errorlint // it walks the tree
		case interface{ Unwrap() error }:
			walk(w.Unwrap())
		case interface{ Unwrap() []error }:
			for _, e := range w.Unwrap() {
				walk(e)
			}
		}
	}
	walk(err)
	return b.String()
}

// What a server may say or do while a connection is made, that a real one only
// does in states that are hard to bring about. Each is an error that says why,
// which server, and never the password.
func TestHandshakeErrors(t *testing.T) {
	const hello = "ERR unknown command 'HELLO', with args beginning with: '3' 'AUTH' 'default' '" + canary + "' "
	on := func(command, reply string) func([]string) string {
		return func(args []string) string {
			if args[0] == command {
				return reply
			}
			return ""
		}
	}
	for _, tc := range []struct {
		name  string
		reply func([]string) string
		kinds []error
		retry RetryClass
		hint  string

		accepts bool // the connection is made all the same
	}{
		{"no HELLO, no AUTH", func(args []string) string {
			return "-ERR unknown command '" + args[0] + "', with args beginning with: '" + strings.Join(args[1:], "' '") + "' \r\n"
		}, nil, RetryOK, "AUTH", false},
		{"no HELLO, and hangs up", on("HELLO", "-"+hello+"\r\n"+hangUp), nil, RetryOK, "", false},
		{"wrong password", on("HELLO", "-WRONGPASS invalid username-password pair or user is disabled.\r\n"), []error{ErrAuth}, RetryNo, "WRONGPASS", false},
		{"no password set", on("HELLO", "-ERR AUTH <password> called without any password configured for the default user. Are you sure your configuration is correct?\r\n"), []error{ErrAuth}, RetryNo, "without any password", false},
		{"not permitted", on("HELLO", "-NOPERM User default has no permissions to run the 'hello' command\r\n"), []error{ErrPermission}, RetryNo, "NOPERM", false},
		{"protected mode", on("HELLO", "-DENIED Redis is running in protected mode\r\n"+hangUp), []error{ErrPermission}, RetryNo, "protected mode", false},
		{"too many clients", on("HELLO", "-ERR max number of clients reached\r\n"+hangUp), []error{ErrMaxClients}, RetryOK, "", false},
		{"loading", on("PING", "-LOADING Redis is loading the dataset in memory\r\n"), []error{ErrLoading}, RetryOK, "LOADING", true},
		{"a script runs", on("PING", "-BUSY Redis is busy running a script.\r\n"), []error{ErrBusy}, RetryOK, "BUSY", true},
		{"replica alone", on("PING", "-MASTERDOWN Link with MASTER is down\r\n"), []error{ErrMasterDown}, RetryOK, "MASTERDOWN", true},
		{"hangs up", on("HELLO", hangUp), nil, RetryOK, "", false},
		{"hangs up amid a reply", on("HELLO", "%4\r\n$7\r\nver"+hangUp), nil, RetryOK, "", false},
		{"says nothing", on("HELLO", noReply), []error{ErrTimeout}, RetryOK, "", false},
		{"says nothing to PING", on("PING", noReply), []error{ErrTimeout}, RetryOK, "", true},
		{"speaks another protocol", on("HELLO", "HTTP/1.1 400 Bad Request\r\n\r\n"+hangUp), nil, RetryOK, "", false},
		{"cluster node", on("HELLO", strings.Replace(helloReply, "$10\r\nstandalone", "$7\r\ncluster", 1)), []error{ErrWrongMode}, RetryNo, "mode=cluster", true},
		{"Sentinel", on("HELLO", strings.Replace(helloReply, "$10\r\nstandalone", "$8\r\nsentinel", 1)), []error{ErrWrongMode}, RetryNo, "master_set", true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			p := newPeer(t, tc.reply)
			cfg := Config{Addrs: []string{p.addr}, Password: canary, ConnectTimeout: 500 * time.Millisecond, CommandTimeout: 5 * time.Second}
			start := time.Now()
			c, err := Open(t.Context(), cfg)
			if err == nil {
				c.Close(context.Background())
				t.Fatal("it connected")
			}
			if took := time.Since(start); took > cfg.ConnectTimeout+time.Second {
				t.Errorf("it took %v", took)
			}
			t.Log(err)
			for _, k := range tc.kinds {
				if !errors.Is(err, k) {
					t.Errorf("%v: is not %v", err, k)
				}
			}
			if got := Retry(err); got != tc.retry {
				t.Errorf("%v: Retry says %v", err, got)
			}
			for _, part := range []string{tc.hint, p.addr} {
				if !strings.Contains(err.Error(), part) {
					t.Errorf("%v: does not mention %q", err, part)
				}
			}
			if strings.Contains(shownError(err), canary) {
				t.Errorf("the password is in %s", shownError(err))
			}
			if err.Error() != strings.TrimSpace(err.Error()) || strings.ContainsAny(err.Error(), "\r\n") {
				t.Errorf("the error is not one line: %q", err)
			}

			// The same, seen by a call of a lazy Client. A server that accepts the
			// connection gets the command, and decides itself.
			cfg.Lazy = true
			c, err = Open(t.Context(), cfg)
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close(canceled())
			err = c.Do(t.Context(), c.B().Set().Key("k").Value("v").Build()).Error()
			if strings.Contains(fmt.Sprint(shownError(err), c), canary) {
				t.Errorf("the password is in %s", shownError(err))
			}
			if tc.accepts {
				return
			}
			if err == nil {
				t.Error("SET succeeds")
			}
			for _, k := range tc.kinds {
				if !errors.Is(err, k) {
					t.Errorf("SET: %v: is not %v", err, k)
				}
			}
			if got := strings.Join(p.received(), "; "); strings.Contains(got, "SET K") {
				t.Errorf("the write was sent: %s", got)
			}
		})
	}
}

func canceled() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return ctx
}

// A server without HELLO, such as an old proxy, is served: it gets AUTH.
func TestHandshakeWithoutHello(t *testing.T) {
	p := newPeer(t, func(args []string) string {
		if args[0] == "HELLO" {
			return "-ERR unknown command 'HELLO', with args beginning with: '" + strings.Join(args[1:], "' '") + "' \r\n"
		}
		return ""
	})
	c, err := Open(t.Context(), Config{Addrs: []string{p.addr}, Password: canary})
	if err != nil {
		t.Fatalf("%s", strings.ReplaceAll(err.Error(), canary, "<the password>"))
	}
	defer c.Close(context.Background())
	if c.State() != Connected {
		t.Errorf("%v", c)
	}
	if err := c.Do(t.Context(), c.B().Set().Key("k").Value("v").Build()).Error(); err != nil {
		t.Error(err)
	}
	if got := strings.Join(p.received(), "; "); !strings.Contains(got, "AUTH "+strings.ToUpper(canary)) {
		t.Errorf("it was sent %q", got)
	}
}

// A server that repeats a command in its error does not bring its arguments
// into ours.
func TestReplyDoesNotShowArguments(t *testing.T) {
	p := newPeer(t, func(args []string) string {
		if args[0] == "FOO" {
			return "-ERR unknown command 'FOO', with args beginning with: '" + strings.Join(args[1:], "' '") + "' \r\n"
		}
		return ""
	})
	c, err := Open(t.Context(), Config{Addrs: []string{p.addr}})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close(context.Background())
	build := func() rueidis.Completed { return c.B().Arbitrary("FOO").Args(canary).Build() }
	batch := c.Batch()
	batch.Do(build())
	for _, res := range append(append(c.DoMulti(t.Context(), build()), c.Do(t.Context(), build())), batch.Exec(t.Context())...) {
		if err := res.Error(); err == nil || strings.Contains(shownError(err), canary) || !strings.Contains(err.Error(), "unknown command 'FOO'") {
			t.Errorf("%s", shownError(err))
		}
	}
}

// authority signs certificates for 127.0.0.1.
type authority struct {
	pool *x509.CertPool
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	a := &authority{pool: x509.NewCertPool()}
	der, key := a.sign(t, &x509.Certificate{IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign, Subject: pkix.Name{CommonName: "CA"}})
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	a.cert, a.key = cert, key
	a.pool.AddCert(cert)
	return a
}

func (a *authority) sign(t *testing.T, template *x509.Certificate) ([]byte, *ecdsa.PrivateKey) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template.SerialNumber = big.NewInt(time.Now().UnixNano())
	template.NotBefore = time.Now().Add(-time.Hour)
	if template.NotAfter.IsZero() {
		template.NotAfter = time.Now().Add(time.Hour)
	}
	parent, signer := template, key
	if a.cert != nil {
		parent, signer = a.cert, a.key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, signer)
	if err != nil {
		t.Fatal(err)
	}
	return der, key
}

func (a *authority) certificate(t *testing.T, template x509.Certificate) tls.Certificate {
	der, key := a.sign(t, &template)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

var loopback = []net.IP{net.IPv4(127, 0, 0, 1)}

// newTLSPeer starts a peer behind TLS.
func newTLSPeer(t *testing.T, cfg *tls.Config, reply func([]string) string) *peer {
	t.Helper()
	p := newPeer(t, reply)
	ln, err := tls.Listen("tcp", "127.0.0.1:0", cfg)
	if err != nil {
		t.Fatal(err)
	}
	p.wg.Go(func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			p.wg.Go(func() { defer c.Close(); p.serve(c) })
		}
	})
	p.addr = ln.Addr().String()
	t.Cleanup(func() { _ = ln.Close() })
	return p
}

// Whatever is wrong with TLS is ErrTLS, and is not tried again; what is right
// connects.
func TestHandshakeTLS(t *testing.T) {
	ours, other := newAuthority(t), newAuthority(t)
	good := ours.certificate(t, x509.Certificate{IPAddresses: loopback})
	client := ours.certificate(t, x509.Certificate{ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}})
	foreign := other.certificate(t, x509.Certificate{ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}})
	mutual := func(version uint16) *tls.Config {
		return &tls.Config{Certificates: []tls.Certificate{good}, ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: ours.pool, MaxVersion: version}
	}
	plain := newPeer(t, nil)
	for _, tc := range []struct {
		name   string
		server *tls.Config // nil: no TLS
		client *tls.Config
		ok     bool
		hint   string
	}{
		{"right", &tls.Config{Certificates: []tls.Certificate{good}}, &tls.Config{RootCAs: ours.pool}, true, ""},
		{"TLS 1.2", &tls.Config{Certificates: []tls.Certificate{good}, MaxVersion: tls.VersionTLS12}, &tls.Config{RootCAs: ours.pool}, true, ""},
		{"TLS 1.1", &tls.Config{Certificates: []tls.Certificate{good}, MaxVersion: tls.VersionTLS11}, &tls.Config{RootCAs: ours.pool, MinVersion: tls.VersionTLS10}, false, "version"},
		{"unknown CA", &tls.Config{Certificates: []tls.Certificate{good}}, &tls.Config{RootCAs: other.pool}, false, "unknown authority"},
		{"the system's CAs", &tls.Config{Certificates: []tls.Certificate{good}}, &tls.Config{}, false, "certificate"},
		{"unknown CA, not verified", &tls.Config{Certificates: []tls.Certificate{good}}, &tls.Config{InsecureSkipVerify: true}, true, ""},
		{"another host", &tls.Config{Certificates: []tls.Certificate{ours.certificate(t, x509.Certificate{DNSNames: []string{"redis.example"}})}}, &tls.Config{RootCAs: ours.pool}, false, "127.0.0.1"},
		{"another host, by ServerName", &tls.Config{Certificates: []tls.Certificate{ours.certificate(t, x509.Certificate{DNSNames: []string{"redis.example"}})}}, &tls.Config{RootCAs: ours.pool, ServerName: "redis.example"}, true, ""},
		{"expired", &tls.Config{Certificates: []tls.Certificate{ours.certificate(t, x509.Certificate{IPAddresses: loopback, NotAfter: time.Now().Add(-time.Minute)})}}, &tls.Config{RootCAs: ours.pool}, false, "expired"},
		{"client certificate", mutual(0), &tls.Config{RootCAs: ours.pool, Certificates: []tls.Certificate{client}}, true, ""},
		{"client certificate by function", mutual(0), &tls.Config{RootCAs: ours.pool, GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &client, nil }}, true, ""},
		{"client certificate, TLS 1.2", mutual(tls.VersionTLS12), &tls.Config{RootCAs: ours.pool, Certificates: []tls.Certificate{client}}, true, ""},
		{"no client certificate", mutual(0), &tls.Config{RootCAs: ours.pool}, false, ""},
		{"no client certificate, TLS 1.2", mutual(tls.VersionTLS12), &tls.Config{RootCAs: ours.pool}, false, ""},
		{"foreign client certificate", mutual(0), &tls.Config{RootCAs: ours.pool, Certificates: []tls.Certificate{foreign}}, false, ""},
		{"no TLS there", nil, &tls.Config{RootCAs: ours.pool}, false, "TLS"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			addr := plain.addr
			if tc.server != nil {
				addr = newTLSPeer(t, tc.server, nil).addr
			}
			c, err := Open(t.Context(), Config{Addrs: []string{addr}, TLS: tc.client, ConnectTimeout: 2 * time.Second})
			if tc.ok {
				if err != nil {
					t.Fatal(err)
				}
				c.Close(context.Background())
				return
			}
			if err == nil {
				c.Close(context.Background())
				t.Fatal("it connected")
			}
			t.Log(err)
			if tc.server == nil { // it hangs up, as one that is being stopped does
				if errors.Is(err, ErrTLS) || !errors.Is(err, ErrNotConnected) || Retry(err) != RetryOK || !strings.Contains(err.Error(), tc.hint) {
					t.Errorf("%v, Retry %v", err, Retry(err))
				}
				return
			}
			if !errors.Is(err, ErrTLS) || !errors.Is(err, ErrNotConnected) || Retry(err) != RetryNo || !strings.Contains(err.Error(), addr) || !strings.Contains(err.Error(), tc.hint) {
				t.Errorf("%v, Retry %v", err, Retry(err))
			}
			if text := shownError(err); strings.Contains(text, "PrivateKey") {
				t.Errorf("the key is in %s", text)
			}
		})
	}
}

// A server that asks for a certificate, gets none and hangs up without a word
// (in TLS 1.3 after our handshake) is most likely one that wants it.
func TestHandshakeTLSHangUp(t *testing.T) {
	ours := newAuthority(t)
	good := ours.certificate(t, x509.Certificate{IPAddresses: loopback})
	for want, auth := range map[bool]tls.ClientAuthType{true: tls.RequestClientCert, false: tls.NoClientCert} {
		p := newTLSPeer(t, &tls.Config{Certificates: []tls.Certificate{good}, ClientAuth: auth}, func([]string) string { return hangUp })
		_, err := Open(t.Context(), Config{Addrs: []string{p.addr}, TLS: &tls.Config{RootCAs: ours.pool}, ConnectTimeout: time.Second})
		if errors.Is(err, ErrTLS) != want || !errors.Is(err, ErrNotConnected) || strings.Contains(fmt.Sprint(err), "client certificate") != want {
			t.Errorf("a certificate is asked for: %t; the error is %v", want, err)
		}
	}
}

// A function that never returns, panics or fails does not hold up a call, and
// its error is kept.
func TestCredentials(t *testing.T) {
	p := newPeer(t, nil)
	failure := errors.New("vault is sealed")
	hang := make(chan struct{})
	defer close(hang)
	for name, tc := range map[string]struct {
		fn   func(context.Context) (Credentials, error)
		want error
	}{
		"right": {func(context.Context) (Credentials, error) {
			return Credentials{Username: "u", Password: "secret1"}, nil
		}, nil},
		"fails":  {func(context.Context) (Credentials, error) { return Credentials{}, failure }, failure},
		"panics": {func(context.Context) (Credentials, error) { panic("bug") }, ErrAuth},
		"hangs":  {func(context.Context) (Credentials, error) { <-hang; return Credentials{}, nil }, ErrTimeout},
	} {
		c, err := Open(t.Context(), Config{Addrs: []string{p.addr}, Credentials: tc.fn, ConnectTimeout: 300 * time.Millisecond})
		if !errors.Is(err, tc.want) || (err != nil) != (tc.want != nil) {
			t.Errorf("%s: %v", name, err)
		}
		if c != nil {
			c.Close(context.Background())
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if all := strings.Join(p.cmds, "\n"); !strings.Contains(all, "AUTH U SECRET1") {
		t.Errorf("it was sent %s", all)
	}
}
