package jetstream

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/aftermath-rules/aftermath/engine"
)

// leastChecked is how many of the newest packs are read and checked at every start, however old they are.
const leastChecked = 256

// recall feeds the index of repeats with the callbacks that may have repeats among what is not yet handled or yet to
// come. It checks their packs: what is older is checked when it is read. Its cost grows with the callbacks of one horizon and
// what is not handled, not with the journal.
func (p *partition) recall(ctx context.Context, ss *session, horizon time.Duration) error {
	cons, err := ss.readPacks[p.number].Info(ctx)
	if err != nil {
		return err
	}
	info, err := ss.accept[p.number].Info(ctx)
	if err != nil {
		return err
	}
	p.packs.old = info.State.LastSeq
	// The files of the embedded store have been looked at already, with what is known to be gone.
	if st := info.State; p.s.o.URL != "" && st.Msgs > 0 && st.Msgs != st.LastSeq-st.FirstSeq+1 {
		return &badMessage{fmt.Errorf("%d of its messages between %d and %d are gone", st.LastSeq-st.FirstSeq+1-st.Msgs, st.FirstSeq, st.LastSeq)}
	}
	from, oldest, err := p.recallFrom(ctx, ss, cons.AckFloor.Stream, info.State.LastSeq, horizon)
	if err != nil {
		return err
	}
	foreign, err := p.foreign(ctx, ss, oldest, horizon)
	if err != nil {
		return err
	}
	p.repeats = newRepeats(horizon, max(from, 1)-1)
	check := p.newCheck(max(from, info.State.FirstSeq))
	err = ss.scan(ctx, ss.accept[p.number], scanFrom{seq: from}, func(m *stored) error {
		records, err := check.read(m)
		if err != nil {
			return err
		}
		foreign = p.repeats.know(foreign, m.at)
		p.repeats.feed(m.seq, records, p.s.o.Now())
		return nil
	})
	p.repeats.know(foreign, p.s.o.Now().Add(skew))
	p.repeats.forget(cons.AckFloor.Stream)
	return err
}

// foreign gives, in order, the callbacks that went to other partitions before the number of partitions was changed, where their
// repeats may matter still: they came to this one before the change, or come to it now.
func (p *partition) foreign(ctx context.Context, ss *session, oldest time.Time, horizon time.Duration) ([]arrival, error) {
	since := ss.since
	if since.IsZero() || oldest.After(since.Add(horizon+skew)) {
		return nil, nil
	}
	var all []arrival
	for n, st := range ss.accept {
		if n == p.number {
			continue
		}
		err := ss.scan(ctx, st, scanFrom{since: oldest.Add(-horizon - skew).UTC()}, func(m *stored) error {
			_, records, err := decodeCallbacks(m.data)
			if err != nil || m.at.After(since.Add(skew)) {
				return nil // what can't be read is said where its own partition is
			}
			for i := range records {
				if r := &records[i]; r.Window > 0 {
					all = append(all, arrival{key: r.Key, received: r.Received, stored: m.at})
				}
			}
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	slices.SortFunc(all, func(a, b arrival) int { return a.stored.Compare(b.stored) })
	return all, nil
}

// recallFrom gives the first pack that is needed: one horizon before the first that is not handled, or before now. It gives that
// time too.
func (p *partition) recallFrom(
	ctx context.Context, ss *session, floor, last uint64, horizon time.Duration,
) (from uint64, oldest time.Time, err error) {
	from = floor + 1
	if last > leastChecked {
		from = min(from, last-leastChecked)
	} else {
		from = 1
	}
	oldest = p.s.o.Now()
	name := p.chain.name
	_, err = ss.getBatch(ctx, name, &getRequest{Seq: floor + 1, NextFor: ">", Batch: 1}, func(m *stored) error {
		if m.at.Before(oldest) {
			oldest = m.at
		}
		return nil
	})
	if err != nil && !errors.Is(err, errNoMessage) {
		return 0, oldest, err
	}
	start := oldest.Add(-horizon - skew).UTC()
	_, err = ss.getBatch(ctx, name, &getRequest{StartTime: &start, NextFor: ">", Batch: 1}, func(m *stored) error {
		from = min(from, m.seq)
		return nil
	})
	if errors.Is(err, errNoMessage) {
		err = nil
	}
	return from, oldest, err
}

// skew is how far the clocks of nodes and servers may lie apart.
const skew = 10 * time.Second

// journalCheck holds packs against each other: none may be missing between them, but for those that are known to be gone.
type journalCheck struct {
	next     uint64
	ordinals map[string]uint64 // by subject, of the next pack
	known    func(from, to uint64) bool
}

func (p *partition) newCheck(next uint64) *journalCheck {
	return &journalCheck{next: next, ordinals: make(map[string]uint64), known: func(from, to uint64) bool {
		return p.s.repairs.known(p.chain.name, from, to)
	}}
}

// read decodes the next pack of the accept stream. An error about its bytes, or that something before it is gone, is a
// *badMessage; in the latter case there are records nevertheless.
func (c *journalCheck) read(m *stored) ([]engine.Record, error) {
	hole, gone := m.seq-c.next, c.known(c.next, m.seq-1)
	if c.next == 0 || gone {
		hole = 0
	}
	c.next = m.seq + 1
	p, records, err := decodeCallbacks(m.data)
	if err != nil {
		return nil, &badMessage{fmt.Errorf("message %d: %w", m.seq, err)}
	}
	want, known := c.ordinals[m.subject]
	c.ordinals[m.subject] = p.ordinal + uint64(len(records))
	if hole > 0 {
		return records, &badMessage{fmt.Errorf("%d messages before message %d are gone", hole, m.seq)}
	}
	if known && !gone && p.ordinal != want {
		return records, &badMessage{fmt.Errorf("message %d begins at callback %d, but the one before it ended at %d", m.seq, p.ordinal, want)}
	}
	return records, nil
}

// readPack makes a pack of a message.
func (p *partition) readPack(m jetstream.Msg, h *hold[*engine.Pack], at time.Time, again bool) (*engine.Pack, error) {
	seq := h.seq
	head, records, err := decodeCallbacks(m.Data())
	if err != nil {
		return nil, &badMessage{err}
	}
	if err := p.catchUp(seq); err != nil {
		return nil, err
	}
	p.repeats.feed(seq, records, p.s.o.Now())
	return &engine.Pack{
		Seq: packSeq(p.number, seq), Ordinal: head.ordinal, Stored: at, Since: momentOf(m, at), Records: records, Again: again,
		Held: h.check(), Ack: h.ack,
	}, nil
}

// catchUp feeds the index with the packs before seq that this node was not given, since another node has them. A server that does not know
// of all of them yet gives an error: what it leaves out would have its repeats run.
func (p *partition) catchUp(seq uint64) error {
	fed, _ := p.repeats.position()
	if seq <= fed+1 {
		return nil
	}
	ctx, cancel := context.WithTimeout(p.s.work, time.Minute)
	defer cancel()
	ss := p.s.session()
	check, whole := p.newCheck(fed+1), false
	err := ss.scan(ctx, ss.accept[p.number], scanFrom{seq: fed + 1}, func(m *stored) error {
		if m.seq >= seq {
			whole = true
			if check.next < seq && !check.known(check.next, seq-1) {
				p.s.damaged(p.chain.name, m.seq, fmt.Errorf("%d messages before it are gone", m.seq-check.next))
			}
			return errScanEnd
		}
		records, err := check.read(m)
		if err != nil {
			p.s.damaged(p.chain.name, m.seq, err)
		}
		if records != nil {
			p.repeats.feed(m.seq, records, p.s.o.Now())
		}
		return nil
	})
	if err == nil && !whole {
		return fmt.Errorf("stream %s: a server that has message %d says that it ends before", p.chain.name, seq)
	}
	return err
}

// Journal implements engine.Store. A pack that can't be read, or a hole, is an error in its place, and the ones after it follow.
func (s *Store) Journal(ctx context.Context, since time.Time) iter.Seq2[*engine.Pack, error] {
	var parts []iter.Seq2[*engine.Pack, error]
	for _, p := range s.parts {
		parts = append(parts, p.journal(ctx, since))
	}
	return merged(parts, func(a, b *engine.Pack) bool { return a.Stored.Before(b.Stored) })
}

func (p *partition) journal(ctx context.Context, since time.Time) iter.Seq2[*engine.Pack, error] {
	return func(yield func(*engine.Pack, error) bool) {
		if err := p.s.isOpen(ctx); err != nil {
			yield(nil, err)
			return
		}
		_, horizon := p.repeats.position()
		seen := newRepeats(horizon, 0)
		ss := p.s.session()
		check := p.newCheck(0)
		stopped := false
		err := ss.scan(ctx, ss.accept[p.number], scanFrom{since: since.Add(-horizon).UTC()}, func(m *stored) error {
			records, err := check.read(m)
			if err != nil && !yield(nil, fmt.Errorf("journal: %w", err)) {
				stopped = true
				return errScanEnd
			}
			if records == nil {
				return nil
			}
			seen.feed(m.seq, records, p.s.o.Now())
			if m.at.Before(since) {
				return nil
			}
			ordinal, _ := ordinalOf(m.data)
			pack := &engine.Pack{Seq: packSeq(p.number, m.seq), Ordinal: ordinal, Stored: m.at, Records: records, Ack: func() {}}
			if !yield(pack, nil) {
				stopped = true
				return errScanEnd
			}
			return nil
		})
		if err != nil && !stopped {
			yield(nil, err)
		}
	}
}
