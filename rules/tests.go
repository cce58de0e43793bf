package rules

import (
	"context"
	"maps"
	"slices"
	"strings"

	"github.com/aftermath-rules/aftermath/callback"
	"github.com/aftermath-rules/aftermath/internal/lang"
	"github.com/aftermath-rules/aftermath/internal/nearword"
)

// TestFile is the text of one file of rule tests (*_test.yaml, *_test.yml).
type TestFile struct {
	Name string // as problems name it
	Data []byte
}

// Tests reads the rule tests below the roots, in path order. The error is Problems, or the context's.
func (l *Loader) Tests(ctx context.Context) ([]TestFile, error) {
	ls := l.list()
	problems := slices.Clone(ls.problems)
	var files []TestFile
	for _, e := range ls.tests {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		data, err := readBelow(e.dir, e.real, maxRulesFile)
		if err != nil {
			problems = append(problems, Problem{File: e.name, Line: 1, Column: 1, Message: "cannot be read: " + err.Error()})
			continue
		}
		files = append(files, TestFile{Name: e.name, Data: data})
	}
	if len(problems) > 0 {
		return nil, sorted(problems)
	}
	return files, nil
}

// HasList tells whether the set has a list of the name.
func (rs *RuleSet) HasList(name string) bool { return rs.lists[name] != nil }

// WithLists gives the set as it would be with other values in some lists, for rule tests: only the conditions that use one of
// them are compiled anew. Its actions are those of rs, so it gives false where one of their templates uses such a list; Loader.Lists
// serves then.
func (rs *RuleSet) WithLists(values map[string][]string) (*RuleSet, bool) {
	replaced := func(name string) bool { _, ok := values[name]; return ok }
	for _, inst := range rs.instances {
		if slices.ContainsFunc(inst.Lists(), replaced) {
			return nil, false
		}
	}
	next := &RuleSet{
		Hash: rs.Hash, LoadedAt: rs.LoadedAt, Warnings: rs.Warnings, Rules: slices.Clone(rs.Rules), byName: maps.Clone(rs.byName),
		instances: rs.instances, actions: rs.actions, inputs: rs.inputs, lists: maps.Clone(rs.lists),
	}
	for name := range values {
		if rs.lists[name] != nil {
			next.lists[name] = &list{List: lang.NewList(values[name]), sum: sumOf(values[name])}
		}
	}
	scope := &lang.Scope{Lists: map[string]*lang.List{}} // of the lists that count: a scope of thousands takes its time
	for _, r := range rs.Rules {
		if used := r.condition.Lists(); slices.ContainsFunc(used, replaced) {
			for _, name := range used {
				scope.Lists[name] = next.lists[name].List
			}
		}
	}
	for i, r := range next.Rules {
		if slices.ContainsFunc(r.condition.Lists(), replaced) {
			changed := *r
			var errs []*lang.Error
			if changed.condition, errs = lang.CompileCondition(r.Condition, scope); len(errs) > 0 {
				return nil, false // no values of a list can do that
			}
			r = &changed
			next.Rules[i], next.byName[r.Name] = r, r
		}
		if r.Enabled {
			next.active = append(next.active, r)
		}
	}
	return next, true
}

// Distance tells how far the rule's condition is from matching the pair: how many of its comparisons would have to come out
// otherwise, and how many hold as they are.
func (r *Rule) Distance(cb *callback.Callback, pair int) (away, held int) {
	var v lang.Vars
	FillVars(&v, cb, pair)
	return r.condition.Distance(&v)
}

// SuggestRule is "; did you mean …?" for the rule whose name is closest to a mistyped one, "" where none is close.
func (rs *RuleSet) SuggestRule(name string) string {
	return nearword.Hint(name, slices.Sorted(maps.Keys(rs.byName)))
}

// SuggestAction is SuggestRule for actions.
func (rs *RuleSet) SuggestAction(name string) string {
	return nearword.Hint(name, slices.Sorted(maps.Keys(rs.actions)))
}

// SuggestList is SuggestRule for lists.
func (rs *RuleSet) SuggestList(name string) string {
	return nearword.Hint(name, slices.Sorted(maps.Keys(rs.lists)))
}

// ActionName gives the name by which a rule test calls one of the rule's actions: an inline one by its type or own name.
func (r *Rule) ActionName(action string) string {
	if own, ok := strings.CutPrefix(action, r.Name+"/"); ok {
		return own
	}
	return action
}
