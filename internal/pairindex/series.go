package pairindex

// series are openings side by side that compare the same with different constants: each with a sum of the same numbers, with what is left
// of the same number, or with the same value. To go through those that hold costs far less than a look at each.
type series struct {
	kind     Kind
	field    uint8
	other    uint8
	openings []uint32 // of tests by the constants that follow, in the same order
	times    []int64  // field, or what it is divided by
	others   []int64  // times other
	is       []int64
	value    *Value
	index    *Index // of a value: what the openings ask of it, as rules about an event that has nothing else
}

// seriesOf tells series apart.
type seriesOf struct {
	kind         Kind
	field, other uint8
	ref          int64
}

// inSeries enters demands, those that make a series behind one opening that stands for them all. enter is told how rules under a
// demand are found by that.
func (o *opener) inSeries(demands []uint32, under map[uint32][]openable, enter func(demand uint32, way Way)) {
	var order []seriesOf
	members := map[seriesOf][]uint32{}
	for _, d := range demands {
		of, ok := o.seriesOf(d)
		if !ok {
			enter(d, Way{Manner: Alone})
			continue
		}
		if members[of] == nil {
			order = append(order, of)
		}
		members[of] = append(members[of], d)
	}
	for _, of := range order {
		way := o.wayOf(of)
		if len(members[of]) < manyOpen {
			for _, d := range members[of] {
				enter(d, Way{Manner: Alone, Value: way.Value})
			}
			continue
		}
		for _, d := range members[of] {
			way.Rules += len(under[d])
		}
		first, n := len(o.openings), len(o.series)
		o.openings = append(o.openings, opening{step: uint32(n), series: true})
		o.series = append(o.series, series{})
		m := seriesMaker{builder: o.builder, series: series{kind: of.kind, field: of.field, other: of.other}}
		for _, d := range members[of] {
			at := uint32(len(o.openings))
			enter(d, way)
			m.join(&o.builder.steps[o.steps[d]], o.holds[d], at)
		}
		o.series[n] = m.made()
		o.openings[first].next = uint32(len(o.openings))
	}
}

// wayOf is how rules in a series are found.
func (o *opener) wayOf(of seriesOf) Way {
	switch of.kind {
	case sum, remainder:
		return Way{Manner: OnePass}
	}
	return Way{Manner: LookedUp, Value: o.refs[of.ref].(*Value).Key}
}

// seriesOf tells which series a demand belongs to.
func (o *opener) seriesOf(demand uint32) (of seriesOf, ok bool) {
	s := &o.builder.steps[o.steps[demand]]
	of = seriesOf{kind: s.kind, field: s.field, other: s.other}
	holds := o.holds[demand]
	switch s.kind {
	case sum, remainder:
	case textIs, textBegins, textEnds, textHas, textFrom:
		of.kind, of.ref = textIs, s.number
		holds = holds || s.kind == textFrom
	case textIn:
		v := &o.values[s.number]
		of.kind, of.ref = textIs, v.ref
		if n := o.refs[v.with].(Set).Len(); n > smallSet || o.expanded+n > manyTexts {
			return of, false
		}
	case valueIs, valueFrom:
		of.kind, of.ref = valueIs, o.values[s.number].ref
		holds = holds || s.kind == valueFrom
	default:
		return of, false
	}
	return of, holds
}

// limitOf tells which series of limits a demand belongs to.
func (o *opener) limitOf(demand uint32) (of seriesOf, ok bool) {
	switch o.builder.steps[o.steps[demand]].kind {
	case textFrom, valueFrom:
		return o.seriesOf(demand)
	}
	return of, false
}

// seriesMaker collects what a series is made of.
type seriesMaker struct {
	*builder
	series
	rules []Formula // about a value
}

// join enters the opening of a test that must hold, or must not.
func (m *seriesMaker) join(s *step, holds bool, opening uint32) {
	m.openings = append(m.openings, opening)
	if s.kind == sum || s.kind == remainder {
		k := &m.sums[s.number]
		m.times, m.is = append(m.times, k.a), append(m.is, k.k)
		if s.kind == sum {
			m.others = append(m.others, k.b)
		}
		return
	}
	f := m.about(s)
	if !holds {
		f = Not(f)
	}
	m.rules = append(m.rules, f)
}

// about is a test of a value as one of the first text, or number, of an event.
func (m *seriesMaker) about(s *step) Formula {
	ref := s.number
	if s.kind == textIn || s.kind == valueIs || s.kind == valueFrom {
		ref = m.values[s.number].ref
	}
	m.value = m.refs[ref].(*Value)
	switch s.kind {
	case textIn:
		set := m.refs[m.values[s.number].with].(Set)
		m.expanded += set.Len()
		return In(0, set)
	case valueIs:
		return Number(NumberIs, 0, m.values[s.number].with)
	case valueFrom:
		return Number(AtLeast, 0, m.values[s.number].with)
	}
	return Text(plainKind[s.kind], 0, s.text)
}

// plainKind is the kind of the same test of an event's own text.
var plainKind = map[Kind]Kind{textIs: Equal, textFrom: From, textBegins: Prefix, textEnds: Suffix, textHas: Contains}

// made gives the series.
func (m *seriesMaker) made() series {
	if m.value != nil {
		m.index = Build(len(m.rules), func(i int) Rule { return Rule{Formula: m.rules[i]} }, Options{})
	}
	return m.series
}

// openSeries goes through those openings of a series whose tests hold.
func (x *Index) openSeries(f *Found, ev *Event, s *series) {
	switch s.kind {
	case sum:
		a, b := ev.Numbers[s.field], ev.Numbers[s.other]
		others, is := s.others[:len(s.times)], s.is[:len(s.times)]
		for i, times := range s.times {
			if times*a+others[i]*b == is[i] {
				x.goThrough(f, ev, s.openings[i])
			}
		}
	case remainder:
		a, is := ev.Numbers[s.field], s.is[:len(s.times)]
		for i, divisor := range s.times {
			if left(a, divisor) == is[i] {
				x.goThrough(f, ev, s.openings[i])
			}
		}
	case textIs:
		in := f.scratch.within()
		in.event.Texts[0] = s.value.Text(ev)
		x.openFound(f, ev, s, in)
	case valueIs:
		in := f.scratch.within()
		in.event.Numbers[0] = int64(s.value.Number(ev))
		x.openFound(f, ev, s, in)
	}
}

// openFound goes through the openings that an event made of a value is found for.
func (x *Index) openFound(f *Found, ev *Event, s *series, in *inner) {
	begin := len(in.hits)
	in.hits = s.index.Find(in.hits, &in.event, &in.scratch)
	for i := begin; i < len(in.hits); i++ { // of which some may lead to series within, that leave it as it is
		x.goThrough(f, ev, s.openings[in.hits[i].Rule])
	}
	in.hits = in.hits[:begin]
}

// inner is what series of values are looked up in.
type inner struct {
	event   Event
	scratch Scratch
	hits    []Hit
}

func (s *Scratch) within() *inner {
	if s.inner == nil {
		s.inner = &inner{}
	}
	return s.inner
}

// left is a % divisor: of small numbers, as nearly all are, in a fraction of the time.
func left(a, divisor int64) int64 {
	if uint64(a|divisor) < 1<<32 {
		return int64(uint32(a) % uint32(divisor))
	}
	return a % divisor
}

// goThrough adds the postings of an opening whose test went its way, and of those within.
func (x *Index) goThrough(f *Found, ev *Event, i uint32) {
	o := &x.openings[i]
	x.add(f, o.value)
	x.open(f, ev, i+1, o.next)
}
