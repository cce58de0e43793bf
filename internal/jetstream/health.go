package jetstream

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/zap"

	"github.com/aftermath-rules/aftermath/engine"
)

const (
	// reserve is the free space below which nothing is stored any more: a server that runs into the end of the disk answers
	// nothing and has to be started anew.
	reserve = 64 << 20
	// sickAfter is how long writing must have failed before the embedded server is started anew.
	sickAfter = 3 * time.Second
	maxRest   = time.Minute // between two of those
)

// ErrDiskFull says that the disk has less free space than the store needs to go on safely.
var ErrDiskFull = errors.New("the disk is full")

// health is how the store is.
type health struct {
	mu       sync.Mutex
	failing  map[string]failure // by stream
	free     uint64
	low      bool
	damage   string // found while it runs
	repaired string // found at a start, and nobody has taken note of it
	journal  journalState
	healAt   time.Time // not before
	rest     time.Duration
}

type failure struct {
	since, last time.Time
	err         error
}

// forgetAfter is how long a failed write says something of the store, where none was tried since: a node that is taken out of
// service because of it would never get the callback that shows that all is well again.
const forgetAfter = 5 * time.Second

// note takes down how a write ended.
func (s *Store) note(stream string, err error) {
	h := &s.health
	h.mu.Lock()
	defer h.mu.Unlock()
	if err == nil {
		delete(h.failing, stream)
		return
	}
	if errors.Is(err, context.Canceled) || errors.Is(err, ErrDiskFull) {
		return // the caller's doing; what setFree says
	}
	if isBound(err) {
		s.wantPurge()
	}
	if h.failing == nil {
		h.failing = make(map[string]failure)
	}
	f, ok := h.failing[stream]
	if !ok {
		f.since = time.Now()
	}
	f.last, f.err = time.Now(), err
	h.failing[stream] = f
}

// isBound says whether a stream took no more because of its bound: starting the server anew would not help.
func isBound(err error) bool {
	var api jetstream.JetStreamError
	if !errors.As(err, &api) || api.APIError() == nil {
		return false
	}
	d := api.APIError().Description
	return d == "maximum bytes exceeded" || d == "maximum messages exceeded"
}

// room says why nothing should be written now.
func (s *Store) room() error {
	s.health.mu.Lock()
	defer s.health.mu.Unlock()
	if s.health.low {
		return fmt.Errorf("%w: %d bytes are free where the store lies, and it needs %d", ErrDiskFull, s.health.free, reserve)
	}
	return nil
}

// roomToPark says why no delivery should be parked now.
func (s *Store) roomToPark() error {
	s.health.mu.Lock()
	defer s.health.mu.Unlock()
	if most := laterShare(s.o); s.health.journal.later > most {
		return fmt.Errorf("the parked deliveries take %d bytes, and may take %d: an eighth of keep.disk", s.health.journal.later, most)
	}
	return nil
}

func (s *Store) setFree(free uint64) {
	h := &s.health
	h.mu.Lock()
	defer h.mu.Unlock()
	h.free = free
	// Not at the same mark both ways, or it would flutter.
	low := free < reserve || h.low && free < reserve+reserve/4
	if low != h.low {
		s.log.Warn("free space where the store lies", zap.Uint64("bytes", free), zap.Bool("too_little", low))
	}
	h.low = low
}

// damaged says loudly that something stored can't be read. It is skipped.
func (s *Store) damaged(stream string, seq uint64, err error) {
	s.suspect(stream, fmt.Errorf("message %d: %w", seq, err))
}

// because adds what the store suffers from.
func (s *Store) because(err error) error {
	if roomErr := s.room(); roomErr != nil {
		return fmt.Errorf("%w: %w", err, roomErr)
	}
	if why := s.health.error(); why != "" {
		return fmt.Errorf("%w: %s", err, why)
	}
	return err
}

func (h *health) error() string {
	h.mu.Lock()
	defer h.mu.Unlock()
	for stream, f := range h.failing {
		return fmt.Sprintf("%s: %v", stream, f.err)
	}
	return ""
}

// seen takes down what a look at the streams found. It was possible, so the server answers. It tells whether there is a warning
// that there was not before.
func (h *health) seen(journal journalState) (warn bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	warn = journal.warning != "" && journal.warning != h.journal.warning
	h.journal = journal
	for stream, f := range h.failing {
		if time.Since(f.last) > forgetAfter {
			delete(h.failing, stream)
		}
	}
	return warn
}

// sick says whether it is time to start the embedded server anew.
func (h *health) sick(now time.Time) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.low || now.Before(h.healAt) {
		return false
	}
	for _, f := range h.failing {
		if now.Sub(f.since) >= sickAfter && !isBound(f.err) {
			return true
		}
	}
	return false
}

// healed takes down how that went: the next one comes later each time, until writing works.
func (h *health) healed(now time.Time, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.rest = min(max(2*h.rest, sickAfter), maxRest)
	h.healAt = now.Add(h.rest)
	if err == nil {
		h.failing = nil
	} else if h.failing[acceptStream].err != nil {
		h.failing[acceptStream] = failure{since: h.failing[acceptStream].since, last: now, err: err}
	}
}

// Status implements engine.Store.
func (s *Store) Status() engine.StoreStatus {
	st := engine.StoreStatus{Kind: "embedded"}
	for _, p := range s.parts {
		st.Callbacks += p.chain.position().Ordinal + p.others.Load()
	}
	ss := s.session()
	if ss.srv == nil {
		st.Kind = "nats"
	}
	st.Error = s.trouble(ss)
	st.OK = st.Error == ""
	h := &s.health
	h.mu.Lock()
	defer h.mu.Unlock()
	st.Warning = h.journal.warning
	st.Packs, st.Bytes, st.Waiting, st.DiskFree = h.journal.packs, h.journal.bytes, h.journal.waiting, h.free
	st.Gone = s.repairs.unseen()
	st.Damage = strings.TrimSpace(h.damage + " " + h.repaired)
	return st
}

// trouble says why callbacks can't be stored now; "" where they can.
func (s *Store) trouble(ss *session) string {
	if s.isOpen(context.Background()) != nil {
		return engine.ErrClosed.Error()
	}
	if err := s.room(); err != nil {
		return err.Error()
	}
	s.health.mu.Lock()
	defer s.health.mu.Unlock()
	for stream, f := range s.health.failing {
		if _, ok := partitionOf(stream); ok {
			return f.err.Error()
		}
	}
	if !ss.nc.IsConnected() {
		return "no connection to the cluster"
	}
	return ""
}
