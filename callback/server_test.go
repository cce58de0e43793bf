package callback

import (
	"bufio"
	"errors"
	"io"
	"net"
	"os"
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

// A connection that was kept alive is parted from by the answer to its next request, also where that comes while the server shuts down;
// one that stays silent is closed.
func TestShutdownPartsFromConnections(t *testing.T) {
	e := serveEndpoint(t, nil, HandlerOptions{}, ServerOptions{})
	request := post("/chat?SdkAppid=1400000000", packetOf(pairOf("a", "b")))
	connect := func() (net.Conn, *bufio.Reader) {
		conn, err := net.Dial("tcp", e.addr)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { conn.Close() })
		_ = conn.SetDeadline(time.Now().Add(10 * time.Second))
		_, _ = io.WriteString(conn, request)
		r := bufio.NewReader(conn)
		if res, _ := answerOf(t, r); res.Close {
			t.Fatal("it parts before it is to shut down")
		}
		return conn, r
	}
	busy, answers := connect()
	_, silence := connect()
	done := make(chan error, 1)
	go func() { done <- e.server.Shutdown(t.Context()) }()
	eventually(t, "the shutdown to begin", e.server.leaving.Load)
	_, _ = io.WriteString(busy, request)
	if res, _ := answerOf(t, answers); res.StatusCode != 200 || !res.Close {
		t.Errorf("status %d, close %t", res.StatusCode, res.Close)
	}
	if _, err := silence.ReadByte(); err != io.EOF {
		t.Errorf("the silent connection: %v, want its end", err)
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// What lies in a connection when it is parted from is read; where nothing does the reader is told that the time is over.
func TestPartingTakesALastLook(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	client, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	accepted, err := ln.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer accepted.Close()
	tc := &timedConn{Conn: accepted, opened: time.Now(), free: func() {}}
	buf := make([]byte, 16)
	tc.part()
	if n, err := tc.Read(buf); n != 0 || !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("of a silent connection: %d, %v", n, err)
	}
	_, _ = io.WriteString(client, "POST")
	eventually(t, "the request to be read", func() bool {
		tc.part()
		n, err := tc.Read(buf)
		return err == nil && string(buf[:n]) == "POST"
	})
	_, _ = io.WriteString(client, " /")
	if n, err := tc.Read(buf); err != nil || string(buf[:n]) != " /" {
		t.Errorf("the rest of it: %q, %v", buf[:n], err)
	}
}
