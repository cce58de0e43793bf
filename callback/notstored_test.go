package callback

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"
)

func TestNotStored(t *testing.T) {
	const wait = 200 * time.Millisecond
	full := func(ctx context.Context, c *Callback) error {
		<-ctx.Done()
		return errors.New("the disk /secret is full")
	}
	request := post("/chat?SdkAppid=1400000000", packetOf(pairOf("a", "b")))

	t.Run("503 after wait", func(t *testing.T) {
		e := serveEndpoint(t, full, HandlerOptions{Wait: wait, RetryAfter: 1500 * time.Millisecond}, ServerOptions{})
		start := time.Now()
		res, body := e.exchange(t, request)
		if res.StatusCode != 503 || res.Header.Get("Retry-After") != "2" || strings.Contains(body, "secret") || !strings.Contains(body, `"FAIL","ErrorCode":1`) {
			t.Errorf("answer = %d %v %s", res.StatusCode, res.Header, body)
		}
		if took := time.Since(start); took < wait {
			t.Errorf("it took %v", took)
		}
		e.outcome(t, Unavailable)
	})

	t.Run("unanswered where the sender retries", func(t *testing.T) {
		e := serveEndpoint(t, full, HandlerOptions{Wait: wait, SenderRetries: true}, ServerOptions{})
		conn, err := net.Dial("tcp", e.addr)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		start := time.Now()
		if _, err := io.WriteString(conn, request); err != nil {
			t.Fatal(err)
		}
		answer, err := io.ReadAll(conn)
		if took := time.Since(start); len(answer) != 0 || took < unansweredFor-100*time.Millisecond {
			t.Errorf("after %v: %q, %v", took, answer, err)
		}
		e.outcome(t, Unanswered)
	})

	t.Run("unanswered only until the sender hangs up", func(t *testing.T) {
		e := serveEndpoint(t, full, HandlerOptions{Wait: wait, SenderRetries: true}, ServerOptions{})
		conn, err := net.Dial("tcp", e.addr)
		if err != nil {
			t.Fatal(err)
		}
		start := time.Now()
		if _, err := io.WriteString(conn, request); err != nil {
			t.Fatal(err)
		}
		time.Sleep(wait + 100*time.Millisecond) // a sender hangs up later than that
		conn.Close()
		e.outcome(t, Unanswered)
		if took := time.Since(start); took > unansweredFor-time.Second/2 {
			t.Errorf("its place was taken for %v", took)
		}
	})

	t.Run("503 where too many are unanswered", func(t *testing.T) {
		e := &endpoint{}
		v, err := NewVerifier([]App{{SdkAppid: appUnsigned}}, VerifierOptions{Path: "/chat"})
		if err != nil {
			t.Fatal(err)
		}
		h := NewHandler(v, full, HandlerOptions{Wait: wait, SenderRetries: true})
		for range maxUnanswered {
			h.unanswered <- struct{}{}
		}
		e.serve(t, h, ServerOptions{})
		if res, _ := e.exchange(t, request); res.StatusCode != 503 {
			t.Errorf("status = %d", res.StatusCode)
		}
	})

	t.Run("503 where too many bytes are held", func(t *testing.T) {
		entered := make(chan struct{})
		once := sync.OnceFunc(func() { close(entered) })
		stuck := func(ctx context.Context, c *Callback) error {
			once()
			<-ctx.Done()
			return ctx.Err()
		}
		e := serveEndpoint(t, stuck, HandlerOptions{Wait: time.Second, MaxHeld: 1}, ServerOptions{}) // room for one body of the longest
		large := packetOf(pairOf(strings.Repeat("a", 3000), "b"))
		done := make(chan struct{})
		go func() {
			defer close(done)
			conn, err := net.Dial("tcp", e.addr)
			if err != nil {
				return
			}
			defer conn.Close()
			_, _ = io.WriteString(conn, post("/chat?SdkAppid=1400000000", large))
			_, _ = http.ReadResponse(bufio.NewReader(conn), nil)
		}()
		<-entered
		start := time.Now()
		res, _ := e.exchange(t, strings.Replace(post("/chat?SdkAppid=1400000000", large), "Content-Length", "Connection: close\r\nContent-Length", 1))
		if took := time.Since(start); res.StatusCode != 503 || took < 500*time.Millisecond {
			t.Errorf("status = %d after %v", res.StatusCode, took)
		}
		<-done
	})

	t.Run("usual callbacks pass by bodies that are announced and not sent", func(t *testing.T) {
		e := serveEndpoint(t, func(context.Context, *Callback) error { return nil }, HandlerOptions{Wait: 3 * time.Second, MaxHeld: 1}, ServerOptions{})
		conn, err := net.Dial("tcp", e.addr)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		// The server says that it waits for the body: from then on that holds all there is.
		announced := strings.Replace(post("/chat?SdkAppid=1400000000", ""), "Content-Length: 0", "Expect: 100-continue\r\nContent-Length: 4096", 1)
		if _, err := io.WriteString(conn, announced); err != nil {
			t.Fatal(err)
		}
		if line, err := bufio.NewReader(conn).ReadString('\n'); err != nil || !strings.Contains(line, "100 Continue") {
			t.Fatalf("got %q, %v", line, err)
		}
		if res, _ := e.exchange(t, request); res.StatusCode != 200 {
			t.Errorf("status = %d", res.StatusCode)
		}
	})

	t.Run("kept although the sender hung up", func(t *testing.T) {
		entered, gone := make(chan struct{}), make(chan struct{})
		result := make(chan error, 1)
		e := serveEndpoint(t, func(ctx context.Context, c *Callback) error {
			close(entered)
			<-gone
			result <- ctx.Err()
			return nil
		}, HandlerOptions{}, ServerOptions{})
		conn, err := net.Dial("tcp", e.addr)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(conn, request); err != nil {
			t.Fatal(err)
		}
		<-entered
		conn.Close()
		close(gone)
		if err := <-result; err != nil {
			t.Errorf("the context of accept ended: %v", err)
		}
		e.outcome(t, OK)
	})
}
