package webhook

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"net/http"
	"time"

	"github.com/aftermath-rules/aftermath/actions"
)

const (
	maxResponseHeader = 64 << 10
	usualIdle         = 16 // connections that are kept where it isn't known how many are used at once
	idleTimeout       = 90 * time.Second
)

// newTransport makes the connections of one action. It is used without a Client, which would follow redirects, or at least read
// where they lead. It knows no proxy.
func newTransport(c Config, env actions.Env) (*http.Transport, error) {
	tlsConfig, err := newTLS(c, env)
	if err != nil {
		return nil, err
	}
	idle := cmp.Or(env.Concurrency, usualIdle) // fewer, and a busy action would connect anew for what a kept one could carry
	return &http.Transport{
		DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
			if env.Dial == nil { // net/http would dial by itself, past the guard
				return nil, errors.New("nothing may be connected to here")
			}
			return env.Dial(ctx, network, address)
		},
		TLSClientConfig:        tlsConfig,
		ForceAttemptHTTP2:      true,
		HTTP2:                  &http.HTTP2Config{SendPingTimeout: 15 * time.Second, PingTimeout: 10 * time.Second},
		DisableCompression:     true, // an answer is never larger than what is read of it
		MaxIdleConns:           idle,
		MaxIdleConnsPerHost:    idle,
		IdleConnTimeout:        idleTimeout,
		TLSHandshakeTimeout:    10 * time.Second,
		MaxResponseHeaderBytes: maxResponseHeader,
	}, nil
}

func newTLS(c Config, env actions.Env) (*tls.Config, error) {
	config := &tls.Config{MinVersion: tls.VersionTLS12}
	if c.CA != "" {
		pem, err := readFile("ca", c.CA, env)
		if err != nil {
			return nil, err
		}
		config.RootCAs = x509.NewCertPool()
		if !config.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fieldError("ca", "%s holds no certificate in PEM form", c.CA)
		}
	}
	switch {
	case c.Cert == "" && c.Key == "":
		return config, nil
	case c.Key == "":
		return nil, fieldError("cert", "a client certificate needs its private key: set key too")
	case c.Cert == "":
		return nil, fieldError("key", "a private key needs its certificate: set cert too")
	}
	cert, err := readFile("cert", c.Cert, env)
	if err != nil {
		return nil, err
	}
	key, err := readFile("key", c.Key, env)
	if err != nil {
		return nil, err
	}
	pair, err := tls.X509KeyPair(cert, key)
	if err != nil {
		return nil, fieldError("cert", "%s and %s are no certificate and key in PEM form that belong together: %w", c.Cert, c.Key, err)
	}
	config.Certificates = []tls.Certificate{pair}
	return config, nil
}

func readFile(field, path string, env actions.Env) ([]byte, error) {
	if env.ReadFile == nil {
		return nil, fieldError(field, "no file can be read here")
	}
	data, err := env.ReadFile(path)
	if err != nil {
		return nil, &actions.FieldError{Field: field, Err: err}
	}
	return data, nil
}
