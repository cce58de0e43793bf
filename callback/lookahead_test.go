package callback

import (
	"bufio"
	"context"
	"io"
	"net"
	"strings"
	"testing"
	"time"
)

// Requests are read whole however they arrive, although nothing is read ahead while one is handled.
func TestRequestsInPieces(t *testing.T) {
	const target = "/chat?SdkAppid=1400000000&CallbackCommand=" + Command
	first := post(target, packetOf(pairOf("a", "b")))
	entered, release := make(chan struct{}, 2), make(chan struct{})
	e := serveEndpoint(t, func(ctx context.Context, _ *Callback) error {
		entered <- struct{}{}
		select {
		case <-release:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}, HandlerOptions{Wait: 10 * time.Second}, ServerOptions{})
	dial := func(t *testing.T) (net.Conn, *bufio.Reader) {
		t.Helper()
		conn, err := net.Dial("tcp", e.addr)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { conn.Close() })
		if err := conn.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
			t.Fatal(err)
		}
		return conn, bufio.NewReader(conn)
	}
	send := func(t *testing.T, conn net.Conn, text string) {
		t.Helper()
		if _, err := io.WriteString(conn, text); err != nil {
			t.Fatal(err)
		}
	}
	finish := func(t *testing.T, r *bufio.Reader) {
		t.Helper()
		select {
		case <-entered:
		case <-time.After(10 * time.Second):
			t.Fatal("the request does not arrive")
		}
		release <- struct{}{}
		if res, body := answerOf(t, r); res.StatusCode != 200 {
			t.Errorf("answer %d %s", res.StatusCode, body)
		}
	}

	t.Run("the next comes before the answer", func(t *testing.T) {
		conn, r := dial(t)
		send(t, conn, first)
		<-entered
		send(t, conn, first)
		entered <- struct{}{}
		finish(t, r)
		finish(t, r)
	})
	t.Run("the next leaves room for one byte in the server's buffer", func(t *testing.T) {
		conn, r := dial(t)
		send(t, conn, first)
		finish(t, r)
		line, rest, _ := strings.Cut(first, "\r\n")
		header := "X-Long: "
		header += strings.Repeat("x", 4095-len(header))
		send(t, conn, line+"\r\n"+header)
		time.Sleep(50 * time.Millisecond) // so that the rest comes by a read of its own
		send(t, conn, "x\r\n"+rest)
		finish(t, r)
	})
}
