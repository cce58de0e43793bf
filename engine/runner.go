package engine

import (
	"cmp"
	"fmt"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"github.com/aftermath-rules/aftermath/actions"
)

// Bounds of one action's queue, so that an action that is slow or stuck never holds what the others need.
const (
	maxQueue   = 2048
	maxBurying = 256                    // dead letters of one action that wait to be stored
	maxStand   = 500 * time.Millisecond // how long the first of a queue may have waited before others are turned away
	maxStill   = 250 * time.Millisecond // how long nothing may have moved, likewise
	maxAhead   = 5 * time.Minute        // how far ahead a delivery without room is parked
	sparedStep = 400 * time.Microsecond // between two that come back while their action is spared
	eager      = 4                      // how much faster than the action's pace what is parked comes back: it may have been slow for a while only
	unsure     = 5 * time.Millisecond   // how much of what has succeeded may be unrecorded: see runner.atRisk
	goneSpan   = 72 * time.Hour         // the retry span of a delivery whose action is gone, where none is known
)

// runner attempts the deliveries of one action, in goroutines that exist only while there is something to attempt. What it has no
// room for it parks in the store.
type runner struct {
	e    *Engine
	name string

	mu        sync.Mutex
	removed   bool
	queue     []*delivery
	running   int // slots in use
	abandoned int // of them by attempts whose time is over
	burying   int
	unsaved   int       // attempts that have succeeded and whose outcome is not recorded yet
	limited   bool      // nothing starts until some of those are
	moved     time.Time // when an attempt last started or ended
	breaker   breaker
	limiter   *rate.Limiter
	wake      *time.Timer       // for the limiter; nil where none is set
	inst      *actions.Instance // as last seen; never run from here, since it may be closed
	options   actions.Options   // its options
	took      time.Duration     // by an attempt, smoothed
	room      time.Time         // when the delivery parked last is to come back
	gone      time.Time         // since when the action is gone; zero where it is not
	status    ActionStatus
}

// put takes a delivery, or parks it at once. It tells false where r was removed meanwhile.
func (r *runner) put(d *delivery) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.removed {
		return false
	}
	now := time.Now()
	if why := r.noRoom(now); why != "" {
		r.park(d, now, why)
		return true
	}
	d.queued = now
	r.queue = append(r.queue, d)
	r.start(now)
	return true
}

// noRoom says why a delivery can't be taken now; "" where it can.
func (r *runner) noRoom(now time.Time) string {
	switch kept := r.kept(); {
	case r.breaker.open(now):
		return r.sparing()
	case len(r.queue) >= maxQueue:
		return fmt.Sprintf("action %s has too many deliveries waiting", r.name)
	case kept == 0:
		return fmt.Sprintf("all slots of action %s are held by attempts that ignore their time-out", r.name)
	case len(r.queue) < kept:
		return ""
	case r.still(now), now.Sub(r.queue[0].queued) > maxStand:
		return r.busy()
	}
	return ""
}

func (r *runner) sparing() string {
	return fmt.Sprintf("action %s is spared since it keeps failing: %s", r.name, r.status.LastError)
}

// busy says why what is queued has waited for too long. While it waits for a probe it is spared as before, or all that waits would come back
// every moment that a probe takes.
func (r *runner) busy() string {
	if r.breaker.spares() {
		return r.sparing()
	}
	return fmt.Sprintf("action %s is busy", r.name)
}

// still tells that all slots are taken and nothing has moved for a while. Where it is the store that all wait for, it would take no parked
// delivery either.
func (r *runner) still(now time.Time) bool {
	return len(r.queue) > 0 && !r.limited && now.Sub(r.moved) >= maxStill
}

// kept is how many deliveries stay queued although the action is stuck, so that a slot that falls free has its next one.
func (r *runner) kept() int {
	if r.options.Concurrency == 0 {
		return 1 // its options are not known yet
	}
	n := r.options.Concurrency - r.abandoned
	if per := r.options.Rate.PerSecond; per > 0 {
		n = min(n, int(per)+1)
	}
	return max(n, 0)
}

// start starts as many attempts as there is room for. It is called with the lock held.
func (r *runner) start(now time.Time) {
	for a := r.next(now); a != nil; a = r.next(now) {
		go r.work(a)
	}
}

// next takes the delivery that may be attempted now, and a slot for it; nil where there is none. It is called with the lock held.
func (r *runner) next(now time.Time) *attempt {
	for len(r.queue) > 0 {
		rs := r.e.set.Load()
		if rs == nil {
			return nil // the engine has stopped
		}
		if d := r.queue[0]; r.e.memory.lost(d) {
			r.dequeue()
			r.e.letGo(d)
			continue
		}
		current, ok := rs.Action(r.name)
		if !ok {
			r.parkGone(now)
			return nil
		}
		r.gone = time.Time{}
		r.configure(current)
		if !r.mayStart(now) || !r.e.work.start() {
			return nil
		}
		inst := r.e.instances.acquire(&r.e.set, r.name)
		if inst == nil { // it went away between the two looks
			r.e.work.done()
			continue
		}
		r.running++
		r.moved = now
		return &attempt{inst: inst, d: r.dequeue(), began: now}
	}
	return nil
}

func (r *runner) dequeue() *delivery {
	d := r.queue[0]
	r.queue[0] = nil
	if r.queue = r.queue[1:]; len(r.queue) == 0 {
		r.queue = nil
	}
	return d
}

func (r *runner) mayStart(now time.Time) bool {
	if r.atRisk() {
		r.limited = true
		r.e.ledger.hurry()
		return false
	}
	if r.running >= r.options.Concurrency || r.running-r.abandoned >= r.breaker.limit(now) || r.burying >= maxBurying {
		return false
	}
	if r.limiter == nil || r.limiter.AllowN(now, 1) {
		return true
	}
	if r.wake == nil && !r.e.work.closing() {
		in := time.Duration((1 - r.limiter.TokensAt(now)) / float64(r.limiter.Limit()) * float64(time.Second))
		r.wake = time.AfterFunc(max(in, time.Millisecond), func() {
			r.mu.Lock()
			defer r.mu.Unlock()
			r.wake = nil
			r.start(time.Now())
		})
	}
	return false
}

// atRisk tells that a kill would have the receiver see again as many deliveries as it may: those that run at once, and of those that it
// has taken what the action does in 5 ms. So it stays, however slow the disk is.
func (r *runner) atRisk() bool {
	n := r.options.Concurrency
	return r.unsaved > 0 && r.running+r.unsaved >= n+max(1, int(int64(n)*int64(unsure)/int64(max(r.took, 1))))
}

// saved is called when the outcome of an attempt that succeeded is recorded.
func (r *runner) saved() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.unsaved--
	if r.limited {
		r.limited = false
		now := time.Now()
		r.moved = now
		r.start(now)
	}
}

// configure takes over the action as it is configured now. What was learnt of it before it was edited says nothing any more.
func (r *runner) configure(inst *actions.Instance) {
	if r.inst == inst {
		return
	}
	if r.inst != nil {
		r.breaker, r.took, r.room = breaker{}, 0, time.Time{}
	}
	r.inst = inst
	o := inst.Options
	r.status.Type = inst.Type
	per := o.Rate.PerSecond
	switch {
	case per <= 0:
		r.limiter = nil
	case r.limiter == nil:
		r.limiter = rate.NewLimiter(rate.Limit(per), burst(per))
	case per != r.options.Rate.PerSecond:
		r.limiter.SetLimit(rate.Limit(per))
		r.limiter.SetBurst(burst(per))
	}
	r.options = o
}

// burst lets a tenth of a second's attempts start at once, so that timers need not be finer.
func burst(per float64) int { return max(1, int(per/10)) }

// patrol parks what waits for an action that is stuck; it tells whether anything still waits.
func (r *runner) patrol(now time.Time) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.start(now)
	switch {
	case r.breaker.open(now):
		r.parkFrom(0, now, r.sparing())
	case r.still(now):
		r.parkFrom(r.kept(), now, r.busy())
	}
	return len(r.queue) > 0
}

func (r *runner) parkFrom(kept int, now time.Time, why string) {
	if kept >= len(r.queue) {
		return
	}
	for _, d := range r.queue[kept:] {
		r.park(d, now, why)
	}
	clear(r.queue[kept:])
	r.queue = r.queue[:kept]
}

// park sends a delivery away without an attempt, to come back when there may be room. Behind an action that keeps failing its
// retry span can end.
func (r *runner) park(d *delivery, now time.Time, why string) {
	if r.breaker.spares() && r.spanOver(d, now, r.options.Retry.For) {
		r.bury(d, now, why+"; gave up: its retry span has ended")
		return
	}
	if r.inst != nil {
		d.Span = r.options.Retry.For
	}
	r.e.park(d, r.ended(d, OutcomeParked, now), dueAfter(now, r.whenRoom(now)), why)
}

// whenRoom spreads what is parked over a part of the time the action needs for it, as far as its pace is known. While the action is spared it
// stays away for half as long as the failures have lasted, and while it stands still for half as long as it has stood: so it is read and
// parked again only a few times, however long that is, and comes back soon after the receiver does. Very many come back one after the other,
// or what the others do would wait for that.
func (r *runner) whenRoom(now time.Time) time.Time {
	took, spared := r.took/eager, r.breaker.spares()
	if took == 0 && !spared && !r.moved.IsZero() {
		took = max(now.Sub(r.moved), 0)
	}
	step := min(took, time.Minute) / time.Duration(max(r.options.Concurrency, 1))
	if per := r.options.Rate.PerSecond; per > 0 {
		step = max(step, time.Duration(float64(time.Second)/per))
	}
	first := now.Add(maxStill)
	if stood := now.Sub(r.moved) / 2; !r.moved.IsZero() && stood > maxStill {
		first = now.Add(stood)
	}
	if spared {
		first = now.Add(now.Sub(r.breaker.since) / 2)
		if r.breaker.until.After(first) {
			first = r.breaker.until
		}
		step = max(step, sparedStep)
	}
	r.room = r.room.Add(step)
	if r.room.Before(first) {
		r.room = first
	}
	if last := now.Add(maxAhead); r.room.After(last) {
		r.room = last
	}
	return r.room
}

// parkGone parks all that waits for an action that no rule set has.
func (r *runner) parkGone(now time.Time) {
	if r.gone.IsZero() {
		r.gone = now
	}
	why := fmt.Sprintf("no action is called %s any more: add it again", r.name)
	known := goneSpan
	if r.options.Concurrency > 0 {
		known = r.options.Retry.For
	}
	wait := min(max(now.Sub(r.gone)/2, time.Second), maxAhead)
	for _, d := range r.queue {
		span := cmp.Or(d.Span, known)
		if r.spanOver(d, now, span) {
			r.bury(d, now, why+" and replay this, or discard it")
			continue
		}
		r.e.park(d, r.ended(d, OutcomeParked, now), dueAfter(now, now.Add(min(wait, d.since().Add(span).Sub(now)))),
			why+"; else this becomes a dead letter when its retry span ends")
	}
	r.queue = nil
}

// ended is how a copy of a delivery ends without an attempt.
func (r *runner) ended(d *delivery, outcome string, now time.Time) Ended {
	ended := d.ended(outcome, now)
	ended.Type = r.status.Type
	return ended
}

func (r *runner) spanOver(d *delivery, now time.Time, span time.Duration) bool {
	return now.After(d.since().Add(span))
}

// bury gives a delivery up without an attempt, which the log has a line for as for any other end. It is called with the lock held.
func (r *runner) bury(d *delivery, now time.Time, why string) {
	ended := r.ended(d, OutcomeDead, now)
	ended.Error = why
	r.burying++
	r.e.bury(d, ended, r.buried)
	r.e.logAttempt(&d.Job, &ended)
}

func (r *runner) buried() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.burying--
	r.start(time.Now())
}

// remove forgets a runner that has nothing to do; it tells whether it could.
func (r *runner) remove() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.removed = len(r.queue) == 0 && r.running == 0 && r.burying == 0 && r.unsaved == 0 && r.wake == nil
	return r.removed
}
