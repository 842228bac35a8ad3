package redistest

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"testing"
)

func TestTLS(t *testing.T) {
	t.Parallel()
	good := func() *tls.Config { return Certificates().ClientConfig() }
	for name, test := range map[string]struct {
		server TLS
		client func(*tls.Config)
		ok     bool
		is     func(error) bool
	}{
		"good":               {ok: true},
		"wrong CA":           {client: func(c *tls.Config) { c.RootCAs = Certificates().OtherCA }, is: as[x509.UnknownAuthorityError]},
		"expired":            {server: TLS{Expired: true}, is: as[x509.CertificateInvalidError]},
		"wrong host":         {server: TLS{Host: "elsewhere.test"}, is: as[x509.HostnameError]},
		"no client cert":     {server: TLS{ClientCert: true}, client: func(c *tls.Config) { c.Certificates = nil }, is: refusedByServer},
		"foreign cert":       {server: TLS{ClientCert: true}, client: func(c *tls.Config) { c.Certificates[0] = Certificates().Foreign }, is: refusedByServer},
		"client certificate": {server: TLS{ClientCert: true}, ok: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := Standalone(t, Options{TLS: &test.server})
			do(t, s, "PING") // control traffic is let in in any case
			config := good()
			if test.client != nil {
				test.client(config)
			}
			c, err := dial(t.Context(), s.Addr(), config)
			if err == nil {
				defer c.Close()
				if test.ok {
					_, err = c.Do(t.Context(), "PING")
				} else {
					// TLS 1.3 tells a client only with its first read that its own
					// certificate was refused; a write could fail before that.
					_, err = c.Receive(t.Context())
				}
			}
			if test.ok != (err == nil) || test.is != nil && !test.is(err) {
				t.Fatalf("got %v", err)
			}
		})
	}
}

// refusedByServer recognises the alert that the server sends.
func refusedByServer(err error) bool {
	var op *net.OpError
	return errors.As(err, &op) && op.Op == "remote error"
}

func as[E error](err error) bool {
	var e E
	return errors.As(err, &e)
}
