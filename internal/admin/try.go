package admin

import (
	"context"
	"errors"
	"io/fs"
	"math"
	"net/http"

	"github.com/aftermath-rules/aftermath/actions"
	"github.com/aftermath-rules/aftermath/callback"
	"github.com/aftermath-rules/aftermath/internal/explain"
	"github.com/aftermath-rules/aftermath/internal/ruletest"
	"github.com/aftermath-rules/aftermath/internal/secrets"
	"github.com/aftermath-rules/aftermath/rules"
)

const (
	unsaved    = "unsaved.yaml" // a text that is no file
	maxRenders = 200            // actions that one try renders
)

// Page is what the page needs beside the rest of the API. Without a Series none of it is answered.
type Page struct {
	// Files names the rules files, in the order in which they run.
	Files func() []string
	// Source reads the rules file of a name, as problems give it; the error is fs.ErrNotExist where there is none. Secrets in it are
	// masked.
	Source func(name string) ([]byte, error)
	Mask   *secrets.Mask // hides in what is rendered what an action itself does not know to be secret
	// Try compiles the rules with a text in place of the file of a name. The error is rules.Problems where the text is at fault.
	Try func(ctx context.Context, name string, text []byte) (*rules.Trial, error)
	// Tests reads the rule tests on disk.
	Tests func(ctx context.Context) ([]rules.TestFile, error)
	// LoadOpen loads the rules on disk with some lists open, for tests that replace their values.
	LoadOpen   func(ctx context.Context, lists map[string]bool) (*rules.RuleSet, error)
	Series     *Series
	RuleSeries *RuleSeries
}

// handlePage adds what the page needs.
func (a *api) handlePage(mux *http.ServeMux) {
	if a.Page.Series == nil {
		return
	}
	mux.Handle("/api/v1/source", methods{http.MethodGet: a.source})
	mux.Handle("/api/v1/try", methods{http.MethodPost: a.try})
	mux.Handle("/api/v1/series", methods{http.MethodGet: a.Page.Series.answer})
	if a.Engine == nil {
		return
	}
	mux.Handle("/api/v1/backtest", methods{http.MethodPost: (&backtests{api: a, limit: backtestTime}).answer})
	mux.Handle("/api/v1/rules/{name}/tests", methods{http.MethodGet: a.listTests, http.MethodPost: a.runTests})
	mux.Handle("/api/v1/rules/{name}/series", methods{http.MethodGet: a.Page.RuleSeries.answer})
}

// edit is a text of rules as somebody writes it.
type edit struct {
	File   string `json:"file"` // the rules file that the text would replace; "" for one more
	Source string `json:"source"`
}

// compile gives the whole set as it would be with the edit.
func (e *edit) compile(ctx context.Context, p *Page) (*rules.Trial, error) {
	if e.File == "" {
		e.File = unsaved
	}
	return p.Try(ctx, e.File, []byte(e.Source))
}

// tryRequest is an edit and a packet to run through the rules with it.
type tryRequest struct {
	edit
	explain.Request
}

// tryAnswer says what is wrong with the text, or what it would make of the packet. Nothing is sent.
type tryAnswer struct {
	OK          bool                 `json:"ok"`
	Errors      []rules.Problem      `json:"errors"`
	Warnings    []rules.Problem      `json:"warnings"`
	Elsewhere   []rules.Problem      `json:"elsewhere"` // what is wrong with other files on disk: those that run stand in for them
	Names       tryNames             `json:"names"`     // what may be written, for completion
	PacketError string               `json:"packet_error,omitempty"`
	Explanation *explain.Explanation `json:"explanation,omitempty"`
	Renders     []render             `json:"renders"`
	Omitted     int                  `json:"omitted_renders,omitempty"`
}

type tryNames struct {
	Lists   []string `json:"lists"`
	Actions []string `json:"actions"`
}

// render is what an action makes of a pair that its rule matches.
type render struct {
	Pair   int            `json:"pair"`
	Rule   string         `json:"rule"`
	Shadow bool           `json:"shadow,omitempty"`
	Action string         `json:"action"`
	Type   string         `json:"type"`
	Fields map[string]any `json:"fields"`
	Error  string         `json:"error,omitempty"`
}

// source answers the text of a rules file, or its lines ?from to ?to, for problems to be shown in place. Without a file it answers
// their names.
func (a *api) source(w http.ResponseWriter, r *http.Request) {
	p := paramsOf(r, "file", "from", "to")
	name, from, to := p.text("file"), p.whole("from", 1), p.whole("to", math.MaxInt)
	if p.err != nil {
		Error(w, http.StatusBadRequest, p.err.Error())
		return
	}
	if name == "" {
		JSON(w, http.StatusOK, map[string][]string{"files": append([]string{}, a.Page.Files()...)})
		return
	}
	text, err := a.Page.Source(name)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		Error(w, http.StatusNotFound, "there is no rules file of that name: take one as GET rules or an error names it")
	case err != nil:
		Error(w, http.StatusInternalServerError, "the rules file cannot be read: "+err.Error())
	default:
		first, lines, total := excerpt(text, from, to)
		JSON(w, http.StatusOK, map[string]any{"file": name, "from": first, "lines": total, "source": lines})
	}
}

// try answers what a text of rules would do.
func (a *api) try(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), apiTimeout)
	defer cancel()
	var in tryRequest
	if !decode(w, r, maxExplain, &in, "the body must be JSON, {file, source, packet, query}") {
		return
	}
	if !a.bench.enter(ctx, w) {
		return
	}
	defer a.bench.leave()
	out := tryAnswer{Errors: []rules.Problem{}, Warnings: []rules.Problem{}, Elsewhere: []rules.Problem{}, Renders: []render{}}
	set := a.Workbench.RuleSet()
	if set != nil {
		out.Names = tryNames{set.ListNames(), set.ActionNames()}
	}
	tried, err := in.compile(ctx, &a.Page)
	var problems rules.Problems
	switch {
	case errors.As(err, &problems):
		out.Errors = problems
	case err != nil:
		Error(w, http.StatusServiceUnavailable, "the rules could not be tried in time: try again in a moment")
		return
	default:
		set = tried.Set
		out.OK, out.Elsewhere, out.Names = true, append(out.Elsewhere, tried.Elsewhere...), tryNames{set.ListNames(), set.ActionNames()}
		for _, w := range set.Warnings {
			if w.File == in.File {
				out.Warnings = append(out.Warnings, w)
			}
		}
	}
	if in.Packet != nil && out.OK {
		out.run(ctx, set, &in, a.Page.Mask)
	} else if in.Packet != nil {
		out.read(&in)
	}
	JSON(w, http.StatusOK, out)
}

// read only reads the packet.
func (a *tryAnswer) read(in *tryRequest) *callback.Callback {
	cb, err := in.Callback()
	if err != nil {
		a.PacketError = err.Error()
	}
	return cb
}

// run puts the packet through the set.
func (a *tryAnswer) run(ctx context.Context, set *rules.RuleSet, in *tryRequest, mask *secrets.Mask) {
	cb := a.read(in)
	if cb == nil {
		return
	}
	var err error
	if a.Explanation, err = explain.File(ctx, set, cb, in.File); err != nil {
		a.PacketError = "explaining it took too long"
		return
	}
	for pair := range a.Explanation.Pairs {
		for _, m := range set.Match(nil, cb, pair) {
			if m.Err == nil {
				a.render(set, cb, m.Rule, pair, mask)
			}
		}
	}
}

func (a *tryAnswer) render(set *rules.RuleSet, cb *callback.Callback, rule *rules.Rule, pair int, mask *secrets.Mask) {
	for _, name := range rule.Actions {
		inst, ok := set.Action(name)
		if !ok {
			continue
		}
		if len(a.Renders) == maxRenders {
			a.Omitted++
			continue
		}
		fields, err := inst.Render(ruletest.Delivery(set, actions.Rule{Name: rule.Name, Labels: rule.Labels}, name, cb, pair))
		r := render{Pair: pair, Rule: rule.Name, Shadow: rule.Shadow, Action: name, Type: inst.Type, Fields: mask.Value(fields).(map[string]any)}
		if err != nil {
			r.Error = mask.Text(err.Error())
		}
		a.Renders = append(a.Renders, r)
	}
}
