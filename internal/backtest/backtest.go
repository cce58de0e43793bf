// Package backtest runs stored callbacks through two rule sets and tells what would change. The first may be one that runs elsewhere,
// which tells what it makes of each callback. It runs no action.
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

	before, now *rules.RuleSet // before is nil where another process tells what it decides
	tallies     []*tally       // in the order of the rules: those of now, then those that are only in before
	byName      map[string]*tally
	byRule      map[*rules.Rule]*tally
	turn        uint64 // of the pair that is being compared
	found       []rules.Match
	touched     []*tally
}

// Known is a rule of a set that runs elsewhere.
type Known struct {
	Rule    string   `json:"rule"`
	Actions []string `json:"actions"`
}

// KnownOf names the rules of a set.
func KnownOf(set *rules.RuleSet) []Known {
	all := make([]Known, len(set.Rules))
	for i, rule := range set.Rules {
		all[i] = Known{rule.Name, rule.Actions}
	}
	return all
}

// Decided is a rule that matched a pair, or whose condition failed on it.
type Decided struct {
	Pair   int    `json:"pair"`
	Rule   string `json:"rule"`
	Shadow bool   `json:"shadow,omitempty"`
	Failed bool   `json:"failed,omitempty"`
}

// AppendDecided appends what a set makes of a callback, pair by pair.
func AppendDecided(dst []Decided, set *rules.RuleSet, cb *callback.Callback) []Decided {
	var found []rules.Match
	for pair := range cb.Pairs {
		found = set.Match(found[:0], cb, pair)
		for _, m := range found {
			dst = append(dst, Decided{Pair: pair, Rule: m.Rule.Name, Shadow: m.Rule.Shadow, Failed: m.Err != nil})
		}
	}
	return dst
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
	r := NewDecided(KnownOf(before), now)
	r.before = before
	for _, rule := range before.Rules {
		r.byRule[rule] = r.byName[rule.Name]
	}
	return r
}

// NewDecided makes a comparison of what is decided elsewhere, by rules of these names, with what now would decide.
func NewDecided(before []Known, now *rules.RuleSet) *Run {
	r := &Run{now: now, byName: map[string]*tally{}, byRule: map[*rules.Rule]*tally{}}
	for _, rule := range now.Rules {
		t := r.tally(rule.Name)
		t.hasNow, t.nowActs = true, rule.Actions
		r.byRule[rule] = t
	}
	for _, rule := range before {
		t := r.tally(rule.Rule)
		t.hasBefore, t.beforeActs = true, rule.Actions
	}
	return r
}

// tally gives the one of a rule.
func (r *Run) tally(name string) *tally {
	t := r.byName[name]
	if t == nil {
		t = &tally{rule: Rule{Rule: name}}
		r.byName[name] = t
		r.tallies = append(r.tallies, t)
	}
	return t
}

// Add runs a callback through both sets. id is the callback's, "" where it is not known. It keeps nothing of the callback.
func (r *Run) Add(cb *callback.Callback, id string) {
	r.Callbacks++
	for pair := range cb.Pairs {
		r.next()
		r.found = r.before.Match(r.found[:0], cb, pair)
		for _, m := range r.found {
			r.decided(r.byRule[m.Rule], m.Rule.Shadow, m.Err != nil)
		}
		r.compare(cb, pair, id)
	}
}

// AddDecided runs a callback through the set that would run, and compares with what was decided elsewhere, pair by pair. It keeps
// nothing of either.
func (r *Run) AddDecided(cb *callback.Callback, id string, before []Decided) {
	r.Callbacks++
	for pair := range cb.Pairs {
		r.next()
		for len(before) > 0 && before[0].Pair == pair {
			r.decided(r.tally(before[0].Rule), before[0].Shadow, before[0].Failed)
			before = before[1:]
		}
		r.compare(cb, pair, id)
	}
}

// next begins with another pair.
func (r *Run) next() {
	r.Pairs++
	r.turn++
	r.touched = r.touched[:0]
}

// decided counts what a rule that runs made of the pair.
func (r *Run) decided(t *tally, shadow, failed bool) {
	switch {
	case failed:
		t.rule.ErrorsBefore++
	case shadow:
		t.rule.ShadowBefore++
	default:
		t.rule.Before++
		t.turnBefore = r.turn
		r.touched = append(r.touched, t)
	}
}

// compare runs the pair through the set that would run, and counts what differs from what was decided.
func (r *Run) compare(cb *callback.Callback, pair int, id string) {
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
