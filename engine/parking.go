package engine

import (
	"context"
	"strings"
	"time"

	"go.uber.org/zap"
	"golang.org/x/sync/errgroup"

	"github.com/aftermath-rules/aftermath/internal/failpoint"
)

const (
	maxParkBatch = 1000
	// Each bundle is written with an fsync, and some more when it falls due, which those of callbacks being accepted wait for. What is parked
	// comes back in a quarter of a second at the earliest, and has time; where a crash loses that it was put off without an attempt, putting it off
	// again repeats nothing.
	parkLinger   = 50 * time.Millisecond
	putOffLinger = 250 * time.Millisecond
	maxBuryBatch = 64
	buryAtOnce   = 8
)

// parking is a delivery on its way into the store, to come back when it is due.
type parking struct {
	d     *delivery
	ended Ended
	due   time.Time
	why   string
}

// burying is a delivery on its way to the dead letters.
type burying struct {
	d      *delivery
	ended  Ended
	buried func() // called once the dead letter is stored
}

// park stores the next copy of a delivery, and then records how this one ended.
func (e *Engine) park(d *delivery, ended Ended, due time.Time, why string) {
	ended.Next, ended.Error = due, why
	linger := parkLinger
	if ended.Outcome == OutcomeParked {
		linger = putOffLinger
	}
	e.parking.putIdly(linger, &parking{d: d, ended: ended, due: due, why: why})
}

// bury makes a dead letter of a delivery, and then records it.
func (e *Engine) bury(d *delivery, ended Ended, buried func()) {
	e.burying.put(&burying{d: d, ended: ended, buried: buried})
}

// await waits until the delivery's match is recorded: before that nothing of it may be stored, or a crash could leave a delivery
// that no recorded match has made. It tells whether ctx is still alive.
func (d *delivery) await(ctx context.Context) bool {
	if d.recorded == nil {
		return true
	}
	select {
	case <-d.recorded:
		return true
	case <-ctx.Done():
		return false
	}
}

// storeParked stores the next copies of deliveries; where ctx ends before it could, they stay as they were read.
func (e *Engine) storeParked(ctx context.Context, ps []*parking) {
	for _, p := range ps {
		if !p.d.await(ctx) {
			return
		}
	}
	ps = e.heldOf(ps)
	copies := e.copies(ps)
	failpoint.Pass(failpoint.Schedule)
	if !persist(ctx, storeTimeout, func(ctx context.Context) error {
		if held := e.heldOf(ps); len(held) < len(ps) {
			ps, copies = held, e.copies(held)
		}
		if len(copies) == 0 {
			return nil
		}
		return e.Store.Park(ctx, copies)
	}, func(err error) {
		e.log.Warn("parking deliveries", zap.Int("deliveries", len(copies)), zap.Error(err))
	}) {
		return
	}
	failpoint.Pass(failpoint.Scheduled)
	for i, p := range ps {
		p.ended.Parks = copies[i].Parks
		e.parked(p)
	}
}

// heldOf gives those that may be stored, and lets go the others.
func (e *Engine) heldOf(ps []*parking) []*parking {
	var held []*parking
	for _, p := range ps {
		if e.memory.lost(p.d) {
			e.letGo(p.d)
			continue
		}
		held = append(held, p)
	}
	return held
}

// copies gives the next copies of deliveries.
func (e *Engine) copies(ps []*parking) []Parked {
	copies := make([]Parked, len(ps))
	for i, p := range ps {
		copies[i] = p.d.Parked
		copies[i].Due, copies[i].Error, copies[i].Parks = p.due, p.why, e.memory.parkingAs(p.d)
	}
	return copies
}

// parked records how the copy ended whose next one is stored. That it was put off once more for the same reason is not recorded: the copy
// itself says it, and behind a dead receiver it would be most of what is written.
func (e *Engine) parked(p *parking) {
	ev := entry{event: Event{Ended: &p.ended}, d: p.d}
	if p.ended.Outcome != OutcomeParked {
		e.ledger.put(ev)
		return
	}
	e.logAttempt(&p.d.Job, &p.ended)
	if p.d.Parks == 0 || !sameReason(p.d.Error, p.why) {
		e.ledger.putIdly(idleLinger, ev)
		return
	}
	e.metrics.deliveries.WithLabelValues(p.ended.Type, OutcomeParked).Inc()
	e.memory.parked(p.d, p.ended.Parks)
	e.settled(p.d)
}

// sameReason compares why a delivery was put off, but for the error that its action is spared for: that may name another port or id with
// each probe, and all that waits would be recorded anew each time.
func sameReason(a, b string) bool {
	a, _, _ = strings.Cut(a, ": ")
	b, _, _ = strings.Cut(b, ": ")
	return a == b
}

// storeBuried stores dead letters, some at a time; where ctx ends before it could, the deliveries stay as they were read.
func (e *Engine) storeBuried(ctx context.Context, bs []*burying) {
	var g errgroup.Group
	g.SetLimit(buryAtOnce)
	for _, b := range bs {
		g.Go(func() error {
			e.storeGrave(ctx, b)
			return nil
		})
	}
	g.Wait()
}

func (e *Engine) storeGrave(ctx context.Context, b *burying) {
	if !b.d.await(ctx) {
		return
	}
	letter := &DeadLetter{Parked: b.d.Parked, At: b.ended.At}
	letter.Error = b.ended.Error
	letter.Due = time.Time{}
	failpoint.Pass(failpoint.Bury)
	lost := false
	if !persist(ctx, storeTimeout, func(ctx context.Context) error {
		if lost = e.memory.lost(b.d); lost {
			return nil
		}
		return e.Store.Bury(ctx, letter)
	}, func(err error) {
		e.log.Warn("storing a dead letter", zap.String("delivery", b.d.Job.ID), zap.Error(err))
	}) {
		return
	}
	if lost {
		e.letGo(b.d)
		b.buried()
		return
	}
	failpoint.Pass(failpoint.Buried)
	e.ledger.put(entry{event: Event{Ended: &b.ended}, d: b.d})
	b.buried()
}

// recordGrave records the end of a delivery that was buried before a crash kept it from being recorded.
func (e *Engine) recordGrave(d *delivery, letter *DeadLetter) {
	ended := d.ended(OutcomeDead, letter.At)
	ended.Attempt, ended.Error = letter.Attempt, letter.Error
	e.ledger.put(entry{event: Event{Ended: &ended}, d: d})
}

// recordLate records the death of a delivery whose dead letter was replayed or discarded before a restart read this copy again.
func (e *Engine) recordLate(d *delivery) {
	ended := d.ended(OutcomeDead, time.Now())
	ended.Error = "its dead letter was replayed or discarded before its end could be recorded"
	e.ledger.put(entry{event: Event{Ended: &ended}, d: d})
}
