package jetstream

import (
	"context"
	"fmt"
	"iter"
	"slices"
	"strings"

	"github.com/aftermath-rules/aftermath/engine"
)

// maxEvent is how long an event may be that is a message's only one, which compression makes fit.
const maxEvent = maxSqueezed - maxPayload

// Fits implements engine.Store.
func (*Store) Fits(ev *engine.Event) bool {
	d := newDraft(nil)
	return d.addEvent(ev) <= maxEvent && len(d.squeezed(nil).b) <= maxRecord-maxTotals
}

// maxTotals is more than totals take.
const maxTotals = 1 << 20

// Append stores events and the totals after them as one message. Without totals, those of the Append before are stored again, so
// that the newest message has them always. Events of more than one message (8 MiB) take more, each with the totals up to it. After an
// error it may be called with the same slice again: all of it is stored once.
func (s *Store) Append(ctx context.Context, events []engine.Event, totals *engine.Totals) (seq uint64, err error) {
	if err := s.isOpen(ctx); err != nil {
		return 0, err
	}
	s.outcomesMu.Lock()
	defer s.outcomesMu.Unlock()
	last := s.last
	if totals != nil {
		last = s.rules.outcomeOf(totals)
	}
	after, err := last.encode()
	if err != nil {
		return 0, err
	}
	d, begin := newDraft(s.outcomesBuf), s.storedOf(events)
	defer func() { s.outcomesBuf = kept(d.b) }()
	for i := begin; i < len(events); i++ {
		before := *d
		if size := d.addEvent(&events[i]); size > maxEvent {
			return 0, fmt.Errorf("event of %d bytes: more than the %d that there may be", size, maxEvent)
		}
		if len(d.b)+len(after) <= maxRecord || before.count == 0 {
			continue
		}
		so := s.last
		if totals != nil {
			so = so.plus(events[:i])
			so.RulesAt, so.Totals.Rules = last.RulesAt, withoutHits(last.Totals.Rules, events[i:])
		}
		if err := s.appendPart(ctx, &before, so); err != nil {
			return 0, err
		}
		d, begin = newDraft(nil), i
		s.begun, s.begunTo = &events[0], i
		d.addEvent(&events[i])
	}
	if err := s.appendPack(ctx, d, after); err != nil {
		return 0, err
	}
	s.begun = nil
	at := s.outcomesChain.position().Seq // nothing else writes to it
	if totals != nil {
		s.rules.stored(&last, at)
		s.last = last.owned()
	}
	if begin == 0 {
		seq = at
	}
	return seq, nil
}

// storedOf gives how many of the events an Append of the same stored that gave an error then.
func (s *Store) storedOf(events []engine.Event) int {
	if len(events) > 0 && s.begun == &events[0] {
		return s.begunTo
	}
	return 0
}

// appendPart stores a pack that others of the same Append follow, with the totals so far: or a crash before the last pack would leave events
// that no totals count.
func (s *Store) appendPart(ctx context.Context, d *draft, so outcome) error {
	totals, err := so.encode()
	if err != nil {
		return err
	}
	return s.appendPack(ctx, d, totals)
}

// encode gives the JSON of totals; nil where there are none.
func (o outcome) encode() ([]byte, error) {
	if o.Totals == nil {
		return nil, nil
	}
	return encodeJSON(o)
}

// owned gives totals that are not the caller's any more.
func (o outcome) owned() outcome {
	t := *o.Totals
	return outcome{Totals: &t, RulesAt: o.RulesAt}
}

// plus gives the totals after some events more, but for the rules'.
func (o outcome) plus(events []engine.Event) outcome {
	var t engine.Totals
	if o.Totals != nil {
		t = *o.Totals
	}
	for i := range events {
		t.Add(&events[i])
	}
	return outcome{Totals: &t}
}

// kept gives a buffer's memory for the next time, unless it is large.
func kept(buf []byte) []byte {
	if cap(buf) > softPack {
		return nil
	}
	return buf
}

func (s *Store) appendPack(ctx context.Context, d *draft, totals []byte) error {
	if totals != nil {
		d.add(totals)
	}
	if d.count == 0 {
		return nil
	}
	ctx, cancel := s.untilStopped(ctx)
	defer cancel(nil)
	small := d.squeezed(s.squeezedBuf)
	if small != d {
		s.squeezedBuf = kept(small.b)
	}
	t := &attempt{draft: func(handed) *draft { return small }, count: small.count}
	if samePack(s.unheard, small.b) {
		t.pack, t.published = s.unheard, true
	}
	sent, err := s.outcomesChain.storeAttempt(ctx, t)
	if err == nil || sent != nil {
		s.unheard = slices.Clone(sent)
	}
	return err
}

// untilStopped gives a context that is also over, with ErrClosed, once the store is closed.
func (s *Store) untilStopped(ctx context.Context) (context.Context, context.CancelCauseFunc) {
	ctx, cancel := context.WithCancelCause(ctx)
	stop := context.AfterFunc(s.work, func() { cancel(engine.ErrClosed) })
	return ctx, func(err error) { stop(); cancel(err) }
}

// outcomes is one message. The counts of the rules may be in another: withRules has them.
type outcomes struct {
	engine.EventPack
	rulesAt uint64
}

// decodeEvents reads one message for who needs no counts of rules.
func decodeEvents(m *stored) (*engine.EventPack, error) {
	p, err := decodeOutcomes(m)
	if err != nil {
		return nil, err
	}
	return &p.EventPack, nil
}

// decodeOutcomes reads one message.
func decodeOutcomes(m *stored) (*outcomes, error) {
	_, records, err := decodeJSON[outcome](kindEvents, m.data)
	if err != nil {
		return nil, &badMessage{fmt.Errorf("message %d: %w", m.seq, err)}
	}
	p := &outcomes{EventPack: engine.EventPack{Seq: m.seq, Node: strings.TrimPrefix(m.subject, outcomesSubject), Stored: m.at}}
	if len(records) > 1 {
		p.Events = make([]engine.Event, 0, len(records))
	}
	for i := range records {
		if t := records[i].Totals; t != nil {
			p.Totals, p.rulesAt = t, records[i].RulesAt
		} else {
			p.Events = append(p.Events, records[i].event())
		}
	}
	return p, nil
}

// recallTotals reads what Append without totals goes on from.
func (s *Store) recallTotals(ctx context.Context, ss *session) error {
	return ss.lastOfEach(ctx, outcomesStream, outcomesSubject+s.o.Node, func(m *stored) error {
		p, err := decodeOutcomes(m)
		if err != nil || p.Totals == nil {
			return err
		}
		s.last = outcome{Totals: p.Totals, RulesAt: p.rulesAt}
		return nil
	})
}

// Totals implements engine.Store.
func (s *Store) Totals(ctx context.Context) (own, others *engine.Totals, err error) {
	if err := s.isOpen(ctx); err != nil {
		return nil, nil, err
	}
	own, others = &engine.Totals{}, &engine.Totals{}
	ss := s.session()
	err = ss.lastOfEach(ctx, outcomesStream, outcomesSubject+"*", func(m *stored) error {
		p, err := decodeOutcomes(m)
		switch {
		case err != nil:
			return err
		case p.Totals == nil:
		case p.Node == s.o.Node:
			own, err = ss.withRules(ctx, m, p)
			return err
		default:
			addTotals(others, p.Totals)
		}
		return nil
	})
	if err != nil {
		return nil, nil, fmt.Errorf("totals: %w", err)
	}
	return own, others, nil
}

func addTotals(sum, t *engine.Totals) {
	for _, f := range []struct {
		to   *uint64
		from uint64
	}{
		{&sum.Callbacks, t.Callbacks}, {&sum.Unmatched, t.Unmatched}, {&sum.Pairs, t.Pairs}, {&sum.Matches, t.Matches},
		{&sum.ShadowMatches, t.ShadowMatches}, {&sum.Refused, t.Refused}, {&sum.Quarantined, t.Quarantined},
		{&sum.Created, t.Created}, {&sum.Done, t.Done}, {&sum.Dead, t.Dead}, {&sum.Discarded, t.Discarded},
		{&sum.Repeats, t.Repeats}, {&sum.ConditionErrors, t.ConditionErrors},
	} {
		*f.to += f.from
	}
	for name, r := range t.Rules {
		if sum.Rules == nil {
			sum.Rules = make(map[string]engine.RuleTotals)
		}
		have := sum.Rules[name]
		have.Matches += r.Matches
		if r.Last.After(have.Last) {
			have.Last = r.Last
		}
		sum.Rules[name] = have
	}
}

// Events implements engine.Store.
func (s *Store) Events(ctx context.Context, from uint64) iter.Seq2[*engine.EventPack, error] {
	return scanAll(ctx, s, func(ss *session, f func(*stored) error) error {
		return ss.scan(ctx, ss.outcomes, scanFrom{seq: from}, f)
	}, decodeEvents)
}

// scanAll gives what a scan gives, decoded. What can't be decoded is an error in its place, and the ones after it follow.
func scanAll[T any](
	ctx context.Context, s *Store, scan func(*session, func(*stored) error) error, decode func(*stored) (*T, error),
) iter.Seq2[*T, error] {
	return func(yield func(*T, error) bool) {
		if err := s.isOpen(ctx); err != nil {
			yield(nil, err)
			return
		}
		stopped := false
		err := scan(s.session(), func(m *stored) error {
			v, err := decode(m)
			if err == nil && v == nil {
				return nil
			}
			if stopped = !yield(v, err); stopped {
				return errScanEnd
			}
			return nil
		})
		if err != nil && !stopped {
			yield(nil, err)
		}
	}
}
