package callback

import (
	"context"
	"net"
	"net/http"
	"sync"
	"time"
)

// connections bounds how many are open at a time.
type connections struct {
	places chan struct{} // one for each that is open

	mu   sync.Mutex
	open map[*timedConn]struct{}
}

const (
	// A connection that was idle for less may have the next request on its way already.
	idleEnough = time.Second
	// How often it is looked again for one that has been idle for long enough.
	idleCheck = 100 * time.Millisecond
	// How often it is looked whether all are closed.
	noneCheck = 10 * time.Millisecond
)

func newConnections(limit int) *connections {
	return &connections{places: make(chan struct{}, limit), open: make(map[*timedConn]struct{}, limit)}
}

// state is the server's hook for what happens to a connection.
func (c *connections) state(conn net.Conn, state http.ConnState) {
	tc := timed(conn)
	switch {
	case tc == nil:
	case state == http.StateIdle:
		tc.idle()
	default:
		tc.busy()
	}
}

// add takes a connection that has a place; it gives the place back when it is closed.
func (c *connections) add(conn net.Conn) *timedConn {
	tc := &timedConn{Conn: conn, opened: time.Now()}
	tc.free = sync.OnceFunc(func() {
		c.mu.Lock()
		delete(c.open, tc)
		c.mu.Unlock()
		<-c.places
	})
	c.mu.Lock()
	defer c.mu.Unlock()
	c.open[tc] = struct{}{}
	return tc
}

// closeIdle closes the connection that has been idle for longest, if that is long enough.
func (c *connections) closeIdle() {
	if oldest := c.longestIdle(time.Now().Add(-idleEnough)); oldest != nil {
		_ = oldest.Close() // it is being got rid of
	}
}

// longestIdle gives the connection that has been idle for longest, since before a time; nil where there is none.
func (c *connections) longestIdle(before time.Time) (oldest *timedConn) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for tc := range c.open {
		since := tc.idleSince.Load()
		if since == 0 {
			continue
		}
		if at := tc.opened.Add(time.Duration(since)); !at.After(before) {
			oldest, before = tc, at
		}
	}
	return oldest
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

// awaitNone waits until no connection is open, for as long as d and ctx allow, and calls meanwhile again and again.
func (c *connections) awaitNone(ctx context.Context, d time.Duration, meanwhile func()) {
	ctx, cancel := context.WithTimeout(ctx, d)
	defer cancel()
	tick := time.NewTicker(noneCheck)
	defer tick.Stop()
	for c.any() {
		meanwhile()
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// partIdle ends the connections that are between two requests, unless the next one is there already.
func (c *connections) partIdle() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for tc := range c.open {
		if tc.idleSince.Load() != 0 && tc.first.Load() == 0 {
			tc.part()
		}
	}
}

func (c *connections) any() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.open) > 0
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
	conn, err := l.Listener.Accept()
	if err != nil {
		<-l.conns.places
		return nil, err
	}
	return l.conns.add(conn), nil
}

// Close may be called again: both Shutdown and net/http do.
func (l *boundedListener) Close() (err error) {
	l.once.Do(func() {
		close(l.done)
		err = l.Listener.Close()
	})
	return err
}
