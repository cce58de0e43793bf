// Package explain says for each pair of a callback which rules match it, and why: the value of each part of a condition, and of the
// rules that don't match those that came nearest.
package explain

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"github.com/aftermath-rules/aftermath/callback"
	"github.com/aftermath-rules/aftermath/internal/lang"
	"github.com/aftermath-rules/aftermath/rules"
)

const (
	manyRules   = 100    // a set of more shows what matches, and the nearest misses
	mostMisses  = 10     // of such a set, for each pair
	mostPairs   = 100    // that are explained, or as many as have
	mostShown   = 5_000  // rules to explain among them, where that is more
	evaluations = 50_000 // of conditions in search of the nearest misses, for one callback
)

// Explanation is what comes of a callback.
type Explanation struct {
	RuleSet string `json:"rule_set"`
	Pairs   []Pair `json:"pairs"`
	// OmittedPairs counts the pairs that are too many to explain.
	OmittedPairs int `json:"omitted_pairs,omitempty"`
}

// Pair is what comes of one pair.
type Pair struct {
	From  string `json:"From_Account"`
	To    string `json:"To_Account"`
	Rules []Rule `json:"rules"`
	// Omitted counts the rules that are not in Rules: of a set of many those that don't match and that others came nearer than, of which
	// Unsearched were not looked at, and OmittedMatches that match, or whose condition fails, and are too many to show.
	Omitted        int `json:"omitted_rules,omitempty"`
	OmittedMatches int `json:"omitted_matches,omitempty"`
	Unsearched     int `json:"unsearched_rules,omitempty"`
}

// Rule is what comes of one rule for one pair.
type Rule struct {
	Rule      string      `json:"rule"`
	Matched   bool        `json:"matched"`
	Error     string      `json:"error"` // why the condition failed
	Parts     []lang.Part `json:"parts"`
	File      string      `json:"file"`
	Line      int         `json:"line"`
	Actions   []string    `json:"actions"`
	Enabled   bool        `json:"enabled"`
	Shadow    bool        `json:"shadow"`
	StoppedBy string      `json:"stopped_by,omitempty"` // the rule before it that stops, so that this one does not see the pair
	// Away is how many of the condition's comparisons would have to come out otherwise for it to match.
	Away int `json:"away"`
}

// Explain explains a callback. only names the one rule to explain; "" explains all of them, or of a set of many those that match
// and the nearest misses.
func Explain(ctx context.Context, set *rules.RuleSet, cb *callback.Callback, only string) (*Explanation, error) {
	if only != "" {
		if _, ok := set.Rule(only); !ok {
			return nil, &UnknownRuleError{only, set.SuggestRule(only)}
		}
	}
	return (&explainer{set: set, cb: cb, only: only}).explain(ctx)
}

// File explains a callback for somebody who edits a file: of its rules all (or the first hundred), and of the other files' those that
// match.
func File(ctx context.Context, set *rules.RuleSet, cb *callback.Callback, file string) (*Explanation, error) {
	return (&explainer{set: set, cb: cb, file: file}).explain(ctx)
}

func (e *explainer) explain(ctx context.Context) (*Explanation, error) {
	e.places = make(map[*rules.Rule]int, len(e.set.Rules))
	for i, r := range e.set.Rules {
		e.places[r] = i
	}
	out := &Explanation{RuleSet: e.set.Hash, Pairs: []Pair{}}
	each := min(len(e.set.Rules), manyRules+mostMisses)
	if e.only != "" {
		each = 1
	}
	shown := min(len(e.cb.Pairs), max(mostPairs, mostShown/max(each, 1)))
	out.OmittedPairs = len(e.cb.Pairs) - shown
	e.budget = evaluations / max(shown, 1)
	e.hits = max(manyRules, mostShown/max(shown, 1))
	for pair := range shown {
		p, err := e.pair(ctx, pair)
		if err != nil {
			return nil, err
		}
		out.Pairs = append(out.Pairs, p)
	}
	return out, nil
}

// UnknownRuleError says that the set has no such rule.
type UnknownRuleError struct{ Rule, hint string }

func (e *UnknownRuleError) Error() string {
	return fmt.Sprintf("there is no rule %q%s", e.Rule, e.hint)
}

type explainer struct {
	set    *rules.RuleSet
	cb     *callback.Callback
	only   string              // the one rule to explain
	file   string              // the file to explain all rules of
	places map[*rules.Rule]int // in the set's order
	budget int                 // conditions to evaluate for one pair
	hits   int                 // rules that match to show of one pair
}

// state is what Match says of one pair.
type state struct {
	matched map[*rules.Rule]bool // rules that match, and false for those whose condition failed
	stopped int                  // the place from which on rules don't see the pair
	by      string
}

func (e *explainer) pair(ctx context.Context, pair int) (Pair, error) {
	s := state{matched: map[*rules.Rule]bool{}, stopped: len(e.set.Rules)}
	for _, m := range e.set.Match(nil, e.cb, pair) {
		s.matched[m.Rule] = m.Err == nil
		if m.Err == nil && m.Rule.Stop && !m.Rule.Shadow {
			s.stopped, s.by = e.places[m.Rule]+1, m.Rule.Name
		}
	}
	p := Pair{From: e.cb.Pairs[pair].From, To: e.cb.Pairs[pair].To, Rules: []Rule{}}
	chosen, err := e.choose(ctx, &p, &s, pair)
	if err != nil {
		return Pair{}, err
	}
	for _, r := range chosen {
		if err := ctx.Err(); err != nil {
			return Pair{}, err
		}
		p.Rules = append(p.Rules, e.rule(r, &s, pair))
	}
	return p, nil
}

// choose gives the rules to show, in the set's order: those that match come before the misses of a set of many.
func (e *explainer) choose(ctx context.Context, p *Pair, s *state, pair int) ([]*rules.Rule, error) {
	if e.only != "" {
		r, _ := e.set.Rule(e.only)
		return []*rules.Rule{r}, nil
	}
	if e.file != "" {
		return e.chooseOf(p, s), nil
	}
	if len(e.set.Rules) <= manyRules {
		return e.set.Rules, nil
	}
	var hits []*rules.Rule
	var misses []miss
	for _, r := range e.set.Rules {
		if _, told := s.matched[r]; told {
			hits = append(hits, r)
			continue
		}
		if !r.Enabled {
			p.Omitted++
			continue
		}
		if len(misses) == e.budget {
			p.Unsearched++
			continue
		}
		if len(misses)%100 == 0 && ctx.Err() != nil {
			return nil, ctx.Err()
		}
		away, held := r.Distance(e.cb, pair)
		misses = append(misses, miss{r, away, held})
	}
	slices.SortStableFunc(misses, func(a, b miss) int { return cmp.Or(cmp.Compare(a.away, b.away), cmp.Compare(b.held, a.held)) })
	shown := min(len(misses), mostMisses)
	p.Omitted += len(misses) - shown + p.Unsearched
	if len(hits) > e.hits {
		p.OmittedMatches = len(hits) - e.hits
		p.Omitted += p.OmittedMatches
		hits = hits[:e.hits]
	}
	for _, m := range misses[:shown] {
		hits = append(hits, m.rule)
	}
	return hits, nil
}

// chooseOf gives the file's rules and those of other files that match.
func (e *explainer) chooseOf(p *Pair, s *state) []*rules.Rule {
	var chosen []*rules.Rule
	own, others := 0, 0
	for _, r := range e.set.Rules {
		_, told := s.matched[r]
		switch {
		case r.File == e.file && own < manyRules:
			own++
			chosen = append(chosen, r)
		case r.File != e.file && told && others < e.hits:
			others++
			chosen = append(chosen, r)
		default:
			p.Omitted++
			if told {
				p.OmittedMatches++
			}
		}
	}
	return chosen
}

// miss is a rule that does not match, and how near it came.
type miss struct {
	rule       *rules.Rule
	away, held int
}

func (e *explainer) rule(r *rules.Rule, s *state, pair int) Rule {
	out := Rule{
		Rule: r.Name, Matched: s.matched[r], Parts: r.Explain(e.cb, pair), File: r.File, Line: r.Line, Actions: r.Actions,
		Enabled: r.Enabled, Shadow: r.Shadow,
	}
	out.Error = out.Parts[0].Error
	if r.Enabled && e.places[r] >= s.stopped {
		out.StoppedBy = s.by
	}
	if !out.Matched {
		out.Away, _ = r.Distance(e.cb, pair)
	}
	return out
}
