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

// WithLists calls f while the lists of these names have other values, and tells whether it did: all of them must be among the
// Loader's OpenLists. Nobody else may use the set meanwhile: it is for rule tests.
func (rs *RuleSet) WithLists(values map[string][]string, f func()) bool {
	before := make(map[*lang.List]lang.List, len(values))
	for name := range values {
		l := rs.lists[name]
		if l == nil || !l.IsOpen() {
			return false
		}
		before[l.List] = *l.List
	}
	for name, v := range values {
		rs.lists[name].Replace(lang.NewList(v))
	}
	defer func() {
		for l, was := range before {
			l.Replace(&was)
		}
	}()
	f()
	return true
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
