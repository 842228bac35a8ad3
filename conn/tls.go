package conn

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"strings"
)

// tlsFor returns the configuration for one connection: the certificate must be
// for the host that is dialled, which rueidis alone only checks for the first
// address. certAsked is set when the server asks for a client certificate.
func tlsFor(cfg *tls.Config, addr string, certAsked *bool) *tls.Config {
	c := cfg.Clone()
	if c.ServerName == "" && !isSocket(addr) {
		host, _, err := net.SplitHostPort(addr)
		if err != nil {
			host = addr
		}
		c.ServerName = host
	}
	choose := c.GetClientCertificate
	c.GetClientCertificate = func(info *tls.CertificateRequestInfo) (*tls.Certificate, error) {
		*certAsked = true
		if choose != nil {
			return choose(info)
		}
		// As crypto/tls does it without this callback.
		for i := range c.Certificates {
			if info.SupportsCertificate(&c.Certificates[i]) == nil {
				return &c.Certificates[i], nil
			}
		}
		return &tls.Certificate{}, nil
	}
	return c
}

// isTLS reports whether err came from the TLS handshake: a certificate that
// does not verify, an alert of the other side, or a side that speaks no TLS.
func isTLS(err error) bool {
	var (
		verify  *tls.CertificateVerificationError
		record  tls.RecordHeaderError
		alert   tls.AlertError
		unknown x509.UnknownAuthorityError
		host    x509.HostnameError
		invalid x509.CertificateInvalidError
	)
	switch {
	case errors.As(err, &verify), errors.As(err, &record), errors.As(err, &alert), errors.As(err, &unknown),
		errors.As(err, &host), errors.As(err, &invalid):
		return true
	}
	// Alerts that arrive after the handshake (TLS 1.3's "certificate
	// required") are a net.OpError around an unexported type.
	var op *net.OpError
	return errors.As(err, &op) && strings.Contains(op.Err.Error(), "tls: ")
}
