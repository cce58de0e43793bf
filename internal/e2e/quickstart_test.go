package e2e

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/mail"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/emersion/go-smtp"
	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
)

// mailServer is a real mail server on loopback that keeps what it gets.
type mailServer struct {
	addr string
	mu   sync.Mutex
	got  []receivedMail
}

type receivedMail struct {
	from, body string
	to         []string
	header     mail.Header
}

func startMailServer(t *testing.T) *mailServer {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	m := &mailServer{addr: l.Addr().String()}
	server := smtp.NewServer(smtp.BackendFunc(func(*smtp.Conn) (smtp.Session, error) { return &mailSession{server: m}, nil }))
	server.Domain = "localhost"
	done := make(chan error, 1)
	go func() { done <- server.Serve(l) }()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		if err := server.Shutdown(ctx); err != nil && !errors.Is(err, smtp.ErrServerClosed) {
			t.Error(err)
		}
		<-done
	})
	return m
}

func (m *mailServer) mails() []receivedMail {
	m.mu.Lock()
	defer m.mu.Unlock()
	return append([]receivedMail(nil), m.got...)
}

type mailSession struct {
	server *mailServer
	mail   receivedMail
}

func (s *mailSession) Reset()        { s.mail = receivedMail{} }
func (s *mailSession) Logout() error { return nil }
func (s *mailSession) Mail(from string, _ *smtp.MailOptions) error {
	s.mail.from = from
	return nil
}
func (s *mailSession) Rcpt(to string, _ *smtp.RcptOptions) error {
	s.mail.to = append(s.mail.to, to)
	return nil
}
func (s *mailSession) Data(r io.Reader) error {
	msg, err := mail.ReadMessage(r)
	if err != nil {
		return err
	}
	body, err := io.ReadAll(msg.Body)
	if err != nil {
		return err
	}
	s.mail.header, s.mail.body = msg.Header, string(body)
	s.server.mu.Lock()
	defer s.server.mu.Unlock()
	s.server.got = append(s.server.got, s.mail)
	return nil
}

// hookServer is a webhook receiver that keeps what it gets and verifies each signature.
type hookServer struct {
	url string
	mu  sync.Mutex
	got []string // bodies
	bad []error  // signatures that did not hold
}

func startHookServer(t *testing.T, secret string) *hookServer {
	t.Helper()
	verifier, err := standardwebhooks.NewWebhook(secret)
	if err != nil {
		t.Fatal(err)
	}
	h := &hookServer{}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err == nil {
			err = verifier.Verify(body, r.Header)
		}
		h.mu.Lock()
		defer h.mu.Unlock()
		if err != nil {
			h.bad = append(h.bad, err)
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		h.got = append(h.got, string(body))
		w.WriteHeader(http.StatusNoContent)
	}))
	t.Cleanup(server.Close)
	h.url = server.URL
	return h
}

func (h *hookServer) bodies() []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return append([]string(nil), h.got...)
}

// copyTree copies a folder's regular files, each through edit.
func copyTree(t *testing.T, from, to string, edit *strings.Replacer) {
	t.Helper()
	err := filepath.WalkDir(from, func(file string, d os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(from, file)
		if err != nil {
			return err
		}
		if d.IsDir() {
			if name := d.Name(); name == "data" || name == "logs" {
				return filepath.SkipDir
			}
			return nil
		}
		data, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		write(t, to, rel, edit.Replace(string(data)))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// The quickstart, made real, delivers both sample packets to a webhook receiver, a log file and a mail server.
func TestQuickstart(t *testing.T) {
	const example = "../../examples/quickstart"
	secret, err := os.ReadFile(filepath.Join(example, "webhook.secret"))
	if err != nil {
		t.Fatal(err)
	}
	hooks, mails := startHookServer(t, strings.TrimSpace(string(secret))), startMailServer(t)
	_, smtpPort, err := net.SplitHostPort(mails.addr)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	copyTree(t, example, dir, strings.NewReplacer(
		"dry_run: true", "dry_run: false",
		"http://127.0.0.1:8081", hooks.url,
		"port: 1025", "port: "+smtpPort,
		"127.0.0.1:8080", "127.0.0.1:0", "127.0.0.1:9090", "127.0.0.1:0",
	))
	s := start(t, dir)

	code, out, errs := aftermath(t, dir, nil, "send", "--url", s.Callback, "--sdkappid", "1400000000", "doc-example.json")
	if code != 0 || strings.TrimSpace(out) != answerOK {
		t.Fatalf("send: exit %d, %s%s", code, out, errs)
	}
	query, err := os.ReadFile(filepath.Join(dir, "both-ways.query"))
	if err != nil {
		t.Fatal(err)
	}
	code, out, errs = aftermath(t, dir, nil, "send", "--url", s.Callback, "--sdkappid", "1400483163",
		"--query", strings.TrimSpace(string(query)), "both-ways.json")
	if code != 0 || strings.TrimSpace(out) != answerOK {
		t.Fatalf("send: exit %d, %s%s", code, out, errs)
	}

	eventually(t, "seven deliveries to be done", func() bool { return s.Status().Counts.Deliveries.Done == 7 })
	bodies := strings.Join(hooks.bodies(), "\n")
	for _, want := range []string{
		`"From_Account":"id","To_Account":"id1"`, `"From_Account":"id","To_Account":"id2"`, `"From_Account":"id","To_Account":"id3"`,
		`"From_Account":"211172","To_Account":"425214"`, `"From_Account":"425214","To_Account":"211172"`,
		`"RequestId":"2ea4e023-2859-4512-b629-3089f77dff70"`, `"type":"friend.deleted"`,
	} {
		if !strings.Contains(bodies, want) {
			t.Errorf("no webhook has %s; got\n%s", want, bodies)
		}
	}
	if n := len(hooks.bodies()); n != 5 || len(hooks.bad) != 0 {
		t.Errorf("%d webhooks, signatures refused: %v", n, hooks.bad)
	}
	lines := jsonLines(t, filepath.Join(dir, "logs/parted.jsonl"))
	if len(lines) != 1 || lines[0]["message"] != "211172 and 425214 parted on iOS" || lines[0]["first"] != "211172" {
		t.Errorf("the log has %v", lines)
	}
	got := mails.mails()
	if len(got) != 1 || got[0].header.Get("Subject") != "id deleted 3 friends at once" || got[0].to[0] != "care@example.com" {
		t.Errorf("the mail server got %+v", got)
	}
	if code := s.Stop(); code != 0 {
		t.Errorf("serve ended with %d", code)
	}
}

// As it is committed, the quickstart needs nothing else running: what has no receiver is a dry run.
func TestQuickstartNeedsNothingElse(t *testing.T) {
	dir := t.TempDir()
	copyTree(t, "../../examples/quickstart", dir, strings.NewReplacer("127.0.0.1:8080", "127.0.0.1:0", "127.0.0.1:9090", "127.0.0.1:0"))
	s := start(t, dir)
	code, out, errs := aftermath(t, dir, nil, "send", "--url", s.Callback, "--sdkappid", "1400000000", "doc-example.json")
	if code != 0 || strings.TrimSpace(out) != answerOK {
		t.Fatalf("send: exit %d, %s%s", code, out, errs)
	}
	eventually(t, "four deliveries to be done", func() bool { return s.Status().Counts.Deliveries.Done == 4 })
	for _, want := range []string{"http://127.0.0.1:8081/hooks/friend-deleted", "id deleted 3 friends at once"} {
		eventually(t, "the log to say what would be sent: "+want, func() bool { return strings.Contains(s.Log(), want) })
	}
}
