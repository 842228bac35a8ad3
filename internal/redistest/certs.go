package redistest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"sync"
	"time"
)

// TLS says what a server shows and asks of its clients. The zero value is a
// valid certificate for 127.0.0.1 and localhost; clients need none.
type TLS struct {
	// ClientCert makes the server refuse a client without a certificate.
	ClientCert bool

	// Expired makes the server show a certificate that ended an hour ago.
	Expired bool

	// Host is the name in the server's certificate, to be one that the client
	// did not ask for. Empty means 127.0.0.1 and localhost.
	Host string
}

// Certs are the certificates of this process: a CA that exists only in its
// memory, and what it signed. The same for every server. Read only.
type Certs struct {
	CA         *x509.CertPool // trusts the servers of this process
	CAPEM      []byte
	Client     tls.Certificate // signed by CA
	ClientPEM  []byte
	ClientKey  []byte         // PEM
	OtherCA    *x509.CertPool // of another CA: trusts none of the servers
	OtherCAPEM []byte
	Foreign    tls.Certificate // a client's, signed by the other CA

	ca *authority
}

// Certificates returns the process's certificates, made at the first call.
var Certificates = sync.OnceValue(func() *Certs {
	c, err := newCerts()
	if err != nil {
		// Reading the system's randomness does not fail, and nothing here comes
		// from a caller: this is a fault of this file.
		panic("redistest: making certificates: " + err.Error())
	}
	return c
})

// authority is a CA.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	pem  []byte
}

func newAuthority(name string) (*authority, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{
		SerialNumber:          big.NewInt(1),
		Subject:               pkix.Name{CommonName: name},
		NotBefore:             time.Now().Add(-24 * time.Hour),
		NotAfter:              time.Now().Add(7 * 24 * time.Hour),
		IsCA:                  true,
		BasicConstraintsValid: true,
		KeyUsage:              x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		return nil, err
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, err
	}
	return &authority{cert, key, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})}, nil
}

// issue signs a certificate that serves as a server's and as a client's, as the
// servers of a group are both.
func (a *authority) issue(hosts []string, notAfter time.Time) (certPEM, keyPEM []byte, err error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, err
	}
	serial, err := rand.Int(rand.Reader, big.NewInt(1<<62))
	if err != nil {
		return nil, nil, err
	}
	template := &x509.Certificate{
		SerialNumber: serial,
		Subject:      pkix.Name{CommonName: "redistest"},
		NotBefore:    time.Now().Add(-24 * time.Hour),
		NotAfter:     notAfter,
		KeyUsage:     x509.KeyUsageDigitalSignature,
		ExtKeyUsage:  []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	for _, h := range hosts {
		if ip := net.ParseIP(h); ip != nil {
			template.IPAddresses = append(template.IPAddresses, ip)
		} else {
			template.DNSNames = append(template.DNSNames, h)
		}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, &key.PublicKey, a.key)
	if err != nil {
		return nil, nil, err
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, nil, err
	}
	certPEM = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	return certPEM, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8}), nil
}

func newCerts() (*Certs, error) {
	ca, err := newAuthority("redistest CA")
	if err != nil {
		return nil, err
	}
	other, err := newAuthority("redistest other CA")
	if err != nil {
		return nil, err
	}
	c := &Certs{
		CA: x509.NewCertPool(), CAPEM: ca.pem,
		OtherCA: x509.NewCertPool(), OtherCAPEM: other.pem,
		ca: ca,
	}
	c.CA.AddCert(ca.cert)
	c.OtherCA.AddCert(other.cert)

	until := time.Now().Add(7 * 24 * time.Hour)
	if c.ClientPEM, c.ClientKey, err = ca.issue(nil, until); err != nil {
		return nil, err
	}
	if c.Client, err = tls.X509KeyPair(c.ClientPEM, c.ClientKey); err != nil {
		return nil, err
	}
	foreignPEM, foreignKey, err := other.issue(nil, until)
	if err != nil {
		return nil, err
	}
	c.Foreign, err = tls.X509KeyPair(foreignPEM, foreignKey)
	return c, err
}

// ClientConfig returns a configuration that connects to every server whose
// certificate is in order: it trusts the CA and has a client certificate.
func (c *Certs) ClientConfig() *tls.Config {
	return &tls.Config{RootCAs: c.CA, Certificates: []tls.Certificate{c.Client}, MinVersion: tls.VersionTLS12}
}

// files returns what a server with these options reads, by file name.
func (c *Certs) files(o *TLS) (map[string][]byte, error) {
	hosts := []string{"127.0.0.1", "localhost"}
	if o.Host != "" {
		hosts = []string{o.Host}
	}
	until := time.Now().Add(7 * 24 * time.Hour)
	if o.Expired {
		until = time.Now().Add(-time.Hour)
	}
	cert, key, err := c.ca.issue(hosts, until)
	if err != nil {
		return nil, fmt.Errorf("redistest: server certificate for %v: %w", hosts, err)
	}
	return map[string][]byte{"ca.pem": c.CAPEM, "server.pem": cert, "server.key": key}, nil
}
