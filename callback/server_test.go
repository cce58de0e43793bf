package callback

import (
	"bufio"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"
)

func TestHeaderBounds(t *testing.T) {
	e := serveEndpoint(t, nil, HandlerOptions{}, ServerOptions{})
	packet := packetOf(pairOf("a", "b"))
	withHeader := func(n int) string {
		r := post("/chat?SdkAppid=1400000000", packet)
		head := len(r) - len(packet)
		return strings.Replace(r, "Host: x", "Host: x\r\nX: "+strings.Repeat("x", n-head-len("\r\nX: ")), 1)
	}
	if res, _ := e.exchange(t, withHeader(maxHeader)); res.StatusCode != 200 {
		t.Errorf("status of a header of 16 KiB = %d", res.StatusCode)
	}
	if res, _ := e.exchange(t, withHeader(maxHeader+1)); res.StatusCode != 431 {
		t.Errorf("status of a header of 16 KiB and a byte = %d", res.StatusCode)
	}
}

func TestSlowHeader(t *testing.T) {
	t.Parallel()
	e := serveEndpoint(t, nil, HandlerOptions{}, ServerOptions{})
	conn, err := net.Dial("tcp", e.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	start := time.Now()
	_, _ = io.WriteString(conn, "POST /chat HTTP/1.1\r\nHost: x\r\n")
	_ = conn.SetDeadline(start.Add(2 * headerTimeout))
	if answer, err := io.ReadAll(conn); err != nil || len(answer) > 0 {
		t.Errorf("answer = %q, %v", answer, err)
	}
	if took := time.Since(start); took < headerTimeout-time.Second {
		t.Errorf("closed after %v", took)
	}
}

func TestConnectionBound(t *testing.T) {
	e := serveEndpoint(t, nil, HandlerOptions{}, ServerOptions{MaxConnections: 2})
	request := post("/chat?SdkAppid=1400000000", packetOf(pairOf("a", "b")))
	var conns []net.Conn
	for range 3 { // each stays open and idle: the third is served when the first has been idle for long enough
		conn, err := net.Dial("tcp", e.addr)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		_ = conn.SetDeadline(time.Now().Add(10 * time.Second))
		if _, err := io.WriteString(conn, request); err != nil {
			t.Fatal(err)
		}
		if res, _ := answerOf(t, bufio.NewReader(conn)); res.StatusCode != 200 {
			t.Fatalf("status = %d", res.StatusCode)
		}
		conns = append(conns, conn)
	}
	if _, err := conns[0].Read(make([]byte, 1)); err != io.EOF {
		t.Errorf("the connection that was idle for longest: %v, want it closed", err)
	}
	eventually(t, "places are given back", func() bool { return len(e.server.conns.places) <= 2 })
}

func TestShutdownWhileFull(t *testing.T) {
	e := serveEndpoint(t, nil, HandlerOptions{}, ServerOptions{MaxConnections: 1})
	conn, err := net.Dial("tcp", e.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_, _ = io.WriteString(conn, post("/chat?SdkAppid=1400000000", packetOf("")))
	answerOf(t, bufio.NewReader(conn))
	// The clean-up shuts down while Serve waits for a place.
}

func TestErrorLogDoesNotFlood(t *testing.T) {
	core, logs := observer.New(zap.DebugLevel)
	l := &errorLog{log: zap.New(core)}
	for range 100 {
		_, _ = l.Write([]byte("http: TLS handshake error from 127.0.0.1:1: EOF\n"))
	}
	_, _ = l.Write([]byte("http: panic serving 127.0.0.1:1: boom\n"))
	if w, e := logs.FilterLevelExact(zap.WarnLevel).Len(), logs.FilterLevelExact(zap.ErrorLevel).Len(); w != 1 || e != 1 {
		t.Errorf("%d lines at warn level and %d at error level, want 1 and 1", w, e)
	}
}
