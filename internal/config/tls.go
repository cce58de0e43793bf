package config

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"time"

	"gopkg.in/yaml.v3"

	"github.com/aftermath-rules/aftermath/internal/secrets"
)

// ServerTLS is how the callback port speaks TLS, made of the files as they were when the configuration was loaded; nil for plain
// HTTP.
func (c *Config) ServerTLS() *tls.Config { return c.sources.tls.Clone() }

// loadTLS reads the certificate, its key and the client CA, and reports what is wrong with them: a server that started without its
// CA would let everybody in.
func (l *loader) loadTLS(c *Config) {
	section := c.Callback.TLS
	if section.Cert == "" || section.Key == "" {
		return
	}
	pem := map[string]string{}
	readable := func(key, path string) []byte {
		data, err := new(secrets.Resolver).ReadFile(path)
		if err != nil {
			l.problem(l.at("callback", "tls", key), "%s: %v", key, err)
		}
		pem[path] = string(data)
		return data
	}
	cert, key := readable("cert", section.Cert), readable("key", section.Key)
	server := &tls.Config{MinVersion: tls.VersionTLS12}
	if cert != nil && key != nil {
		pair, err := tls.X509KeyPair(cert, key)
		if err != nil {
			l.problem(l.at("callback", "tls", "cert"), "cert and key: %v", err)
		} else {
			server.Certificates = []tls.Certificate{pair}
			l.warnExpired(l.at("callback", "tls", "cert"), pair.Leaf)
		}
	}
	if section.ClientCA != "" {
		pool, err := authorities(readable("client_ca", section.ClientCA))
		if err != nil {
			l.problem(l.at("callback", "tls", "client_ca"), "client_ca: %v", err)
		}
		server.ClientCAs, server.ClientAuth = pool, tls.RequireAndVerifyClientCert
	}
	c.sources.tls, c.sources.pem = server, pem
}

func authorities(pem []byte) (*x509.CertPool, error) {
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		return nil, errors.New("there is no certificate in the file")
	}
	return pool, nil
}

func (l *loader) warnExpired(n *yaml.Node, leaf *x509.Certificate) {
	if leaf != nil && time.Now().After(leaf.NotAfter) {
		l.checks.Warnf(n, "cert: the certificate expired on %s", leaf.NotAfter.Format(time.DateOnly))
	}
}
