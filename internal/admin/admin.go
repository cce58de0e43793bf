// Package admin is the admin port: health, readiness, metrics and the JSON API under /api/v1/.
package admin

import (
	"context"
	"encoding/json"
	"maps"
	"net/http"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"go.uber.org/zap"

	"github.com/aftermath-rules/aftermath/engine"
	"github.com/aftermath-rules/aftermath/internal/admin/page"
	"github.com/aftermath-rules/aftermath/internal/history"
	"github.com/aftermath-rules/aftermath/internal/strictyaml"
)

// Status is what GET status answers.
type Status struct {
	Version string  `json:"version"`
	Uptime  float64 `json:"uptime_s"`
	Rules   Rules   `json:"rules"`
	Counts  Counts  `json:"counts"`
	Store   any     `json:"store"`
	History any     `json:"history,omitempty"` // how far the read model is
	Actions any     `json:"actions,omitempty"` // of the actions that had something to do
}

// Rules says what runs and what is on disk.
type Rules struct {
	Running *RunningRules `json:"running"` // null while no set runs
	Disk    DiskRules     `json:"disk"`
}

// RunningRules is the rule set that decides now.
type RunningRules struct {
	Hash     string    `json:"hash"`
	Rules    int       `json:"rules"`
	LoadedAt time.Time `json:"loaded_at"`
	LastGood bool      `json:"last_good,omitempty"` // it came from the data folder, since the disk's is broken
}

// DiskRules is the rule set on disk, as last read.
type DiskRules struct {
	OK        bool                 `json:"ok"`
	CheckedAt time.Time            `json:"checked_at,omitzero"`
	Errors    []strictyaml.Problem `json:"errors"`
}

// Counts are cumulative over restarts and purges; created = done + pending + dead + discarded at any moment.
type Counts struct {
	Callbacks       uint64     `json:"callbacks"` // that the rules have seen, each once
	Waiting         uint64     `json:"waiting"`   // callbacks that are stored and that the rules have yet to see
	Unmatched       uint64     `json:"unmatched"` // callbacks none of whose pairs matched a rule
	Pairs           uint64     `json:"pairs"`
	Matches         uint64     `json:"matches"`
	ShadowMatches   uint64     `json:"shadow_matches"`
	Refused         uint64     `json:"refused"` // requests that were not answered OK
	Quarantined     uint64     `json:"quarantined"`
	Repeats         uint64     `json:"repeats"`          // callbacks that had been seen before
	ConditionErrors uint64     `json:"condition_errors"` // conditions that failed at run time
	Deliveries      Deliveries `json:"deliveries"`
}

// Deliveries counts deliveries by state.
type Deliveries struct {
	Created   uint64 `json:"created"`
	Done      uint64 `json:"done"`
	Pending   uint64 `json:"pending"`
	Dead      uint64 `json:"dead"`
	Discarded uint64 `json:"discarded"`
}

// CountsOf gives the counts of the engine's totals.
func CountsOf(t engine.Totals) Counts {
	return Counts{
		Callbacks: t.Callbacks, Unmatched: t.Unmatched, Pairs: t.Pairs, Matches: t.Matches, ShadowMatches: t.ShadowMatches,
		Refused: t.Refused, Quarantined: t.Quarantined, Repeats: t.Repeats, ConditionErrors: t.ConditionErrors,
		Deliveries: Deliveries{
			Created: t.Created, Done: t.Done, Pending: t.Pending(), Dead: t.Dead, Discarded: t.Discarded,
		},
	}
}

// Readiness is what readyz answers.
type Readiness struct {
	Ready bool     `json:"ready"`
	Why   []string `json:"why,omitempty"` // what keeps it from being ready
	Store any      `json:"store"`
	Rules Rules    `json:"rules"`
}

// Options is what the admin port shows and does.
type Options struct {
	Workbench Workbench // answers what people try on the running rules

	Token    func() string // the bearer token of the moment; "" for none
	Hosts    []string      // Host headers that are answered where there is no token, besides loopback names
	Gatherer prometheus.Gatherer
	Ready    func() Readiness
	Status   func() Status
	// Reload reads the rules now. It gives the running set's state, and an error where the disk's set was not taken; the error is
	// strictyaml.Problems where the files are at fault.
	Reload func(ctx context.Context) (Rules, error)
	Page   Page
	Logger *zap.Logger

	// What deliveries, callbacks and rules are shown from; without an Engine none are.
	Engine  *engine.Engine
	History *history.History
	Journal Journal
	Feed    *Feed
}

// apiTimeout bounds one request of the API; a reload of very many files takes longest.
const apiTimeout = time.Minute

// New makes the admin port's handler.
func New(o Options) http.Handler {
	a := &api{Options: o, bench: newWorkbench(o.Workbench)}
	metrics := promhttp.HandlerFor(o.Gatherer, promhttp.HandlerOpts{ErrorLog: zap.NewStdLog(o.Logger), Timeout: 10 * time.Second})

	guarded := http.NewServeMux()
	a.bench.handle(guarded)
	a.handlePage(guarded)
	guarded.Handle("/metrics", methods{http.MethodGet: metrics.ServeHTTP})
	guarded.Handle("/api/v1/status", methods{http.MethodGet: a.status})
	guarded.Handle("/api/v1/reload", methods{http.MethodPost: a.reload})
	if o.Engine != nil {
		a.handleEngine(guarded)
	}
	guarded.HandleFunc("/", nothingAt)

	mux := http.NewServeMux()
	mux.Handle("/healthz", methods{http.MethodGet: func(w http.ResponseWriter, _ *http.Request) {
		JSON(w, http.StatusOK, map[string]bool{"ok": true})
	}})
	mux.Handle("/readyz", methods{http.MethodGet: a.ready})
	in := newSessions(o.Token)
	open := http.NewServeMux()
	page.Handle(open, func(h http.HandlerFunc) http.Handler { return methods{http.MethodGet: h} })
	open.Handle("/api/v1/session", methods{http.MethodGet: in.state, http.MethodPost: in.login, http.MethodDelete: in.logout})
	mux.Handle("/", guard(in, o.Hosts, open, guarded))
	return asWritten(mux)
}

// asWritten answers a path that is not in its plainest form, such as //api or /x/../api, with 404 as any other that is none. A
// ServeMux would redirect, and whoever follows would do what they have not written.
func asWritten(mux *http.ServeMux) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if at := r.URL.Path; at != "/" && path.Clean(at) != strings.TrimSuffix(at, "/") {
			nothingAt(w, r)
			return
		}
		mux.ServeHTTP(w, r)
	})
}

func nothingAt(w http.ResponseWriter, r *http.Request) {
	Error(w, http.StatusNotFound, "there is nothing at "+strconv.Quote(r.URL.Path))
}

type api struct {
	Options
	bench *workbench
}

func (a *api) ready(w http.ResponseWriter, _ *http.Request) {
	ready := a.Ready()
	code := http.StatusOK
	if !ready.Ready {
		code = http.StatusServiceUnavailable
	}
	JSON(w, code, ready)
}

func (a *api) status(w http.ResponseWriter, _ *http.Request) { JSON(w, http.StatusOK, a.Status()) }

func (a *api) reload(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), apiTimeout)
	defer cancel()
	state, err := a.Reload(ctx)
	if err != nil {
		JSON(w, http.StatusUnprocessableEntity, struct {
			Error string `json:"error"`
			Rules Rules  `json:"rules"`
		}{"the rules on disk were not taken: " + firstLine(err), state})
		return
	}
	JSON(w, http.StatusOK, struct {
		Rules Rules `json:"rules"`
	}{state})
}

// methods answers each method by its handler and any other with 405; HEAD goes where GET does.
type methods map[string]http.HandlerFunc

func (m methods) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	method := r.Method
	if method == http.MethodHead {
		method = http.MethodGet
	}
	if h, ok := m[method]; ok {
		h(w, r)
		return
	}
	allowed := slices.Collect(maps.Keys(m))
	if _, ok := m[http.MethodGet]; ok {
		allowed = append(allowed, http.MethodHead)
	}
	slices.Sort(allowed)
	w.Header().Set("Allow", strings.Join(allowed, ", "))
	Error(w, http.StatusMethodNotAllowed, r.Method+" is not for this address")
}

// JSON answers with v.
func JSON(w http.ResponseWriter, code int, v any) {
	body, err := json.Marshal(v)
	if err != nil { // no value of this package's can do that
		code, body = http.StatusInternalServerError, []byte(`{"error":"the answer could not be written as JSON"}`)
	}
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Cache-Control", "no-store")
	w.WriteHeader(code)
	_, _ = w.Write(append(body, '\n')) // the client has gone: nobody is left to tell
}

// Error answers with one sentence.
func Error(w http.ResponseWriter, code int, sentence string) {
	JSON(w, code, struct {
		Error string `json:"error"`
	}{sentence})
}
