package callback

import (
	"errors"
	"os"
	"sync"
	"time"
)

// deadline puts off setting a connection's deadline. net/http sets one or another seven times a request, nearly always to a later time
// than before, and the runtime takes longer for each than for decoding a packet. So one that is set already is left where it ends no
// later; whoever meets it too early sets the right one then, and goes on.
type deadline struct {
	mu    sync.Mutex
	want  time.Time // zero: none
	armed time.Time // what the connection has; zero: none
}

// set makes t the deadline. arm sets it on the connection.
func (d *deadline) set(t time.Time, arm func(time.Time) error) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.want = t
	if t.IsZero() || !d.armed.IsZero() && !t.Before(d.armed) {
		return nil
	}
	d.armed = t
	return arm(t)
}

// early tells whether err says that a deadline has passed that is not the real one, which then is set.
func (d *deadline) early(err error, arm func(time.Time) error) bool {
	if err == nil || !errors.Is(err, os.ErrDeadlineExceeded) {
		return false
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if !d.want.IsZero() && !time.Now().Before(d.want) {
		return false
	}
	d.armed = d.want
	return arm(d.want) == nil
}

// SetReadDeadline implements net.Conn.
func (c *timedConn) SetReadDeadline(t time.Time) error {
	return c.reading.set(t, c.Conn.SetReadDeadline)
}

// SetWriteDeadline implements net.Conn.
func (c *timedConn) SetWriteDeadline(t time.Time) error {
	return c.writing.set(t, c.Conn.SetWriteDeadline)
}

// SetDeadline implements net.Conn.
func (c *timedConn) SetDeadline(t time.Time) error {
	return errors.Join(c.SetReadDeadline(t), c.SetWriteDeadline(t))
}

// Write implements net.Conn.
func (c *timedConn) Write(p []byte) (n int, err error) {
	for {
		some, err := c.Conn.Write(p[n:])
		if n += some; !c.writing.early(err, c.Conn.SetWriteDeadline) {
			return n, err
		}
	}
}

// read reads from the connection within the deadline.
func (c *timedConn) read(p []byte) (int, error) {
	for {
		n, err := c.Conn.Read(p)
		if n > 0 || !c.reading.early(err, c.Conn.SetReadDeadline) {
			return n, err
		}
	}
}
