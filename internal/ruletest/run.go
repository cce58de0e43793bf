package ruletest

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/aftermath-rules/aftermath/actions"
	"github.com/aftermath-rules/aftermath/callback"
	"github.com/aftermath-rules/aftermath/rules"
)

// Result is how a test ended.
type Result struct {
	Test   *Test
	Passed bool
	Why    string   // one sentence, of a test that failed
	Rows   []Row    // expected and got side by side, of a test that failed
	Notes  []string // what helps to understand it: a condition that failed, a rule that is disabled
	Took   time.Duration
}

// Row is a line of what was expected beside what there was; "" where there is nothing.
type Row struct {
	Expected, Got string
	Same          bool
}

// Runner runs tests against a rule set and notes which rules they matched. It is for one goroutine at a time.
type Runner struct {
	Set *rules.RuleSet
	// Open loads the set with these lists open, for tests that replace their values. It is not asked where they are open in Set.
	Open func(ctx context.Context, lists map[string]bool) (*rules.RuleSet, error)

	open    *rules.RuleSet // what tests that replace lists run against
	lists   map[string]bool
	matched map[string]bool
}

// Run runs one test. An error is no failure of the test, but of Open or the context.
func (r *Runner) Run(ctx context.Context, t *Test) (Result, error) {
	if err := ctx.Err(); err != nil {
		return Result{}, err
	}
	start := time.Now()
	res := Result{Test: t}
	if res.Why = r.unknown(t); res.Why == "" {
		if err := r.withLists(ctx, t.Lists, func(set *rules.RuleSet) { r.compare(set, &res) }); err != nil {
			return Result{}, err
		}
	}
	res.Took = time.Since(start)
	return res, nil
}

// withLists calls f with the set, in which the lists have these values.
func (r *Runner) withLists(ctx context.Context, values map[string][]string, f func(*rules.RuleSet)) error {
	if len(values) == 0 {
		f(r.Set)
		return nil
	}
	if r.open == nil {
		r.open, r.lists = r.Set, map[string]bool{}
	}
	if r.open.WithLists(values, func() { f(r.open) }) {
		return nil
	}
	for name := range values {
		r.lists[name] = true
	}
	set, err := r.Open(ctx, r.lists)
	if err != nil {
		return err
	}
	r.open = set
	if !set.WithLists(values, func() { f(set) }) {
		return fmt.Errorf("one of the lists %s is gone", strings.Join(slices.Sorted(maps.Keys(values)), ", "))
	}
	return nil
}

func (r *Runner) compare(set *rules.RuleSet, res *Result) {
	t := res.Test
	got, notes := r.match(set, t.Callback)
	c := &comparison{set: set, cb: t.Callback}
	c.matches(t.Want, got)
	if res.Passed = c.failed == 0; !res.Passed {
		res.Why, res.Rows, res.Notes = c.why, c.rows, append(notes, notesOf(set, t.Want, got)...)
	}
}

// unknown tells of rules and lists that the test names and that do not exist.
func (r *Runner) unknown(t *Test) string {
	var all []string
	for _, w := range t.Want {
		if _, ok := r.Set.Rule(w.Rule); !ok {
			all = append(all, fmt.Sprintf("there is no rule %q, which line %d expects%s", w.Rule, w.Line, r.Set.SuggestRule(w.Rule)))
		}
	}
	for _, name := range slices.Sorted(maps.Keys(t.Lists)) {
		if !r.Set.HasList(name) {
			all = append(all, fmt.Sprintf("there is no list %q%s", name, r.Set.SuggestList(name)))
		}
	}
	return strings.Join(slices.Compact(all), "; ")
}

// match is a rule that matched a pair.
type match struct {
	pair int
	rule *rules.Rule
}

func (r *Runner) match(set *rules.RuleSet, cb *callback.Callback) (got []match, notes []string) {
	var found []rules.Match
	for pair := range cb.Pairs {
		found = set.Match(found[:0], cb, pair)
		for _, m := range found {
			if m.Err != nil {
				notes = append(notes, fmt.Sprintf("the condition of %s failed on pair %d: %v", m.Rule.Name, pair, m.Err))
				continue
			}
			got = append(got, match{pair, m.Rule})
			if r.matched == nil {
				r.matched = map[string]bool{}
			}
			r.matched[m.Rule.Name] = true
		}
	}
	return got, notes
}

// notesOf says why rules that exist could not match.
func notesOf(set *rules.RuleSet, want []Want, got []match) []string {
	var notes []string
	for _, w := range want {
		rule, _ := set.Rule(w.Rule)
		if rule != nil && !rule.Enabled {
			notes = append(notes, fmt.Sprintf("the rule %s is not enabled", w.Rule))
		}
		for _, m := range got {
			if m.pair == w.Pair && m.rule.Stop && !m.rule.Shadow && rule != nil && !slices.ContainsFunc(got, func(o match) bool { return o.rule == rule && o.pair == w.Pair }) {
				notes = append(notes, fmt.Sprintf("the rule %s stops at pair %d, so that later rules don't see it", m.rule.Name, m.pair))
			}
		}
	}
	return slices.Compact(notes)
}

// Untested names the enabled rules that no test has matched so far, in their order, and gives how many are enabled.
func (r *Runner) Untested() (names []string, enabled int) {
	for _, rule := range r.Set.Rules {
		if !rule.Enabled {
			continue
		}
		enabled++
		if !r.matched[rule.Name] {
			names = append(names, rule.Name)
		}
	}
	return names, enabled
}

// Delivery is the delivery that an action of a rule gets for one pair, as a dry run and a test see it. Its ids are "test".
func Delivery(set *rules.RuleSet, rule actions.Rule, action string, cb *callback.Callback, pair int) *actions.Delivery {
	return &actions.Delivery{
		ID: "test", Attempt: 1, Action: action, Rule: rule, RuleSet: set.Hash, Created: cb.Received,
		CallbackID: "test", Pair: cb.Pairs[pair], SdkAppid: cb.SdkAppid, CallbackCommand: cb.CallbackCommand,
		ClientIP: cb.ClientIP, OptPlatform: cb.OptPlatform, RequestId: cb.RequestId,
		PairCount: len(cb.Pairs), PairIndex: pair, Mutual: cb.Mutual(pair), Time: cb.Received,
	}
}

// comparison puts what was expected beside what there was.
type comparison struct {
	set    *rules.RuleSet
	cb     *callback.Callback
	rows   []Row
	failed int
	why    string // the first difference
}

func (c *comparison) row(expected, got string, same bool) {
	c.rows = append(c.rows, Row{expected, got, same})
	if !same {
		c.failed++
	}
}

func (c *comparison) fail(format string, args ...any) {
	if c.why == "" {
		c.why = fmt.Sprintf(format, args...)
	}
}

// label is a match as it is shown.
func (c *comparison) label(pair int, rule string) string {
	if len(c.cb.Pairs) == 1 {
		return rule
	}
	return "pair " + strconv.Itoa(pair) + ": " + rule
}

// matches aligns both sequences along their longest common subsequence. What differs between two matches that are in both stands
// side by side.
func (c *comparison) matches(want []Want, got []match) {
	common := lengths(want, got)
	var missing, extra []string
	i, j := 0, 0
	for i < len(want) || j < len(got) {
		switch {
		case i < len(want) && j < len(got) && same(want[i], got[j]):
			c.beside(missing, extra)
			missing, extra = nil, nil
			c.pair(want[i], got[j])
			i, j = i+1, j+1
		case j == len(got) || i < len(want) && common[i+1][j] >= common[i][j+1]:
			missing = append(missing, c.label(want[i].Pair, want[i].Rule))
			c.fail("%s was expected to match here, and did not", c.label(want[i].Pair, want[i].Rule))
			i++
		default:
			extra = append(extra, c.label(got[j].pair, got[j].rule.Name))
			c.fail("%s matched, which was not expected here", c.label(got[j].pair, got[j].rule.Name))
			j++
		}
	}
	c.beside(missing, extra)
}

// beside makes rows of what is only on one side.
func (c *comparison) beside(missing, extra []string) {
	at := func(all []string, i int) string {
		if i < len(all) {
			return all[i]
		}
		return ""
	}
	for i := range max(len(missing), len(extra)) {
		c.row(at(missing, i), at(extra, i), false)
	}
}

func same(w Want, m match) bool { return w.Pair == m.pair && w.Rule == m.rule.Name }

// lengths gives the length of the longest common subsequence of want[i:] and got[j:] at [i][j].
func lengths(want []Want, got []match) [][]int {
	all := make([][]int, len(want)+1)
	for i := range all {
		all[i] = make([]int, len(got)+1)
	}
	for i := len(want) - 1; i >= 0; i-- {
		for j := len(got) - 1; j >= 0; j-- {
			if same(want[i], got[j]) {
				all[i][j] = all[i+1][j+1] + 1
			} else {
				all[i][j] = max(all[i+1][j], all[i][j+1])
			}
		}
	}
	return all
}

// pair compares what a test says about a match that there was.
func (c *comparison) pair(w Want, m match) {
	label := c.label(m.pair, m.rule.Name)
	c.row(label, label, true)
	if w.Actions != nil {
		got := make([]string, len(m.rule.Actions))
		equal := len(got) == len(w.Actions)
		for i, full := range m.rule.Actions {
			got[i] = m.rule.ActionName(full)
			equal = equal && (w.Actions[i] == got[i] || w.Actions[i] == full)
		}
		if !equal {
			c.fail("%s has other actions than expected", label)
			c.row("  actions "+bracketed(w.Actions), "  actions "+bracketed(got), false)
		}
	}
	c.render(w, m, label)
}

func bracketed(names []string) string { return "[" + strings.Join(names, ", ") + "]" }
