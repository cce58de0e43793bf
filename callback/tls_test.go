package callback

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
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// authority is a CA that was made for a test.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	pem  []byte
}

func newAuthority(t *testing.T, name string) *authority {
	t.Helper()
	a := &authority{}
	cert, key := a.issue(t, &x509.Certificate{
		Subject: pkix.Name{CommonName: name}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	})
	block, _ := pem.Decode(cert)
	parsed, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	a.cert, a.pem = parsed, cert
	a.key, err = parseKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func parseKey(b []byte) (*ecdsa.PrivateKey, error) {
	block, _ := pem.Decode(b)
	return x509.ParseECPrivateKey(block.Bytes)
}

// issue signs a certificate for a new key; where a is still empty, with that key itself.
func (a *authority) issue(t *testing.T, template *x509.Certificate) (cert, key []byte) {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template.SerialNumber = big.NewInt(time.Now().UnixNano())
	template.NotBefore, template.NotAfter = time.Now().Add(-time.Hour), time.Now().Add(time.Hour)
	parent, signer := a.cert, a.key
	if parent == nil {
		parent, signer = template, k
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, &k.PublicKey, signer)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalECPrivateKey(k)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: keyDER})
}

func (a *authority) server(t *testing.T, name string) (cert, key []byte) {
	return a.issue(t, &x509.Certificate{
		Subject: pkix.Name{CommonName: name}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	})
}

func (a *authority) client(t *testing.T) tls.Certificate {
	t.Helper()
	cert, key := a.issue(t, &x509.Certificate{Subject: pkix.Name{CommonName: "chat"}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}})
	c, err := tls.X509KeyPair(cert, key)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func write(t *testing.T, dir, name string, data []byte) string {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// postTLS posts a packet on a connection of its own and gives the status and the name on the server's certificate.
func postTLS(t *testing.T, addr string, config *tls.Config) (int, string, error) {
	t.Helper()
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: config}, Timeout: 10 * time.Second}
	defer client.CloseIdleConnections()
	res, err := client.Post("https://"+addr+"/chat?SdkAppid=1400000000", "application/json", strings.NewReader(packetOf(pairOf("a", "b"))))
	if err != nil {
		return 0, "", err
	}
	defer res.Body.Close()
	return res.StatusCode, res.TLS.PeerCertificates[0].Subject.CommonName, nil
}

func TestTLS(t *testing.T) {
	own, chat, stranger := newAuthority(t, "own"), newAuthority(t, "chat"), newAuthority(t, "stranger")
	roots := x509.NewCertPool()
	roots.AddCert(own.cert)
	dir := t.TempDir()
	cert, key := own.server(t, "first")
	files := TLSFiles{Cert: write(t, dir, "server.pem", cert), Key: write(t, dir, "server.key", key)}

	t.Run("without client certificates", func(t *testing.T) {
		loaded, err := LoadTLS(files)
		if err != nil {
			t.Fatal(err)
		}
		e := serveEndpoint(t, nil, HandlerOptions{}, ServerOptions{TLS: loaded})
		if status, name, err := postTLS(t, e.addr, &tls.Config{RootCAs: roots, NextProtos: []string{"h2", "http/1.1"}}); status != 200 || name != "first" {
			t.Errorf("answer = %d from %q, %v", status, name, err)
		}
		if _, _, err := postTLS(t, e.addr, &tls.Config{RootCAs: roots, MaxVersion: tls.VersionTLS11, MinVersion: tls.VersionTLS10}); err == nil {
			t.Error("TLS 1.1 was spoken")
		}

		cert, key := own.server(t, "second")
		write(t, dir, "server.pem", cert)
		if err := loaded.Reload(files); err == nil {
			t.Error("a certificate was loaded with another's key")
		}
		if _, name, err := postTLS(t, e.addr, &tls.Config{RootCAs: roots}); name != "first" {
			t.Errorf("after a failed reload the certificate is %q, %v", name, err)
		}
		write(t, dir, "server.key", key)
		if err := loaded.Reload(files); err != nil {
			t.Fatal(err)
		}
		if _, name, err := postTLS(t, e.addr, &tls.Config{RootCAs: roots}); name != "second" {
			t.Errorf("after a reload the certificate is %q, %v", name, err)
		}
	})

	t.Run("with client certificates", func(t *testing.T) {
		files := files
		files.ClientCA = write(t, dir, "ca.pem", chat.pem)
		loaded, err := LoadTLS(files)
		if err != nil {
			t.Fatal(err)
		}
		e := serveEndpoint(t, nil, HandlerOptions{}, ServerOptions{TLS: loaded})
		for name, tt := range map[string]struct {
			certs []tls.Certificate
			want  int
		}{
			"none":         {nil, 0},
			"Chat's":       {[]tls.Certificate{chat.client(t)}, 200},
			"a stranger's": {[]tls.Certificate{stranger.client(t)}, 0},
		} {
			certs := tt.certs
			config := &tls.Config{RootCAs: roots, GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
				if len(certs) == 0 {
					return &tls.Certificate{}, nil
				}
				return &certs[0], nil
			}}
			if status, _, err := postTLS(t, e.addr, config); status != tt.want || (err == nil) != (tt.want != 0) {
				t.Errorf("%s: status = %d, %v", name, status, err)
			}
		}
		if len(e.accepted) != 1 {
			t.Errorf("%d callbacks were accepted, want Chat's alone", len(e.accepted))
		}
	})

	t.Run("fails closed", func(t *testing.T) {
		for name, broken := range map[string]TLSFiles{
			"client_ca missing":   {Cert: files.Cert, Key: files.Key, ClientCA: filepath.Join(dir, "none.pem")},
			"client_ca empty":     {Cert: files.Cert, Key: files.Key, ClientCA: write(t, dir, "empty.pem", nil)},
			"client_ca no PEM":    {Cert: files.Cert, Key: files.Key, ClientCA: write(t, dir, "text.pem", []byte("none"))},
			"client_ca a key":     {Cert: files.Cert, Key: files.Key, ClientCA: files.Key},
			"cert missing":        {Cert: filepath.Join(dir, "none.pem"), Key: files.Key},
			"key missing":         {Cert: files.Cert},
			"client_ca alone":     {ClientCA: write(t, dir, "ca.pem", chat.pem)},
			"client_ca a folder":  {Cert: files.Cert, Key: files.Key, ClientCA: dir},
			"client_ca cut short": {Cert: files.Cert, Key: files.Key, ClientCA: write(t, dir, "cut.pem", chat.pem[:len(chat.pem)/2])},
		} {
			if _, err := LoadTLS(broken); err == nil || !strings.HasPrefix(err.Error(), "tls: ") {
				t.Errorf("%s: error = %v", name, err)
			}
		}
	})
}
