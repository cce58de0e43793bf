package pairindex

import "slices"

// series are openings side by side that compare the same with different constants: each with a sum of the same numbers, with what is left
// of the same number, or with the same value. To go through those that hold costs far less than a look at each.
type series struct {
	kind     Kind
	field    uint8
	other    uint8
	value    *Value
	openings []uint32 // of tests by the constants that follow, in the same order
	times    []int64  // field, or what it is divided by
	others   []int64  // times other
	is       []int64
	texts    map[string]uint32 // the openings of a value
	more     map[string][]uint32
	lengths  []int // of texts that a value begins or ends with, ascending
	numbers  map[int64]uint32
	orders   limitIndex[string]
	limits   limitIndex[int64]
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
	switch s.kind {
	case sum, remainder:
	case textIs, textBegins, textEnds:
		of.ref = s.number
	case textFrom:
		of.ref = s.number
		return of, true
	case textIn:
		v := &o.values[s.number]
		of.kind, of.ref = textIs, v.ref
		if n := o.refs[v.with].(Set).Len(); n > smallSet || o.expanded+n > manyTexts {
			return of, false
		}
	case valueIs:
		of.ref = o.values[s.number].ref
	case valueFrom:
		of.ref = o.values[s.number].ref
		return of, true
	default:
		return of, false
	}
	return of, o.holds[demand]
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
	orders limits[string]
	limits limits[int64]
}

// join enters the opening of a test that must hold, or must not.
func (m *seriesMaker) join(s *step, holds bool, opening uint32) {
	switch s.kind {
	case sum, remainder:
		k := &m.sums[s.number]
		m.times, m.is = append(m.times, k.a), append(m.is, k.k)
		if s.kind == sum {
			m.others = append(m.others, k.b)
		}
		m.openings = append(m.openings, opening)
	case textIs, textFrom, textBegins, textEnds:
		m.value = m.refs[s.number].(*Value)
		if s.kind == textFrom {
			m.orders.add(s.text, holds, opening)
		} else {
			m.joinText(s.text, opening)
		}
	case textIn:
		v := &m.values[s.number]
		m.value = m.refs[v.ref].(*Value)
		set := m.refs[v.with].(Set)
		m.expanded += set.Len()
		for text := range set.All {
			m.joinText(text, opening)
		}
	case valueIs, valueFrom:
		v := &m.values[s.number]
		m.value = m.refs[v.ref].(*Value)
		if s.kind == valueFrom {
			m.limits.add(v.with, holds, opening)
		} else {
			m.joinNumber(v.with, opening)
		}
	}
}

// joinText enters one of the texts that an opening's test takes.
func (m *seriesMaker) joinText(text string, opening uint32) {
	switch _, known := m.texts[text]; {
	case !known && m.texts == nil:
		m.texts = map[string]uint32{text: opening}
	case !known:
		m.texts[text] = opening
	case m.more == nil:
		m.more = map[string][]uint32{text: {opening}}
	default:
		m.more[text] = append(m.more[text], opening)
	}
}

func (m *seriesMaker) joinNumber(k int64, opening uint32) {
	if m.numbers == nil {
		m.numbers = map[int64]uint32{}
	}
	m.numbers[k] = opening
}

// made gives the series.
func (m *seriesMaker) made() series {
	s := m.series
	s.orders, s.limits = m.orders.index(s.field), m.limits.index(s.field)
	if s.kind == textBegins || s.kind == textEnds {
		for text := range s.texts {
			s.lengths = append(s.lengths, len(text))
		}
		slices.Sort(s.lengths)
		s.lengths = trimmed(slices.Compact(s.lengths))
	}
	return s
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
		text := s.value.Text(ev)
		if i, ok := s.texts[text]; ok {
			x.goThrough(f, ev, i)
			x.goThroughAll(f, ev, s.more[text])
		}
	case textBegins, textEnds:
		x.openEnds(f, ev, s)
	case textFrom:
		from, below := s.orders.kept(s.value.Text(ev))
		x.goThroughAll(f, ev, from)
		x.goThroughAll(f, ev, below)
	case valueIs:
		if i, ok := s.numbers[int64(s.value.Number(ev))]; ok {
			x.goThrough(f, ev, i)
		}
	case valueFrom:
		from, below := s.limits.kept(int64(s.value.Number(ev)))
		x.goThroughAll(f, ev, from)
		x.goThroughAll(f, ev, below)
	}
}

// openEnds goes through the openings of what a value begins, or ends, with.
func (x *Index) openEnds(f *Found, ev *Event, s *series) {
	text := s.value.Text(ev)
	for _, n := range s.lengths {
		if n > len(text) {
			return
		}
		end := text[:n]
		if s.kind == textEnds {
			end = text[len(text)-n:]
		}
		if i, ok := s.texts[end]; ok {
			x.goThrough(f, ev, i)
		}
	}
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

func (x *Index) goThroughAll(f *Found, ev *Event, openings []uint32) {
	for _, i := range openings {
		x.goThrough(f, ev, i)
	}
}
