// Package backtest runs stored callbacks through two rule sets and tells what would change. It runs no action.
package backtest

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"github.com/aftermath-rules/aftermath/callback"
	"github.com/aftermath-rules/aftermath/rules"
)

// mostExamples is how many examples are kept of each kind of difference of each rule.
const mostExamples = 3

// Run compares two rule sets. It is for one goroutine at a time.
type Run struct {
	Callbacks, Pairs uint64

	before, now *rules.RuleSet
	tallies     []*tally // in the order of the rules: those of now, then those that are only in before
	byRule      map[*rules.Rule]*tally
	turn        uint64 // of the pair that is being compared
	found       []rules.Match
	touched     []*tally
}

// tally counts what one rule did.
type tally struct {
	rule                Rule
	turnBefore, turnNow uint64 // the last pair that it fired for
	beforeActs, nowActs []string
	hasBefore, hasNow   bool
}

// Rule is what became of one rule. A rule fires for a pair where it matches and is no shadow.
type Rule struct {
	Rule          string    `json:"rule"`
	State         string    `json:"state,omitempty"` // "new" or "gone" where only one of the sets has it
	Before        uint64    `json:"before"`          // pairs that it fired for
	Now           uint64    `json:"now"`             // pairs that it would fire for
	Gained        uint64    `json:"gained"`          // pairs that it would fire for now, and did not before
	Lost          uint64    `json:"lost"`            // pairs that it fired for before, and would not now
	ShadowBefore  uint64    `json:"shadow_before"`   // pairs that it matched as a shadow
	ShadowNow     uint64    `json:"shadow_now"`
	ErrorsBefore  uint64    `json:"errors_before"` // pairs on which its condition failed
	ErrorsNow     uint64    `json:"errors_now"`
	ActionsBefore []string  `json:"actions_before,omitempty"` // where its actions have other names now
	ActionsNow    []string  `json:"actions_now,omitempty"`
	Examples      []Example `json:"examples,omitempty"`
}

// Changed tells whether the rule would do other than it did.
func (r *Rule) Changed() bool {
	return r.Gained > 0 || r.Lost > 0 || r.ActionsNow != nil && r.Before+r.Now > 0
}

// Example is a pair that a rule gained or lost.
type Example struct {
	Change    string    `json:"change"` // "gained" or "lost"
	Callback  string    `json:"callback_id,omitempty"`
	RequestID string    `json:"RequestId,omitempty"`
	At        time.Time `json:"at"`
	Pair      int       `json:"pair"`
	From      string    `json:"From_Account"`
	To        string    `json:"To_Account"`
}

// New makes a comparison of what runs with what would.
func New(before, now *rules.RuleSet) *Run {
	r := &Run{before: before, now: now, byRule: map[*rules.Rule]*tally{}}
	byName := map[string]*tally{}
	take := func(rule *rules.Rule) *tally {
		t := byName[rule.Name]
		if t == nil {
			t = &tally{rule: Rule{Rule: rule.Name}}
			byName[rule.Name] = t
			r.tallies = append(r.tallies, t)
		}
		r.byRule[rule] = t
		return t
	}
	for _, rule := range now.Rules {
		t := take(rule)
		t.hasNow, t.nowActs = true, rule.Actions
	}
	for _, rule := range before.Rules {
		t := take(rule)
		t.hasBefore, t.beforeActs = true, rule.Actions
	}
	return r
}

// Add runs a callback through both sets. id is the callback's, "" where it is not known. It keeps nothing of the callback.
func (r *Run) Add(cb *callback.Callback, id string) {
	r.Callbacks++
	for pair := range cb.Pairs {
		r.Pairs++
		r.turn++
		r.touched = r.touched[:0]
		r.found = r.before.Match(r.found[:0], cb, pair)
		for _, m := range r.found {
			t := r.byRule[m.Rule]
			switch {
			case m.Err != nil:
				t.rule.ErrorsBefore++
			case m.Rule.Shadow:
				t.rule.ShadowBefore++
			default:
				t.rule.Before++
				t.turnBefore = r.turn
				r.touched = append(r.touched, t)
			}
		}
		r.found = r.now.Match(r.found[:0], cb, pair)
		for _, m := range r.found {
			t := r.byRule[m.Rule]
			switch {
			case m.Err != nil:
				t.rule.ErrorsNow++
			case m.Rule.Shadow:
				t.rule.ShadowNow++
			default:
				t.rule.Now++
				t.turnNow = r.turn
				if t.turnBefore != r.turn {
					t.rule.Gained++
					t.example("gained", t.rule.Gained, cb, pair, id)
				}
			}
		}
		for _, t := range r.touched {
			if t.turnNow != r.turn {
				t.rule.Lost++
				t.example("lost", t.rule.Lost, cb, pair, id)
			}
		}
	}
}

// example keeps the first few differences of each kind. Its texts are copies, as the callback's memory is used again.
func (t *tally) example(change string, count uint64, cb *callback.Callback, pair int, id string) {
	if count > mostExamples {
		return
	}
	p := cb.Pairs[pair]
	t.rule.Examples = append(t.rule.Examples, Example{
		Change: change, Callback: id, RequestID: strings.Clone(cb.RequestId), At: cb.Received.UTC(), Pair: pair,
		From: strings.Clone(p.From), To: strings.Clone(p.To),
	})
}

// Rules gives what became of each rule, in order: those of the set that would run, then those that would be gone.
func (r *Run) Rules() []Rule {
	out := make([]Rule, 0, len(r.tallies))
	for _, t := range r.tallies {
		rule := t.rule
		switch {
		case !t.hasBefore:
			rule.State = "new"
		case !t.hasNow:
			rule.State = "gone"
		case !slices.Equal(t.beforeActs, t.nowActs):
			rule.ActionsBefore, rule.ActionsNow = t.beforeActs, t.nowActs
		}
		slices.SortStableFunc(rule.Examples, func(a, b Example) int { return cmp.Compare(a.Change, b.Change) })
		out = append(out, rule)
	}
	return out
}
