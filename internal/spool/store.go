package spool

import (
	"context"
	"fmt"
	"iter"
	"time"

	"github.com/aftermath-rules/aftermath/engine"
	"github.com/aftermath-rules/aftermath/internal/jetstream"
)

// Opened tells whether the cluster has been there since the start: before that nothing that is stored is known.
func (s *Store) Opened() bool { return s.cluster.Load() != nil }

// at waits for the cluster.
func (s *Store) at(ctx context.Context) (*jetstream.Store, error) {
	if err := s.isOpen(ctx); err != nil {
		return nil, err
	}
	select {
	case <-s.opened:
		return s.cluster.Load(), nil
	case <-s.closed:
		return nil, engine.ErrClosed
	case <-ctx.Done():
		return nil, fmt.Errorf("the cluster is not there yet: %w", ctx.Err())
	}
}

// now gives the cluster, for what is no use later.
func (s *Store) now(ctx context.Context) (*jetstream.Store, error) {
	if err := s.isOpen(ctx); err != nil {
		return nil, err
	}
	if c := s.cluster.Load(); c != nil {
		return c, nil
	}
	return nil, fmt.Errorf("%w: it is not there yet", jetstream.ErrAway)
}

// NextPack implements engine.Store.
func (s *Store) NextPack(ctx context.Context) (*engine.Pack, error) {
	c, err := s.at(ctx)
	if err != nil {
		return nil, err
	}
	return c.NextPack(ctx)
}

// NextBundle implements engine.Store.
func (s *Store) NextBundle(ctx context.Context) (*engine.Bundle, error) {
	c, err := s.at(ctx)
	if err != nil {
		return nil, err
	}
	return c.NextBundle(ctx)
}

// Park implements engine.Store.
func (s *Store) Park(ctx context.Context, ps []engine.Parked) error {
	c, err := s.at(ctx)
	if err != nil {
		return err
	}
	return c.Park(ctx, ps)
}

// ParkedDeliveries implements engine.Store.
func (s *Store) ParkedDeliveries(ctx context.Context) iter.Seq2[*engine.Parked, error] {
	return seq(ctx, s, func(c *jetstream.Store) iter.Seq2[*engine.Parked, error] { return c.ParkedDeliveries(ctx) })
}

// Lease implements engine.Store.
func (s *Store) Lease(ctx context.Context, name string) (engine.Lease, error) {
	c, err := s.now(ctx)
	if err != nil {
		return nil, err
	}
	return c.Lease(ctx, name)
}

// Bury implements engine.Store.
func (s *Store) Bury(ctx context.Context, d *engine.DeadLetter) error {
	c, err := s.at(ctx)
	if err != nil {
		return err
	}
	return c.Bury(ctx, d)
}

// Append implements engine.Store.
func (s *Store) Append(ctx context.Context, events []engine.Event, totals *engine.Totals) (uint64, error) {
	c, err := s.at(ctx)
	if err != nil {
		return 0, err
	}
	return c.Append(ctx, events, totals)
}

// Fits implements engine.Store.
func (s *Store) Fits(ev *engine.Event) bool {
	return s.cluster.Load().Fits(ev) // what it is made of was read there
}

// Totals implements engine.Store.
func (s *Store) Totals(ctx context.Context) (own, others *engine.Totals, err error) {
	c, err := s.at(ctx)
	if err != nil {
		return nil, nil, err
	}
	return c.Totals(ctx)
}

// Settled implements engine.Store.
func (s *Store) Settled(ctx context.Context, since engine.Moment) (*engine.Settled, error) {
	c, err := s.at(ctx)
	if err != nil {
		return nil, err
	}
	return c.Settled(ctx, since)
}

// DeadLetter implements engine.Store.
func (s *Store) DeadLetter(ctx context.Context, delivery string) (*engine.DeadLetter, error) {
	c, err := s.now(ctx)
	if err != nil {
		return nil, err
	}
	return c.DeadLetter(ctx, delivery)
}

// Exhume implements engine.Store.
func (s *Store) Exhume(ctx context.Context, d *engine.DeadLetter) error {
	c, err := s.at(ctx)
	if err != nil {
		return err
	}
	return c.Exhume(ctx, d)
}

// Quarantine implements engine.Store.
func (s *Store) Quarantine(ctx context.Context, q *engine.Quarantined) error {
	c, err := s.now(ctx)
	if err != nil {
		return err
	}
	return c.Quarantine(ctx, q)
}

// seq gives what the cluster gives, or an error where it is not there yet.
func seq[T any](ctx context.Context, s *Store, of func(*jetstream.Store) iter.Seq2[T, error]) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		c, err := s.now(ctx)
		if err != nil {
			var none T
			yield(none, err)
			return
		}
		of(c)(yield)
	}
}

// DeadLetters implements engine.Store.
func (s *Store) DeadLetters(ctx context.Context) iter.Seq2[*engine.DeadLetter, error] {
	return seq(ctx, s, func(c *jetstream.Store) iter.Seq2[*engine.DeadLetter, error] { return c.DeadLetters(ctx) })
}

// Events implements engine.Store.
func (s *Store) Events(ctx context.Context, from uint64) iter.Seq2[*engine.EventPack, error] {
	return seq(ctx, s, func(c *jetstream.Store) iter.Seq2[*engine.EventPack, error] { return c.Events(ctx, from) })
}

// Journal implements engine.Store. What the spool holds is not in it yet.
func (s *Store) Journal(ctx context.Context, since time.Time) iter.Seq2[*engine.Pack, error] {
	return seq(ctx, s, func(c *jetstream.Store) iter.Seq2[*engine.Pack, error] { return c.Journal(ctx, since) })
}

// QuarantinedPackets implements engine.Store.
func (s *Store) QuarantinedPackets(ctx context.Context) iter.Seq2[*engine.Quarantined, error] {
	return seq(ctx, s, func(c *jetstream.Store) iter.Seq2[*engine.Quarantined, error] { return c.QuarantinedPackets(ctx) })
}

// JournalBack gives the packs before one, newest first: see jetstream.Store.
func (s *Store) JournalBack(ctx context.Context, before uint64) iter.Seq2[*engine.Pack, error] {
	return seq(ctx, s, func(c *jetstream.Store) iter.Seq2[*engine.Pack, error] { return c.JournalBack(ctx, before) })
}

// EventsAt gives one pack of the outcomes: see jetstream.Store.
func (s *Store) EventsAt(ctx context.Context, at uint64) (*engine.EventPack, error) {
	c, err := s.now(ctx)
	if err != nil {
		return nil, err
	}
	return c.EventsAt(ctx, at)
}

// Status implements engine.Store. It is well while callbacks can be taken, by the cluster or by the spool.
func (s *Store) Status() engine.StoreStatus {
	st := engine.StoreStatus{Kind: "nats", Error: "the cluster is not there yet"}
	if c := s.cluster.Load(); c != nil {
		st = c.Status()
	}
	if s.own == nil {
		if why := s.held.reason(); s.cluster.Load() == nil && why != nil {
			st.Error = fmt.Sprintf("%s: %s", st.Error, why)
		}
		return st
	}
	own := s.own.Status()
	st.Spool = s.held.status()
	st.Callbacks += st.Spool.Callbacks
	st.DiskFree = own.DiskFree
	if own.Damage != "" {
		st.Damage = "spool: " + own.Damage
	}
	if st.OK {
		return st
	}
	if st.Spool.Away == "" {
		st.Spool.Away = st.Error
	}
	if own.OK {
		st.OK, st.Error = true, ""
	} else {
		st.Error = fmt.Sprintf("%s; nor does this node's own store take callbacks: %s", st.Error, own.Error)
	}
	return st
}
