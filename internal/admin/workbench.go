package admin

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"

	"github.com/aftermath-rules/aftermath/internal/explain"
	"github.com/aftermath-rules/aftermath/internal/trial"
	"github.com/aftermath-rules/aftermath/rules"
)

// Workbench is what people try on the running rules.
type Workbench struct {
	// RuleSet gives the set that runs, nil for none.
	RuleSet func() *rules.RuleSet
	// TestAction sends a sample delivery through an action, or only renders it. It gives nil where there is no such action.
	TestAction func(ctx context.Context, name string, dryRun bool) *trial.Report
}

const (
	maxExplain = 8 << 20 // bytes of a request to explain: a packet of 1 MiB, escaped
	// maxBench is how many explanations and tests of actions run at once: each may take a core, or a receiver's time.
	maxBench = 2
)

// workbench answers POST explain and POST actions/{name}/test.
type workbench struct {
	Workbench
	slots chan struct{}
}

func newWorkbench(w Workbench) *workbench { return &workbench{w, make(chan struct{}, maxBench)} }

func (b *workbench) handle(mux *http.ServeMux) {
	mux.Handle("/api/v1/explain", methods{http.MethodPost: b.explain})
	mux.Handle("/api/v1/actions/", methods{http.MethodPost: b.testAction})
	mux.HandleFunc("/api/v1/actions", nothingAt) // or it would be redirected
}

// enter waits for a slot. The answer is given where there is none in time.
func (b *workbench) enter(ctx context.Context, w http.ResponseWriter) bool {
	select {
	case b.slots <- struct{}{}:
		return true
	case <-ctx.Done():
		w.Header().Set("Retry-After", "10")
		Error(w, http.StatusServiceUnavailable, "too much is being tried at once: try again in a moment")
		return false
	}
}

func (b *workbench) leave() { <-b.slots }

func (b *workbench) explain(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), apiTimeout)
	defer cancel()
	var in explain.Request
	if !decode(w, r, maxExplain, &in, "the body must be JSON, {packet, query}") {
		return
	}
	set := b.RuleSet()
	if set == nil {
		Error(w, http.StatusServiceUnavailable, "no rule set runs yet")
		return
	}
	cb, err := in.Callback()
	if err != nil {
		Error(w, http.StatusBadRequest, "this is no friend-delete packet: "+err.Error())
		return
	}
	if !b.enter(ctx, w) {
		return
	}
	defer b.leave()
	x, err := explain.Explain(ctx, set, cb, in.Rule)
	switch {
	case errors.As(err, new(*explain.UnknownRuleError)):
		Error(w, http.StatusNotFound, err.Error())
	case err != nil:
		Error(w, http.StatusServiceUnavailable, "explaining took too long: name one rule")
	default:
		JSON(w, http.StatusOK, x)
	}
}

func (b *workbench) testAction(w http.ResponseWriter, r *http.Request) {
	// An action that is written in a rule has a / in its name.
	name, ok := strings.CutSuffix(strings.TrimPrefix(r.URL.Path, "/api/v1/actions/"), "/test")
	if !ok || name == "" {
		Error(w, http.StatusNotFound, "there is only POST /api/v1/actions/NAME/test here")
		return
	}
	var in struct {
		DryRun bool `json:"dry_run"`
	}
	// Strictly: a misspelt dry_run must not send something.
	if err := readJSON(w, r, &in); err != nil {
		refuse(w, err, `; it is {"dry_run": true}, or empty`)
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), apiTimeout)
	defer cancel()
	if !b.enter(ctx, w) {
		return
	}
	defer b.leave()
	report := b.TestAction(r.Context(), name, in.DryRun)
	if report == nil {
		Error(w, http.StatusNotFound, "there is no action "+name)
		return
	}
	JSON(w, http.StatusOK, report)
}

// decode reads a JSON body of bounded size; an empty one leaves into as it is. It answers where it can't.
func decode(w http.ResponseWriter, r *http.Request, most int64, into any, hint string) bool {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, most))
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &tooLarge):
		Error(w, http.StatusRequestEntityTooLarge, "the body is too large")
		return false
	case err != nil:
		Error(w, http.StatusBadRequest, "the body did not arrive whole")
		return false
	case len(body) == 0:
		return true
	}
	if err := json.Unmarshal(body, into); err != nil {
		Error(w, http.StatusBadRequest, hint+": "+jsonProblem(err).Error())
		return false
	}
	return true
}
