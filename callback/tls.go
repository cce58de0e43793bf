package callback

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"sync/atomic"
)

// TLSFiles names the PEM files of an HTTPS endpoint.
type TLSFiles struct {
	Cert     string // the server's certificate, followed by the intermediate ones
	Key      string
	ClientCA string // not "": a client must present a certificate that this CA signed
}

// TLS is what an HTTPS endpoint shows and asks for. It can be read anew while connections come in.
type TLS struct {
	current atomic.Pointer[tls.Config]
}

// LoadTLS reads the files. It fails where one is missing or of no use: there is no endpoint rather than one that asks for less.
func LoadTLS(files TLSFiles) (*TLS, error) {
	t := &TLS{}
	if err := t.Reload(files); err != nil {
		return nil, err
	}
	return t, nil
}

// Reload reads files, the same as before or others. New connections see what they hold; after an error, what was held before.
func (t *TLS) Reload(files TLSFiles) error {
	config, err := files.load()
	if err != nil {
		return err
	}
	t.current.Store(config)
	return nil
}

// Config gives a configuration for a server, which follows Reload.
func (t *TLS) Config() *tls.Config {
	c := t.current.Load().Clone()
	c.GetConfigForClient = func(*tls.ClientHelloInfo) (*tls.Config, error) { return t.current.Load(), nil }
	return c
}

func (f TLSFiles) load() (*tls.Config, error) {
	if f.Cert == "" || f.Key == "" {
		return nil, errors.New("tls: cert and key are both needed")
	}
	cert, err := tls.LoadX509KeyPair(f.Cert, f.Key)
	if err != nil {
		return nil, fmt.Errorf("tls: cert %s and key %s: %w", f.Cert, f.Key, err)
	}
	c := &tls.Config{
		Certificates: []tls.Certificate{cert},
		MinVersion:   tls.VersionTLS12,
		NextProtos:   []string{"http/1.1"},
	}
	if f.ClientCA == "" {
		return c, nil
	}
	pem, err := os.ReadFile(f.ClientCA)
	if err != nil {
		return nil, fmt.Errorf("tls: client_ca: %w", err)
	}
	c.ClientCAs = x509.NewCertPool()
	if !c.ClientCAs.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("tls: client_ca %s holds no certificate", f.ClientCA)
	}
	c.ClientAuth = tls.RequireAndVerifyClientCert
	// A resumed session would stand on the certificate that was checked then, and perhaps on a CA that is no longer trusted.
	c.SessionTicketsDisabled = true
	return c, nil
}
