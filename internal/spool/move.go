package spool

import (
	"context"
	"errors"
	"time"

	"go.uber.org/zap"

	"github.com/aftermath-rules/aftermath/engine"
	"github.com/aftermath-rules/aftermath/internal/jetstream"
)

const (
	handTime = 2 * time.Second // for one call to the cluster
	handWait = 250 * time.Millisecond
)

// sentPack is a pack of which it is unknown whether the cluster has it.
type sentPack struct {
	partition int
	pack      []byte
}

// recall counts what the spool holds, and gives the packs in it that were sent.
func (s *Store) recall(ctx context.Context) (sent []sentPack, err error) {
	if st := s.own.Status(); st.Waiting == 0 {
		s.held.seq = s.own.End() + 1
		s.held.moved(st.Callbacks)
		return nil, nil
	}
	first, err := s.own.NextPack(ctx)
	if err != nil {
		return nil, err
	}
	s.held.seq = first.Seq
	s.held.moved(first.Ordinal)
	s.held.read(first.Ordinal+uint64(len(first.Records)), first.Ack)
	for p, err := range s.own.Journal(ctx, time.Time{}) {
		if err != nil && ctx.Err() != nil {
			return nil, err
		}
		if err != nil { // the spool's own start has said what is gone
			s.log.Error("of what is kept here a part can't be read", zap.Error(err))
			continue
		}
		if p.Seq < first.Seq {
			continue // handed on
		}
		for i := range p.Records {
			r := &p.Records[i]
			partition, ok := sentTo(r)
			if ok {
				sent = append(sent, sentPack{partition, r.Body})
			}
			s.held.add(callbacksIn(r), len(r.Query)+len(r.Body), r.Received)
		}
	}
	st := s.held.status()
	s.log.Warn("callbacks are kept here that the cluster has not taken yet", zap.Uint64("callbacks", st.Callbacks), zap.Time("oldest", st.Oldest))
	return sent, nil
}

func callbacksIn(r *engine.Record) int {
	if _, ok := sentTo(r); ok {
		return jetstream.CallbacksIn(r.Body)
	}
	return 1
}

// move opens the cluster, tells first how the first try went, and hands on what the spool holds, until ctx ends.
func (s *Store) move(ctx context.Context, sent []sentPack, first chan<- error) {
	if !s.awaitCluster(ctx, first) {
		return
	}
	c := s.cluster.Load()
	// These first: their places in the chain must not be taken by others.
	for _, p := range sent {
		if !s.insist(ctx, func(ctx context.Context) error { return c.HandOnSent(ctx, p.partition, p.pack) }) {
			return
		}
	}
	for {
		if s.drained() && c.Held() {
			s.resume(c)
		}
		p := s.nextKept(ctx)
		if p != nil && !s.handOn(ctx, c, p) || ctx.Err() != nil {
			return
		}
	}
}

// awaitCluster tries to open the cluster until ctx ends.
func (s *Store) awaitCluster(ctx context.Context, first chan<- error) bool {
	said := ""
	for {
		try, cancel := context.WithTimeout(ctx, openTime)
		err := s.openCluster(try)
		cancel()
		select {
		case first <- err:
		default:
		}
		if err == nil {
			return true
		}
		s.held.because(err)
		if isFinal(err) && err.Error() != said && ctx.Err() == nil {
			said = err.Error()
			s.log.Error("the cluster cannot be used: callbacks are kept, and nothing else is done", zap.Error(err))
		}
		if !sleep(ctx, againAfter) {
			return false
		}
	}
}

// drained tells whether all that was kept is handed on.
func (s *Store) drained() bool {
	return s.held.upTo() == s.own.Status().Callbacks
}

// resume lets callbacks go to the cluster again, unless one has been kept meanwhile.
func (s *Store) resume(c *jetstream.Store) {
	s.gate.Lock()
	defer s.gate.Unlock()
	if !s.drained() {
		return
	}
	c.Resume()
	if handed, since := s.held.end(); !since.IsZero() {
		s.log.Info("the cluster takes callbacks again: all that was kept is handed on", zap.Uint64("callbacks", handed),
			zap.Duration("after", time.Since(since)))
	}
}

// nextKept gives the next pack of the spool, in the order of the spool's stream: what its reader gives may come in another. Where
// there is none it waits for one, or until there may be something else to do, and gives nil.
func (s *Store) nextKept(ctx context.Context) *engine.Pack {
	if s.drained() {
		select {
		case <-s.wake:
		case <-ctx.Done():
		}
		return nil
	}
	for seq := s.held.seq; seq <= s.own.End(); seq++ {
		p, err := s.own.PackAt(ctx, seq)
		if err == nil {
			return p
		}
		if ctx.Err() != nil {
			return nil
		}
		if !errors.Is(err, engine.ErrNotFound) {
			s.log.Error("a pack that was kept can't be read; it is tried again", zap.Uint64("pack", seq), zap.Error(err))
			sleep(ctx, againAfter)
			return nil
		}
		s.log.Error("a pack that was kept is gone", zap.Uint64("pack", seq)) // and the spool's own start has said so
		s.held.seq = seq + 1
	}
	sleep(ctx, handWait)
	return nil
}

// acknowledge takes what the spool's reader gives, and acks each pack once it is handed on, until ctx ends.
func (s *Store) acknowledge(ctx context.Context) {
	for {
		p, err := s.own.NextPack(ctx)
		if err != nil && !sleep(ctx, handWait) {
			return
		}
		if err == nil {
			s.held.read(p.Ordinal+uint64(len(p.Records)), p.Ack)
		}
	}
}

// handOn hands on the records of a pack, in order; it tells whether it did before ctx ended.
func (s *Store) handOn(ctx context.Context, c *jetstream.Store, p *engine.Pack) bool {
	for from := 0; from < len(p.Records); {
		upTo := from
		for upTo < len(p.Records) && !isSent(&p.Records[upTo]) {
			upTo++
		}
		hand := func(ctx context.Context) error {
			return c.HandOn(ctx, s.name, p.Ordinal+uint64(upTo), p.Records[from:upTo])
		}
		if upTo == from {
			partition, _ := sentTo(&p.Records[from])
			hand = func(ctx context.Context) error { return c.HandOnSent(ctx, partition, p.Records[from].Body) }
			upTo++
		}
		if !s.insist(ctx, hand) {
			return false
		}
		for i := from; i < upTo; i++ {
			r := &p.Records[i]
			s.held.remove(callbacksIn(r), len(r.Query)+len(r.Body), r.Received)
		}
		from = upTo
	}
	s.held.seq = p.Seq + 1
	s.held.moved(p.Ordinal + uint64(len(p.Records)))
	return true
}

func isSent(r *engine.Record) bool { _, ok := sentTo(r); return ok }

// insist calls f until it gives no error or ctx ends; it tells whether it succeeded.
func (s *Store) insist(ctx context.Context, f func(context.Context) error) bool {
	for {
		try, cancel := context.WithTimeout(ctx, handTime)
		err := f(try)
		cancel()
		if err == nil {
			return true
		}
		if ctx.Err() != nil {
			return false
		}
		if !errors.Is(err, context.DeadlineExceeded) {
			s.held.because(err)
		}
		if !sleep(ctx, handWait) {
			return false
		}
	}
}

// sleep waits; it tells whether ctx is still alive.
func sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return ctx.Err() == nil
	case <-ctx.Done():
		return false
	}
}
