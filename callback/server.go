package callback

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"log"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"
)

// Defaults of ServerOptions, and what a Server allows.
const (
	DefaultMaxConnections = 2048

	headerTimeout = 5 * time.Second
	idleTimeout   = 2 * time.Minute // Chat keeps its connections
	maxHeader     = 16 << 10        // bytes, the request line included
	headerSlop    = 4 << 10         // bytes that net/http adds to MaxHeaderBytes
)

// ServerOptions are what may be set of a Server. The zero value is usable.
type ServerOptions struct {
	// Wait is the handler's; an answer may take a second more to write. 0 is DefaultWait.
	Wait time.Duration
	// MaxConnections bounds the connections that are open at a time; see [Server.Serve]. 0 is DefaultMaxConnections.
	MaxConnections int
	// TLS, where not nil, makes it an HTTPS server: see [LoadTLS].
	TLS *TLS
	// Log is told of panics, and now and then of connections that came to nothing. nil logs nothing.
	Log *zap.Logger
}

// lull is how long Shutdown leaves connections that are idle to their senders, who may have a request on its way.
const lull = 500 * time.Millisecond

// Server serves HTTP/1.1 with the time-outs and bounds that a port on the open internet needs: 5 s for a request's header, which
// has at most 16 KiB (431 above), two minutes for an idle connection, and a bound on connections. The body's time is the
// [Handler]'s to bound.
type Server struct {
	http    *http.Server
	conns   *connections
	tls     *TLS
	leaving atomic.Bool // every answer is the last one of its connection

	listener atomic.Pointer[boundedListener] // nil before Serve
}

// NewServer makes a server for h.
func NewServer(h http.Handler, o ServerOptions) *Server {
	if o.Wait == 0 {
		o.Wait = DefaultWait
	}
	if o.MaxConnections == 0 {
		o.MaxConnections = DefaultMaxConnections
	}
	if o.Log == nil {
		o.Log = zap.NewNop()
	}
	s := &Server{conns: newConnections(o.MaxConnections), tls: o.TLS}
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true) // Chat speaks nothing else, and HTTP/2 would bring its own bounds to guard
	s.http = &http.Server{
		Handler:           s.parting(h),
		Protocols:         protocols,
		ReadHeaderTimeout: headerTimeout,
		WriteTimeout:      max(o.Wait+readGrace, unansweredFor+readGrace),
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeader - headerSlop,
		ConnContext:       withConn,
		ConnState:         s.conns.state,
		// Or net/http would answer OPTIONS * itself, with 200.
		DisableGeneralOptionsHandler: true,
		ErrorLog:                     log.New(&errorLog{log: o.Log}, "", 0),
	}
	return s
}

// Serve takes connections from ln until Shutdown, and returns nil then. When MaxConnections are open, the one that has been idle
// for longest, a second at least, is closed for a new one; while there is none, new ones wait in the system's queue.
func (s *Server) Serve(ln net.Listener) error {
	bounded := &boundedListener{Listener: ln, conns: s.conns, done: make(chan struct{})}
	s.listener.Store(bounded)
	ln = bounded
	if s.tls != nil {
		ln = tls.NewListener(ln, s.tls.Config())
	}
	err := s.http.Serve(ln)
	if errors.Is(err, http.ErrServerClosed) || s.leaving.Load() && errors.Is(err, net.ErrClosed) {
		return nil
	}
	return err
}

// parting makes each answer say that it is the last one of its connection once the server is about to go.
func (s *Server) parting(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if s.leaving.Load() {
			w.Header().Set("Connection", "close")
		}
		h.ServeHTTP(w, r)
	})
}

// Shutdown parts from the senders so that none finds a request cut off. At first it goes on answering, with "Connection: close", until
// no connection is left, or for half a second: whoever has kept a connection alive takes the next one elsewhere, or finds it waiting in
// the listener's queue. Then it closes the listener, and each connection that is idle when nothing has come by it at the last look; and
// it waits until the requests that are under way have been answered. When ctx ends it closes their connections, and returns the error of
// ctx.
func (s *Server) Shutdown(ctx context.Context) error {
	s.leaving.Store(true)
	s.conns.awaitNone(ctx, lull, func() {})
	var err error
	if ln := s.listener.Load(); ln != nil {
		err = ln.Close()
	}
	s.conns.awaitNone(ctx, lull, s.conns.partIdle)
	if late := s.http.Shutdown(ctx); late != nil {
		err = errors.Join(err, late, s.http.Close())
	}
	return err
}

// errorLog writes net/http's log lines to a zap.Logger. Anyone who can connect can cause them, so all but panics are worth a
// line at warn level only every ten seconds, and else one at debug level.
type errorLog struct {
	log *zap.Logger

	mu     sync.Mutex
	warned time.Time
	silent int // lines since then
}

const warnEvery = 10 * time.Second

func (l *errorLog) Write(line []byte) (int, error) {
	text := string(bytes.TrimSpace(line))
	if bytes.Contains(line, []byte("panic serving")) {
		l.log.Error("the callback handler panicked", zap.String("detail", text))
		return len(line), nil
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if now := time.Now(); now.Sub(l.warned) >= warnEvery {
		l.log.Warn("a connection to the callback port came to nothing", zap.String("detail", text), zap.Int("others_before", l.silent))
		l.warned, l.silent = now, 0
		return len(line), nil
	}
	l.silent++
	l.log.Debug("a connection to the callback port came to nothing", zap.String("detail", text))
	return len(line), nil
}
