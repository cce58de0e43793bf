package pairindex

import (
	"math"
	"slices"
)

// Atom is one thing that must hold, or one of several of which one must.
type Atom struct {
	Kind   Kind
	Field  uint8 // of a number from MaxNumbers on: the length in bytes of the text Field-MaxNumbers
	Number int64
	Text   string
	Below  int64  // where a span of numbers ends
	Before string // where a span of texts ends
	Set    Set
	Rules  int // of an equality: about how many rules demand it; for Options.Found
}

// maxAtoms bounds a cover: beyond it, running the rule for every event is the cheaper way.
const maxAtoms = 4096

// manyAtoms is how many are not worth comparing with each other.
const manyAtoms = 64

// cover is a set of atoms of which at least one holds wherever something is so. Without atoms, all tells whether it may be so
// anywhere or nowhere.
type cover struct {
	atoms  []Atom
	all    bool
	exact  bool // it is so wherever an atom holds
	chance float64
}

var (
	anywhere   = cover{all: true, chance: 1}
	everywhere = cover{all: true, exact: true, chance: 1}
	nowhere    = cover{exact: true}
)

// covers are those of a formula: of where it is true, where it is false and where it fails.
type covers struct{ yes, no, fail cover }

// planner finds covers. chance estimates how often an atom holds.
type planner struct {
	chance func(*Atom) float64
}

// plan gives the cover of where the formula is true or fails.
func (p *planner) plan(f Formula) cover {
	c := p.tree(f.nodes)
	exact := c.yes.exact && !c.fail.all && len(c.fail.atoms) == 0
	whole := either(c.yes, c.fail)
	whole.exact = exact
	if n := len(whole.atoms); n > 1 && n <= manyAtoms {
		whole.atoms = distinct(whole.atoms)
	}
	return whole
}

// distinct drops repetitions: what makes a formula true is often what makes it reach a part that fails.
func distinct(atoms []Atom) []Atom {
	kept := atoms[:0:0]
	for _, a := range atoms {
		if !slices.Contains(kept, a) {
			kept = append(kept, a)
		}
	}
	return kept
}

func (p *planner) tree(nodes []node) covers {
	switch n := &nodes[0]; n.kind {
	case and:
		return p.and(nodes)
	case or:
		return p.or(nodes)
	case not:
		c := p.tree(nodes[1:])
		return covers{yes: c.no, no: c.yes, fail: c.fail}
	case conditional:
		return p.conditional(nodes)
	default:
		return p.test(n)
	}
}

func (p *planner) and(nodes []node) covers {
	yes := everywhere
	var no, fail []cover
	within(nodes, func(part []node) {
		d := p.tree(part)
		no = append(no, d.no)
		fail = append(fail, best(yes, d.fail)) // a part is reached where those before it are true
		yes = best(yes, d.yes)
	})
	return covers{yes: yes, no: either(no...), fail: either(fail...)}
}

func (p *planner) or(nodes []node) covers {
	no := everywhere
	var yes, fail []cover
	within(nodes, func(part []node) {
		d := p.tree(part)
		yes = append(yes, d.yes)
		fail = append(fail, best(no, d.fail))
		no = best(no, d.no)
	})
	return covers{yes: either(yes...), no: no, fail: either(fail...)}
}

func (p *planner) conditional(nodes []node) covers {
	var d [3]covers
	i := 0
	within(nodes, func(part []node) { d[i] = p.tree(part); i++ })
	cond, yes, no := d[0], d[1], d[2]
	inexact := func(c cover) cover { c.exact = false; return c }
	return covers{
		yes:  inexact(either(best(cond.yes, yes.yes), best(cond.no, no.yes))),
		no:   inexact(either(best(cond.yes, yes.no), best(cond.no, no.no))),
		fail: either(cond.fail, either(best(cond.yes, yes.fail), best(cond.no, no.fail))),
	}
}

func (p *planner) test(n *node) covers {
	c := covers{yes: anywhere, no: anywhere, fail: nowhere}
	switch n.kind {
	case constant:
		if n.number == 1 {
			c.yes, c.no = everywhere, nowhere
		} else {
			c.yes, c.no = nowhere, everywhere
		}
	case opaque:
		c.fail = anywhere
	case pattern:
		c.fail = p.of(Atom{Kind: AtLeast, Field: MaxNumbers + n.field, Number: n.number + 1})
	case AtLeast:
		c.yes = p.of(Atom{Kind: AtLeast, Field: n.field, Number: n.number})
		if n.number > -1<<63 {
			c.no = p.of(Atom{Kind: AtMost, Field: n.field, Number: n.number - 1})
		}
	case AtMost:
		c.yes = p.of(Atom{Kind: AtMost, Field: n.field, Number: n.number})
		if n.number < 1<<63-1 {
			c.no = p.of(Atom{Kind: AtLeast, Field: n.field, Number: n.number + 1})
		}
	case From:
		c.yes = p.of(Atom{Kind: From, Field: n.field, Text: n.text})
		c.no = p.of(Atom{Kind: Before, Field: n.field, Text: n.text})
	case InSet:
		set := n.ref.(Set)
		if set.Len() == 0 {
			c.yes, c.no = nowhere, everywhere
			break
		}
		c.yes = p.of(Atom{Kind: InSet, Field: n.field, Set: set})
	case Equal, Prefix, Suffix, Contains, NumberIs:
		c.yes = p.of(Atom{Kind: n.kind, Field: n.field, Number: n.number, Text: n.text})
	}
	return c
}

func (p *planner) of(a Atom) cover {
	return cover{atoms: []Atom{a}, exact: true, chance: p.chance(&a)}
}

// either covers where one of several things is so.
func either(cs ...cover) cover {
	c := nowhere
	several := false
	for i := range cs {
		switch d := &cs[i]; {
		case d.nowhere():
		case d.all:
			return cover{all: true, exact: d.exact, chance: 1}
		case c.nowhere():
			c = *d
			c.atoms = c.atoms[:len(c.atoms):len(c.atoms)] // others may hold it too
		default:
			several = true
			c.atoms = append(c.atoms, d.atoms...)
			c.exact = c.exact && d.exact
			c.chance += d.chance
		}
	}
	if several && len(c.atoms) > maxAtoms {
		return anywhere
	}
	return c
}

func (c *cover) nowhere() bool { return !c.all && len(c.atoms) == 0 }

// best is the cover, of two things that must both be so, which holds more seldom.
func best(a, b cover) cover {
	switch {
	case a.all && a.exact:
		return b
	case b.all && b.exact:
		return a
	}
	c := a
	if a.oneOf() && b.oneOf() && a.atoms[0].Kind == b.atoms[0].Kind && a.atoms[0].Field == b.atoms[0].Field {
		return common(a, b)
	}
	if apart(&a, &b) {
		return nowhere
	}
	if c, ok := span(a, b); ok {
		return c
	}
	switch {
	case a.nowhere(), b.all:
	case b.nowhere(), a.all, b.chance < a.chance:
		c = b
	}
	c.exact = c.nowhere()
	return c
}

// apart tells that two covers are limits of one number which none keeps to, such as X > 5 && X < 3.
func apart(a, b *cover) bool {
	if a.all || b.all || len(a.atoms) != 1 || len(b.atoms) != 1 || a.atoms[0].Field != b.atoms[0].Field {
		return false
	}
	lowA, highA, isNumberA := a.atoms[0].limits()
	lowB, highB, isNumberB := b.atoms[0].limits()
	return isNumberA && isNumberB && (highA < lowB || highB < lowA)
}

// limits gives what the number of an atom lies within, where it is of one.
func (a *Atom) limits() (low, high int64, ok bool) {
	switch a.Kind {
	case NumberIs:
		return a.Number, a.Number, true
	case AtLeast:
		return a.Number, math.MaxInt64, true
	case AtMost:
		return math.MinInt64, a.Number, true
	case NumberSpan:
		return a.Number, a.Below - 1, true
	}
	return 0, 0, false
}

// span is what two covers say together that bound the same number, or text, on both sides.
func span(a, b cover) (c cover, ok bool) {
	if len(a.atoms) != 1 || len(b.atoms) != 1 {
		return c, false
	}
	from, to := &a.atoms[0], &b.atoms[0]
	if from.Kind == AtMost || from.Kind == Before {
		from, to = to, from
	}
	atom := Atom{Field: from.Field}
	switch {
	case from.Field != to.Field:
		return c, false
	case from.Kind == AtLeast && to.Kind == AtMost && from.Field < MaxNumbers:
		atom.Kind, atom.Number, atom.Below = NumberSpan, from.Number, to.Number+1
	case from.Kind == From && to.Kind == Before && from.Text >= to.Text:
		return nowhere, true
	case from.Kind == From && to.Kind == Before:
		atom.Kind, atom.Text, atom.Before = TextSpan, from.Text, to.Text
	default:
		return c, false
	}
	return cover{atoms: []Atom{atom}, exact: a.exact && b.exact, chance: a.chance * b.chance}, true
}

// oneOf tells whether the cover says that one text, or number, is one of a few.
func (c *cover) oneOf() bool {
	if c.all || len(c.atoms) == 0 || len(c.atoms) > manyAtoms {
		return false
	}
	first := &c.atoms[0]
	return (first.Kind == Equal || first.Kind == NumberIs) &&
		!slices.ContainsFunc(c.atoms, func(a Atom) bool { return a.Kind != first.Kind || a.Field != first.Field })
}

// common is what two covers of the same text or number have in common: nothing for X == "a" && X == "b".
func common(a, b cover) cover {
	c := cover{chance: min(a.chance, b.chance)}
	for _, atom := range a.atoms {
		if slices.Contains(b.atoms, atom) {
			c.atoms = append(c.atoms, atom)
		}
	}
	c.exact = c.nowhere()
	return c
}
