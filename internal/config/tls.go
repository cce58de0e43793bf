package config

import (
	"crypto/tls"
	"crypto/x509"
	"path/filepath"
	"time"

	"gopkg.in/yaml.v3"

	"github.com/aftermath-rules/aftermath/internal/secrets"
)

// checkTLS reads the certificate, its key and the client CA, and reports what is wrong with them: a server that started without
// its CA would let everybody in.
func (l *loader) checkTLS(c *Config) {
	section := c.Callback.TLS
	if section.Cert == "" || section.Key == "" {
		return
	}
	c.sources.pem = map[string]string{}
	readable := func(key, path string) []byte {
		data, err := new(secrets.Resolver).ReadFile(path)
		if err != nil {
			l.problem(l.at("callback", "tls", key), "%s: %s: %v", key, filepath.Base(path), err)
		}
		c.sources.pem[path] = string(data)
		return data
	}
	cert, key := readable("cert", section.Cert), readable("key", section.Key)
	if cert != nil && key != nil {
		pair, err := tls.X509KeyPair(cert, key)
		if err != nil {
			l.problem(l.at("callback", "tls", "cert"), "cert and key: %v", err)
		} else {
			l.warnExpired(l.at("callback", "tls", "cert"), pair.Leaf)
		}
	}
	if section.ClientCA != "" {
		ca := readable("client_ca", section.ClientCA)
		if ca != nil && !x509.NewCertPool().AppendCertsFromPEM(ca) {
			l.problem(l.at("callback", "tls", "client_ca"), "client_ca: there is no certificate in %s", filepath.Base(section.ClientCA))
		}
	}
}

func (l *loader) warnExpired(n *yaml.Node, leaf *x509.Certificate) {
	if leaf != nil && time.Now().After(leaf.NotAfter) {
		l.checks.Warnf(n, "cert: the certificate expired on %s", leaf.NotAfter.Format(time.DateOnly))
	}
}
