package config

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aftermath-rules/aftermath/callback"
)

// issue writes a self-signed certificate and its key to name.pem and name.key.
func issue(t *testing.T, dir, name string, notAfter time.Time) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name}, DNSNames: []string{"localhost"},
		NotBefore: time.Now().Add(-48 * time.Hour), NotAfter: notAfter, IsCA: true, BasicConstraintsValid: true,
		KeyUsage:    x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	certPEM := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	keyPEM := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER})
	write(t, dir, name+".pem", string(certPEM))
	write(t, dir, name+".key", string(keyPEM))
	pair, err := tls.X509KeyPair(certPEM, keyPEM)
	if err != nil {
		t.Fatal(err)
	}
	return pair
}

const withTLS = "callback: {apps: [{sdkappid: 1, tokens: [t0ken]}], tls: {cert: server.pem, key: server.key, client_ca: client.pem}}\n"

func TestClientCertificateIsRequired(t *testing.T) {
	path := setUp(t, withTLS)
	dir := filepath.Dir(path)
	server := issue(t, dir, "server", time.Now().Add(time.Hour))
	client := issue(t, dir, "client", time.Now().Add(time.Hour))
	stranger := issue(t, dir, "stranger", time.Now().Add(time.Hour))
	c := load(t, path)
	section := c.Callback.TLS
	port, err := callback.LoadTLS(callback.TLSFiles{Cert: section.Cert, Key: section.Key, ClientCA: section.ClientCA})
	if err != nil {
		t.Fatal(err)
	}

	for name, test := range map[string]struct {
		certs []tls.Certificate
		ok    bool
	}{
		"its own":      {[]tls.Certificate{client}, true},
		"none":         {nil, false},
		"another's":    {[]tls.Certificate{stranger}, false},
		"the server's": {[]tls.Certificate{server}, false},
	} {
		if err := handshake(t, port.Config(), server.Leaf, test.certs); (err == nil) != test.ok {
			t.Errorf("with %s certificate: %v", name, err)
		}
	}
	want := []string{path, filepath.Join(dir, "server.pem"), filepath.Join(dir, "server.key"), filepath.Join(dir, "client.pem")}
	if got := c.Files(); strings.Join(got, " ") != strings.Join(want, " ") {
		t.Error(got)
	}
}

// handshake gives what the server says about a client with these certificates.
func handshake(t *testing.T, server *tls.Config, root *x509.Certificate, certs []tls.Certificate) error {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	done := make(chan struct{})
	go func() {
		defer close(done)
		roots := x509.NewCertPool()
		roots.AddCert(root)
		d := &tls.Dialer{NetDialer: &net.Dialer{Timeout: 10 * time.Second},
			Config: &tls.Config{RootCAs: roots, ServerName: "localhost", GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
				if len(certs) == 0 {
					return new(tls.Certificate), nil
				}
				return &certs[0], nil
			}}}
		if conn, err := d.Dial("tcp", l.Addr().String()); err == nil {
			_ = conn.SetDeadline(time.Now().Add(10 * time.Second))
			_, _ = conn.Read(make([]byte, 1)) // until the server has had its say
			_ = conn.Close()
		}
	}()
	conn, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	_ = conn.SetDeadline(time.Now().Add(10 * time.Second))
	err = tls.Server(conn, server).Handshake()
	_ = conn.Close()
	<-done
	return err
}

func TestAnExpiredCertificateIsAWarning(t *testing.T) {
	path := setUp(t, "callback: {apps: [{sdkappid: 1, tokens: [t0ken]}], tls: {cert: server.pem, key: server.key}}\n")
	issue(t, filepath.Dir(path), "server", time.Now().Add(-time.Hour))
	c := load(t, path)
	if len(c.Warnings) != 1 || !strings.Contains(c.Warnings[0].String(), ":1:64: warning: cert: the certificate expired on ") {
		t.Error(c.Warnings)
	}
}

func TestAKeyOfAnotherCertificateIsAnError(t *testing.T) {
	path := setUp(t, "callback: {apps: [{sdkappid: 1, tokens: [t0ken]}], tls: {cert: a.pem, key: b.key}}\n")
	issue(t, filepath.Dir(path), "a", time.Now().Add(time.Hour))
	issue(t, filepath.Dir(path), "b", time.Now().Add(time.Hour))
	if _, err := Load(path); err == nil || !strings.Contains(err.Error(), "private key does not match public key") {
		t.Error(err)
	}
}
