package spool

import (
	"context"
	"time"

	"go.uber.org/zap"

	"github.com/aftermath-rules/aftermath/engine"
	"github.com/aftermath-rules/aftermath/internal/jetstream"
)

const (
	handTime = 5 * time.Second // for one call to the cluster
	handWait = 250 * time.Millisecond

	packsAtOnce   = 16 // read from the spool
	recordsAtOnce = 1024
	bytesAtOnce   = 2 << 20
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
		if packs := s.nextKept(ctx); !s.handOn(ctx, c, packs) {
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
			s.log.Error("the cluster cannot be used: nothing is done but keeping callbacks where there is a spool", zap.Error(err))
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

// nextKept gives the next packs of the spool, in the order of the spool's stream: what its reader gives may come in another. Where
// there are none it waits for one, or until there may be something else to do, and gives nil.
func (s *Store) nextKept(ctx context.Context) []*engine.Pack {
	if s.drained() {
		select {
		case <-s.wake:
		case <-ctx.Done():
		}
		return nil
	}
	packs, err := s.own.PacksFrom(ctx, s.held.seq, packsAtOnce)
	switch {
	case err != nil && ctx.Err() == nil && len(packs) == 0:
		s.log.Error("what was kept can't be read; it is tried again", zap.Uint64("pack", s.held.seq), zap.Error(err))
		sleep(ctx, againAfter)
	case len(packs) == 0 && s.held.seq+packsAtOnce <= s.own.End(): // none of these is there: the spool's own start has said so
		s.held.seq += packsAtOnce
	case len(packs) == 0:
		sleep(ctx, handWait)
	}
	return packs
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

// handOn hands on the records of packs, in order, many at a time; it tells whether it did before ctx ended.
func (s *Store) handOn(ctx context.Context, c *jetstream.Store, packs []*engine.Pack) bool {
	b := &baggage{s: s, c: c}
	for _, p := range packs {
		for i := range p.Records {
			if !b.add(ctx, p.Ordinal+uint64(i), &p.Records[i]) {
				return false
			}
		}
		if !b.full() {
			continue
		}
		if !b.handOn(ctx) {
			return false
		}
		s.held.seq = p.Seq + 1
	}
	if !b.handOn(ctx) {
		return false
	}
	if len(packs) > 0 {
		s.held.seq = packs[len(packs)-1].Seq + 1
	}
	return ctx.Err() == nil
}

// baggage is records that are handed on together.
type baggage struct {
	s       *Store
	c       *jetstream.Store
	first   uint64 // ordinal in the spool
	records []engine.Record
	bytes   int
}

func (b *baggage) full() bool { return len(b.records) >= recordsAtOnce || b.bytes >= bytesAtOnce }

// add takes a record; one that does not follow on those before makes that they are handed on first.
func (b *baggage) add(ctx context.Context, ordinal uint64, r *engine.Record) bool {
	if len(b.records) > 0 && (ordinal != b.first+uint64(len(b.records)) || isSent(r) || b.full()) && !b.handOn(ctx) {
		return false
	}
	if partition, ok := sentTo(r); ok {
		if !b.s.insist(ctx, func(ctx context.Context) error { return b.c.HandOnSent(ctx, partition, r.Body) }) {
			return false
		}
		b.s.held.remove(callbacksIn(r), len(r.Query)+len(r.Body), r.Received)
		b.s.held.moved(ordinal + 1)
		return true
	}
	if len(b.records) == 0 {
		b.first = ordinal
	}
	b.records, b.bytes = append(b.records, *r), b.bytes+len(r.Query)+len(r.Body)
	return true
}

// handOn hands on what there is.
func (b *baggage) handOn(ctx context.Context) bool {
	if len(b.records) == 0 {
		return true
	}
	if !b.s.insist(ctx, func(ctx context.Context) error { return b.c.HandOn(ctx, b.s.name, b.first, b.records) }) {
		return false
	}
	for i := range b.records {
		r := &b.records[i]
		b.s.held.remove(1, len(r.Query)+len(r.Body), r.Received)
	}
	b.s.held.moved(b.first + uint64(len(b.records)))
	b.records, b.bytes = nil, 0
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
		s.held.because(err)
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
