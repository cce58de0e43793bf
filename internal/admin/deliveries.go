package admin

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"time"

	"go.uber.org/zap"

	"github.com/aftermath-rules/aftermath/engine"
	"github.com/aftermath-rules/aftermath/internal/history"
)

// handleEngine adds what needs the engine.
func (a *api) handleEngine(mux *http.ServeMux) {
	mux.Handle("/api/v1/deliveries", methods{http.MethodGet: a.deliveries})
	mux.Handle("/api/v1/deliveries/{id}", methods{http.MethodGet: a.delivery, http.MethodDelete: a.discard})
	mux.Handle("/api/v1/deliveries/{id}/replay", methods{http.MethodPost: a.replay})
	mux.Handle("/api/v1/deliveries/replay", methods{http.MethodPost: a.bulk("replayed", a.Engine.ReplayAll)})
	mux.Handle("/api/v1/deliveries/discard", methods{http.MethodPost: a.bulk("discarded", a.Engine.DiscardAll)})
	mux.Handle("/api/v1/callbacks", methods{http.MethodGet: a.callbacks})
	mux.Handle("/api/v1/callbacks/{id}", methods{http.MethodGet: a.callback})
	mux.Handle("/api/v1/callbacks/reprocess", methods{http.MethodPost: a.reprocess})
	mux.Handle("/api/v1/rules", methods{http.MethodGet: a.rules})
	mux.Handle("/api/v1/rules/{name}", methods{http.MethodGet: a.rule})
	if a.Feed != nil {
		mux.Handle("/api/v1/events", methods{http.MethodGet: a.Feed.serve})
	}
}

const (
	readTimeout = 10 * time.Second
	changeTime  = 30 * time.Second       // for one delivery
	catchUpTime = time.Second            // so that who changed something sees it in the next answer
	listWait    = 250 * time.Millisecond // so that a list has what status has counted, where the history is not far behind
)

var plainID = regexp.MustCompile(`^[a-z0-9]{1,128}$`)

func (a *api) deliveries(w http.ResponseWriter, r *http.Request) {
	p := paramsOf(r, "status", "rule", "action", "account", "since", "until", "cursor", "limit")
	q := history.Query{
		Status: p.text("status"), Rule: p.text("rule"), Action: p.text("action"), Account: p.text("account"),
		Since: p.time("since"), Until: p.time("until"), Cursor: p.text("cursor"), Limit: p.limit(),
	}
	if p.err != nil {
		Error(w, http.StatusBadRequest, p.err.Error())
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), readTimeout)
	defer cancel()
	if q.Cursor == "" {
		a.History.CatchUp(ctx, listWait)
	}
	page, next, err := a.History.Search(ctx, q)
	if err != nil {
		a.historyError(w, err)
		return
	}
	for i := range page {
		a.fillType(&page[i])
	}
	JSON(w, http.StatusOK, struct {
		Deliveries []history.Delivery `json:"deliveries"`
		Next       string             `json:"next"`
	}{orEmpty(page), next})
}

// orEmpty gives a list that is [] in JSON where there is none.
func orEmpty[T any](list []T) []T {
	if list == nil {
		return []T{}
	}
	return list
}

// fillType gives the type of a delivery that was never attempted: its action's, as it is now.
func (a *api) fillType(d *history.Delivery) {
	if rs := a.Engine.RuleSet(); d.Type == "" && rs != nil {
		if inst, ok := rs.Action(d.Action); ok {
			d.Type = inst.Type
		}
	}
}

func (a *api) historyError(w http.ResponseWriter, err error) {
	switch {
	case errors.Is(err, history.ErrBadQuery):
		Error(w, http.StatusBadRequest, strings.TrimPrefix(err.Error(), history.ErrBadQuery.Error()+": "))
	case errors.Is(err, history.ErrNotReady):
		w.Header().Set("Retry-After", "1")
		Error(w, http.StatusServiceUnavailable, err.Error()+"; try again in a second")
	default:
		a.storeError(w, "reading the history", err)
	}
}

// storeError answers what the store could not do.
func (a *api) storeError(w http.ResponseWriter, what string, err error) {
	if !errors.Is(err, context.Canceled) {
		a.Logger.Warn(what, zap.Error(err))
	}
	code := http.StatusServiceUnavailable
	if errors.Is(err, context.DeadlineExceeded) {
		code = http.StatusGatewayTimeout
	}
	Error(w, code, what+": "+firstLine(err))
}

func (a *api) delivery(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), readTimeout)
	defer cancel()
	id := r.PathValue("id")
	d, attempts, err := a.find(ctx, id)
	switch {
	case errors.Is(err, engine.ErrNotFound):
		Error(w, http.StatusNotFound, noDelivery(id))
		return
	case err != nil:
		a.historyError(w, err)
		return
	}
	a.fillType(d)
	JSON(w, http.StatusOK, struct {
		*history.Delivery
		History []history.Attempt `json:"history"`
	}{d, orEmpty(attempts)})
}

func noDelivery(id string) string { return fmt.Sprintf("there is no delivery %.140q", id) }

func (a *api) find(ctx context.Context, id string) (*history.Delivery, []history.Attempt, error) {
	if !plainID.MatchString(id) {
		return nil, nil, engine.ErrNotFound
	}
	return a.History.Delivery(ctx, id)
}

func (a *api) replay(w http.ResponseWriter, r *http.Request) {
	a.change(w, r, a.Engine.Replay, history.Pending)
}

func (a *api) discard(w http.ResponseWriter, r *http.Request) {
	a.change(w, r, a.Engine.Discard, history.Discarded)
}

// change replays or discards one dead letter.
func (a *api) change(w http.ResponseWriter, r *http.Request, do func(context.Context, string) error, becomes string) {
	ctx, cancel := context.WithTimeout(r.Context(), changeTime)
	defer cancel()
	id := r.PathValue("id")
	err := engine.ErrNotFound
	if plainID.MatchString(id) {
		err = do(ctx, id)
	}
	switch {
	case errors.Is(err, engine.ErrNotFound):
		if d, _, err := a.find(ctx, id); err == nil {
			Error(w, http.StatusConflict, noDeadLetter(id, d.Status))
			return
		}
		Error(w, http.StatusNotFound, noDelivery(id))
	case err != nil:
		a.storeError(w, "changing delivery "+id, err)
	default:
		a.History.CatchUp(ctx, catchUpTime)
		JSON(w, http.StatusOK, struct {
			ID     string `json:"id"`
			Status string `json:"status"`
		}{id, becomes})
	}
}

// noDeadLetter says why the store has none of a delivery that the history knows. Where that takes it for dead it is behind, or has
// outlived the store.
func noDeadLetter(id, status string) string {
	if status == history.Dead {
		return fmt.Sprintf("the store has no dead letter of delivery %s: it was replayed or discarded just now, or the store has lost it", id)
	}
	return fmt.Sprintf("delivery %s is %s: only a dead letter can be replayed or discarded", id, status)
}

// filter says which dead letters a bulk request is about. Zero fields let all through.
type filter struct {
	Status  string   `json:"status"`
	Rule    string   `json:"rule"`
	Action  string   `json:"action"`
	Account string   `json:"account"`
	Since   string   `json:"since"`
	Until   string   `json:"until"`
	IDs     []string `json:"ids"`
	Count   bool     `json:"count"` // only say how many there are

	since, until time.Time
}

// filterOf reads a filter from the query and the body, of which the body counts where both say something.
func filterOf(w http.ResponseWriter, r *http.Request) (*filter, error) {
	p := paramsOf(r, "status", "rule", "action", "account", "since", "until")
	f := &filter{
		Status: p.text("status"), Rule: p.text("rule"), Action: p.text("action"), Account: p.text("account"),
		Since: p.text("since"), Until: p.text("until"),
	}
	if p.err != nil {
		return nil, p.err
	}
	if err := readJSON(w, r, f); err != nil {
		return nil, err
	}
	if f.Status != "" && f.Status != history.Dead {
		return nil, fmt.Errorf("only dead letters can be replayed or discarded: leave status out, or write dead, not %.40q", f.Status)
	}
	var err error
	now := time.Now()
	if f.since, err = parseTime(f.Since, now); err != nil {
		return nil, fmt.Errorf("since: %w", err)
	}
	if f.until, err = parseTime(f.Until, now); err != nil {
		return nil, fmt.Errorf("until: %w", err)
	}
	return f, nil
}

func (f *filter) fits(d *engine.DeadLetter) bool {
	j := &d.Job
	return (f.Rule == "" || j.Rule == f.Rule) && (f.Action == "" || j.Action == f.Action) &&
		(f.Account == "" || j.From == f.Account || j.To == f.Account) &&
		!j.Created.Before(f.since) && (f.until.IsZero() || j.Created.Before(f.until)) &&
		(len(f.IDs) == 0 || slices.Contains(f.IDs, j.ID))
}

// all tells that nothing is chosen: what was forgotten must not take everything.
func (f *filter) all() bool {
	return f.Status+f.Rule+f.Action+f.Account+f.Since+f.Until == "" && len(f.IDs) == 0
}

type bulkOrder func(context.Context, func(*engine.DeadLetter) bool, func(engine.Progress)) (engine.Progress, error)

// bulk replays or discards all that fits. A client that goes away ends it after what is under way.
func (a *api) bulk(done string, order bulkOrder) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		f, err := filterOf(w, r)
		if err != nil {
			refuse(w, err, "")
			return
		}
		if f.Count {
			a.count(w, r, f)
			return
		}
		if f.all() {
			Error(w, http.StatusBadRequest, `this would take every dead letter: write {"status": "dead"} for that, or choose by rule, action, account, since, until or ids`)
			return
		}
		long := startLong(w, r)
		p, err := order(r.Context(), f.fits, func(p engine.Progress) { long.progress(p) })
		result := map[string]any{"found": p.Found, done: p.Done}
		if err != nil {
			what := fmt.Sprintf("after %d of %d were %s", p.Done, p.Found, done)
			a.Logger.Warn("a bulk request ended early, "+what, zap.Error(err))
			result["error"] = fmt.Sprintf("it ended early, %s: %s", what, firstLine(err))
			long.end(http.StatusServiceUnavailable, result)
			return
		}
		a.History.CatchUp(r.Context(), catchUpTime)
		long.end(http.StatusOK, result)
	}
}

// count answers how many dead letters fit, for whoever is asked whether to go on.
func (a *api) count(w http.ResponseWriter, r *http.Request, f *filter) {
	found := 0
	for letter, err := range a.Engine.Store.DeadLetters(r.Context()) {
		if err != nil {
			a.storeError(w, "reading the dead letters", err)
			return
		}
		if f.fits(letter) {
			found++
		}
	}
	JSON(w, http.StatusOK, map[string]int{"found": found})
}

// long is the answer to a request that takes long: where the client accepts it, JSON lines that say how far it is, and the result as
// the last one; else the result alone.
type long struct {
	w     http.ResponseWriter
	lines bool
}

const jsonLines = "application/x-ndjson"

func startLong(w http.ResponseWriter, r *http.Request) *long {
	// The request has been read: what follows is bounded by the work and the client's patience.
	_ = http.NewResponseController(w).SetReadDeadline(time.Time{}) // where it can't be set the server has none
	l := &long{w: w, lines: wantsLines(r)}
	if l.lines {
		h := w.Header()
		h.Set("Content-Type", jsonLines)
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Cache-Control", "no-store")
	}
	return l
}

func (l *long) progress(v any) {
	if l.lines {
		l.line(map[string]any{"progress": v})
	}
}

func (l *long) end(code int, result any) {
	if l.lines {
		l.line(result)
		return
	}
	JSON(l.w, code, result)
}

func (l *long) line(v any) {
	line, err := json.Marshal(v)
	if err != nil { // no value of this package's can do that
		return
	}
	out := http.NewResponseController(l.w)
	_ = out.SetWriteDeadline(time.Now().Add(writeTime)) // a client that reads nothing may not hold up the work
	_, _ = l.w.Write(append(line, '\n'))                // the client has gone: the request's context tells
	_ = out.Flush()
}
