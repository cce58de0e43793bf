package callback

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	appUnsigned = 1400000000
	appSigned   = 1400000001
)

// endpoint is a served Handler and what became of its requests.
type endpoint struct {
	addr     string
	server   *Server
	verifier *Verifier

	mu       sync.Mutex
	accepted []*Callback
	refused  []*Refused
	outcomes []Outcome
}

func serveEndpoint(t testing.TB, accept func(context.Context, *Callback) error, ho HandlerOptions, so ServerOptions) *endpoint {
	t.Helper()
	v, err := NewVerifier([]App{{SdkAppid: appUnsigned}, {SdkAppid: appSigned, Tokens: []string{"old", "new"}}}, VerifierOptions{Path: "/chat", MaxBody: 4096})
	if err != nil {
		t.Fatal(err)
	}
	e := &endpoint{verifier: v}
	if accept == nil {
		accept = func(_ context.Context, c *Callback) error {
			e.mu.Lock()
			defer e.mu.Unlock()
			e.accepted = append(e.accepted, c)
			return nil
		}
	}
	ho.Quarantine = func(_ context.Context, r *Refused) {
		e.mu.Lock()
		defer e.mu.Unlock()
		e.refused = append(e.refused, r)
	}
	ho.Observe = func(o Outcome, took time.Duration) {
		e.mu.Lock()
		defer e.mu.Unlock()
		e.outcomes = append(e.outcomes, o)
	}
	e.serve(t, NewHandler(v, accept, ho), so)
	return e
}

func (e *endpoint) serve(t testing.TB, h http.Handler, so ServerOptions) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	e.addr = ln.Addr().String()
	e.server = NewServer(h, so)
	served := make(chan error, 1)
	go func() { served <- e.server.Serve(ln) }()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		if err := e.server.Shutdown(ctx); err != nil {
			t.Errorf("Shutdown: %v", err)
		}
		if err := <-served; err != nil {
			t.Errorf("Serve: %v", err)
		}
	})
}

// eventually waits until ok says so.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%s: not within 30 s", what)
		}
	}
}

func (e *endpoint) outcome(t testing.TB, want ...Outcome) {
	t.Helper()
	eventually(t, fmt.Sprint(want), func() bool {
		e.mu.Lock()
		defer e.mu.Unlock()
		return fmt.Sprint(e.outcomes) == fmt.Sprint(want)
	})
}

// exchange sends raw bytes over a connection of its own and gives the answer.
func (e *endpoint) exchange(t testing.TB, request string) (*http.Response, string) {
	t.Helper()
	conn, err := net.Dial("tcp", e.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(conn, request); err != nil {
		t.Fatal(err)
	}
	return answerOf(t, bufio.NewReader(conn))
}

func answerOf(t testing.TB, r *bufio.Reader) (*http.Response, string) {
	t.Helper()
	res, err := http.ReadResponse(r, nil)
	if err != nil {
		t.Fatalf("no answer: %v", err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res, string(body)
}

func post(target, body string) string {
	return fmt.Sprintf("POST %s HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s", target, len(body), body)
}

func signedAt(token string, at time.Time) string {
	s := strconv.FormatInt(at.Unix(), 10)
	return "&RequestTime=" + s + "&Sign=" + Sign(token, s)
}

const (
	fail401 = `{"ActionStatus":"FAIL","ErrorCode":1,"ErrorInfo":"Sign or RequestTime is missing, wrong or expired"}`
	fail403 = `{"ActionStatus":"FAIL","ErrorCode":1,"ErrorInfo":"SdkAppid is missing or not one that is accepted here"}`
	skipped = `{"ActionStatus":"OK","ErrorCode":0,"ErrorInfo":"ignored"}`
)
