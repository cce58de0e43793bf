package jetstream

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"time"

	"github.com/aftermath-rules/aftermath/engine"
)

// browsed is how many packs JournalBack reads at a time.
const browsed = 64

// JournalBack gives the packs before the one of that Seq (0: all), newest first, acked or not. Whether a record is a repeat is not
// told. A pack that can't be read is an error in its place, and the ones before it follow.
func (s *Store) JournalBack(ctx context.Context, before uint64) iter.Seq2[*engine.Pack, error] {
	return func(yield func(*engine.Pack, error) bool) {
		ends, err := s.endsBefore(ctx, before)
		if err != nil {
			yield(nil, err)
			return
		}
		var parts []iter.Seq2[*engine.Pack, error]
		for i, p := range s.parts {
			parts = append(parts, p.journalBack(ctx, ends[i]))
		}
		for pack, err := range merged(parts, func(a, b *engine.Pack) bool { return a.Stored.After(b.Stored) }) {
			if !yield(pack, err) {
				return
			}
		}
	}
}

// endsBefore gives, for each partition, the sequence number that its packs come before: of the partition that the pack is of, its
// own; of the others, the first that was stored when it was, or later.
func (s *Store) endsBefore(ctx context.Context, before uint64) ([]uint64, error) {
	if err := s.isOpen(ctx); err != nil {
		return nil, err
	}
	number, seq := splitSeq(before)
	ss := s.session()
	var at time.Time
	if before > 0 && len(s.parts) > 1 && number < len(s.parts) {
		m, err := s.messageAt(ctx, acceptName(number), seq-1) // the caller's last one: what is before it is wanted
		if err != nil && !errors.Is(err, engine.ErrNotFound) {
			return nil, err
		}
		if err == nil {
			at = m.at
		}
	}
	ends := make([]uint64, len(s.parts))
	for i := range s.parts {
		info, err := ss.accept[i].Info(ctx)
		if err != nil {
			return nil, err
		}
		ends[i] = info.State.LastSeq + 1
		switch {
		case before > 0 && i == number:
			ends[i] = min(ends[i], seq)
		case !at.IsZero():
			from := at // of those stored at the very same time, the partition's number decides
			if i < number {
				from = at.Add(1)
			}
			if ends[i], err = ss.seqAt(ctx, ss.accept[i], from); err != nil {
				return nil, err
			}
		}
	}
	return ends, nil
}

func (p *partition) journalBack(ctx context.Context, end uint64) iter.Seq2[*engine.Pack, error] {
	return func(yield func(*engine.Pack, error) bool) {
		first := p.s.session().accept[p.number].CachedInfo().State.FirstSeq
		for end > first {
			from := max(first, end-min(end, browsed))
			packs, err := p.s.window(ctx, p.chain.name, from, end)
			if err != nil {
				yield(nil, err)
				return
			}
			for i := len(packs) - 1; i >= 0; i-- {
				if !yield(p.browse(packs[i])) {
					return
				}
			}
			end = from
		}
	}
}

// merged gives what sequences give that are in order, in that order.
func merged(seqs []iter.Seq2[*engine.Pack, error], less func(a, b *engine.Pack) bool) iter.Seq2[*engine.Pack, error] {
	if len(seqs) == 1 {
		return seqs[0]
	}
	type head struct {
		next func() (*engine.Pack, error, bool)
		pack *engine.Pack
	}
	return func(yield func(*engine.Pack, error) bool) {
		var heads []*head
		// advance tells whether the caller wants more; a sequence that has ended is dropped.
		advance := func(h *head) bool {
			for {
				pack, err, ok := h.next()
				if h.pack = pack; !ok || err == nil {
					return true
				}
				if !yield(nil, err) {
					return false
				}
			}
		}
		for _, seq := range seqs {
			next, stop := iter.Pull2(seq)
			defer stop()
			h := &head{next: next}
			if !advance(h) {
				return
			}
			heads = append(heads, h)
		}
		for {
			var best *head
			for _, h := range heads {
				if h.pack != nil && (best == nil || less(h.pack, best.pack)) {
					best = h
				}
			}
			if best == nil || !yield(best.pack, nil) || !advance(best) {
				return
			}
		}
	}
}

// window reads the messages of a stream from one sequence number up to another.
func (s *Store) window(ctx context.Context, stream string, from, end uint64) ([]*stored, error) {
	var all []*stored
	for from < end {
		req := &getRequest{Seq: from, NextFor: ">", Batch: int(end - from), MaxBytes: scanBytes}
		last, err := s.session().getBatch(ctx, stream, req, func(m *stored) error {
			if m.seq >= end {
				return errScanEnd
			}
			all = append(all, m)
			return nil
		})
		switch {
		case errors.Is(err, errScanEnd), errors.Is(err, errNoMessage):
			return all, nil
		case err != nil:
			return nil, fmt.Errorf("stream %s: %w", stream, err)
		}
		from = last + 1
	}
	return all, nil
}

func (p *partition) browse(m *stored) (*engine.Pack, error) {
	head, records, err := decodeCallbacks(m.data)
	if err != nil {
		return nil, fmt.Errorf("journal: message %d: %w", m.seq, err)
	}
	return &engine.Pack{Seq: packSeq(p.number, m.seq), Ordinal: head.ordinal, Stored: m.at, Records: records, Ack: func() {}}, nil
}

// PackAt gives one pack of the journal; engine.ErrNotFound where it is kept no more.
func (s *Store) PackAt(ctx context.Context, at uint64) (*engine.Pack, error) {
	number, seq := splitSeq(at)
	if number >= len(s.parts) {
		return nil, engine.ErrNotFound
	}
	m, err := s.messageAt(ctx, acceptName(number), seq)
	if err != nil {
		return nil, err
	}
	return s.parts[number].browse(m)
}

// PacksFrom gives at most so many packs of the journal, from a Seq on, in order; those that are kept no more are left out.
func (s *Store) PacksFrom(ctx context.Context, from uint64, most int) ([]*engine.Pack, error) {
	if err := s.isOpen(ctx); err != nil {
		return nil, err
	}
	number, seq := splitSeq(from)
	if number >= len(s.parts) {
		return nil, nil
	}
	all, err := s.window(ctx, acceptName(number), seq, seq+uint64(most))
	if err != nil {
		return nil, err
	}
	packs := make([]*engine.Pack, len(all))
	for i, m := range all {
		if packs[i], err = s.parts[number].browse(m); err != nil {
			return packs[:i], err
		}
	}
	return packs, nil
}

// EventsAt gives one pack of the outcomes; engine.ErrNotFound where it is kept no more.
func (s *Store) EventsAt(ctx context.Context, seq uint64) (*engine.EventPack, error) {
	m, err := s.messageAt(ctx, outcomesStream, seq)
	if err != nil {
		return nil, err
	}
	return decodeEvents(m)
}

func (s *Store) messageAt(ctx context.Context, stream string, seq uint64) (*stored, error) {
	if err := s.isOpen(ctx); err != nil {
		return nil, err
	}
	all, err := s.window(ctx, stream, seq, seq+1)
	if err != nil {
		return nil, err
	}
	if len(all) > 0 {
		return all[0], nil
	}
	m, err := s.session().atLeader(ctx, stream, leaderRequest{Seq: seq})
	if errors.Is(err, errNoMessage) {
		return nil, engine.ErrNotFound
	}
	return m, err
}
