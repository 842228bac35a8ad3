package conn

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"strings"
)

// tlsFor returns the configuration for one address: the certificate must be
// for the host that is dialled, which rueidis alone only does for the first.
func tlsFor(cfg *tls.Config, addr string) *tls.Config {
	if cfg.ServerName != "" || isSocket(addr) {
		return cfg
	}
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		host = addr
	}
	c := cfg.Clone()
	c.ServerName = host
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
