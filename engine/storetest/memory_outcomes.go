package storetest

import (
	"context"
	"iter"
	"maps"
	"slices"
	"time"

	"github.com/aftermath-rules/aftermath/engine"
)

// Bury implements engine.Store.
func (m *Memory) Bury(ctx context.Context, d *engine.DeadLetter) error {
	return m.write(ctx, "bury", func() error {
		c := *d
		m.data.dead[d.Job.ID] = &c
		return nil
	})
}

// DeadLetters implements engine.Store.
func (m *Memory) DeadLetters(ctx context.Context) iter.Seq2[*engine.DeadLetter, error] {
	return each(ctx, m, func() []*engine.DeadLetter {
		var all []*engine.DeadLetter
		for _, d := range m.data.dead {
			c := *d
			all = append(all, &c)
		}
		return all
	})
}

// DeadLetter implements engine.Store.
func (m *Memory) DeadLetter(ctx context.Context, delivery string) (*engine.DeadLetter, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return nil, engine.ErrClosed
	}
	d, ok := m.data.dead[delivery]
	if !ok {
		return nil, engine.ErrNotFound
	}
	c := *d
	return &c, ctx.Err()
}

// Exhume implements engine.Store.
func (m *Memory) Exhume(ctx context.Context, d *engine.DeadLetter) error {
	return m.write(ctx, "exhume", func() error {
		if have := m.data.dead[d.Job.ID]; have == nil || have.Parks != d.Parks || !have.At.Equal(d.At) {
			return engine.ErrNotFound
		}
		delete(m.data.dead, d.Job.ID)
		return nil
	})
}

// Fits implements engine.Store.
func (m *Memory) Fits(*engine.Event) bool { return true }

// Append implements engine.Store.
func (m *Memory) Append(ctx context.Context, events []engine.Event, totals *engine.Totals) (seq uint64, err error) {
	err = m.write(ctx, "append", func() error {
		p := &engine.EventPack{
			Seq: uint64(len(m.data.events) + 1), Node: "memory", Stored: m.nowLocked(), Events: slices.Clone(events),
		}
		if totals != nil {
			p.Totals = cloneTotals(totals)
			m.data.totals = p.Totals
		}
		m.data.events = append(m.data.events, p)
		seq = p.Seq
		return nil
	})
	return seq, err
}

func cloneTotals(t *engine.Totals) *engine.Totals {
	c := *t
	c.Rules = maps.Clone(t.Rules)
	return &c
}

// Events implements engine.Store.
func (m *Memory) Events(ctx context.Context, from uint64) iter.Seq2[*engine.EventPack, error] {
	return each(ctx, m, func() []*engine.EventPack {
		return slices.DeleteFunc(slices.Clone(m.data.events), func(p *engine.EventPack) bool { return p.Seq < from })
	})
}

// Journal implements engine.Store.
func (m *Memory) Journal(ctx context.Context, since time.Time) iter.Seq2[*engine.Pack, error] {
	return each(ctx, m, func() []*engine.Pack {
		var all []*engine.Pack
		for _, p := range m.data.packs {
			if !p.pack.Stored.Before(since) {
				c := clonePack(&p.pack)
				c.Ack = func() {}
				all = append(all, c)
			}
		}
		return all
	})
}

// Totals implements engine.Store; Memory has no other nodes.
func (m *Memory) Totals(ctx context.Context) (own, others *engine.Totals, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return nil, nil, engine.ErrClosed
	}
	if m.data.totals == nil {
		return &engine.Totals{}, &engine.Totals{}, ctx.Err()
	}
	return cloneTotals(m.data.totals), &engine.Totals{}, ctx.Err()
}

// Settled implements engine.Store.
func (m *Memory) Settled(ctx context.Context, since engine.Moment) (*engine.Settled, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return nil, engine.ErrClosed
	}
	s := engine.NewSettled()
	putBack := since.At.After(m.nowLocked())
	for _, p := range m.data.events {
		if since.Exact && p.Seq <= since.After[1] || !since.Exact && p.Stored.Before(since.At) && !putBack {
			continue
		}
		for i := range p.Events {
			s.Add(&p.Events[i])
		}
	}
	for _, b := range m.data.bundles {
		for _, p := range b.bundle.Deliveries {
			s.Parks[p.Job.ID] = max(s.Parks[p.Job.ID], p.Parks)
		}
	}
	for id, d := range m.data.dead {
		c := *d
		s.Dead[id] = &c
	}
	return s, ctx.Err()
}
