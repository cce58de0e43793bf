package webhook

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aftermath-rules/aftermath/actions"
	"github.com/aftermath-rules/aftermath/internal/netguard"
	"github.com/aftermath-rules/aftermath/internal/tlstest"
)

func TestRedirectsThatAreFollowed(t *testing.T) {
	for _, tc := range []struct {
		status      int
		method      string // of the second request
		hasBody, ok bool
	}{
		{301, "POST", true, true}, {302, "POST", true, true}, {307, "POST", true, true}, {308, "POST", true, true},
		{303, "GET", false, true}, {304, "", false, false}, {300, "", false, false},
	} {
		t.Run(fmt.Sprint(tc.status), func(t *testing.T) {
			seen := make(chan received, 1)
			mux := http.NewServeMux()
			mux.HandleFunc("/old", func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Location", "/new?x=1")
				w.WriteHeader(tc.status)
			})
			mux.HandleFunc("/new", func(_ http.ResponseWriter, r *http.Request) {
				body, _ := io.ReadAll(r.Body)
				seen <- received{method: r.Method, header: r.Header.Clone(), body: body}
			})
			s := httptest.NewServer(mux)
			defer s.Close()
			hook := mustBuild(t, "url: "+s.URL+"/old\nfollow_redirects: true\nheaders: {Authorization: token}\nsecrets: ["+secretA+"]")
			_, err := hook.Run(within(t, 30*time.Second), delivery())
			if !tc.ok {
				if !actions.IsPermanent(err) {
					t.Fatalf("got %v, want a permanent error", err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			got := <-seen
			if got.method != tc.method || len(got.body) > 0 != tc.hasBody || got.header.Get("Authorization") != "token" {
				t.Errorf("got %s, %d bytes, %v", got.method, len(got.body), got.header)
			}
			if got.header.Get("webhook-signature") == "" {
				t.Error("the second request is not signed")
			}
		})
	}
}

func TestRedirectElsewhere(t *testing.T) {
	other, seen := receiver(t, http.StatusOK)
	var location atomic.Value
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Location", location.Load().(string))
		w.WriteHeader(http.StatusTemporaryRedirect)
	}))
	defer s.Close()
	yaml := "url: " + s.URL + "\nfollow_redirects: true\nheaders: {Authorization: token}\n"
	t.Run("another host gets no configured header", func(t *testing.T) {
		location.Store(other.URL)
		if _, err := mustBuild(t, yaml).Run(within(t, 30*time.Second), delivery()); err != nil {
			t.Fatal(err)
		}
		if got := <-seen; got.header.Get("Authorization") != "" || len(got.body) == 0 {
			t.Errorf("got %v, %d bytes", got.header, len(got.body))
		}
	})
	for name, to := range map[string]string{"a loop": s.URL, "another scheme": "ftp://127.0.0.1/", "nowhere": "", "no URL": "http://[",
		"a denied address": "http://169.254.169.254/latest/meta-data", "a denied address, mapped": "http://[::ffff:169.254.169.254]/"} {
		t.Run(name, func(t *testing.T) {
			location.Store(to)
			if _, err := mustBuild(t, yaml).Run(within(t, 30*time.Second), delivery()); !actions.IsPermanent(err) {
				t.Errorf("got %v, want a permanent error", err)
			}
		})
	}
}

// raw is a receiver that speaks TCP: talk gets each connection after the request's header has come.
func raw(t *testing.T, talk func(conn net.Conn)) string {
	t.Helper()
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	t.Cleanup(func() { l.Close(); <-done })
	go func() {
		defer close(done)
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			_, _ = conn.Read(make([]byte, 64<<10))
			talk(conn)
			conn.Close()
		}
	}()
	return "http://" + l.Addr().String()
}

func TestAnswersThatMisbehave(t *testing.T) {
	drip := func(conn net.Conn) {
		for {
			if _, err := conn.Write([]byte(".")); err != nil {
				return
			}
			time.Sleep(10 * time.Millisecond) // the receiver's pace, not the test's
		}
	}
	for _, tc := range []struct {
		name string
		talk func(conn net.Conn)
		want string // of the error; "" for success
	}{
		{"an endless body", func(conn net.Conn) {
			fmt.Fprint(conn, "HTTP/1.1 200 OK\r\n\r\n")
			for {
				if _, err := conn.Write(make([]byte, 32<<10)); err != nil {
					return
				}
			}
		}, ""},
		{"a body that drips", func(conn net.Conn) { fmt.Fprint(conn, "HTTP/1.1 202 Accepted\r\n\r\n"); drip(conn) }, ""},
		{"a failure that drips", func(conn net.Conn) { fmt.Fprint(conn, "HTTP/1.1 503 No\r\n\r\n"); drip(conn) }, "503 Service Unavailable"},
		{"a body shorter than it said", func(conn net.Conn) { fmt.Fprint(conn, "HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\nabc") }, ""},
		{"a header that drips", drip, "within the time-out"},
		{"an endless header", func(conn net.Conn) {
			fmt.Fprint(conn, "HTTP/1.1 200 OK\r\n")
			for {
				if _, err := conn.Write([]byte("X-A: " + strings.Repeat("a", 1<<10) + "\r\n")); err != nil {
					return
				}
			}
		}, "header"},
		{"no HTTP", func(conn net.Conn) { fmt.Fprint(conn, "220 mail.example.com ESMTP\r\n") }, "no answer"},
		{"closed without an answer", func(net.Conn) {}, "it closed the connection"},
		{"another protocol", func(conn net.Conn) {
			fmt.Fprint(conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n")
			drip(conn)
		}, "101"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			hook := mustBuild(t, "url: "+raw(t, tc.talk)+"/?token=hush")
			result, err := hook.Run(within(t, 3*time.Second), delivery())
			if tc.want == "" {
				if err != nil {
					t.Fatal(err)
				}
				if len(result.Received) > maxReceived {
					t.Errorf("%d bytes of the answer were kept", len(result.Received))
				}
				return
			}
			if err == nil || actions.IsPermanent(err) || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("got %v, want a temporary error with %q", err, tc.want)
			}
			if err != nil && strings.Contains(err.Error(), "hush") {
				t.Errorf("the error shows the URL's query: %v", err)
			}
		})
	}
}

func TestReceiversThatCannotBeReached(t *testing.T) {
	for _, tc := range []struct {
		name, url, want string
		permanent       bool
	}{
		{"nobody listens", "http://127.0.0.1:1/?token=hush", "connection refused", false},
		{"no such name", "http://no-such-host.invalid/?token=hush", "no-such-host.invalid", false},
		{"denied", "http://169.254.169.254/?token=hush", "network.deny (169.254.0.0/16)", true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			_, err := mustBuild(t, "url: "+tc.url).Run(within(t, 30*time.Second), delivery())
			if err == nil || !strings.Contains(err.Error(), tc.want) || actions.IsPermanent(err) != tc.permanent {
				t.Errorf("got %v, want %q, permanent %v", err, tc.want, tc.permanent)
			}
			if err != nil && strings.Contains(err.Error(), "hush") {
				t.Errorf("the error shows the URL's query: %v", err)
			}
		})
	}
	t.Run("own port", func(t *testing.T) {
		s, seen := receiver(t, http.StatusOK)
		at := netip.MustParseAddrPort(s.Listener.Addr().String())
		guard := netguard.New(nil, nil, netguard.Own(at))
		hook, err := build(t, actions.Env{Dial: guard.DialContext}, "", "url: "+s.URL)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := hook.Run(within(t, 30*time.Second), delivery()); !actions.IsPermanent(err) || len(seen) > 0 {
			t.Errorf("got %v", err)
		}
	})
}

func TestProxiesOfTheEnvironmentAreIgnored(t *testing.T) {
	s, _ := receiver(t, http.StatusOK)
	var dialled string
	env := actions.Env{Dial: func(ctx context.Context, network, address string) (net.Conn, error) {
		dialled = address
		return (&net.Dialer{}).DialContext(ctx, network, s.Listener.Addr().String())
	}}
	t.Setenv("HTTP_PROXY", "http://proxy.example:3128")
	hook, err := build(t, env, "", "url: http://receiver.example/")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := hook.Run(within(t, 30*time.Second), delivery()); err != nil || dialled != "receiver.example:80" {
		t.Errorf("dialled %s: %v", dialled, err)
	}
}

func TestConnectionsAreKept(t *testing.T) {
	var connections atomic.Int32
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "ok") }))
	s.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			connections.Add(1)
		}
	}
	s.Start()
	defer s.Close()
	hook := mustBuild(t, "url: "+s.URL)
	for range 20 {
		if _, err := hook.Run(within(t, 30*time.Second), delivery()); err != nil {
			t.Fatal(err)
		}
	}
	if n := connections.Load(); n != 1 {
		t.Errorf("20 deliveries took %d connections", n)
	}
}

func TestTLS(t *testing.T) {
	ca := tlstest.NewAuthority(t, t.TempDir(), "ca")
	ca.Issue(t, "server")
	ca.Issue(t, "client")
	pair, err := tls.LoadX509KeyPair(filepath.Join(ca.Dir, "server.pem"), filepath.Join(ca.Dir, "server.key"))
	if err != nil {
		t.Fatal(err)
	}
	start := func(config *tls.Config) string {
		s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, r.Proto) }))
		s.TLS, s.EnableHTTP2 = config, true
		s.Config.ErrorLog = log.New(io.Discard, "", 0)
		s.StartTLS()
		t.Cleanup(s.Close)
		return s.URL
	}
	plain := start(&tls.Config{Certificates: []tls.Certificate{pair}})
	mutual := start(&tls.Config{Certificates: []tls.Certificate{pair}, ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: ca.Pool()})
	old := start(&tls.Config{Certificates: []tls.Certificate{pair}, MaxVersion: tls.VersionTLS11})
	for _, tc := range []struct{ name, yaml, want string }{
		{"an authority of one's own", "url: " + plain + "\nca: ca.pem", ""},
		{"an unknown authority", "url: " + plain, "certificate"},
		{"a client certificate", "url: " + mutual + "\nca: ca.pem\ncert: client.pem\nkey: client.key", ""},
		{"no client certificate", "url: " + mutual + "\nca: ca.pem", "no answer"},
		{"TLS 1.1", "url: " + old + "\nca: ca.pem", "protocol version"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			hook, err := build(t, actions.Env{}, ca.Dir, tc.yaml)
			if err != nil {
				t.Fatal(err)
			}
			result, err := hook.Run(within(t, 30*time.Second), delivery())
			if tc.want == "" {
				if err != nil || string(result.Received) != "HTTP/2.0" {
					t.Errorf("got %q, %v", result.Received, err)
				}
				return
			}
			if err == nil || actions.IsPermanent(err) || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("got %v, want a temporary error with %q", err, tc.want)
			}
		})
	}
}

func TestLoadErrors(t *testing.T) {
	ca := tlstest.NewAuthority(t, t.TempDir(), "ca")
	ca.Issue(t, "client")
	ca.Issue(t, "other")
	const at = "url: https://crm.example.com/\n"
	for _, tc := range []struct {
		name, yaml string
		line       int
		want       string
	}{
		{"no url", "method: POST", 2, "url is missing"},
		{"a method", at + "method: BREW", 3, "method"},
		{"a body that can't be sent", at + "method: GET\nbody: {a: 1}", 4, "GET"},
		{"a signature header", at + "headers: {Webhook-ID: x}", 3, "Webhook-Id is set by aftermath"},
		{"Host", at + "headers: {host: x}", 3, "Host"},
		{"Content-Length", at + "headers:\n  Content-Length: 5", 4, "Content-Length"},
		{"Transfer-Encoding", at + "headers: {transfer-encoding: chunked}", 3, "Transfer-Encoding"},
		{"no header's name", at + "headers: {'X A': x}", 3, "no name of a header"},
		{"a header twice", at + "headers: {X-A: x, x-a: y}", 3, "same header"},
		{"a secret that is no base64", at + "secrets:\n  - " + secretA + "\n  - hunter2!", 5, "whsec_"},
		{"an empty secret", at + "secrets: ['whsec_']", 3, "is no Standard Webhooks secret"},
		{"a missing file", at + "ca: none.pem", 3, "none.pem"},
		{"a key for a ca", at + "ca: client.key", 3, "no certificate"},
		{"a certificate without its key", at + "cert: client.pem", 3, "set key too"},
		{"a key without its certificate", at + "key: client.key", 3, "set cert too"},
		{"a key of another certificate", at + "cert: client.pem\nkey: other.key", 3, "belong together"},
		{"a templated host", "url: https://{{ From_Account }}/", 2, "host"},
		{"another scheme", "url: ftp://example.com/", 2, "http"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			_, err := build(t, actions.Env{}, ca.Dir, tc.yaml)
			if err == nil {
				t.Fatal("no error")
			}
			text := err.Error()
			if !strings.Contains(text, tc.want) {
				t.Errorf("%q is not in: %s", tc.want, text)
			}
			if tc.name != "no url" && !strings.HasPrefix(text, fmt.Sprintf("rules.yaml:%d:", tc.line)) {
				t.Errorf("want line %d: %s", tc.line, text)
			}
			if strings.Contains(text, "hunter2") {
				t.Errorf("the secret is shown: %s", text)
			}
		})
	}
}

// As many connections are kept as attempts may run at once, so that no attempt of a busy action connects anew.
func TestEveryAttemptKeepsItsConnection(t *testing.T) {
	const atOnce = 40
	var opened atomic.Int64
	arrived := make(chan struct{})
	release := make(chan struct{})
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		arrived <- struct{}{}
		<-release
		w.WriteHeader(http.StatusNoContent)
	}))
	s.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			opened.Add(1)
		}
	}
	s.Start()
	defer s.Close()
	hook := mustBuild(t, fmt.Sprintf("url: %s\nconcurrency: %d", s.URL, atOnce))
	for range 3 {
		var wg sync.WaitGroup
		for range atOnce {
			wg.Go(func() {
				if _, err := hook.Run(within(t, 30*time.Second), delivery()); err != nil {
					t.Error(err)
				}
			})
		}
		for range atOnce {
			<-arrived
		}
		for range atOnce {
			release <- struct{}{}
		}
		wg.Wait()
	}
	if n := opened.Load(); n != atOnce {
		t.Errorf("%d connections for three rounds of %d attempts", n, atOnce)
	}
}
