package callback

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"
)

func TestWaitCountsFromTheFirstByte(t *testing.T) {
	t.Parallel()
	const wait, pause = 10 * time.Second, 2 * time.Second
	var left time.Duration
	e := serveEndpoint(t, func(ctx context.Context, c *Callback) error {
		deadline, _ := ctx.Deadline()
		left = time.Until(deadline)
		return nil
	}, HandlerOptions{Wait: wait}, ServerOptions{})
	conn, err := net.Dial("tcp", e.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	r := bufio.NewReader(conn)
	request := post("/chat?SdkAppid=1400000000", packetOf(pairOf("a", "b")))

	for _, tt := range []struct {
		name         string
		idle, header time.Duration // before the first byte, and between two halves of the header
	}{{"slow header", 0, pause}, {"idle before", pause, 0}, {"slow header again", 0, pause}} {
		<-time.After(tt.idle)
		_, _ = io.WriteString(conn, request[:10])
		<-time.After(tt.header)
		_, _ = io.WriteString(conn, request[10:])
		if res, _ := answerOf(t, r); res.StatusCode != 200 {
			t.Fatalf("status = %d", res.StatusCode)
		}
		if slow := tt.header > 0; (left < wait-pause*9/10) != slow {
			t.Errorf("%s: accept had %v of %v", tt.name, left, wait)
		}
	}
}

func TestExpectContinue(t *testing.T) {
	e := serveEndpoint(t, nil, HandlerOptions{}, ServerOptions{})
	packet := packetOf(pairOf("a", "b"))
	ask := func(app string) (net.Conn, *bufio.Reader) {
		conn, err := net.Dial("tcp", e.addr)
		if err != nil {
			t.Fatal(err)
		}
		_ = conn.SetDeadline(time.Now().Add(10 * time.Second))
		head, _, _ := strings.Cut(post("/chat?SdkAppid="+app, packet), "\r\n\r\n")
		_, _ = io.WriteString(conn, head+"\r\nExpect: 100-continue\r\n\r\n")
		return conn, bufio.NewReader(conn)
	}
	conn, r := ask("1400000000")
	defer conn.Close()
	if line, err := r.ReadString('\n'); line != "HTTP/1.1 100 Continue\r\n" {
		t.Fatalf("a sound head was met with %q, %v", line, err)
	}
	_, _ = r.ReadString('\n')
	_, _ = io.WriteString(conn, packet)
	if res, _ := answerOf(t, r); res.StatusCode != 200 {
		t.Errorf("status = %d, want 200", res.StatusCode)
	}

	conn, r = ask("7")
	defer conn.Close()
	if res, _ := answerOf(t, r); res.StatusCode != 403 || !res.Close {
		t.Errorf("a refused head was met with %d, close = %v", res.StatusCode, res.Close)
	}
}

// What is left of the body of a refused request must not become a request of its own.
func TestLateBodyIsNoRequest(t *testing.T) {
	e := serveEndpoint(t, nil, HandlerOptions{Wait: 50 * time.Millisecond}, ServerOptions{})
	conn, err := net.Dial("tcp", e.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(10 * time.Second))
	smuggled := post("/chat?SdkAppid=1400000000", packetOf(pairOf("a", "b")))
	_, _ = io.WriteString(conn, fmt.Sprintf("POST /chat?SdkAppid=7 HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n", len(smuggled)))
	r := bufio.NewReader(conn)
	if res, _ := answerOf(t, r); res.StatusCode != 403 {
		t.Fatalf("status = %d, want 403", res.StatusCode)
	}
	if _, err := r.ReadByte(); err != io.EOF {
		t.Fatalf("the connection was not closed: %v", err)
	}
	_, _ = io.WriteString(conn, smuggled)
	if answer, _ := io.ReadAll(r); len(answer) > 0 || len(e.accepted) > 0 {
		t.Errorf("the late body was answered: %q", answer)
	}
}

func TestSlowBody(t *testing.T) {
	e := serveEndpoint(t, nil, HandlerOptions{Wait: 50 * time.Millisecond}, ServerOptions{})
	res, body := e.exchange(t, "POST /chat?SdkAppid=1400000000 HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{")
	if res.StatusCode != 408 || !res.Close || !strings.Contains(body, "did not arrive in time") {
		t.Errorf("answer = %d %s", res.StatusCode, body)
	}
	e.outcome(t, Incomplete)
}

func TestRefusalKeepsTheConnection(t *testing.T) {
	e := serveEndpoint(t, nil, HandlerOptions{}, ServerOptions{})
	conn, err := net.Dial("tcp", e.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(5 * time.Second))
	r := bufio.NewReader(conn)
	packet := packetOf(pairOf("a", "b"))
	_, _ = io.WriteString(conn, post("/chat?SdkAppid=7", packet)+post("/chat?SdkAppid=1400000000", packet))
	if res, _ := answerOf(t, r); res.StatusCode != 403 {
		t.Errorf("status = %d, want 403", res.StatusCode)
	}
	if res, _ := answerOf(t, r); res.StatusCode != 200 {
		t.Errorf("status of the next on the connection = %d, want 200", res.StatusCode)
	}
}

// A client that sends all of its body before it listens still hears that it was too long.
func TestTooLargeIsHeard(t *testing.T) {
	e := serveEndpoint(t, nil, HandlerOptions{}, ServerOptions{})
	res, _ := e.exchange(t, post("/chat?SdkAppid=1400000000", strings.Repeat("x", 4<<20)))
	if res.StatusCode != 413 || !res.Close {
		t.Errorf("answer = %d, close = %v", res.StatusCode, res.Close)
	}
}
