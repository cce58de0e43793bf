package jetstream

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"math"

	"github.com/aftermath-rules/aftermath/engine"
)

// browsed is how many packs JournalBack reads at a time.
const browsed = 64

// JournalBack gives the packs before a sequence number (0: all), newest first, acked or not. Whether a record is a repeat is not
// told. A pack that can't be read is an error in its place, and the ones before it follow.
func (s *Store) JournalBack(ctx context.Context, before uint64) iter.Seq2[*engine.Pack, error] {
	return func(yield func(*engine.Pack, error) bool) {
		if err := s.isOpen(ctx); err != nil {
			yield(nil, err)
			return
		}
		info, err := s.session().accept.Info(ctx)
		if err != nil {
			yield(nil, err)
			return
		}
		if before == 0 {
			before = math.MaxUint64
		}
		first := info.State.FirstSeq
		for end := min(before, info.State.LastSeq+1); end > first; {
			from := max(first, end-min(end, browsed))
			packs, err := s.window(ctx, info.Config.Name, from, end)
			if err != nil {
				yield(nil, err)
				return
			}
			for i := len(packs) - 1; i >= 0; i-- {
				p, err := browse(packs[i])
				if !yield(p, err) {
					return
				}
			}
			end = from
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

func browse(m *stored) (*engine.Pack, error) {
	p, records, err := decodeCallbacks(m.data)
	if err != nil {
		return nil, fmt.Errorf("journal: message %d: %w", m.seq, err)
	}
	return &engine.Pack{Seq: m.seq, Ordinal: p.ordinal, Stored: m.at, Records: records, Ack: func() {}}, nil
}

// PackAt gives one pack of the journal; engine.ErrNotFound where it is kept no more.
func (s *Store) PackAt(ctx context.Context, seq uint64) (*engine.Pack, error) {
	m, err := s.messageAt(ctx, acceptStream, seq)
	if err != nil {
		return nil, err
	}
	return browse(m)
}

// EventsAt gives one pack of the outcomes; engine.ErrNotFound where it is kept no more.
func (s *Store) EventsAt(ctx context.Context, seq uint64) (*engine.EventPack, error) {
	m, err := s.messageAt(ctx, outcomesStream, seq)
	if err != nil {
		return nil, err
	}
	return decodeOutcomes(m)
}

func (s *Store) messageAt(ctx context.Context, stream string, seq uint64) (*stored, error) {
	if err := s.isOpen(ctx); err != nil {
		return nil, err
	}
	all, err := s.window(ctx, stream, seq, seq+1)
	if err != nil {
		return nil, err
	}
	if len(all) == 0 {
		return nil, engine.ErrNotFound
	}
	return all[0], nil
}
