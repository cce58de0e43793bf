package jetstream

import (
	"context"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/aftermath-rules/aftermath/engine"
)

// Settled implements engine.Store. Where the moment is but a time, what was recorded up to ten seconds before it is there too: clocks differ.
// Its cost grows with what was recorded since, and what is parked since.
func (s *Store) Settled(ctx context.Context, since engine.Moment) (*engine.Settled, error) {
	if err := s.isOpen(ctx); err != nil {
		return nil, err
	}
	out := engine.NewSettled()
	parked, ended, dead := scansFrom(since, s.o.Now())
	ss := s.session()
	// In the order in which a delivery goes, so that what moves on meanwhile is seen at least once: parked, ended, dead.
	if err := ss.scanLive(ctx, ss.later, parked, func(m *stored) error {
		_, ps, err := decodeJSON[engine.Parked](kindParked, m.data)
		if err != nil {
			s.damaged(laterStream, m.seq, err)
			return nil
		}
		for i := range ps {
			out.Parks[ps[i].Job.ID] = max(out.Parks[ps[i].Job.ID], ps[i].Parks)
		}
		return nil
	}); err != nil {
		return nil, err
	}
	if err := ss.scan(ctx, ss.outcomes, ended, func(m *stored) error {
		p, err := decodeOutcomes(m)
		if err != nil {
			s.damaged(outcomesStream, m.seq, err)
			return nil
		}
		for i := range p.Events {
			out.Add(&p.Events[i])
		}
		return nil
	}); err != nil {
		return nil, err
	}
	return out, ss.scan(ctx, ss.dead, dead, func(m *stored) error {
		d, err := decodeDead(m)
		if err != nil {
			s.damaged(deadStream, m.seq, err)
			return nil
		}
		out.Dead[d.Job.ID] = d
		return nil
	})
}

// scansFrom says where to begin with what was recorded since a moment.
func scansFrom(since engine.Moment, now time.Time) (parked, ended, dead scanFrom) {
	if since.Exact {
		return scanFrom{seq: since.After[0] + 1}, scanFrom{seq: since.After[1] + 1}, scanFrom{seq: since.After[2] + 1}
	}
	from := scanFrom{since: since.At.Add(-skew).UTC()}
	if from.since.After(now) {
		from = scanFrom{} // the clock was put back after that time, and says nothing of what came before what
	}
	return from, from, from
}

// sinceHeader says in a message how far the embedded store's streams of what is parked, of outcomes and of dead letters had come before it.
// A cluster's have several writers, none of which knows that; a store that was made anew from what was sound has other numbers, and no such
// headers.
const sinceHeader = "Aftermath-Since"

// markSince puts that into a message that is about to be stored.
func (s *Store) markSince(m *nats.Msg) {
	if s.tail != nil {
		parked, ended, dead := s.tail.recorded()
		m.Header.Set(sinceHeader, fmt.Sprint(parked, ended, dead))
	}
}

// momentOf reads it; at is the time that goes with it.
func momentOf(m jetstream.Msg, at time.Time) engine.Moment {
	moment := engine.Moment{At: at}
	n, err := fmt.Sscan(m.Headers().Get(sinceHeader), &moment.After[0], &moment.After[1], &moment.After[2])
	moment.Exact = n == len(moment.After) && err == nil
	return moment
}
