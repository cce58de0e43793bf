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

// Server serves HTTP/1.1 with the time-outs and bounds that a port on the open internet needs: 5 s for a request's header, which
// has at most 16 KiB (431 above), two minutes for an idle connection, and a bound on connections. The body's time is the
// [Handler]'s to bound.
type Server struct {
	http  *http.Server
	conns *connections
	tls   *TLS
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
		Handler:           h,
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
	ln = &boundedListener{Listener: ln, conns: s.conns, done: make(chan struct{})}
	if s.tls != nil {
		ln = tls.NewListener(ln, s.tls.Config())
	}
	if err := s.http.Serve(ln); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// Shutdown closes the listener and waits until the requests that are under way have been answered. When ctx ends it closes
// their connections, and returns the error of ctx.
func (s *Server) Shutdown(ctx context.Context) error {
	err := s.http.Shutdown(ctx)
	if err != nil {
		err = errors.Join(err, s.http.Close())
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
