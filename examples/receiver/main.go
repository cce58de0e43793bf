// Command receiver stands in for what the quickstart's actions talk to: a webhook receiver that verifies each signature, and a
// mail server that prints what it gets. It is for trying things out on one machine, not for production.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/mail"
	"os"
	"os/signal"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/emersion/go-smtp"
	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
)

func main() {
	web := flag.String("webhook", "127.0.0.1:8081", "where to receive webhooks")
	mailAddr := flag.String("smtp", "127.0.0.1:1025", "where to receive mail")
	secretFile := flag.String("secret", "examples/quickstart/webhook.secret", "the file that holds the webhook's secret")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, *web, *mailAddr, *secretFile); err != nil {
		fmt.Fprintln(os.Stderr, "receiver:", err)
		os.Exit(1)
	}
}

// run serves both until ctx ends.
func run(ctx context.Context, webAddr, mailAddr, secretFile string) error {
	secret, err := os.ReadFile(secretFile)
	if err != nil {
		return err
	}
	verifier, err := standardwebhooks.NewWebhook(strings.TrimSpace(string(secret)))
	if err != nil {
		return fmt.Errorf("%s: %w", secretFile, err)
	}
	webListener, err := net.Listen("tcp", webAddr)
	if err != nil {
		return err
	}
	mailListener, err := net.Listen("tcp", mailAddr)
	if err != nil {
		return errors.Join(err, webListener.Close())
	}
	out := &printer{w: os.Stdout}
	out.printf("webhooks on http://%s, mail on %s\n", webListener.Addr(), mailListener.Addr())

	web := &http.Server{Handler: webhookHandler(verifier, out), ReadTimeout: 10 * time.Second}
	mails := smtp.NewServer(&mailBackend{out: out})
	mails.Domain = "localhost"
	mails.ReadTimeout, mails.WriteTimeout = 10*time.Second, 10*time.Second
	mails.MaxMessageBytes = 1 << 20

	failed := make(chan error, 2)
	go func() { failed <- web.Serve(webListener) }()
	go func() { failed <- mails.Serve(mailListener) }()
	running := 2
	select {
	case <-ctx.Done():
	case err = <-failed:
		running--
	}
	shutdown, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	err = errors.Join(err, web.Shutdown(shutdown), mails.Shutdown(shutdown))
	for range running {
		<-failed // each Serve ends with its server: the error says only that it was closed
	}
	return err
}

// printer writes one piece of output at a time.
type printer struct {
	mu sync.Mutex
	w  io.Writer
}

func (p *printer) printf(format string, args ...any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	fmt.Fprintf(p.w, format, args...)
}

// webhookHandler answers 204 to a webhook whose signature holds and 401 to any other.
func webhookHandler(verifier *standardwebhooks.Webhook, out *printer) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, 1<<20))
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		if err := verifier.Verify(body, r.Header); err != nil {
			out.printf("webhook refused: %v\n", err)
			http.Error(w, err.Error(), http.StatusUnauthorized)
			return
		}
		out.printf("webhook %s %s (signature verified)\n  %s\n", r.Method, r.URL, body)
		w.WriteHeader(http.StatusNoContent)
	})
}

// mailBackend prints every message and its envelope.
type mailBackend struct{ out *printer }

func (b *mailBackend) NewSession(*smtp.Conn) (smtp.Session, error) {
	return &mailSession{out: b.out}, nil
}

type mailSession struct {
	out  *printer
	from string
	to   []string
}

func (s *mailSession) Reset()        { s.from, s.to = "", nil }
func (s *mailSession) Logout() error { return nil }

func (s *mailSession) Mail(from string, _ *smtp.MailOptions) error {
	s.from = from
	return nil
}

func (s *mailSession) Rcpt(to string, _ *smtp.RcptOptions) error {
	s.to = append(s.to, to)
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
	s.out.printf("mail from %s to %s\n  Subject: %s\n  %s\n", s.from, strings.Join(s.to, ", "), msg.Header.Get("Subject"),
		strings.ReplaceAll(strings.TrimSpace(string(body)), "\r\n", "\n  "))
	return nil
}
