package admin

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"sync/atomic"
	"time"

	"github.com/aftermath-rules/aftermath/callback"
	"github.com/aftermath-rules/aftermath/engine"
	"github.com/aftermath-rules/aftermath/internal/backtest"
	"github.com/aftermath-rules/aftermath/rules"
)

const (
	backtestSince = "24h"
	backtestTime  = 5 * time.Minute // after which it answers what it has come to
	backtestTurn  = 10 * time.Millisecond
	progressEvery = 200 * time.Millisecond
	maxTested     = 500 // rules of one answer
)

// backtestRequest is an edit to run stored callbacks through.
type backtestRequest struct {
	edit
	Since string `json:"since"` // a time, or how long ago
}

// backtestAnswer is what a backtest came to: the same figures as the command's.
type backtestAnswer struct {
	Since     time.Time       `json:"since"`    // how far back it was to go
	Oldest    *time.Time      `json:"oldest"`   // when the first callback of those that were run came; null for none
	Complete  bool            `json:"complete"` // false where its time ended before it had come to since, or to the journal's beginning
	Callbacks uint64          `json:"callbacks"`
	Pairs     uint64          `json:"pairs"`
	Skipped   uint64          `json:"skipped"` // stored packets that are no friend-delete packets
	Changed   int             `json:"changed"` // rules that would do other than they did
	TookMS    int64           `json:"took_ms"`
	Rules     []backtest.Rule `json:"rules"`   // that fired or failed, then or now, or are new or gone; those that changed first
	Quiet     int             `json:"quiet"`   // rules that did nothing, then or now
	Omitted   int             `json:"omitted"` // rules that are too many for one answer
	Elsewhere []rules.Problem `json:"elsewhere"`
}

// backtestProgress says how far a backtest is.
type backtestProgress struct {
	Callbacks uint64    `json:"callbacks"`
	Pairs     uint64    `json:"pairs"`
	At        time.Time `json:"at"`   // it goes back from now
	Part      float64   `json:"part"` // of the time between now and since that it has gone back, from 0 to 1
}

// backtests runs stored callbacks through edited rules, one run at a time. It runs no action.
type backtests struct {
	*api
	limit time.Duration // of one run
	busy  atomic.Bool
}

// answer runs the callbacks of the journal through the rules that run and through those with the edit. It ends when the client leaves.
func (b *backtests) answer(w http.ResponseWriter, r *http.Request) {
	var in backtestRequest
	if !decode(w, r, maxExplain, &in, "the body must be JSON, {file, source, since}") {
		return
	}
	if in.Since == "" {
		in.Since = backtestSince
	}
	now := time.Now()
	since, err := parseTime(in.Since, now)
	if err != nil {
		Error(w, http.StatusBadRequest, "since: "+err.Error())
		return
	}
	running := b.Workbench.RuleSet()
	if running == nil {
		Error(w, http.StatusServiceUnavailable, "no rule set runs yet")
		return
	}
	if !b.busy.CompareAndSwap(false, true) {
		w.Header().Set("Retry-After", "10")
		Error(w, http.StatusConflict, "another backtest runs: wait for it, or cancel it where it was started")
		return
	}
	defer b.busy.Store(false)
	ctx, cancel := context.WithTimeout(r.Context(), b.limit)
	defer cancel()
	tried, err := in.compile(ctx, &b.Page)
	if err != nil {
		b.notTried(w, err)
		return
	}
	run := &backtestRun{Run: backtest.New(running, tried.Set), since: since, started: now, long: startLong(w, r)}
	run.report()
	err = run.journal(ctx, b.Journal)
	out := run.answer()
	out.Complete, out.Elsewhere = err == nil, orEmpty(tried.Elsewhere)
	switch {
	case r.Context().Err() != nil: // nobody is left to tell
	case err == nil, errors.Is(err, context.DeadlineExceeded):
		run.long.end(http.StatusOK, out)
	default:
		run.long.end(http.StatusServiceUnavailable, map[string]string{"error": "reading the callbacks: " + firstLine(err)})
	}
}

// notTried answers why an edit was not taken.
func (a *api) notTried(w http.ResponseWriter, err error) {
	var problems rules.Problems
	if !errors.As(err, &problems) {
		Error(w, http.StatusServiceUnavailable, "the rules could not be tried in time: try again in a moment")
		return
	}
	JSON(w, http.StatusUnprocessableEntity, struct {
		Error  string          `json:"error"`
		Errors []rules.Problem `json:"errors"`
	}{"the rules have errors: " + firstLine(problems), problems})
}

// backtestRun is one backtest that is under way.
type backtestRun struct {
	*backtest.Run
	since, started, oldest time.Time
	skipped                uint64
	long                   *long
	told, rested           time.Time
}

// journal runs the callbacks of the journal, newest first.
func (b *backtestRun) journal(ctx context.Context, journal Journal) error {
	b.rested = time.Now()
	for pack, err := range journal.JournalBack(ctx, 0) {
		if err != nil {
			return err
		}
		if pack.Stored.Before(b.since) { // after its callbacks came
			return nil
		}
		for i := len(pack.Records) - 1; i >= 0; i-- {
			b.add(&pack.Records[i])
			if err := b.rest(ctx); err != nil {
				return err
			}
		}
	}
	return ctx.Err()
}

func (b *backtestRun) add(r *engine.Record) {
	if r.Received.Before(b.since) || r.Received.After(b.started) {
		return
	}
	cb, err := callback.Parse(r.Query, r.Body, r.Received)
	if err != nil {
		b.skipped++
		return
	}
	b.Add(cb, r.ID())
	b.oldest = r.Received
}

// rest sleeps for as long as was worked, now and then, so that a backtest takes half a core at most: what comes in goes first.
func (b *backtestRun) rest(ctx context.Context) error {
	worked := time.Since(b.rested)
	if worked < backtestTurn {
		return nil
	}
	if time.Since(b.told) >= progressEvery {
		b.report()
	}
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(worked):
	}
	b.rested = time.Now()
	return nil
}

func (b *backtestRun) report() {
	b.told = time.Now()
	p := backtestProgress{Callbacks: b.Callbacks, Pairs: b.Pairs, At: b.started}
	if !b.oldest.IsZero() {
		p.At = b.oldest
		p.Part = min(1, float64(b.started.Sub(b.oldest))/float64(max(1, b.started.Sub(b.since))))
	}
	b.long.progress(p)
}

func (b *backtestRun) answer() *backtestAnswer {
	out := &backtestAnswer{
		Since: b.since.UTC(), Callbacks: b.Callbacks, Pairs: b.Pairs, Skipped: b.skipped, TookMS: time.Since(b.started).Milliseconds(),
		Rules: []backtest.Rule{},
	}
	if !b.oldest.IsZero() {
		oldest := b.oldest.UTC()
		out.Oldest = &oldest
	}
	var same []backtest.Rule
	for _, r := range b.Rules() {
		switch {
		case r.Changed():
			out.Changed++
			out.Rules = append(out.Rules, r)
		case r.State == "" && r.Before+r.Now+r.ShadowBefore+r.ShadowNow+r.ErrorsBefore+r.ErrorsNow == 0:
			out.Quiet++
		default:
			same = append(same, r)
		}
	}
	out.Rules = append(out.Rules, same...)
	if over := len(out.Rules) - maxTested; over > 0 {
		out.Omitted, out.Rules = over, slices.Clip(out.Rules[:maxTested])
	}
	return out
}
