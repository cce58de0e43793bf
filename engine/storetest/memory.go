package storetest

import (
	"context"
	"fmt"
	"iter"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/aftermath-rules/aftermath/engine"
)

// Memory is an engine.Store that keeps everything in memory: for tests of what uses a store. It starts no goroutine.
type Memory struct {
	mu      sync.Mutex
	changed chan struct{} // closed and made anew whenever something may have come that a waiter waits for
	closed  bool
	offset  time.Duration // how far Advance has put the clock forward
	fail    func(op string) error
	data    *memoryData
	cursor  int // packs before it were given out since this opening
	old     int // packs before it were there at this opening
}

// memoryData is what outlives a reopening.
type memoryData struct {
	packs      []*memoryPack
	ordinal    uint64
	seen       map[engine.Key]time.Time
	bundles    []*memoryBundle
	parked     map[string]bool // copies that were ever parked
	dead       map[string]*engine.DeadLetter
	events     []*engine.EventPack
	totals     *engine.Totals
	quarantine []*engine.Quarantined
}

type memoryPack struct {
	pack  engine.Pack
	acked bool
}

type memoryBundle struct {
	bundle engine.Bundle
	due    time.Time
	given  bool // since this opening
	again  bool // it was given before this opening
	acked  bool
}

// NewMemory makes an empty store.
func NewMemory() *Memory {
	return &Memory{
		changed: make(chan struct{}),
		data:    &memoryData{seen: make(map[engine.Key]time.Time), parked: make(map[string]bool), dead: make(map[string]*engine.DeadLetter)},
	}
}

// Reopen closes m and gives a store with what m had stored, as after a crash and a restart: what was not acked comes again.
func (m *Memory) Reopen() *Memory {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.closeLocked()
	for _, b := range m.data.bundles {
		b.again = b.again || b.given
		b.given = false
	}
	return &Memory{changed: make(chan struct{}), offset: m.offset, data: m.data, old: len(m.data.packs)}
}

// Advance puts the store's clock forward, so that parked deliveries fall due.
func (m *Memory) Advance(d time.Duration) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.offset += d
	m.wakeLocked()
}

// Now is the store's clock: the machine's, put forward by Advance.
func (m *Memory) Now() time.Time {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.nowLocked()
}

// SetFail makes the writing methods ask f, with their name in lower case ("accept", "park", "bury", "append", …), before they
// write, and return its error where there is one. Status is not OK while f fails "accept". nil takes it away.
func (m *Memory) SetFail(f func(op string) error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.fail = f
}

func (m *Memory) nowLocked() time.Time { return time.Now().Add(m.offset).UTC() }

func (m *Memory) wakeLocked() {
	close(m.changed)
	m.changed = make(chan struct{})
}

func (m *Memory) closeLocked() {
	if !m.closed {
		m.closed = true
		m.wakeLocked()
	}
}

// write runs f under the lock, unless the store is closed, ctx is over or a test wants a failure.
func (m *Memory) write(ctx context.Context, op string, f func() error) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return err
	}
	if m.closed {
		return engine.ErrClosed
	}
	if m.fail != nil {
		if err := m.fail(op); err != nil {
			return err
		}
	}
	defer m.wakeLocked()
	return f()
}

// wait calls take under the lock until it has something, the context is over or the store is closed. take also says how long
// it may be until there is something, where only the clock must move; 0 where something must be stored first.
func (m *Memory) wait(ctx context.Context, take func() (ok bool, in time.Duration)) error {
	for {
		m.mu.Lock()
		if m.closed {
			m.mu.Unlock()
			return engine.ErrClosed
		}
		if err := ctx.Err(); err != nil {
			m.mu.Unlock()
			return err
		}
		ok, in := take()
		changed := m.changed
		m.mu.Unlock()
		if ok {
			return nil
		}
		var due <-chan time.Time
		if in > 0 {
			t := time.NewTimer(in)
			defer t.Stop()
			due = t.C
		}
		select {
		case <-ctx.Done():
		case <-changed:
		case <-due:
		}
	}
}

// sinceLocked is the moment of what is being stored. Memory gives all that is parked and dead anyway.
func (m *Memory) sinceLocked() engine.Moment {
	return engine.Moment{At: m.nowLocked(), Exact: true, After: [3]uint64{0, uint64(len(m.data.events)), 0}}
}

// Accept stores r as a pack of its own.
func (m *Memory) Accept(ctx context.Context, r *engine.Record) error { return m.AcceptPack(ctx, r) }

// AcceptPack stores the records as one pack.
func (m *Memory) AcceptPack(ctx context.Context, rs ...*engine.Record) error {
	return m.write(ctx, "accept", func() error {
		d := m.data
		p := &memoryPack{pack: engine.Pack{Seq: uint64(len(d.packs) + 1), Ordinal: d.ordinal, Stored: m.nowLocked(), Since: m.sinceLocked()}}
		for _, r := range rs {
			c := *r
			c.Body, c.Received = slices.Clone(r.Body), r.Received.UTC()
			if c.Repeat = false; c.Window > 0 {
				last, ok := d.seen[c.Key]
				c.Repeat = ok && c.Received.Sub(last).Abs() <= c.Window
				d.seen[c.Key] = c.Received
			}
			p.pack.Records = append(p.pack.Records, c)
		}
		d.packs = append(d.packs, p)
		d.ordinal += uint64(len(rs))
		return nil
	})
}

// NextPack implements engine.Store.
func (m *Memory) NextPack(ctx context.Context) (*engine.Pack, error) {
	var out *engine.Pack
	err := m.wait(ctx, func() (bool, time.Duration) {
		for m.cursor < len(m.data.packs) && out == nil {
			p := m.data.packs[m.cursor]
			m.cursor++
			if p.acked {
				continue
			}
			out = clonePack(&p.pack)
			out.Again = m.cursor <= m.old
			out.Ack = func() { m.ack(&p.acked) }
		}
		return out != nil, 0
	})
	return out, err
}

func clonePack(p *engine.Pack) *engine.Pack {
	c := *p
	c.Records = slices.Clone(p.Records)
	for i := range c.Records {
		c.Records[i].Body = slices.Clone(c.Records[i].Body)
	}
	return &c
}

// ack sets acked unless m was closed: what a store that is gone says settles nothing.
func (m *Memory) ack(acked *bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if !m.closed {
		*acked = true
	}
}

// Park implements engine.Store.
func (m *Memory) Park(ctx context.Context, ps []engine.Parked) error {
	return m.write(ctx, "park", func() error {
		byDue := make(map[time.Time][]engine.Parked)
		for _, p := range ps {
			copied := fmt.Sprint(p.Job.ID, " ", p.Parks, " ", p.Due)
			if m.data.parked[copied] {
				continue
			}
			m.data.parked[copied] = true
			p.State = slices.Clone(p.State)
			byDue[p.Due.UTC()] = append(byDue[p.Due.UTC()], p)
		}
		for _, due := range slices.SortedFunc(maps.Keys(byDue), time.Time.Compare) {
			m.data.bundles = append(m.data.bundles, &memoryBundle{
				bundle: engine.Bundle{Since: m.sinceLocked(), Deliveries: byDue[due]}, due: due,
			})
		}
		return nil
	})
}

// NextBundle implements engine.Store.
func (m *Memory) NextBundle(ctx context.Context) (*engine.Bundle, error) {
	var out *engine.Bundle
	err := m.wait(ctx, func() (bool, time.Duration) {
		var next *memoryBundle
		for _, b := range m.data.bundles {
			if !b.given && !b.acked && (next == nil || b.due.Before(next.due)) {
				next = b
			}
		}
		if next == nil {
			return false, 0
		}
		if in := next.due.Sub(m.nowLocked()); in > 0 {
			return false, in
		}
		next.given = true
		c := next.bundle
		c.Deliveries = slices.Clone(c.Deliveries)
		c.Again = next.again
		c.Ack = func() { m.ackBundle(next) }
		out = &c
		return true, 0
	})
	return out, err
}

// ParkedDeliveries implements engine.Store.
func (m *Memory) ParkedDeliveries(ctx context.Context) iter.Seq2[*engine.Parked, error] {
	return each(ctx, m, func() []*engine.Parked {
		var all []*engine.Parked
		for _, b := range m.data.bundles {
			for _, p := range b.bundle.Deliveries {
				all = append(all, &p)
			}
		}
		return all
	})
}

// Lease implements engine.Store. Nobody else has the memory.
func (m *Memory) Lease(ctx context.Context, _ string) (engine.Lease, error) {
	return noLease{}, ctx.Err()
}

type noLease struct{}

func (noLease) Renew(ctx context.Context) error   { return ctx.Err() }
func (noLease) Release(ctx context.Context) error { return nil }

func (m *Memory) ackBundle(b *memoryBundle) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return
	}
	b.acked = true
	m.data.bundles = slices.DeleteFunc(m.data.bundles, func(o *memoryBundle) bool { return o == b })
}

// Close implements engine.Store.
func (m *Memory) Close(context.Context) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.closeLocked()
	return nil
}

// Status implements engine.Store.
func (m *Memory) Status() engine.StoreStatus {
	m.mu.Lock()
	defer m.mu.Unlock()
	s := engine.StoreStatus{OK: !m.closed, Kind: "memory", Packs: uint64(len(m.data.packs)), Callbacks: m.data.ordinal}
	if m.closed {
		s.Error = engine.ErrClosed.Error()
	} else if m.fail != nil {
		if err := m.fail("accept"); err != nil {
			s.OK, s.Error = false, err.Error()
		}
	}
	for _, p := range m.data.packs {
		if !p.acked {
			s.Waiting++
		}
	}
	return s
}

var _ engine.Store = (*Memory)(nil)

// Quarantine implements engine.Store; Memory keeps the last 1,000.
func (m *Memory) Quarantine(ctx context.Context, q *engine.Quarantined) error {
	return m.write(ctx, "quarantine", func() error {
		c := *q
		c.Body = slices.Clone(q.Body)
		m.data.quarantine = append(m.data.quarantine, &c)
		if n := len(m.data.quarantine) - 1000; n > 0 {
			m.data.quarantine = m.data.quarantine[n:]
		}
		return nil
	})
}

// QuarantinedPackets implements engine.Store.
func (m *Memory) QuarantinedPackets(ctx context.Context) iter.Seq2[*engine.Quarantined, error] {
	return each(ctx, m, func() []*engine.Quarantined { return slices.Clone(m.data.quarantine) })
}

// each gives what take takes under the lock.
func each[T any](ctx context.Context, m *Memory, take func() []*T) iter.Seq2[*T, error] {
	return func(yield func(*T, error) bool) {
		m.mu.Lock()
		closed, all := m.closed, take()
		m.mu.Unlock()
		if closed {
			yield(nil, engine.ErrClosed)
			return
		}
		for _, v := range all {
			if err := ctx.Err(); err != nil {
				yield(nil, err)
				return
			}
			if !yield(v, nil) {
				return
			}
		}
	}
}
