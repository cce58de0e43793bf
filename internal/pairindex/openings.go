package pairindex

import "slices"

// opening is a test that rules demand which no atom serves, and the postings of those that go on where it holds, or where it does
// not. Thousands of rules often demand the same, and then one test stands for them all. What many of those that go on demand besides
// are the openings that follow, up to next: they are looked at only where this one goes the rules' way.
type opening struct {
	step  uint32 // one that is such a test
	holds bool
	value uint32
	next  uint32
}

// Openings lie at most so many deep in each other, and within others only where so many rules share one, or where few events go its way.
const (
	maxOpenings = 4
	manyOpen    = 4
)

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
}

// findOpenings enters each rule that no atom serves under those of its demands which most of them share, or among those that are run
// for every event.
func (b *builder) findOpenings() {
	o := &opener{builder: b, numbers: map[demand]uint32{}}
	rules := make([]openable, len(b.residual))
	for i, v := range b.residual {
		rules[i] = o.openable(v)
	}
	b.residual = nil
	o.path, o.shared = make([]bool, len(o.steps)), make([]int, len(o.steps))
	for _, r := range o.open(rules, 0) {
		b.always = append(b.always, r.posting)
	}
	for i, v := range b.layout(o.found, len(b.openings)) {
		b.openings[i].value = v
	}
}

// open makes the openings of rules below those of a path, and gives the rules that have no demand besides which is worth one.
func (o *opener) open(rules []openable, depth int) (rest []openable) {
	few := 1
	if depth > 0 {
		few = manyOpen
	}
	if len(rules) < few || depth == maxOpenings {
		return rules
	}
	for _, r := range rules {
		for _, d := range r.demands {
			o.shared[d]++
		}
	}
	var order []uint32 // in which they came first
	under := map[uint32][]openable{}
	for _, r := range rules {
		best, most := uint32(0), 0
		for _, d := range r.demands {
			n := o.shared[d]
			if o.seldom(d) { // of those that are a rule's alone it may be the one that ends it
				n = max(n, manyOpen)
			}
			if n > most && !o.path[d] {
				best, most = d, n
			}
		}
		if most < few {
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
	for _, d := range order {
		n := uint32(len(o.openings))
		o.openings = append(o.openings, opening{step: o.steps[d], holds: o.holds[d]})
		o.path[d] = true
		for _, r := range o.open(under[d], depth+1) {
			if r.all && !slices.ContainsFunc(r.demands, func(d uint32) bool { return !o.path[d] }) {
				r.posting |= 1 // it demands nothing but the path
			}
			o.found = append(o.found, posting{n, r.posting})
		}
		o.path[d] = false
		o.openings[n].next = uint32(len(o.openings))
	}
	return rest
}

// seldom tells that few events go the way of a demand.
func (o *opener) seldom(demand uint32) bool {
	switch o.builder.steps[o.steps[demand]].kind {
	case AtLeast, AtMost, lessNumber, call:
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
