package pairindex

import (
	"cmp"
	"maps"
	"slices"
)

// opening is a test that rules demand which no atom serves, and the postings of those that go on where it holds, or where it does
// not. Thousands of rules often demand the same, and then one test stands for them all. What many of those that go on demand besides
// are the openings that follow, up to next: they are looked at only where this one goes the rules' way.
type opening struct {
	step   uint32 // one that is such a test, or the number of a series
	holds  bool
	series bool // what follows up to next are a series
	value  uint32
	next   uint32
}

// Openings lie at most so many deep in each other, and within others only where so many rules share one, or where few events go its way.
const (
	maxOpenings = 4
	manyOpen    = 4
)

// manyFound is how many rules that are found by the same, and have more to ask, are put under openings.
const manyFound = 16

// demand is what tells openings apart.
type demand struct {
	test  step // without where to go on
	holds bool
}

// openable is a rule that no atom serves.
type openable struct {
	posting uint32
	demands []uint32 // their numbers
	all     bool     // it demands nothing else
}

// opener makes openings.
type opener struct {
	*builder
	numbers map[demand]uint32
	steps   []uint32 // by number: one that is such a test
	holds   []bool
	path    []bool // by number: it is on the path to where openings are made
	shared  []int  // by number: how many of some rules have the demand
	found   []posting
	hot     []hotRules
	telling bool // how rules are found
}

// hotRules are found by the same. put takes the postings that stand for them.
type hotRules struct {
	rules []openable
	put   func(posting uint32)
}

// findOpenings enters each rule that no atom serves under those of its demands which most of them share, or among those that are run
// for every event. Rules that very many share an atom with are entered under what else these share, apart from all others.
func (b *builder) findOpenings() {
	o := &opener{builder: b, numbers: map[demand]uint32{}}
	rules := o.openables(b.residual)
	b.residual = nil
	o.findHot()
	o.path, o.shared = make([]bool, len(o.steps)), make([]int, len(o.steps))
	o.telling = b.options.Found != nil
	for _, r := range o.open(rules, 0, Way{Manner: Alone}) {
		b.always = append(b.always, r.posting)
		o.tell(r, Way{Manner: Alone})
	}
	o.telling = false // the others are found by atoms
	b.opened = uint32(len(b.openings))
	for _, h := range o.hot {
		begin := uint32(len(b.openings))
		for _, r := range o.open(h.rules, 0, Way{}) {
			h.put(r.posting)
		}
		if end := uint32(len(b.openings)); end > begin {
			h.put(openPosting | uint32(len(b.groups)))
			b.groups = append(b.groups, group{begin, end})
		}
	}
	for i, v := range b.layout(o.found, len(b.openings)) {
		b.openings[i].value = v
	}
}

// findHot takes the rules that are found by what very many are found by from where these are entered.
func (o *opener) findHot() {
	for _, k := range slices.SortedFunc(maps.Keys(o.makers), key.compare) {
		if k.kind != Contains { // whose values are no postings
			o.hotTexts(o.makers[k])
		}
	}
	for i := range o.Index.sets {
		rules := &o.Index.sets[i].rules
		*rules = o.takeHot(*rules, func(v uint32) { *rules = append(*rules, v) })
	}
	for n, rules := range o.byValue {
		o.byValue[n] = o.takeHot(rules, func(v uint32) { o.byValue[n] = append(o.byValue[n], v) })
	}
}

func (o *opener) hotTexts(m *maker) {
	counts := make([]int, len(m.entries))
	for _, p := range m.postings {
		counts[p.entry]++
	}
	found := map[uint32][]uint32{}
	kept := m.postings[:0]
	for _, p := range m.postings {
		if counts[p.entry] < o.manyFound() {
			kept = append(kept, p)
		} else {
			found[p.entry] = append(found[p.entry], p.value)
		}
	}
	m.postings = kept
	for _, entry := range slices.Sorted(maps.Keys(found)) {
		put := func(v uint32) { m.postings = append(m.postings, posting{entry, v}) }
		for _, v := range o.takeHot(found[entry], put) {
			put(v)
		}
	}
}

// takeHot gives the postings that are to stay as they are.
func (o *opener) takeHot(postings []uint32, put func(uint32)) (kept []uint32) {
	var more []uint32
	for _, v := range postings {
		if v < setPosting && v&1 == 0 { // a rule that demands more
			more = append(more, v)
		} else {
			kept = append(kept, v)
		}
	}
	if len(more) < o.manyFound() {
		return postings
	}
	o.hot = append(o.hot, hotRules{o.openables(more), put})
	return kept
}

func (o *opener) manyFound() int { return cmp.Or(o.options.manyFound, manyFound) }

func (o *opener) openables(postings []uint32) []openable {
	rules := make([]openable, len(postings))
	for i, v := range postings {
		rules[i] = o.openable(v)
	}
	return rules
}

// open makes the openings of rules below those of a path, and gives the rules that have no demand besides which is worth one. way is how
// rules on the path are found.
func (o *opener) open(rules []openable, depth int, way Way) (rest []openable) {
	few := 1
	if depth > 0 {
		few = manyOpen
	}
	if len(rules) < few || depth == maxOpenings {
		return rules
	}
	alike := map[seriesOf]int{} // how many have a demand of a series of limits
	for _, r := range rules {
		for _, d := range r.demands {
			o.shared[d]++
			if of, ok := o.limitOf(d); ok {
				alike[of]++
			}
		}
	}
	var order []uint32 // in which they came first
	under := map[uint32][]openable{}
	for _, r := range rules {
		best, most := uint32(0), 0
		for _, d := range r.demands {
			if n := o.worth(d, alike); n > most && !o.path[d] {
				best, most = d, n
			}
		}
		if most < 2*few {
			rest = append(rest, r)
			continue
		}
		if under[best] == nil {
			order = append(order, best)
		}
		under[best] = append(under[best], r)
	}
	for _, r := range rules {
		for _, d := range r.demands {
			o.shared[d] = 0
		}
	}
	o.inSeries(order, under, func(d uint32, by Way) {
		o.enter(d, under[d], depth, by.or(way).or(o.wayThrough(d, len(under[d]))))
	})
	return rest
}

// worth is twice how many rules share a demand, and somewhat more where few events go its way. What looks alike in many rules is worth as
// much as if it were shared, and so is a demand that few events go the way of: it may be the one that ends its rule.
func (o *opener) worth(demand uint32, alike map[seriesOf]int) int {
	n := 2 * o.shared[demand]
	if o.seldom(demand) {
		return max(n, 2*manyOpen) + 1
	}
	if of, ok := o.limitOf(demand); ok && alike[of] >= manyOpen {
		return max(n, 2*manyOpen)
	}
	return n
}

// enter makes the opening of rules that share a demand, and those within it.
func (o *opener) enter(demand uint32, rules []openable, depth int, way Way) {
	n := uint32(len(o.openings))
	o.openings = append(o.openings, opening{step: o.steps[demand], holds: o.holds[demand]})
	o.path[demand] = true
	for _, r := range o.open(rules, depth+1, way) {
		o.tell(r, way)
		if r.all && !slices.ContainsFunc(r.demands, func(d uint32) bool { return !o.path[d] }) {
			r.posting |= 1 // it demands nothing but the path
		}
		o.found = append(o.found, posting{n, r.posting})
	}
	o.path[demand] = false
	o.openings[n].next = uint32(len(o.openings))
}

// seldom tells that few events go the way of a demand.
func (o *opener) seldom(demand uint32) bool {
	switch o.builder.steps[o.steps[demand]].kind {
	case AtLeast, AtMost, From, lessNumber, textFrom, valueFrom, call:
		return false
	}
	return o.holds[demand]
}

// openable finds each test that must go one way for a rule to match or to fail, if it costs little.
func (o *opener) openable(posting uint32) openable {
	r := openable{posting: posting}
	entry := o.entry[posting>>1]
	if entry == noProgram {
		return r
	}
	r.all = true
	for at := entry; ; at++ {
		s := o.builder.steps[at]
		holds := s.no == reject
		if !holds && s.yes != reject || s.kind == pattern || s.kind == opaque {
			r.all = false
			return r
		}
		next := s.next(holds)
		if s.kind <= call {
			s.yes, s.no = 0, 0
			r.demands = append(r.demands, o.number(demand{s, holds}, at))
		} else {
			r.all = false
		}
		if uint32(next) != at-entry+1 { // not one after the other, or the end
			r.all = r.all && next == accept
			return r
		}
	}
}

// number gives a demand's number.
func (o *opener) number(d demand, at uint32) uint32 {
	n, ok := o.numbers[d]
	if !ok {
		n = uint32(len(o.steps))
		o.numbers[d] = n
		o.steps, o.holds = append(o.steps, at), append(o.holds, d.holds)
	}
	return n
}
