package callback

import (
	"crypto/tls"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aftermath-rules/aftermath/internal/tlstest"
)

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
	dir := t.TempDir()
	own, chat, stranger := tlstest.NewAuthority(t, dir, "own"), tlstest.NewAuthority(t, dir, "chat"), tlstest.NewAuthority(t, dir, "stranger")
	roots := own.Pool()
	for ca, names := range map[*tlstest.Authority][]string{own: {"first", "second"}, chat: {"from-chat"}, stranger: {"from-stranger"}} {
		for _, name := range names {
			ca.Issue(t, name)
		}
	}
	text := func(name string) []byte {
		b, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	client := func(name string) []tls.Certificate {
		c, err := tls.X509KeyPair(text(name+".pem"), text(name+".key"))
		if err != nil {
			t.Fatal(err)
		}
		return []tls.Certificate{c}
	}
	files := TLSFiles{Cert: write(t, dir, "server.pem", text("first.pem")), Key: write(t, dir, "server.key", text("first.key"))}

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

		write(t, dir, "server.pem", text("second.pem"))
		if err := loaded.Reload(files); err == nil {
			t.Error("a certificate was loaded with another's key")
		}
		if _, name, err := postTLS(t, e.addr, &tls.Config{RootCAs: roots}); name != "first" {
			t.Errorf("after a failed reload the certificate is %q, %v", name, err)
		}
		write(t, dir, "server.key", text("second.key"))
		if err := loaded.Reload(files); err != nil {
			t.Fatal(err)
		}
		if _, name, err := postTLS(t, e.addr, &tls.Config{RootCAs: roots}); name != "second" {
			t.Errorf("after a reload the certificate is %q, %v", name, err)
		}
	})

	t.Run("with client certificates", func(t *testing.T) {
		files := files
		files.ClientCA = filepath.Join(dir, "chat.pem")
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
			"Chat's":       {client("from-chat"), 200},
			"a stranger's": {client("from-stranger"), 0},
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
			"client_ca alone":     {ClientCA: filepath.Join(dir, "chat.pem")},
			"client_ca a folder":  {Cert: files.Cert, Key: files.Key, ClientCA: dir},
			"client_ca cut short": {Cert: files.Cert, Key: files.Key, ClientCA: write(t, dir, "cut.pem", text("chat.pem")[:100])},
		} {
			if _, err := LoadTLS(broken); err == nil || !strings.HasPrefix(err.Error(), "tls: ") {
				t.Errorf("%s: error = %v", name, err)
			}
		}
	})
}
