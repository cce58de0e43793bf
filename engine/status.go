package engine

import (
	"context"
	"time"

	"github.com/aftermath-rules/aftermath/callback"
)

// Status says how the engine is.
type Status struct {
	Totals  Totals                  `json:"totals"`
	Pending uint64                  `json:"pending"` // deliveries that have not ended
	Waiting uint64                  `json:"waiting"` // stored callbacks that no rules have seen yet
	Loose   int                     `json:"loose"`   // deliveries in memory
	Actions map[string]ActionStatus `json:"actions"` // those that have had something to do since the start
}

// ActionStatus says how one action is.
type ActionStatus struct {
	Type        string    `json:"type,omitempty"`
	Queued      int       `json:"queued"`    // deliveries in memory that wait for a slot
	Running     int       `json:"running"`   // attempts, abandoned ones included
	Abandoned   int       `json:"abandoned"` // attempts that ignore their time-out
	Breaker     string    `json:"breaker"`   // closed, open, probing or slow start
	Gone        bool      `json:"gone,omitempty"`
	LastError   string    `json:"last_error,omitempty"` // secrets masked; it may name an account
	LastErrorAt time.Time `json:"last_error_at,omitzero"`
	LastOK      time.Time `json:"last_ok,omitzero"`
}

// Status gives the state of the moment.
func (e *Engine) Status() Status {
	s := Status{Totals: e.Totals(), Loose: len(e.loose), Actions: make(map[string]ActionStatus)}
	s.Pending = s.Totals.Pending()
	store, seen := e.Store.Status(), s.Totals.Callbacks+s.Totals.Repeats
	if stored := store.Callbacks - min(store.Callbacks, store.Gone); stored > seen {
		s.Waiting = stored - seen
	}
	now := time.Now()
	for name, r := range e.runners.all() {
		s.Actions[name] = r.state(now)
	}
	return s
}

// Busy tells whether more deliveries are loose than are under way when all goes well: what can wait should give way to them.
func (e *Engine) Busy() bool { return len(e.loose) > maxQueue/4 }

func (r *runner) state(now time.Time) ActionStatus {
	r.mu.Lock()
	defer r.mu.Unlock()
	s := r.status
	s.Queued, s.Running, s.Abandoned = len(r.queue), r.running, r.abandoned
	s.Breaker, s.Gone = r.breaker.state(now), !r.gone.IsZero()
	return s
}

// Totals gives the counts as they are stored, of all nodes together, without the rules'. What was refused counts before it is stored:
// the sender has its answer by then. What the other nodes have done in the last seconds may be missing; the counts balance all the same.
func (e *Engine) Totals() Totals {
	l, shared := e.ledger, e.shared()
	l.mu.Lock()
	defer l.mu.Unlock()
	t := l.totals.plus(&l.others)
	t.Refused += l.refused.Load()
	t.Quarantined += l.quarantined.Load()
	if shared {
		return t.whole()
	}
	return t
}

// RuleTotals gives one rule's counts, of all nodes together. Beyond the first 500 rules that match, a rule's counts begin with the
// process.
func (e *Engine) RuleTotals(name string) RuleTotals {
	e.ledger.mu.Lock()
	defer e.ledger.mu.Unlock()
	return e.ledger.rules.of(name).plus(e.ledger.others.Rules[name])
}

// Refused counts a request that was not answered OK.
func (e *Engine) Refused() { e.ledger.refused.Add(1) }

// Quarantine keeps an authentic packet that was refused, and counts it.
func (e *Engine) Quarantine(ctx context.Context, q *Quarantined) error {
	if err := e.Store.Quarantine(ctx, q); err != nil {
		return err
	}
	e.ledger.quarantined.Add(1)
	return nil
}

// ObserveCallback counts an answered request, and a refusal where it was one.
func (e *Engine) ObserveCallback(outcome callback.Outcome, took time.Duration) {
	if c, ok := e.metrics.callbacks[outcome]; ok {
		c.Inc()
	}
	e.metrics.callbackSeconds.Observe(took.Seconds())
	if outcome.Refused() {
		e.Refused()
	}
}

// ObserveReload counts a reload of the rules; err says why it was not taken, nil where it was.
func (e *Engine) ObserveReload(err error) {
	outcome, successful := "ok", 1.0
	if err != nil {
		outcome, successful = "error", 0
	}
	e.metrics.reloads.WithLabelValues(outcome).Inc()
	e.metrics.reloaded.Set(successful)
}
