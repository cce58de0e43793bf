package pairindex

import (
	"cmp"
	"maps"
	"math/rand/v2"
	"slices"
)

// Rule is what the index is told of one rule.
type Rule struct {
	Formula Formula
	Stop    bool // where the rule matches, those after it are not looked at
}

// Options say what is known of the events.
type Options struct {
	// Texts estimates for each text how likely two events have the same; 0 is very seldom.
	Texts [MaxTexts]float64
	// Found is told of each rule how it is found; nil is told nothing.
	Found func(rule int, way Way)

	manyFound int // how many rules that are found by the same are grouped; 0 is as many as usual
	tableText int // how much text a table may have; 0 is as much as it can
}

// Build makes an index of n rules.
func Build(n int, rule func(i int) Rule, o Options) *Index {
	b := &builder{
		Index:   &Index{entry: make([]uint32, n), stops: make([]uint64, (n+63)/64), byValue: map[number][]uint32{}},
		options: o,
		makers:  map[key]*maker{},
		sets:    map[setKey]uint32{},
		limits:  map[uint8]*limits[int64]{},
		orders:  map[uint8]*limits[string]{},
		spans:   map[uint8][]bounds[int64]{},
		ranges:  map[uint8][]bounds[string]{},
		seed:    rand.Uint64(),
	}
	b.known = map[any]int64{}
	b.count(n, rule)
	p := &planner{chance: b.chance}
	for i := range n {
		r := rule(i)
		c := p.plan(r.Formula)
		b.rule(i, r, &c)
		if o.Found != nil && !c.all {
			o.Found(i, Way{Atoms: b.counted(c.atoms)})
		}
	}
	b.finish()
	return b.Index
}

// builder collects what the index is made of.
type builder struct {
	*Index
	options  Options
	seed     uint64   // so that nobody can choose texts that meet in a table
	often    []uint32 // how many rules have an equality, by its hash
	makers   map[key]*maker
	sets     map[setKey]uint32
	wanted   []wanted  // parts
	found    []posting // of parts
	limits   map[uint8]*limits[int64]
	orders   map[uint8]*limits[string]
	spans    map[uint8][]bounds[int64]
	ranges   map[uint8][]bounds[string]
	expanded int
	residual []uint32 // postings of rules that no atom serves
}

// key tells tables apart. Only tables of grams have a length, and only what no table holds is in a second one, or more.
type key struct {
	kind                  Kind
	field, length, number uint8
}

func (k key) compare(o key) int {
	return cmp.Or(cmp.Compare(k.kind, o.kind), cmp.Compare(k.field, o.field), cmp.Compare(k.length, o.length), cmp.Compare(k.number, o.number))
}

// wanted is a part that a rule looks for.
type wanted struct {
	field uint8
	text  string
	value uint32
}

type setKey struct {
	set   Set
	field uint8
}

// count estimates how many rules demand each equality, so that of two that a rule demands the rarer one is taken.
func (b *builder) count(n int, rule func(i int) Rule) {
	size := 1 << 10
	for size < 2*n {
		size *= 2
	}
	b.often = make([]uint32, size)
	for i := range n {
		f := rule(i).Formula
		for j := range f.nodes {
			n := &f.nodes[j]
			if n.kind == Equal || n.kind == Prefix {
				b.often[b.sketch(n.kind, n.field, n.text)]++
			}
			b.need(n)
		}
	}
}

func (b *builder) sketch(kind Kind, field uint8, text string) uint64 {
	return hash(b.seedOf(key{kind: kind, field: field}), text) & uint64(len(b.often)-1)
}

// counted says of each equality how many rules demand it.
func (b *builder) counted(atoms []Atom) []Atom {
	for i := range atoms {
		if a := &atoms[i]; a.Kind == Equal {
			a.Rules = int(b.often[b.sketch(Equal, a.Field, a.Text)])
		}
	}
	return atoms
}

// seedOf is where the hash of a text in a table begins.
func (b *builder) seedOf(k key) uint64 {
	return b.seed ^ (uint64(k.kind)<<16|uint64(k.field)<<8|uint64(k.length)+1)*multiplier1
}

// need notes the texts and numbers that a test looks at.
func (b *builder) need(n *node) {
	switch n.kind {
	case Equal, Prefix, Suffix, Contains, InSet, From, pattern:
		b.texts |= 1 << n.field
	case sameText:
		b.texts |= 1<<n.field | 1<<n.other
	case NumberIs, AtLeast, AtMost:
		if n.field < MaxNumbers {
			b.needs |= 1 << n.field
		} else {
			b.texts |= 1 << (n.field - MaxNumbers)
		}
	case remainder:
		b.needs |= 1 << n.field
	case textIs, textIn, textFrom, textBegins, textEnds, textHas, valueIs, valueFrom:
		v := n.valued()
		b.texts |= v.Texts
		b.needs |= v.Numbers
	case sameNumber, lessNumber, sum:
		b.needs |= 1<<n.field | 1<<n.other
	case call:
		b.texts |= uint32(n.number >> 32)
		b.needs |= uint32(n.number)
	}
}

// chance estimates how often an atom holds. It need only be good enough to tell a rare atom from a common one.
func (b *builder) chance(a *Atom) float64 {
	var same float64
	if int(a.Field) < MaxTexts {
		same = max(b.options.Texts[a.Field], 1e-7)
	}
	switch a.Kind {
	case Equal: // what many rules ask for is asked for because it is common
		return min(1, same*float64(1+b.often[b.sketch(Equal, a.Field, a.Text)]))
	case InSet:
		return min(0.5, max(same, 1e-4)*float64(a.Set.Len()))
	case Prefix:
		return min(1, max(same, 1/float64(uint64(1)<<min(4*len(a.Text), 40)))*float64(1+b.often[b.sketch(Prefix, a.Field, a.Text)]))
	case Suffix:
		return max(same, 1/float64(uint64(1)<<min(4*len(a.Text), 40)))
	case Contains:
		return min(0.6, 20*max(same, 1/float64(uint64(1)<<min(4*len(a.Text), 40))))
	case NumberIs:
		return 0.25
	}
	if a.Field >= MaxNumbers {
		return 1e-6 // nearly no text is as long as the limit of a pattern
	}
	return 0.5
}

// rule enters a rule's atoms and its program.
func (b *builder) rule(i int, r Rule, c *cover) {
	value := uint32(i) << 1
	if c.exact {
		value |= 1
	}
	if r.Stop {
		b.stops[i/64] |= 1 << (i % 64)
		b.stopping = true
	}
	b.entry[i] = noProgram
	if !c.exact {
		b.entry[i] = b.programs.add(r.Formula)
	}
	if c.all {
		b.residual = append(b.residual, value)
		return
	}
	for j := range c.atoms {
		b.atom(&c.atoms[j], value)
	}
}

func (b *builder) atom(a *Atom, value uint32) {
	switch {
	case a.Kind <= InSet:
		b.looked |= 1 << a.Field
	case a.Field >= MaxNumbers:
		b.looked |= 1 << (a.Field - MaxNumbers)
	}
	switch a.Kind {
	case Equal, Prefix, Suffix:
		b.text(key{kind: a.Kind, field: a.Field}, a.Text, value)
	case Contains:
		b.wanted = append(b.wanted, wanted{a.Field, a.Text, value})
	case InSet:
		b.set(a, value)
	case NumberIs:
		n := number{a.Field, a.Number}
		b.valued |= 1 << a.Field
		b.byValue[n] = append(b.byValue[n], value)
	case AtLeast:
		limitsOf(b.limits, a.Field).add(a.Number, true, value)
	case AtMost:
		limitsOf(b.limits, a.Field).add(a.Number+1, false, value)
	case From, Before:
		limitsOf(b.orders, a.Field).add(a.Text, a.Kind == From, value)
	case NumberSpan:
		b.spans[a.Field] = append(b.spans[a.Field], bounds[int64]{a.Number, a.Below, value})
	case TextSpan:
		b.ranges[a.Field] = append(b.ranges[a.Field], bounds[string]{a.Text, a.Before, value})
	}
}

func limitsOf[T cmp.Ordered](of map[uint8]*limits[T], field uint8) *limits[T] {
	if of[field] == nil {
		of[field] = &limits[T]{}
	}
	return of[field]
}

// text enters a text that is looked up as it is.
func (b *builder) text(k key, text string, value uint32) {
	m := b.makers[k]
	for m != nil && m.size+len(text) > cmp.Or(b.options.tableText, maxText) {
		k.number++
		m = b.makers[k]
	}
	if m == nil {
		m = &maker{}
		b.makers[k] = m
	}
	if k.kind == Prefix || k.kind == Suffix {
		if at, found := slices.BinarySearch(m.lengths, len(text)); !found {
			m.lengths = slices.Insert(m.lengths, at, len(text))
		}
	}
	m.add(hashOf(k.kind, b.seedOf(k), text), text, value)
}

// Sets of up to smallSet texts are looked up among all other texts, unless there are more than manyTexts of these in all.
const (
	smallSet  = 1 << 12
	manyTexts = 1 << 20
)

func (b *builder) set(a *Atom, value uint32) {
	k := setKey{a.Set, a.Field}
	at, ok := b.sets[k]
	if !ok {
		at = uint32(len(b.Index.sets))
		b.sets[k] = at
		b.Index.sets = append(b.Index.sets, setIndex{set: a.Set, field: a.Field})
		if n := a.Set.Len(); n <= smallSet && b.expanded+n <= manyTexts {
			b.expanded += n
			for text := range a.Set.All {
				b.text(key{kind: Equal, field: a.Field}, text, setPosting|at)
			}
		} else {
			b.large = append(b.large, at)
		}
	}
	b.Index.sets[at].rules = append(b.Index.sets[at].rules, value)
}

// farSlots is how many slots of a table lie in a small cache.
const farSlots = 1 << 16

// finish lays out what was collected.
func (b *builder) finish() {
	b.findGrams()
	b.findOpenings()
	for _, k := range slices.SortedFunc(maps.Keys(b.makers), key.compare) {
		m := b.makers[k]
		delete(b.makers, k)
		l := lookup{table: m.table(&b.lists), field: k.field, length: k.length, seed: b.seedOf(k), lengths: m.lengths}
		switch k.kind {
		case Equal:
			b.equal = append(b.equal, l)
			b.far = b.far || len(l.slots) > farSlots
		case Prefix:
			b.prefixes = append(b.prefixes, l)
		case Suffix:
			b.suffixes = append(b.suffixes, l)
		case Contains:
			b.grams = append(b.grams, l)
		}
	}
	for i, v := range b.layout(b.found, len(b.parts)) {
		b.parts[i].value = v
	}
	b.lists.postings = trimmed(b.lists.postings)
	for _, field := range slices.Sorted(maps.Keys(b.limits)) {
		if x := b.limits[field].index(field); field >= MaxNumbers {
			b.lengths = append(b.lengths, x)
		} else {
			b.Index.limits = append(b.Index.limits, x)
		}
	}
	for _, field := range slices.Sorted(maps.Keys(b.orders)) {
		b.Index.orders = append(b.Index.orders, b.orders[field].index(field))
	}
	for _, field := range slices.Sorted(maps.Keys(b.spans)) {
		b.Index.spans = append(b.Index.spans, newSpanIndex(field, b.spans[field]))
	}
	for _, field := range slices.Sorted(maps.Keys(b.ranges)) {
		b.Index.ranges = append(b.Index.ranges, newSpanIndex(field, b.ranges[field]))
	}
	b.steps, b.sums, b.values, b.refs, b.known = trimmed(b.steps), trimmed(b.sums), trimmed(b.values), trimmed(b.refs), nil
	b.openings, b.always, b.series = trimmed(b.openings), trimmed(b.always), trimmed(b.series)
	b.Index.sets = trimmed(b.Index.sets)
	b.more = b.opened > 0 || len(b.always) > 0 || len(b.byValue) > 0 || len(b.Index.limits) > 0 || len(b.Index.orders) > 0 ||
		len(b.Index.spans) > 0 || len(b.Index.ranges) > 0
}

// trimmed gives a slice without much spare room.
func trimmed[T any](s []T) []T {
	if cap(s)-len(s) <= len(s)/8 {
		return s
	}
	return append(make([]T, 0, len(s)), s...)
}
