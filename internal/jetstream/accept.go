package jetstream

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/aftermath-rules/aftermath/engine"
)

// waiter is one callback that waits to be stored.
type waiter struct {
	ctx  context.Context
	raw  []byte
	done chan error // has room for the one answer
}

const (
	maxWaiters = 16 << 10
	// acceptWait bounds an Accept whose context has no deadline.
	acceptWait = 30 * time.Second
)

var errTooMany = errors.New("too many callbacks wait to be stored")

// Accept returns nil once r is on stable storage. What may pass (a full queue, a full disk, a lost connection) is waited for
// until ctx is over. After an error the record may have been stored nevertheless.
func (s *Store) Accept(ctx context.Context, r *engine.Record) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	raw := encodeRecord(r)
	if len(raw) > maxRecord {
		return fmt.Errorf("callback of %d bytes: more than the %d that can be stored", len(raw), maxRecord)
	}
	w := &waiter{ctx: ctx, raw: raw, done: make(chan error, 1)}
	if err := s.enqueue(w); err != nil {
		return err
	}
	select {
	case err := <-w.done:
		return err
	case <-ctx.Done():
		return fmt.Errorf("callback not stored: %w", s.because(ctx.Err()))
	}
}

func (s *Store) enqueue(w *waiter) error {
	s.closing.RLock()
	defer s.closing.RUnlock()
	if s.closed {
		return engine.ErrClosed
	}
	select {
	case s.queue <- w:
		return nil
	default:
	}
	select {
	case s.queue <- w:
		return nil
	case <-w.ctx.Done():
		return fmt.Errorf("%w: %w", errTooMany, w.ctx.Err())
	case <-s.stopping:
		return engine.ErrClosed
	}
}

// packAll is the one packer: it packs all callbacks that wait into one message, waits until that is stored, and takes those that
// came meanwhile. It ends once the queue is closed and empty.
func (s *Store) packAll() {
	var rest *waiter // did not fit into the pack before
	for {
		first := rest
		if rest = nil; first == nil {
			var ok bool
			if first, ok = <-s.queue; !ok {
				return
			}
		}
		var batch []*waiter
		batch, rest = s.gather(first)
		s.storeBatch(batch)
	}
}

// gather takes what waits, up to a pack's bounds. It gives back the one waiter that did not fit.
func (s *Store) gather(first *waiter) (batch []*waiter, rest *waiter) {
	size := 0
	for w := first; ; {
		if err := w.ctx.Err(); err != nil {
			w.done <- err // its caller has left
		} else {
			if len(batch) > 0 && size+len(w.raw) > softPack {
				return batch, w
			}
			batch, size = append(batch, w), size+len(w.raw)+4
		}
		if len(batch) == maxRecords {
			return batch, nil
		}
		var ok bool
		select {
		case w, ok = <-s.queue:
			if !ok {
				return batch, nil
			}
		default:
			return batch, nil
		}
	}
}

func (s *Store) storeBatch(batch []*waiter) {
	if len(batch) == 0 {
		return
	}
	now := time.Now()
	var until time.Time
	records := make([][]byte, len(batch))
	for i, w := range batch {
		records[i] = w.raw
		d, ok := w.ctx.Deadline()
		if !ok || d.Sub(now) > acceptWait {
			d = now.Add(acceptWait)
		}
		if d.After(until) {
			until = d
		}
	}
	ctx, cancel := context.WithDeadline(s.work, until)
	defer cancel()
	err := s.acceptChain.store(ctx, records)
	if err != nil {
		err = fmt.Errorf("callback not stored: %w", err)
	}
	for _, w := range batch {
		w.done <- err
	}
}
