package pairindex

import "strings"

// step is one test of a program and where to go on from it: steps ahead, or one of the ends.
type step struct {
	kind    Kind
	field   uint8
	other   uint8
	yes, no uint16
	number  int64 // or the place of a sum, of a value or of a reference
	text    string
}

const (
	accept = 0xFFFF
	reject = 0xFFFE
	unsure = 0xFFFD // the least of them

	maxSteps = 0xFFF0
)

// programs are the steps of all rules, one program after the other.
type programs struct {
	steps  []step
	sums   []sumIs
	values []comparison
	refs   []any
	known  map[any]int64 // the places of values, and of references that can be compared
}

// add appends the formula's program and gives its place.
func (ps *programs) add(f Formula) uint32 {
	at := len(ps.steps)
	if len(f.nodes) > maxSteps {
		ps.steps = append(ps.steps, step{kind: opaque})
		return uint32(at)
	}
	ps.tree(f.nodes, at, accept, reject)
	return uint32(at)
}

// tree appends a tree whose outcomes lead to yes and no. Both are ends, or ahead of the program's beginning by so much; the
// number of steps that a tree takes is known, so that the way past it is too.
func (ps *programs) tree(nodes []node, begin int, yes, no uint16) {
	switch n := &nodes[0]; n.kind {
	case not:
		ps.tree(nodes[1:], begin, no, yes)
	case and, or:
		rest := nodes[1:n.size]
		for len(rest) > 0 {
			part := rest[:rest[0].size]
			rest = rest[rest[0].size:]
			next := uint16(len(ps.steps) - begin + stepsOf(part))
			switch {
			case len(rest) == 0:
				ps.tree(part, begin, yes, no)
			case n.kind == and:
				ps.tree(part, begin, next, no)
			default:
				ps.tree(part, begin, yes, next)
			}
		}
	case conditional:
		cond := nodes[1 : 1+nodes[1].size]
		ifYes := nodes[1+len(cond):]
		ifYes = ifYes[:ifYes[0].size]
		ifNo := nodes[1+len(cond)+len(ifYes) : n.size]
		first := len(ps.steps) - begin + stepsOf(cond)
		ps.tree(cond, begin, uint16(first), uint16(first+stepsOf(ifYes)))
		ps.tree(ifYes, begin, yes, no)
		ps.tree(ifNo, begin, yes, no)
	default:
		s := step{kind: n.kind, field: n.field, other: n.other, yes: yes, no: no, number: n.number, text: n.text}
		switch {
		case n.kind == sum || n.kind == remainder:
			s.number = int64(len(ps.sums))
			ps.sums = append(ps.sums, n.ref.(sumIs))
		case n.kind == valueIs || n.kind == valueFrom:
			s.number = ps.value(comparison{ps.ref(n), n.number})
		case n.kind == textIn:
			in := n.ref.(valueIn)
			s.number = ps.value(comparison{ps.ref(&node{kind: textIs, ref: in.value}), ps.ref(&node{kind: InSet, ref: in.set})})
		case n.kind == call:
			s.text = "" // the key
			fallthrough
		case n.ref != nil:
			s.number = ps.ref(n)
		}
		ps.steps = append(ps.steps, s)
	}
}

// stepsOf counts the steps that a tree becomes: its leaves.
func stepsOf(nodes []node) int {
	count := 0
	for i := range nodes {
		if nodes[i].kind < and {
			count++
		}
	}
	return count
}

// ref keeps what a step refers to, the same once. A matcher keeps the limit beside it.
func (ps *programs) ref(n *node) int64 {
	value, same := n.ref, n.ref
	switch n.kind {
	case pattern:
		value = bounded{n.ref.(Matcher), int(n.number)}
		same = value
	case textIs, textFrom, textBegins, textEnds, textHas:
		same = keyed{textIs, n.ref.(*Value).Key}
	case valueIs, valueFrom:
		same = keyed{valueIs, n.ref.(*Value).Key}
	case call:
		same = keyed{n.kind, n.text}
	}
	if same != (keyed{call, ""}) {
		if at, ok := ps.known[same]; ok {
			return at
		}
		ps.known[same] = int64(len(ps.refs))
	}
	ps.refs = append(ps.refs, value)
	return int64(len(ps.refs) - 1)
}

// keyed is the key of a function.
type keyed struct {
	kind Kind
	key  string
}

// comparison is the place of a value, and the number that it must be or the place of the set that it must be in.
type comparison struct{ ref, with int64 }

// value keeps each of these once.
func (ps *programs) value(v comparison) int64 {
	at, ok := ps.known[v]
	if !ok {
		at = int64(len(ps.values))
		ps.known[v] = at
		ps.values = append(ps.values, v)
	}
	return at
}

type bounded struct {
	Matcher
	limit int
}

// run gives accept, reject or unsure.
func (ps *programs) run(at uint32, ev *Event) uint16 {
	steps := ps.steps[at:]
	for i := uint16(0); ; {
		s := &steps[i]
		holds, sure := ps.test(s, ev)
		if !sure {
			return unsure
		}
		if i = s.next(holds); i >= unsure {
			return i
		}
	}
}

func (s *step) next(holds bool) uint16 {
	if holds {
		return s.yes
	}
	return s.no
}

// test tells whether a step's test holds, if that is for the index to say.
func (ps *programs) test(s *step, ev *Event) (holds, sure bool) {
	switch s.kind {
	case Equal:
		return ev.Texts[s.field&(MaxTexts-1)] == s.text, true
	case AtLeast:
		return ev.number(s.field) >= s.number, true
	case AtMost:
		return ev.number(s.field) <= s.number, true
	case NumberIs:
		return ev.Numbers[s.field&(MaxNumbers-1)] == s.number, true
	case Prefix:
		return strings.HasPrefix(ev.Texts[s.field], s.text), true
	case Suffix:
		return strings.HasSuffix(ev.Texts[s.field], s.text), true
	case Contains:
		return strings.Contains(ev.Texts[s.field], s.text), true
	case InSet:
		return ps.refs[s.number].(Set).Has(ev.Texts[s.field]), true
	case From:
		return ev.Texts[s.field] >= s.text, true
	case sameText:
		return ev.Texts[s.field] == ev.Texts[s.other], true
	case sameNumber:
		return ev.number(s.field) == ev.number(s.other), true
	case lessNumber:
		return ev.number(s.field) < ev.number(s.other), true
	case sum:
		k := &ps.sums[s.number]
		return k.a*ev.Numbers[s.field]+k.b*ev.Numbers[s.other] == k.k, true
	case remainder:
		k := &ps.sums[s.number]
		return ev.Numbers[s.field]%k.a == k.k, true
	case textIs:
		return ps.refs[s.number].(*Value).Text(ev) == s.text, true
	case textFrom:
		return ps.refs[s.number].(*Value).Text(ev) >= s.text, true
	case textBegins:
		return strings.HasPrefix(ps.refs[s.number].(*Value).Text(ev), s.text), true
	case textEnds:
		return strings.HasSuffix(ps.refs[s.number].(*Value).Text(ev), s.text), true
	case textHas:
		return strings.Contains(ps.refs[s.number].(*Value).Text(ev), s.text), true
	case valueIs:
		v := &ps.values[s.number]
		return int64(ps.refs[v.ref].(*Value).Number(ev)) == v.with, true
	case valueFrom:
		v := &ps.values[s.number]
		return int64(ps.refs[v.ref].(*Value).Number(ev)) >= v.with, true
	case textIn:
		v := &ps.values[s.number]
		return ps.refs[v.with].(Set).Has(ps.refs[v.ref].(*Value).Text(ev)), true
	case constant:
		return s.number == 1, true
	case call:
		return ps.refs[s.number].(func(*Event) bool)(ev), true
	case pattern:
		m := ps.refs[s.number].(bounded)
		text := ev.Texts[s.field]
		if len(text) > m.limit {
			return false, false
		}
		return m.Match(text), true
	}
	return false, false
}
