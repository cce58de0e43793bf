package jetstream

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/aftermath-rules/aftermath/engine"
)

// leastChecked is how many of the newest packs are read and checked at every start, however old they are.
const leastChecked = 256

// recallCallbacks feeds the index of repeats with the callbacks that may have repeats among what is not yet handled or yet to
// come. It checks their packs: what is older is checked when it is read. Its cost grows with the callbacks of one horizon and
// what is not handled, not with the journal.
func (s *Store) recallCallbacks(ctx context.Context, ss *session, horizon time.Duration) error {
	cons, err := ss.readPacks.Info(ctx)
	if err != nil {
		return err
	}
	info, err := ss.accept.Info(ctx)
	if err != nil {
		return err
	}
	s.packs.old = info.State.LastSeq
	if st := info.State; st.Msgs > 0 && st.Msgs != st.LastSeq-st.FirstSeq+1 {
		return &badMessage{fmt.Errorf("%d of its messages between %d and %d are gone", st.LastSeq-st.FirstSeq+1-st.Msgs, st.FirstSeq, st.LastSeq)}
	}
	from, err := s.recallFrom(ctx, ss, cons.AckFloor.Stream, info.State.LastSeq, horizon)
	if err != nil {
		return err
	}
	s.repeats = newRepeats(horizon, max(from, 1)-1)
	check := journalCheck{next: max(from, info.State.FirstSeq), ordinals: make(map[string]uint64)}
	err = ss.scan(ctx, ss.accept, scanFrom{seq: from}, func(m *stored) error {
		records, err := check.read(m)
		if err != nil {
			return err
		}
		s.repeats.feed(m.seq, records, s.o.Now())
		return nil
	})
	s.repeats.forget(cons.AckFloor.Stream)
	return err
}

// recallFrom gives the first pack that is needed: one horizon before the first that is not handled, or before now.
func (s *Store) recallFrom(ctx context.Context, ss *session, floor, last uint64, horizon time.Duration) (uint64, error) {
	from := floor + 1
	if last > leastChecked {
		from = min(from, last-leastChecked)
	} else {
		from = 1
	}
	oldest := s.o.Now()
	name := ss.accept.CachedInfo().Config.Name
	_, err := ss.getBatch(ctx, name, &getRequest{Seq: floor + 1, NextFor: ">", Batch: 1}, func(m *stored) error {
		if m.at.Before(oldest) {
			oldest = m.at
		}
		return nil
	})
	if err != nil && !errors.Is(err, errNoMessage) {
		return 0, err
	}
	oldest = oldest.Add(-horizon - skew).UTC()
	_, err = ss.getBatch(ctx, name, &getRequest{StartTime: &oldest, NextFor: ">", Batch: 1}, func(m *stored) error {
		from = min(from, m.seq)
		return nil
	})
	if errors.Is(err, errNoMessage) {
		err = nil
	}
	return from, err
}

// skew is how far the clocks of nodes and servers may lie apart.
const skew = 10 * time.Second

// journalCheck holds packs against each other: none may be missing between them.
type journalCheck struct {
	next     uint64
	ordinals map[string]uint64 // by subject, of the next pack
}

// read decodes the next pack of the accept stream. An error about its bytes, or that something before it is gone, is a
// *badMessage; in the latter case there are records nevertheless.
func (c *journalCheck) read(m *stored) ([]engine.Record, error) {
	hole := m.seq - c.next
	if c.next == 0 {
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
	if known && p.ordinal != want {
		return records, &badMessage{fmt.Errorf("message %d begins at callback %d, but the one before it ended at %d", m.seq, p.ordinal, want)}
	}
	return records, nil
}

// readPack makes a pack of a message.
func (s *Store) readPack(m jetstream.Msg, seq uint64, at time.Time, again bool) (*engine.Pack, error) {
	p, records, err := decodeCallbacks(m.Data())
	if err != nil {
		return nil, &badMessage{err}
	}
	if err := s.catchUp(seq); err != nil {
		return nil, err
	}
	s.repeats.feed(seq, records, s.o.Now())
	return &engine.Pack{
		Seq: seq, Ordinal: p.ordinal, Stored: at, Records: records, Again: again, Ack: func() { s.packs.ack(seq) },
	}, nil
}

// catchUp feeds the index with the packs before seq that this node was not given, since another node has them.
func (s *Store) catchUp(seq uint64) error {
	fed, _ := s.repeats.position()
	if seq <= fed+1 {
		return nil
	}
	ctx, cancel := context.WithTimeout(s.work, time.Minute)
	defer cancel()
	ss := s.session()
	check := journalCheck{next: fed + 1, ordinals: make(map[string]uint64)}
	err := ss.scan(ctx, ss.accept, scanFrom{seq: fed + 1}, func(m *stored) error {
		if m.seq >= seq {
			if check.next < seq {
				s.damaged(acceptStream, m.seq, fmt.Errorf("%d messages before it are gone", m.seq-check.next))
			}
			return errScanEnd
		}
		records, err := check.read(m)
		if err != nil {
			s.damaged(acceptStream, m.seq, err)
		}
		if records != nil {
			s.repeats.feed(m.seq, records, s.o.Now())
		}
		return nil
	})
	return err
}

// Journal implements engine.Store. A pack that can't be read, or a hole, is an error in its place, and the ones after it follow.
func (s *Store) Journal(ctx context.Context, since time.Time) iter.Seq2[*engine.Pack, error] {
	return func(yield func(*engine.Pack, error) bool) {
		if err := s.isOpen(ctx); err != nil {
			yield(nil, err)
			return
		}
		_, horizon := s.repeats.position()
		seen := newRepeats(horizon, 0)
		ss := s.session()
		check := journalCheck{ordinals: make(map[string]uint64)}
		err := ss.scan(ctx, ss.accept, scanFrom{since: since.Add(-horizon).UTC()}, func(m *stored) error {
			records, err := check.read(m)
			if err != nil && !yield(nil, fmt.Errorf("journal: %w", err)) {
				return errScanEnd
			}
			if records == nil {
				return nil
			}
			seen.feed(m.seq, records, s.o.Now())
			if m.at.Before(since) {
				return nil
			}
			ordinal, _ := ordinalOf(m.data)
			if !yield(&engine.Pack{Seq: m.seq, Ordinal: ordinal, Stored: m.at, Records: records, Ack: func() {}}, nil) {
				return errScanEnd
			}
			return nil
		})
		if err != nil {
			yield(nil, err)
		}
	}
}
