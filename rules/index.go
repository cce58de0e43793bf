package rules

import (
	"fmt"
	"slices"
	"strings"

	"github.com/aftermath-rules/aftermath/internal/lang"
	"github.com/aftermath-rules/aftermath/internal/pairindex"
)

// What FoundBy says of rules that no atom finds.
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
		Found: func(i int, by []pairindex.Atom, always bool) {
			r := &rs.all[i]
			r.FoundBy = d.describe(r, by, always)
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

func (d *describer) describe(r *Rule, by []pairindex.Atom, always bool) string {
	switch value, constant := r.condition.Constant(); {
	case !r.Enabled:
		return foundDisabled
	case constant && value:
		return foundAlways
	case always:
		return foundEach
	case len(by) == 0:
		return foundNever
	}
	var ways []string
	for i := range by {
		if by[i].Field >= pairindex.MaxNumbers && len(by) > 1 {
			continue // a pattern fails on texts of such a length
		}
		if way := d.way(&by[i]); !slices.Contains(ways, way) {
			ways = append(ways, way)
		}
	}
	text := strings.Join(ways, " or ")
	if known, ok := d.known[text]; ok {
		return known
	}
	d.known[text] = text
	return text
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
	case pairindex.NumberIs:
		return "equality on " + lang.NumberName(a.Field)
	}
	return "threshold on " + lang.NumberName(a.Field)
}
