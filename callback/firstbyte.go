package callback

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/http"
	"os"
	"sync/atomic"
	"time"
)

// timedConn notes when the first byte of a request came in, since net/http gives a request away only when it has its whole
// header.
type timedConn struct {
	net.Conn
	opened    time.Time
	first     atomic.Int64 // nanoseconds after opened; 0: none since the last request
	idleSince atomic.Int64 // nanoseconds after opened; 0: a request is under way, or none has been yet
	asked     atomic.Bool  // a request has been read from it
	unwatched atomic.Bool  // nobody is to wait for the sender to hang up while its request is handled
	parting   atomic.Bool  // it ends unless a request has come
	free      func()       // gives its place back, once

	reading, writing deadline
}

// Read reads from the connection. While a request is handled net/http reads one byte ahead, to see the sender hang up: that is a
// goroutine, a system call and two wake-ups a request, to learn what the Handler doesn't ask. So it reads nothing then.
func (c *timedConn) Read(p []byte) (int, error) {
	if len(p) == 1 && c.unwatched.Load() {
		return 0, nil
	}
	n, err := c.read(p)
	if n == 0 && c.parting.Load() && errors.Is(err, os.ErrDeadlineExceeded) {
		n, err = c.lastLook(p, err)
	}
	if n > 0 && c.first.Load() == 0 {
		c.first.Store(max(1, int64(time.Since(c.opened))))
	}
	return n, err
}

// part wakes who waits for the next request, so that it takes a last look and gives up.
func (c *timedConn) part() {
	c.parting.Store(true)
	_ = c.SetReadDeadline(time.Unix(1, 0)) // a connection that takes no deadline is closed by the server's end
}

// lastLook reads what has come although the time is over: what a sender sent before it could know is a request like any other.
func (c *timedConn) lastLook(p []byte, over error) (int, error) {
	n := 0
	if c.first.Load() == 0 {
		if n = readNow(c.Conn, p); n == 0 {
			return 0, over
		}
	}
	c.parting.Store(false) // a request has begun: it has the time of any other
	if err := c.SetReadDeadline(time.Now().Add(headerTimeout)); err != nil || n > 0 {
		return n, err
	}
	return c.read(p)
}

func (c *timedConn) Close() error {
	err := c.Conn.Close()
	c.free()
	return err
}

// CloseWrite lets net/http end a connection without cutting off its last answer.
func (c *timedConn) CloseWrite() error {
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return nil
}

// idle forgets the request that has just been answered.
func (c *timedConn) idle() {
	c.first.Store(0)
	c.unwatched.Store(false)
	c.idleSince.Store(max(1, int64(time.Since(c.opened))))
}

// busy says that it is no longer between two requests.
func (c *timedConn) busy() { c.idleSince.Store(0) }

// unwatch is called before the body of r is read, where that has a known length: nothing but the look ahead reads a single byte
// from then on. A tls.Conn reads ahead as it likes.
func (c *timedConn) unwatch(r *http.Request) {
	if r.ContentLength > 0 && r.TLS == nil {
		c.unwatched.Store(true)
	}
}

// awaitHangUp waits until the sender of an unwatched request has hung up. What else it sends is lost: the connection is closed after
// that. It tells false at once where the request is watched.
func (c *timedConn) awaitHangUp(until time.Time) bool {
	if !c.unwatched.Load() {
		return false
	}
	err := c.SetReadDeadline(until)
	for lost := make([]byte, 512); err == nil; {
		_, err = c.read(lost)
	}
	return true
}

// arrived is when the first byte of the present request came in.
func (c *timedConn) arrived(overTLS bool) time.Time {
	first := c.first.Load()
	handshake := overTLS && !c.asked.Swap(true) // what came first was the handshake's
	if first == 0 || handshake {
		return time.Now()
	}
	return c.opened.Add(time.Duration(first))
}

// timed finds the timedConn that c is, or that a TLS connection c lies on.
func timed(c net.Conn) *timedConn {
	if t, ok := c.(*tls.Conn); ok {
		c = t.NetConn()
	}
	tc, _ := c.(*timedConn)
	return tc
}

type connKey struct{}

func withConn(ctx context.Context, c net.Conn) context.Context {
	if tc := timed(c); tc != nil {
		return context.WithValue(ctx, connKey{}, tc)
	}
	return ctx
}

// connOf is the connection that r came by; nil under a server that doesn't keep it.
func connOf(r *http.Request) *timedConn {
	tc, _ := r.Context().Value(connKey{}).(*timedConn)
	return tc
}

// firstByte is when r's first byte came in; under a server that doesn't know, now.
func firstByte(r *http.Request, conn *timedConn) time.Time {
	if conn == nil {
		return time.Now()
	}
	return conn.arrived(r.TLS != nil)
}
