package pairindex

import (
	"cmp"
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
	// Found is told, rule by rule, which atoms the rule is found by; none, and whether it is looked at for every event. Nil is told
	// nothing.
	Found func(rule int, by []Atom, always bool)
}

// Build makes an index of n rules.
func Build(n int, rule func(i int) Rule, o Options) *Index {
	b := &builder{
		Index:   &Index{entry: make([]uint32, n), stops: make([]uint64, (n+63)/64), byValue: map[number][]uint32{}},
		options: o,
		sets:    map[setKey]uint32{},
		limits:  map[uint8]*limits{},
	}
	b.known = map[any]int64{}
	b.count(n, rule)
	p := &planner{chance: b.chance}
	for i := range n {
		r := rule(i)
		c := p.plan(r.Formula)
		b.rule(i, r, &c)
		if o.Found != nil {
			o.Found(i, c.atoms, c.all)
		}
	}
	b.finish()
	return b.Index
}

// builder collects what the index is made of.
type builder struct {
	*Index
	options  Options
	often    []uint32 // how many rules have an equality, by its hash
	postings []posting
	sets     map[setKey]uint32
	wanted   []wanted  // parts
	found    []posting // of parts
	limits   map[uint8]*limits
	expanded int
}

// posting says that a text of the table leads to a value.
type posting struct{ entry, value uint32 }

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

// limits are those of one number as they come.
type limits struct{ least, most []limit }

type limit struct {
	k     int64
	value uint32
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
	return hashOf(key(kind, field), text) & uint64(len(b.often)-1)
}

// need notes the texts and numbers that a test looks at.
func (b *builder) need(n *node) {
	switch n.kind {
	case Equal, Prefix, Suffix, Contains, InSet, pattern:
		b.texts |= 1 << n.field
	case sameText:
		b.texts |= 1<<n.field | 1<<n.other
	case NumberIs, AtLeast, AtMost:
		if n.field < MaxNumbers {
			b.needs |= 1 << n.field
		} else {
			b.texts |= 1 << (n.field - MaxNumbers)
		}
	case sameNumber, lessNumber:
		b.needs |= 1<<n.field | 1<<n.other
	case call:
		b.texts |= 1<<MaxTexts - 1
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
	}
	b.entry[i] = noProgram
	if !c.exact {
		b.entry[i] = b.programs.add(r.Formula)
	}
	if c.all {
		b.always = append(b.always, residual{value, b.entry[i]})
		return
	}
	for j := range c.atoms {
		b.atom(&c.atoms[j], value)
	}
}

func (b *builder) atom(a *Atom, value uint32) {
	switch a.Kind {
	case Equal, Prefix, Suffix:
		b.text(a.Kind, a.Field, a.Text, value)
	case Contains:
		b.wanted = append(b.wanted, wanted{a.Field, a.Text, value})
	case InSet:
		b.set(a, value)
	case NumberIs:
		n := number{a.Field, a.Number}
		b.valued |= 1 << a.Field
		b.byValue[n] = append(b.byValue[n], value)
	default:
		l := b.limits[a.Field]
		if l == nil {
			l = &limits{}
			b.limits[a.Field] = l
		}
		if a.Kind == AtLeast {
			l.least = append(l.least, limit{a.Number, value})
		} else {
			l.most = append(l.most, limit{a.Number, value})
		}
	}
}

// text enters a text that is looked up as it is.
func (b *builder) text(kind Kind, field uint8, text string, value uint32) {
	k := key(kind, field)
	switch kind {
	case Equal:
		b.equal = withLength(b.equal, field, k, 0)
	case Prefix:
		b.prefixes = withLength(b.prefixes, field, k, len(text))
	case Suffix:
		b.suffixes = withLength(b.suffixes, field, k, len(text))
	}
	entry := b.table.add(hashOf(k, text), k, text)
	b.postings = append(b.postings, posting{uint32(entry), value})
}

// withLength notes that texts of a length are looked up under a key.
func withLength(ls []lookup, field uint8, key uint16, n int) []lookup {
	i := slices.IndexFunc(ls, func(l lookup) bool { return l.key == key })
	if i < 0 {
		i = len(ls)
		ls = append(ls, lookup{field: field, key: key, seed: seed(key)})
	}
	if at, found := slices.BinarySearch(ls[i].lengths, n); !found {
		ls[i].lengths = slices.Insert(ls[i].lengths, at, n)
	}
	return ls
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
		s := setIndex{set: a.Set, field: a.Field}
		if n := a.Set.Len(); n <= smallSet && b.expanded+n <= manyTexts {
			s.expanded = true
			b.expanded += n
			for text := range a.Set.All {
				b.text(Equal, a.Field, text, setPosting|at)
			}
		}
		b.Index.sets = append(b.Index.sets, s)
	}
	b.Index.sets[at].rules = append(b.Index.sets[at].rules, value)
}

// finish lays out what was collected.
func (b *builder) finish() {
	b.findGrams()
	b.table.seal()
	b.layout(b.postings, len(b.table.entries), func(i int) *list { return &b.table.entries[i].list })
	b.layout(b.found, len(b.parts), func(i int) *list { return &b.parts[i].list })
	b.lists = trimmed(b.lists)
	for _, field := range sortedKeys(b.limits) {
		l := b.limits[field]
		x := limitIndex{field: field}
		x.atLeast, x.leastRules = ascending(l.least)
		x.atMost, x.rules = ascending(l.most)
		b.Index.limits = append(b.Index.limits, x)
	}
	b.steps, b.refs, b.known = trimmed(b.steps), trimmed(b.refs), nil
	b.always = trimmed(b.always)
	b.Index.sets = trimmed(b.Index.sets)
}

func sortedKeys[V any](m map[uint8]V) []uint8 {
	var keys []uint8
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

func ascending(ls []limit) (ks []int64, values []uint32) {
	slices.SortFunc(ls, func(a, b limit) int { return cmp.Or(cmp.Compare(a.k, b.k), cmp.Compare(a.value, b.value)) })
	for _, l := range ls {
		ks, values = append(ks, l.k), append(values, l.value)
	}
	return trimmed(ks), trimmed(values)
}

// layout puts the postings of each text, or part, one after the other, in the order of the rules.
func (b *builder) layout(postings []posting, n int, at func(int) *list) {
	ends := make([]uint32, n+1)
	for _, p := range postings {
		ends[p.entry+1]++
	}
	for i := 1; i <= n; i++ {
		ends[i] += ends[i-1]
	}
	sorted := make([]uint32, len(postings))
	next := slices.Clone(ends)
	for _, p := range postings {
		sorted[next[p.entry]] = p.value
		next[p.entry]++
	}
	for i := range n {
		values := sorted[ends[i]:ends[i+1]]
		if len(values) == 1 {
			*at(i) = list{at: values[0]}
			continue
		}
		*at(i) = list{at: uint32(len(b.lists)), many: true}
		b.lists = append(append(b.lists, uint32(len(values))), values...)
	}
}
