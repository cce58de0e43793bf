package jetstream

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"iter"
	"slices"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nuid"

	"github.com/aftermath-rules/aftermath/engine"
)

const (
	maxBundle    = 500  // deliveries in one scheduled message
	parkedSize   = 1024 // bytes that most of them take
	maxPublishes = 64   // bundles that are on their way at once
)

// Park stores deliveries until they are due. Those of one Due share messages: whoever parks many does well to round it.
func (s *Store) Park(ctx context.Context, ps []engine.Parked) error {
	if err := s.isOpen(ctx); err != nil {
		return err
	}
	if err := s.roomToPark(); err != nil {
		return err
	}
	ps = slices.Clone(ps)
	slices.SortStableFunc(ps, func(a, b engine.Parked) int { return a.Due.Compare(b.Due) })
	var msgs []*nats.Msg
	for len(ps) > 0 {
		n, records, err := bundle(ps)
		if err != nil {
			return err
		}
		msgs = append(msgs, s.scheduled(ps[0].Due, records))
		ps = ps[n:]
	}
	return s.publishAll(ctx, laterStream, msgs)
}

// bundle encodes the deliveries at the beginning of ps that go into one message.
func bundle(ps []engine.Parked) (n int, records [][]byte, err error) {
	size := 0
	for n < len(ps) && n < maxBundle && ps[n].Due.Equal(ps[0].Due) {
		r := appendParked(make([]byte, 0, parkedSize), &ps[n])
		if len(r) > maxRecord {
			return 0, nil, fmt.Errorf("delivery %s: %d bytes: more than the %d that one record may have", ps[n].Job.ID, len(r), maxRecord)
		}
		if n > 0 && size+len(r) > softPack {
			break
		}
		records, size = append(records, r), size+len(r)+4
		n++
	}
	return n, records, nil
}

// scheduled makes the message that the server sends to dueSubject when it is time.
func (s *Store) scheduled(due time.Time, records [][]byte) *nats.Msg {
	now := s.o.Now()
	m := nats.NewMsg(dueSubject)
	m.Data = encodeBundle(now, records)
	m.Header.Set(jetstream.MsgIDHeader, bundleID(records))
	s.markSince(m)
	if due.After(now) {
		// One subject each: a schedule replaces the one of the same subject.
		m.Subject = scheduleSubject + nuid.Next()
		m.Header.Set("Nats-Schedule", "@at "+due.UTC().Format(time.RFC3339Nano))
		m.Header.Set("Nats-Schedule-Target", dueSubject)
	}
	return m
}

// bundleID names a bundle by what is in it: within laterDuplicates the server stores no two of one name.
func bundleID(records [][]byte) string {
	h := sha256.New()
	for _, r := range records {
		h.Write(binary.BigEndian.AppendUint64(nil, uint64(len(r))))
		h.Write(r)
	}
	return hex.EncodeToString(h.Sum(nil)[:16])
}

// publishAll stores messages whose order does not matter. One that has no name gets one, so that sending it again within two minutes does
// nothing.
func (s *Store) publishAll(ctx context.Context, stream string, msgs []*nats.Msg) error {
	for _, m := range msgs {
		if m.Header.Get(jetstream.MsgIDHeader) == "" {
			m.Header.Set(jetstream.MsgIDHeader, nuid.Next())
		}
	}
	for len(msgs) > 0 {
		some := msgs[:min(len(msgs), maxPublishes)]
		for {
			err := s.publishSome(ctx, some)
			s.note(stream, err)
			if err == nil {
				break
			}
			select {
			case <-ctx.Done():
				return fmt.Errorf("%w: %w", ctx.Err(), err)
			case <-s.stopping:
				return engine.ErrClosed
			case <-time.After(retryWait):
			}
		}
		msgs = msgs[len(some):]
	}
	return nil
}

func (s *Store) publishSome(ctx context.Context, msgs []*nats.Msg) error {
	if err := s.room(); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, 4*publishDeadline)
	defer cancel()
	js := s.session().js
	futures := make([]jetstream.PubAckFuture, 0, len(msgs))
	for _, m := range msgs {
		copied := *m
		f, err := js.PublishMsgAsync(&copied)
		if err != nil {
			return err
		}
		futures = append(futures, f)
	}
	for _, f := range futures {
		select {
		case ack := <-f.Ok():
			s.tail.reached(ack.Stream, ack.Sequence, 0)
		case err := <-f.Err():
			return err
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

// readBundle makes a bundle of a message that fell due.
func (s *Store) readBundle(m jetstream.Msg, h *hold[*engine.Bundle], _ time.Time, again bool) (*engine.Bundle, error) {
	p, parked, err := decodeJSON[engine.Parked](kindParked, m.Data())
	if err != nil {
		return nil, &badMessage{err}
	}
	return &engine.Bundle{Since: momentOf(m, p.written), Deliveries: parked, Again: again, Held: h.check(), Ack: h.ack}, nil
}

// ParkedDeliveries implements engine.Store.
func (s *Store) ParkedDeliveries(ctx context.Context) iter.Seq2[*engine.Parked, error] {
	return func(yield func(*engine.Parked, error) bool) {
		if err := s.isOpen(ctx); err != nil {
			yield(nil, err)
			return
		}
		ss, stopped := s.session(), false
		err := ss.scanLive(ctx, ss.later, scanFrom{}, func(m *stored) error {
			_, ps, err := decodeJSON[engine.Parked](kindParked, m.data)
			if err != nil {
				s.damaged(laterStream, m.seq, err)
			}
			for i := range ps {
				if stopped = !yield(&ps[i], nil); stopped {
					return errStopped
				}
			}
			return nil
		})
		if err != nil && !stopped {
			yield(nil, err)
		}
	}
}

var errStopped = errors.New("no more is wanted")
