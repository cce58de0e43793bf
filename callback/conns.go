package callback

import (
	"net"
	"net/http"
	"sync"
	"time"
)

// connections bounds how many are open at a time.
type connections struct {
	places chan struct{} // one for each that is open

	mu   sync.Mutex
	idle map[*timedConn]time.Time // those between two requests, and since when
}

const (
	// A connection that was idle for less may have the next request on its way already.
	idleEnough = time.Second
	// How often it is looked again for one that has been idle for long enough.
	idleCheck = 100 * time.Millisecond
)

func newConnections(limit int) *connections {
	return &connections{places: make(chan struct{}, limit), idle: map[*timedConn]time.Time{}}
}

// state is the server's hook for what happens to a connection.
func (c *connections) state(conn net.Conn, state http.ConnState) {
	tc := timed(conn)
	if tc == nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if state == http.StateIdle {
		tc.idle()
		c.idle[tc] = time.Now()
		return
	}
	delete(c.idle, tc)
}

// closeIdle closes the connection that has been idle for longest, if that is long enough.
func (c *connections) closeIdle() {
	c.mu.Lock()
	var oldest *timedConn
	since := time.Now().Add(-idleEnough)
	for tc, t := range c.idle {
		if !t.After(since) {
			oldest, since = tc, t
		}
	}
	delete(c.idle, oldest)
	c.mu.Unlock()
	if oldest != nil {
		_ = oldest.Close() // it is being got rid of
	}
}

// place waits for a place for one more connection. It returns false when done is closed before there is one.
func (c *connections) place(done <-chan struct{}) bool {
	select {
	case c.places <- struct{}{}:
		return true
	default:
	}
	t := time.NewTicker(idleCheck)
	defer t.Stop()
	for {
		c.closeIdle()
		select {
		case c.places <- struct{}{}:
			return true
		case <-t.C:
		case <-done:
			return false
		}
	}
}

// boundedListener accepts no more connections than there are places for.
type boundedListener struct {
	net.Listener
	conns *connections
	done  chan struct{}
	once  sync.Once
}

func (l *boundedListener) Accept() (net.Conn, error) {
	if !l.conns.place(l.done) {
		return nil, net.ErrClosed
	}
	free := sync.OnceFunc(func() { <-l.conns.places })
	conn, err := l.Listener.Accept()
	if err != nil {
		free()
		return nil, err
	}
	return &timedConn{Conn: conn, opened: time.Now(), free: free}, nil
}

func (l *boundedListener) Close() error {
	l.once.Do(func() { close(l.done) })
	return l.Listener.Close()
}
