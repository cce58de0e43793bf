package jetstream

import (
	"fmt"
	"sync"

	"go.uber.org/zap"
)

// serverLog gives the server's log lines to zap. Without a logger, a server on a read-only disk hangs in its start.
type serverLog struct {
	log *zap.SugaredLogger

	mu      sync.Mutex
	problem string
}

// Noticef is what the server tells of its daily work: of interest to who debugs.
func (l *serverLog) Noticef(format string, v ...any) { l.log.Debugf(format, v...) }

// Warnf logs.
func (l *serverLog) Warnf(format string, v ...any) { l.keep(format, v); l.log.Warnf(format, v...) }

// Errorf logs.
func (l *serverLog) Errorf(format string, v ...any) { l.keep(format, v); l.log.Errorf(format, v...) }

// Fatalf logs an error: the process goes on, and Open says why it could not.
func (l *serverLog) Fatalf(format string, v ...any) { l.keep(format, v); l.log.Errorf(format, v...) }

// Debugf logs.
func (l *serverLog) Debugf(format string, v ...any) { l.log.Debugf(format, v...) }

// Tracef says nothing: a line for each message would hold the messages.
func (l *serverLog) Tracef(string, ...any) {}

func (l *serverLog) keep(format string, v []any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.problem = fmt.Sprintf(format, v...)
}

// last gives the last warning or error.
func (l *serverLog) last() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.problem == "" {
		return "it did not say why"
	}
	return l.problem
}
