package engine

import (
	"cmp"
	"context"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"github.com/aftermath-rules/aftermath/internal/failpoint"
)

const (
	maxEventBatch = 4096
	eventLinger   = 5 * time.Millisecond
	// What matched, and what was put off without an attempt, may be recorded later: each write is an fsync that competes with those of
	// callbacks being accepted, and where a crash loses it, doing it again repeats nothing that a receiver would see.
	idleLinger = 50 * time.Millisecond
)

// entry is an event that is to be recorded, and what then is settled. Without an event it makes the ledger look for counts that
// come without one.
type entry struct {
	event  Event
	stored func()    // called once it is recorded; nil: nothing to call
	lost   func()    // called where it never is, since another process does it again; nil: nothing to call
	of     *batch    // of a Matched event: what was matched
	d      *delivery // of an Ended event: it is settled
	goes   *delivery // of an order: stored sends it on its way
}

// ledger records events, with the totals after them in the same write. It alone counts, so that the totals are what the events
// say, always.
type ledger struct {
	*batcher[entry]
	e           *Engine
	refused     atomic.Uint64 // not yet in the totals; taken out under mu
	quarantined atomic.Uint64

	mu     sync.Mutex
	loaded bool
	totals Totals // this node's, as last stored; without the rules'
	rules  ruleCounts
	others Totals // of the other nodes, as last read
}

func newLedger(e *Engine) *ledger {
	return &ledger{batcher: newBatcher[entry](maxEventBatch, eventLinger), e: e}
}

// load reads the totals of earlier runs, once. It tries until ctx ends.
func (l *ledger) load(ctx context.Context) error {
	l.mu.Lock()
	loaded := l.loaded
	l.mu.Unlock()
	if loaded {
		return nil
	}
	var own, others *Totals
	ok := persist(ctx, storeTimeout, func(ctx context.Context) (err error) {
		own, others, err = l.e.Store.Totals(ctx)
		return err
	}, func(err error) { l.e.log.Warn("reading the counts from the store", zap.Error(err)) })
	if !ok {
		return ctx.Err()
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.loaded = true
	if own != nil {
		l.totals, l.rules.stored = *own, own.Rules
		l.totals.Rules = nil
	}
	if others != nil {
		l.others = *others
	}
	return nil
}

// watchOthers reads the other nodes' totals now and then, where there may be other nodes.
func (l *ledger) watchOthers(ctx context.Context) {
	if !l.e.shared() {
		return
	}
	for sleep(ctx, othersEvery) {
		call, cancel := context.WithTimeout(ctx, storeTimeout)
		_, others, err := l.e.Store.Totals(call)
		cancel()
		if err != nil || others == nil {
			l.e.log.Debug("reading the other nodes' counts", zap.Error(err))
			continue
		}
		l.mu.Lock()
		l.others = *others
		l.mu.Unlock()
	}
}

func (l *ledger) run(ctx context.Context, stop <-chan struct{}) {
	l.batcher.run(ctx, stop, l.write)
	l.write(ctx, nil) // counts that came last without an event
}

// write records a batch and settles it. Where ctx ends before it could, what it settles comes again at the next start.
func (l *ledger) write(ctx context.Context, batch []entry) {
	before := l.rules.stored
	batch = l.held(batch)
	r := l.record(batch, before)
	if r.empty() {
		return
	}
	failpoint.Pass(failpoint.Outcome)
	var seq uint64
	if !persist(ctx, storeTimeout, func(ctx context.Context) (err error) {
		if held := l.held(batch); len(held) < len(batch) {
			batch, r = held, l.record(held, before)
		}
		if r.empty() {
			return nil
		}
		seq, err = l.e.Store.Append(ctx, r.events, &r.next)
		return err
	}, func(err error) {
		l.e.log.Warn("recording outcomes", zap.Int("events", len(r.events)), zap.Error(err))
	}) {
		return
	}
	failpoint.Pass(failpoint.Recorded)
	r.next.Rules = nil
	l.mu.Lock()
	l.totals = r.next
	l.refused.Add(-r.refused)
	l.quarantined.Add(-r.quarantined)
	l.mu.Unlock()
	l.e.memory.note(r.events)
	l.e.metrics.count(r.events)
	if l.e.Recorded != nil && len(r.events) > 0 {
		l.e.Recorded(seq, r.events)
	}
	l.settle(batch)
}

// held gives the entries that may be recorded, and lets go the others, which another process does again.
func (l *ledger) held(batch []entry) []entry {
	var held []entry
	for i, en := range batch {
		d := cmp.Or(en.d, en.goes)
		lost := en.of != nil && en.of.lost() || d != nil && l.e.memory.lost(d)
		if lost && held == nil {
			held = append(make([]entry, 0, len(batch)), batch[:i]...)
		}
		switch {
		case lost && en.lost != nil:
			en.lost()
		case !lost && held != nil:
			held = append(held, en)
		}
		if lost && d != nil {
			l.e.letGo(d)
		}
	}
	if held == nil {
		return batch
	}
	return held
}

// record is what is written at once.
type record struct {
	events               []Event
	next                 Totals
	refused, quarantined uint64
}

func (r *record) empty() bool { return len(r.events) == 0 && r.refused == 0 && r.quarantined == 0 }

// record makes one of a batch, where the rules' counts were so before it.
func (l *ledger) record(batch []entry, before map[string]RuleTotals) *record {
	// Until they are stored they stay in the counters: only the ledger's goroutine takes them out.
	r := &record{events: make([]Event, 0, len(batch)), refused: l.refused.Load(), quarantined: l.quarantined.Load()}
	for i := range batch {
		if ev := batch[i].event; ev != (Event{}) {
			r.events = append(r.events, ev)
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	r.next = l.totals
	for i := range r.events {
		r.next.Add(&r.events[i])
	}
	r.next.Refused += r.refused
	r.next.Quarantined += r.quarantined
	l.rules.stored = before
	l.rules.add(r.events, l.e.set.Load())
	r.next.Rules = l.rules.stored
	return r
}

func (l *ledger) settle(batch []entry) {
	for i := range batch {
		if batch[i].stored != nil {
			batch[i].stored()
		}
		if d := batch[i].d; d != nil {
			l.e.settled(d)
		}
	}
}

// settled lets a delivery go whose outcome is recorded, and what waited for it.
func (e *Engine) settled(d *delivery) {
	for _, b := range e.memory.settled(d) {
		b.settle()
	}
	<-e.loose
}

// letGo forgets a delivery that another process has been given, with all that was to be settled of it.
func (e *Engine) letGo(d *delivery) {
	e.memory.settled(d)
	<-e.loose
}
