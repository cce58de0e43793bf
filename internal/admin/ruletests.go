package admin

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"time"

	"github.com/aftermath-rules/aftermath/internal/ruletest"
	"github.com/aftermath-rules/aftermath/rules"
)

const maxRuleTests = 200 // that one answer shows

// shownTest is a rule test that names a rule.
type shownTest struct {
	File   string     `json:"file"`
	Line   int        `json:"line"`
	Name   string     `json:"name"`
	Passed *bool      `json:"passed"` // null where it was not run
	Why    string     `json:"why,omitempty"`
	Rows   []shownRow `json:"rows,omitempty"` // expected and got side by side, of a test that failed
	Notes  []string   `json:"notes,omitempty"`
	test   *ruletest.Test
}

type shownRow struct {
	Expected string `json:"expected"`
	Got      string `json:"got"`
	Same     bool   `json:"same"`
}

// ruleTests are the tests that expect a rule to match, as they are on disk.
type ruleTests struct {
	Tests   []shownTest     `json:"tests"`
	Omitted int             `json:"omitted"`
	Errors  []rules.Problem `json:"errors"` // test files that cannot be read or parsed
	RuleSet string          `json:"rule_set"`
	TookMS  int64           `json:"took_ms"`
}

// listTests answers which tests name a rule.
func (a *api) listTests(w http.ResponseWriter, r *http.Request) { a.ruleTests(w, r, false) }

// runTests runs the tests that name a rule against the set that runs. Nothing is sent.
func (a *api) runTests(w http.ResponseWriter, r *http.Request) { a.ruleTests(w, r, true) }

func (a *api) ruleTests(w http.ResponseWriter, r *http.Request, run bool) {
	ctx, cancel := context.WithTimeout(r.Context(), apiTimeout)
	defer cancel()
	set, rule := a.named(r.PathValue("name"))
	if rule == nil {
		Error(w, http.StatusNotFound, noRule(r.PathValue("name")))
		return
	}
	if !a.bench.enter(ctx, w) {
		return
	}
	defer a.bench.leave()
	start := time.Now()
	out := ruleTests{Tests: []shownTest{}, Errors: []rules.Problem{}, RuleSet: set.Hash}
	err := out.find(ctx, a.Page.Tests, rule.Name)
	if err == nil && run {
		err = out.run(ctx, &ruletest.Runner{Set: set, Open: a.Page.LoadOpen})
	}
	if err != nil {
		Error(w, http.StatusServiceUnavailable, "the tests could not be run: "+firstLine(err))
		return
	}
	out.TookMS = time.Since(start).Milliseconds()
	JSON(w, http.StatusOK, out)
}

// find reads the tests on disk and keeps those that expect the rule.
func (t *ruleTests) find(ctx context.Context, read func(context.Context) ([]rules.TestFile, error), rule string) error {
	files, err := read(ctx)
	if err := t.take(err); err != nil {
		return err
	}
	for _, f := range files {
		if err := ctx.Err(); err != nil {
			return err
		}
		tests, err := ruletest.Parse(f.Name, f.Data)
		if err := t.take(err); err != nil {
			return err
		}
		for _, one := range tests {
			if !slices.ContainsFunc(one.Want, func(w ruletest.Want) bool { return w.Rule == rule }) {
				continue
			}
			if len(t.Tests) == maxRuleTests {
				t.Omitted++
				continue
			}
			t.Tests = append(t.Tests, shownTest{File: one.File, Line: one.Line, Name: one.Name, test: one})
		}
	}
	return nil
}

// take keeps problems for the answer. It gives back any other error.
func (t *ruleTests) take(err error) error {
	var problems rules.Problems
	if errors.As(err, &problems) {
		t.Errors = append(t.Errors, problems...)
		return nil
	}
	return err
}

func (t *ruleTests) run(ctx context.Context, runner *ruletest.Runner) error {
	for i := range t.Tests {
		one := &t.Tests[i]
		res, err := runner.Run(ctx, one.test)
		if err := t.take(err); err != nil {
			return err
		}
		if err != nil { // the rules on disk are broken, which are loaded where a template uses a list that the test replaces
			continue
		}
		one.Passed, one.Why, one.Notes = &res.Passed, res.Why, res.Notes
		for _, row := range res.Rows {
			one.Rows = append(one.Rows, shownRow(row))
		}
	}
	return nil
}
