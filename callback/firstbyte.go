package callback

import (
	"context"
	"crypto/tls"
	"net"
	"net/http"
	"sync/atomic"
	"time"
)

// timedConn notes when the first byte of a request came in, since net/http gives a request away only when it has its whole
// header.
type timedConn struct {
	net.Conn
	opened time.Time
	first  atomic.Int64 // nanoseconds after opened; 0: none since the last request
	asked  atomic.Bool  // a request has been read from it
	free   func()       // gives its place back, once
}

func (c *timedConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if n > 0 && c.first.Load() == 0 {
		c.first.Store(max(1, int64(time.Since(c.opened))))
	}
	return n, err
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
func (c *timedConn) idle() { c.first.Store(0) }

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

// firstByte is when r's first byte came in; under a server that doesn't know, now.
func firstByte(r *http.Request) time.Time {
	if tc, ok := r.Context().Value(connKey{}).(*timedConn); ok {
		return tc.arrived(r.TLS != nil)
	}
	return time.Now()
}
