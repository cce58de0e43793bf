package engine

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"time"

	"go.uber.org/zap"
)

// readPacks takes packs from the store until ctx ends, one at a time and in order.
func (e *Engine) readPacks(ctx context.Context) {
	select {
	case <-e.ready:
	case <-ctx.Done():
		return
	}
	m := &matcher{e: e}
	for made := 0; e.pace(ctx, made); {
		var p *Pack
		if !e.read(ctx, "reading callbacks from the store", func() (err error) { p, err = e.Store.NextPack(ctx); return }) {
			return
		}
		made = e.takePack(ctx, m, p)
	}
}

// readBundles takes bundles that have fallen due until ctx ends.
func (e *Engine) readBundles(ctx context.Context) {
	select {
	case <-e.ready:
	case <-ctx.Done():
		return
	}
	for ctx.Err() == nil {
		var b *Bundle
		if !e.read(ctx, "reading parked deliveries from the store", func() (err error) { b, err = e.Store.NextBundle(ctx); return }) {
			return
		}
		e.takeBundle(ctx, b)
	}
}

// read calls next until it gives something; it tells whether it did before ctx ended or the store was closed.
func (e *Engine) read(ctx context.Context, what string, next func() error) bool {
	for pause := 50 * time.Millisecond; ; pause = min(2*pause, 2*time.Second) {
		err := next()
		switch {
		case err == nil:
			return true
		case ctx.Err() != nil:
			return false
		case errors.Is(err, ErrClosed):
			e.log.Error(what, zap.Error(err))
			return false
		}
		e.log.Warn(what, zap.Error(err), zap.Duration("again_in", pause))
		if !sleep(ctx, pause) {
			return false
		}
	}
}

const (
	crowded  = maxQueue * 3 / 4
	paceStep = 2 * time.Millisecond
	paceMost = 10 * time.Millisecond
	paceEach = 100 * time.Microsecond // of the pack before
)

// pace waits before the next pack is read: as long as too many events wait to be recorded, and a moment while many deliveries are
// loose, since a burst for a fast action is better waited for than parked: the longer, the more the pack before has made. What is on its way
// to be parked does not count. It tells whether ctx is still alive.
func (e *Engine) pace(ctx context.Context, made int) bool {
	most := max(paceMost, time.Duration(made)*paceEach)
	for waited := time.Duration(0); ; waited += paceStep {
		if e.ledger.waiting() < maxUnstored && (len(e.loose)-e.parking.held() < crowded || waited >= most) {
			return ctx.Err() == nil
		}
		if !sleep(ctx, paceStep) {
			return false
		}
	}
}

// takeBundle sends the deliveries of a bundle on their way, as takePack does. Of every other bundle those come first that were attempted
// most often: behind an action that keeps failing the first one is the probe, and where each delivery fails a few times before it
// succeeds, that must not always be a new one; nor always the oldest, which may never succeed.
func (e *Engine) takeBundle(ctx context.Context, b *Bundle) {
	if e.bundles++; e.bundles%2 == 1 {
		slices.SortStableFunc(b.Deliveries, func(x, y Parked) int { return cmp.Compare(y.Attempt, x.Attempt) })
	}
	if b.Again {
		defer e.memory.use()()
		if !e.recall(ctx, b.Since) || !e.recallOrders(ctx, b.Deliveries) {
			return
		}
	}
	bundle := newBatch(b.Ack, b.Held)
	for i := range b.Deliveries {
		if !e.dispatch(ctx, &delivery{Parked: b.Deliveries[i], again: b.Again}, bundle) {
			return
		}
	}
	bundle.settle()
}

// recallOrders makes sure that the past is known from when the dead letters were read that copies have orders for: another copy with the same
// order may have been obeyed since, before this one was stored. It tells whether ctx is still alive.
func (e *Engine) recallOrders(ctx context.Context, ps []Parked) bool {
	var from time.Time
	for i := range ps {
		if p := &ps[i]; p.Order != "" && (from.IsZero() || p.Due.Before(from)) {
			from = p.Due // as orderFor set it
		}
	}
	return from.IsZero() || e.recall(ctx, Moment{At: from})
}

// dispatch gives a delivery to its runner, unless another copy of it has taken its place. It waits where too many are loose, and
// tells whether ctx is still alive.
func (e *Engine) dispatch(ctx context.Context, d *delivery, b *batch) bool {
	select {
	case e.loose <- struct{}{}:
	case <-ctx.Done():
		return false
	}
	b.add(1)
	d.batches, d.shared = []*batch{b}, b.held != nil
	ruling, letter := e.memory.arrive(d)
	switch ruling {
	case run:
		e.runners.of(e, d.Job.Action, func(r *runner) bool { return r.put(d) })
	case ordered:
		e.obeying.put(d)
	case inGrave:
		e.recordGrave(d, letter)
	case late:
		e.recordLate(d)
	case drop:
		b.settle()
		<-e.loose
	case attach:
		<-e.loose
	}
	return true
}
