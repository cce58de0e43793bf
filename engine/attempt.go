package engine

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime/debug"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"github.com/aftermath-rules/aftermath/actions"
	"github.com/aftermath-rules/aftermath/callback"
	"github.com/aftermath-rules/aftermath/internal/failpoint"
)

// grace is how much longer than its time-out an attempt may take to return, before it is given up on.
const grace = time.Second

// What is kept of an attempt.
const (
	maxSent     = 4 << 10
	maxReceived = 1 << 10
	maxState    = 64 << 10
	maxError    = 1 << 10
	maxDetail   = 256
)

// attempt is one run of an action for a delivery.
type attempt struct {
	inst  *actions.Instance
	d     *delivery
	began time.Time
	over  atomic.Bool // its outcome is decided: whoever sets it first decides
}

// work runs an attempt, and then others that wait, one after the other. It is the goroutine's function.
func (r *runner) work(a *attempt) {
	for a != nil {
		a = r.attempt(a)
	}
}

// attempt runs one attempt, and holds a slot until the action returns. It gives the attempt that is to run next in this goroutine, nil
// for none.
func (r *runner) attempt(a *attempt) (next *attempt) {
	inst, d := a.inst, a.d
	d.Attempt++
	if d.First.IsZero() {
		d.First = a.began.UTC()
	}
	d.Span = inst.Options.Retry.For
	timeout := inst.Options.Timeout
	ctx, cancel := context.WithTimeout(r.e.attempts, timeout)
	defer cancel()
	watch := time.AfterFunc(timeout+grace, func() {
		if a.over.CompareAndSwap(false, true) {
			r.abandon(a)
		}
	})
	defer watch.Stop()
	res, err, goes := actions.Result{}, errors.New("the action ended its goroutine"), true
	defer func() { // deferred, for an action that calls runtime.Goexit
		r.e.release(inst)
		if a.over.CompareAndSwap(false, true) {
			next = r.finish(a, res, err, goes)
		} else {
			r.returned(a)
		}
	}()
	failpoint.Pass(failpoint.Run)
	res, err = r.e.runAction(ctx, inst, d)
	failpoint.Pass(failpoint.Ran)
	goes = false
	return nil
}

// runAction runs the action, or renders what it would send. A panic is an error.
func (e *Engine) runAction(ctx context.Context, inst *actions.Instance, d *delivery) (res actions.Result, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("the action panicked: %v", p)
			e.log.Error("an action panicked", zap.String("action", inst.Name), zap.String("type", inst.Type),
				zap.String("delivery", d.Job.ID), zap.String("panic", e.shown(d.Job.pair(), fmt.Sprint(p))),
				zap.String("stack", e.Mask.Text(string(debug.Stack()))))
		}
	}()
	if inst.Options.DryRun {
		return e.dryRun(inst, d)
	}
	return inst.Run(ctx, d.action())
}

// dryRun logs what an attempt would send. Render masks secrets.
func (e *Engine) dryRun(inst *actions.Instance, d *delivery) (actions.Result, error) {
	text, err := rendered(inst, d.action())
	if err != nil {
		return actions.Result{}, err
	}
	e.logDryRun(inst, d, text)
	return actions.Result{Detail: "dry run: nothing was sent", Sent: text}, nil
}

func rendered(inst *actions.Instance, d *actions.Delivery) ([]byte, error) {
	fields, err := inst.Render(d)
	if err != nil {
		return nil, err
	}
	text, err := json.Marshal(fields)
	if err != nil {
		return nil, actions.Permanent(fmt.Errorf("showing what would be sent: %w", err))
	}
	return text, nil
}

// logDryRun writes what was rendered to the log. Where accounts are redacted it is rendered anew, of the redacted ones: what comes
// out of templates may hold accounts in pieces and in any encoding.
func (e *Engine) logDryRun(inst *actions.Instance, d *delivery, text []byte) {
	if e.RedactAccounts {
		redacted := d.action()
		redacted.Pair = callback.Pair{From: e.account(d.Job.From), To: e.account(d.Job.To)}
		var err error
		if text, err = rendered(inst, redacted); err != nil {
			return // the redacted accounts will not do where the real ones did; the attempt's own line is written all the same
		}
	}
	fields := zap.Any("fields", json.RawMessage(e.Mask.Bytes(text)))
	if clean := e.shown(d.Job.pair(), string(text)); e.RedactAccounts && clean != string(text) { // a rule's own text names the account
		fields = zap.String("fields", clean)
	}
	e.log.Info("dry run: this would be sent", zap.String("delivery", d.Job.ID), zap.String("rule", d.Job.Rule),
		zap.String("action", inst.Name), zap.String("type", inst.Type), fields)
}

// finish settles what an attempt gave in time, and gives the next one for its goroutine, unless that goes away.
func (r *runner) finish(a *attempt, res actions.Result, err error, goes bool) (next *attempt) {
	now := time.Now()
	defer r.e.work.done()
	r.mu.Lock()
	defer r.mu.Unlock()
	r.running--
	r.moved = now
	if err != nil && r.e.attempts.Err() != nil {
		return nil // it was cut off by the end of the process: it stays in the store, as if it had not run
	}
	if err == nil || actions.IsPermanent(err) { // what a receiver takes to fail says nothing of what it needs
		r.learnPace(now.Sub(a.began))
	}
	r.settle(a, res, err, now)
	if !goes {
		next = r.next(now)
	}
	r.start(now)
	return next
}

// abandon settles an attempt whose action ignores its context. Its slot stays taken until it returns.
func (r *runner) abandon(a *attempt) {
	now := time.Now()
	defer r.e.work.done()
	r.mu.Lock()
	defer r.mu.Unlock()
	r.abandoned++
	r.e.metrics.abandoned.Inc()
	if r.e.attempts.Err() != nil {
		return
	}
	err := fmt.Errorf("abandoned: the action ignored its time-out of %s and still runs", a.inst.Options.Timeout)
	r.settle(a, actions.Result{}, err, now)
	if len(r.queue) > 0 && r.kept() == 0 {
		r.parkFrom(0, now, r.busy())
	}
}

// returned frees the slot of an abandoned attempt. What it gave came too late.
func (r *runner) returned(a *attempt) {
	now := time.Now()
	r.mu.Lock()
	defer r.mu.Unlock()
	r.running--
	r.abandoned--
	r.moved = now
	r.e.metrics.abandoned.Dec()
	r.e.log.Warn("an abandoned attempt has returned", zap.String("delivery", a.d.Job.ID), zap.String("action", r.name),
		zap.Int64("took_ms", now.Sub(a.began).Milliseconds()))
	r.start(now)
}

// learnPace smooths how long attempts take.
func (r *runner) learnPace(took time.Duration) {
	if r.took == 0 {
		r.took = took
		return
	}
	r.took += (took - r.took) / 8
}

// settle turns what an attempt gave into a verdict and sends the delivery on. It is called with the lock held.
func (r *runner) settle(a *attempt, res actions.Result, err error, now time.Time) {
	e, d := r.e, a.d
	e.keepState(d, res.State)
	v := judge(a.inst.Options.Retry, &d.Parked, res, err, now, rand.Float64())
	v.why = clip(e.Mask.Text(v.why), maxError)
	r.judged(v, err, now)

	ended := d.ended(v.outcome, now)
	ended.Type = a.inst.Type
	ended.Took = int64(now.Sub(a.began))
	ended.DryRun = a.inst.Options.DryRun
	ended.Detail = clip(e.Mask.Text(res.Detail), maxDetail)
	ended.Sent = e.excerpt(res.Sent, maxSent)
	ended.Received = e.excerpt(res.Received, maxReceived)
	ended.Error = v.why
	switch v.outcome {
	case OutcomeDone:
		r.unsaved++
		e.ledger.put(entry{event: Event{Ended: &ended}, stored: r.saved, lost: r.saved, d: d})
	case OutcomeRetry:
		ended.Next = dueAfter(now, v.next)
		e.park(d, ended, ended.Next, v.why)
	case OutcomeDead:
		r.burying++
		e.bury(d, ended, r.buried)
	}
	e.logAttempt(&d.Job, &ended)
	e.metrics.seconds.WithLabelValues(a.inst.Type).Observe(now.Sub(a.began).Seconds())
}

// judged lets the breaker and the status see a verdict. A permanent error shows that the receiver answers, or never was asked: it
// says nothing about its health.
func (r *runner) judged(v verdict, err error, now time.Time) {
	if err == nil {
		r.breaker.success()
		r.status.LastOK = now
		return
	}
	// The error alone: what it meant for one delivery is not what others wait for.
	r.status.LastError, r.status.LastErrorAt = clip(r.e.Mask.Text(err.Error()), maxError), now
	if actions.IsPermanent(err) {
		return
	}
	r.breaker.failure(now)
	if r.breaker.open(now) {
		r.parkFrom(0, now, r.sparing())
	}
}

// keepState takes over what an attempt leaves for the next one.
func (e *Engine) keepState(d *delivery, state []byte) {
	if len(state) > maxState {
		e.log.Error("an action's state is too large and is not kept", zap.String("delivery", d.Job.ID),
			zap.String("action", d.Job.Action), zap.Int("bytes", len(state)), zap.Int("most", maxState))
		return
	}
	if state != nil {
		d.State = state
	}
}
