package engine

import (
	"context"
	"errors"
	"time"

	"go.uber.org/zap"
	"golang.org/x/sync/errgroup"

	"github.com/aftermath-rules/aftermath/internal/failpoint"
)

// obeyAtOnce is how many dead letters are taken away at a time.
const obeyAtOnce = 16

// obeyAll does what the orders of some copies say. Where ctx ends before it could, they come again at the next start.
func (e *Engine) obeyAll(ctx context.Context, ds []*delivery) {
	var g errgroup.Group
	g.SetLimit(obeyAtOnce)
	for _, d := range ds {
		g.Go(func() error {
			e.obey(ctx, d)
			return nil
		})
	}
	g.Wait()
}

// obey takes the dead letter away and records it. Whoever takes it is the only one to obey: a second copy with an order for the
// same dead letter finds none, and is dropped, unless it may be the first one, read again after a crash.
func (e *Engine) obey(ctx context.Context, d *delivery) {
	if d.Order == OrderMake {
		e.recordOrder(d, Event{Made: &Made{At: time.Now().UTC(), Job: d.Job}})
		return
	}
	var taken, newer bool
	unsure := d.again
	failpoint.Pass(failpoint.Exhume)
	if !persist(ctx, storeTimeout, func(ctx context.Context) (err error) {
		taken, newer, err = e.exhume(ctx, d)
		return err
	}, func(err error) {
		unsure = true // it may be gone all the same
		e.log.Warn("taking a dead letter away", zap.String("delivery", d.Job.ID), zap.Error(err))
	}) {
		return
	}
	failpoint.Pass(failpoint.Exhumed)
	if !taken && (newer || !unsure) {
		e.orders.over(d.Job.ID)
		e.settled(d)
		return
	}
	outcome := OutcomeReplayed
	if d.Order == OrderDiscard {
		outcome = OutcomeDiscarded
	}
	ended := d.ended(outcome, time.Now())
	if rs := e.set.Load(); rs != nil {
		if inst, ok := rs.Action(d.Job.Action); ok {
			ended.Type = inst.Type
		}
	}
	e.logAttempt(&d.Job, &ended)
	e.recordOrder(d, Event{Ended: &ended})
}

// exhume takes the dead letter of a copy's life before away; it tells whether it did, and whether there is a newer one, which
// proves that the order was obeyed long ago.
func (e *Engine) exhume(ctx context.Context, d *delivery) (taken, newer bool, err error) {
	letter, err := e.Store.DeadLetter(ctx, d.Job.ID)
	if err == nil {
		if Life(letter.Parks) >= Life(d.Parks) {
			return false, true, nil
		}
		err = e.Store.Exhume(ctx, letter)
	}
	if errors.Is(err, ErrNotFound) {
		return false, false, nil
	}
	return err == nil, false, err
}

// recordOrder records what became of the order; then the delivery goes on its way, unless it was discarded.
func (e *Engine) recordOrder(d *delivery, ev Event) {
	if d.Order == OrderDiscard {
		e.ledger.put(entry{event: ev, stored: func() { e.orders.over(d.Job.ID) }, d: d})
		return
	}
	e.ledger.put(entry{event: ev, goes: d, stored: func() {
		e.orders.over(d.Job.ID)
		d.Order = ""
		e.runners.of(e, d.Job.Action, func(r *runner) bool { return r.put(d) })
	}})
}
