package engine

import (
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
	stored func()    // nil: nothing to call
	d      *delivery // of an Ended event: it is settled
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
	events := make([]Event, 0, len(batch))
	for i := range batch {
		if ev := batch[i].event; ev != (Event{}) {
			events = append(events, ev)
		}
	}
	// Until they are stored they stay in the counters: only this goroutine takes them out.
	refused, quarantined := l.refused.Load(), l.quarantined.Load()
	if len(events) == 0 && refused == 0 && quarantined == 0 {
		return
	}
	next := l.after(events, refused, quarantined)
	failpoint.Pass(failpoint.Outcome)
	var seq uint64
	if !persist(ctx, storeTimeout, func(ctx context.Context) (err error) {
		seq, err = l.e.Store.Append(ctx, events, &next)
		return err
	}, func(err error) {
		l.e.log.Warn("recording outcomes", zap.Int("events", len(events)), zap.Error(err))
	}) {
		return
	}
	failpoint.Pass(failpoint.Recorded)
	next.Rules = nil
	l.mu.Lock()
	l.totals = next
	l.refused.Add(-refused)
	l.quarantined.Add(-quarantined)
	l.mu.Unlock()
	l.e.memory.note(events)
	l.e.metrics.count(events)
	if l.e.Recorded != nil && len(events) > 0 {
		l.e.Recorded(seq, events)
	}
	l.settle(batch)
}

// after gives the totals after the events.
func (l *ledger) after(events []Event, refused, quarantined uint64) Totals {
	l.mu.Lock()
	defer l.mu.Unlock()
	next := l.totals
	for i := range events {
		next.Add(&events[i])
	}
	next.Refused += refused
	next.Quarantined += quarantined
	l.rules.add(events, l.e.set.Load())
	next.Rules = l.rules.stored
	return next
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
