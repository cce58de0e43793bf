package email

import (
	"context"
	"crypto/tls"
	"encoding/pem"
	"errors"
	"io"
	"log"
	"net"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/emersion/go-sasl"
	"github.com/emersion/go-smtp"
	"go.uber.org/goleak"

	"github.com/aftermath-rules/aftermath/actions"
	"github.com/aftermath-rules/aftermath/callback"
	"github.com/aftermath-rules/aftermath/internal/strictyaml"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// sent is a mail as the server took it.
type sent struct {
	from, to string
	data     string
	utf8     bool
}

// mailServer is a real SMTP server on loopback. Its answers can be set by recipient.
type mailServer struct {
	addr hostPort
	ca   string // folder with ca.pem

	mu          sync.Mutex
	mails       []sent
	connections int
	logins      []string
	secure      []bool // of each mail's connection
	onRcpt      map[string]func() error
	onData      map[string]func() error
	conns       []net.Conn
}

type hostPort struct{ host, port string }

type serverOptions struct {
	starttls, implicit, login, insecureLogin, utf8 bool
}

func startServer(t testing.TB, o serverOptions) *mailServer {
	t.Helper()
	m := &mailServer{ca: t.TempDir(), onRcpt: map[string]func() error{}, onData: map[string]func() error{}}
	config := testTLS(t, m.ca)
	server := smtp.NewServer(smtp.BackendFunc(func(c *smtp.Conn) (smtp.Session, error) {
		m.mu.Lock()
		defer m.mu.Unlock()
		m.connections++
		m.conns = append(m.conns, c.Conn())
		s := &mailSession{server: m, conn: c}
		if o.login {
			return &loginSession{s}, nil
		}
		return s, nil
	}))
	server.ErrorLog = log.New(io.Discard, "", 0)
	server.Domain = "mail.example.com"
	server.AllowInsecureAuth = o.insecureLogin
	server.EnableSMTPUTF8 = o.utf8
	if o.starttls {
		server.TLSConfig = config
	}
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	m.addr.host, m.addr.port, _ = net.SplitHostPort(l.Addr().String())
	if o.implicit {
		l = tls.NewListener(l, config)
	}
	done := make(chan struct{})
	go func() { defer close(done); _ = server.Serve(l) }()
	t.Cleanup(func() { l.Close(); server.Close(); <-done }) // a server that has not begun to serve closes no listener
	return m
}

// testTLS gives a certificate for 127.0.0.1 and writes its authority to dir/ca.pem.
func testTLS(t testing.TB, dir string) *tls.Config {
	t.Helper()
	web := httptest.NewTLSServer(nil)
	defer web.Close()
	block := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: web.Certificate().Raw})
	if err := os.WriteFile(filepath.Join(dir, "ca.pem"), block, 0o600); err != nil {
		t.Fatal(err)
	}
	return &tls.Config{Certificates: web.TLS.Certificates}
}

func (m *mailServer) taken() []sent {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.mails)
}

// recipients are those who have had a mail, in order.
func (m *mailServer) recipients() []string {
	var out []string
	for _, mail := range m.taken() {
		out = append(out, mail.to)
	}
	return out
}

func (m *mailServer) refuse(recipient string, code int, text string) {
	m.on(m.onRcpt, recipient, func() error { return &smtp.SMTPError{Code: code, EnhancedCode: smtp.NoEnhancedCode, Message: text} })
}

func (m *mailServer) accept(recipient string) {
	m.on(m.onRcpt, recipient, nil)
	m.on(m.onData, recipient, nil)
}

func (m *mailServer) on(where map[string]func() error, recipient string, f func() error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	where[recipient] = f
}

func (m *mailServer) hook(where map[string]func() error, recipient string) error {
	m.mu.Lock()
	f := where[recipient]
	m.mu.Unlock()
	if f == nil {
		return nil
	}
	return f()
}

// drop closes every connection, as a server that crashes does.
func (m *mailServer) drop() {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, c := range m.conns {
		c.Close()
	}
}

type mailSession struct {
	server *mailServer
	conn   *smtp.Conn
	mail   sent
}

func (s *mailSession) Reset()        { s.mail = sent{} }
func (s *mailSession) Logout() error { return nil }

func (s *mailSession) Mail(from string, o *smtp.MailOptions) error {
	s.mail = sent{from: from, utf8: o.UTF8}
	return s.server.hook(s.server.onRcpt, "from:"+from)
}

func (s *mailSession) Rcpt(to string, _ *smtp.RcptOptions) error {
	if s.mail.to != "" {
		return errors.New("two recipients in one transaction")
	}
	s.mail.to = to
	return s.server.hook(s.server.onRcpt, to)
}

func (s *mailSession) Data(r io.Reader) error {
	data, err := io.ReadAll(r)
	if err != nil {
		return err
	}
	if err := s.server.hook(s.server.onData, s.mail.to); err != nil {
		return err
	}
	s.mail.data = string(data)
	s.server.mu.Lock()
	defer s.server.mu.Unlock()
	_, secure := s.conn.TLSConnectionState()
	s.server.mails = append(s.server.mails, s.mail)
	s.server.secure = append(s.server.secure, secure)
	return nil
}

type loginSession struct{ *mailSession }

func (s *loginSession) AuthMechanisms() []string { return []string{sasl.Plain} }

func (s *loginSession) Auth(string) (sasl.Server, error) {
	return sasl.NewPlainServer(func(_, username, password string) error {
		s.server.mu.Lock()
		defer s.server.mu.Unlock()
		s.server.logins = append(s.server.logins, username+":"+password)
		if password != "hunter2" {
			return smtp.ErrAuthFailed
		}
		return nil
	}), nil
}

// build makes the action that a rules file would make of the YAML, with the configuration's smtp section.
func build(t testing.TB, dir string, defaults actions.SMTP, yaml string) (*actions.Instance, error) {
	t.Helper()
	reg, err := actions.NewRegistry(Type())
	if err != nil {
		t.Fatal(err)
	}
	doc, err := strictyaml.Parse("rules.yaml", []byte("type: email\n"+yaml))
	if err != nil {
		t.Fatalf("%v in:\n%s", err, yaml)
	}
	dec := &strictyaml.Decoder{Doc: doc}
	instance := reg.Build(dec, doc.Root, "mail", actions.Builder{Env: actions.Env{
		Dial:     (&net.Dialer{}).DialContext,
		ReadFile: func(path string) ([]byte, error) { return os.ReadFile(filepath.Join(dir, path)) },
		SMTP:     defaults,
	}})
	if problems := dec.Problems(); len(problems) > 0 {
		return nil, problems
	}
	return instance, nil
}

// action makes an action that sends to the server, unencrypted unless the YAML says otherwise.
func (m *mailServer) action(t testing.TB, yaml string) *actions.Instance {
	t.Helper()
	port, _ := strconv.Atoi(m.addr.port)
	instance, err := build(t, m.ca, actions.SMTP{Host: m.addr.host, Port: port, TLS: none, From: "Aftermath <noreply@example.com>"}, yaml)
	if err != nil {
		t.Fatal(err)
	}
	return instance
}

func within(t testing.TB, d time.Duration) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), d)
	t.Cleanup(cancel)
	return ctx
}

func delivery() *actions.Delivery {
	return &actions.Delivery{
		ID:       "d1e2f3",
		Attempt:  1,
		Action:   "mail",
		Rule:     actions.Rule{Name: "vip-lost-a-friend"},
		Pair:     callback.Pair{From: "vip_1", To: "bob"},
		SdkAppid: 1400000000,
		Time:     time.Date(2026, 11, 22, 8, 0, 0, 0, time.UTC),
	}
}
