package rules

import (
	"fmt"
	"slices"
	"strings"

	"github.com/aftermath-rules/aftermath/internal/lang"
	"github.com/aftermath-rules/aftermath/internal/pairindex"
)

// What FoundBy says of rules that no atom finds. What it says of others that are evaluated for every pair begins with foundEach.
const (
	foundNever    = "never"
	foundAlways   = "matches every pair"
	foundEach     = "evaluated for every pair"
	foundDisabled = "disabled"
)

// manyShare is how many rules that demand the same value are worth a warning.
const manyShare = 1000

// hotKey is a value that very many rules demand.
type hotKey struct {
	first *Rule
	rules int
	test  string
}

// demand is a value that rules demand of a field.
type demand struct {
	field uint8
	value string
}

// buildIndex makes the index of the rules, notes how it finds each, and gives the values that very many of them demand.
func (rs *RuleSet) buildIndex() (hot []hotKey) {
	d := &describer{lists: map[pairindex.Set]string{}, known: map[string]string{}}
	// The index counts roughly, and may take a rare value for one of many: what it takes for that is counted here.
	counts := map[demand]*hotKey{}
	var maybe []*hotKey
	for name, l := range rs.lists {
		d.lists[l.List] = name
	}
	rs.index = pairindex.Build(len(rs.all), func(i int) pairindex.Rule {
		r := &rs.all[i]
		if !r.Enabled {
			return pairindex.Rule{Formula: pairindex.Constant(false)}
		}
		return pairindex.Rule{Formula: r.condition.Formula(), Stop: r.stops()}
	}, pairindex.Options{
		Texts: lang.Likely(),
		Found: func(i int, way pairindex.Way) {
			r, by := &rs.all[i], way.Atoms
			r.FoundBy = d.describe(r, &way)
			for j := range by {
				if by[j].Rules < manyShare {
					continue
				}
				key := demand{by[j].Field, by[j].Text}
				h := counts[key]
				if h == nil {
					h = &hotKey{first: r, test: d.way(&by[j]) + fmt.Sprintf(" with %q", by[j].Text)}
					counts[key], maybe = h, append(maybe, h)
				}
				h.rules++
			}
		},
	})
	for _, h := range maybe {
		if h.rules >= manyShare {
			hot = append(hot, *h)
		}
	}
	return hot
}

// describer says in a few words how rules are found.
type describer struct {
	lists map[pairindex.Set]string
	known map[string]string // each text once: many rules have the same
}

func (d *describer) describe(r *Rule, way *pairindex.Way) string {
	switch value, constant := r.condition.Constant(); {
	case !r.Enabled:
		return foundDisabled
	case constant && value:
		return foundAlways
	case way.Manner != pairindex.ByAtoms:
		return d.once(together(way))
	case len(way.Atoms) == 0:
		return foundNever
	}
	var ways []string
	for i := range way.Atoms {
		a := &way.Atoms[i]
		if a.Field >= pairindex.MaxNumbers && len(way.Atoms) > 1 {
			continue // a pattern fails on texts of such a length
		}
		if text := d.way(a); !slices.Contains(ways, text) {
			ways = append(ways, text)
		}
	}
	return d.once(strings.Join(ways, " or "))
}

func (d *describer) once(text string) string {
	if known, ok := d.known[text]; ok {
		return known
	}
	d.known[text] = text
	return text
}

// together says how a rule that no atom serves is found, beside others of its kind.
func together(way *pairindex.Way) string {
	switch way.Manner {
	case pairindex.LookedUp:
		return fmt.Sprintf("one look-up of %s for %d rules", brief(way.Value), way.Rules)
	case pairindex.OneTest:
		return fmt.Sprintf("one test for %d rules", way.Rules)
	case pairindex.OnePass:
		return fmt.Sprintf("%s, in one pass over %d rules like it", foundEach, way.Rules)
	case pairindex.Behind:
		return fmt.Sprintf("%s that passes a test of %d rules", foundEach, way.Rules)
	}
	if way.Value != "" {
		return fmt.Sprintf("%s, as fewer than %d rules like it ask for %s", foundEach, pairindex.Enough, brief(way.Value))
	}
	return foundEach
}

// brief is a value's key as far as a line has room for it.
func brief(key string) string {
	const most = 60
	if len(key) <= most {
		return key
	}
	return strings.ToValidUTF8(key[:most], "") + "…"
}

func (d *describer) way(a *pairindex.Atom) string {
	switch a.Kind {
	case pairindex.Equal:
		return "equality on " + lang.TextName(a.Field)
	case pairindex.Prefix:
		return "prefix of " + lang.TextName(a.Field)
	case pairindex.Suffix:
		return "suffix of " + lang.TextName(a.Field)
	case pairindex.Contains:
		return "part of " + lang.TextName(a.Field)
	case pairindex.InSet:
		return "list " + d.lists[a.Set] + " on " + lang.TextName(a.Field)
	case pairindex.From, pairindex.Before:
		return "threshold on " + lang.TextName(a.Field)
	case pairindex.TextSpan:
		return "range of " + lang.TextName(a.Field)
	case pairindex.NumberSpan:
		return "range of " + lang.NumberName(a.Field)
	case pairindex.NumberIs:
		return "equality on " + lang.NumberName(a.Field)
	}
	return "threshold on " + lang.NumberName(a.Field)
}
