package pairindex

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
	numbers  map[int64]uint32
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
		o.series = append(o.series, series{kind: of.kind, field: of.field, other: of.other})
		for _, d := range members[of] {
			at := uint32(len(o.openings))
			enter(d, way)
			o.join(&o.series[n], &o.builder.steps[o.steps[d]], at)
		}
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
	case textIs:
		of.ref = s.number
	case textIn:
		v := &o.values[s.number]
		of.kind, of.ref = textIs, v.ref
		if n := o.refs[v.with].(Set).Len(); n > smallSet || o.expanded+n > manyTexts {
			return of, false
		}
	case valueIs:
		of.ref = o.values[s.number].ref
	default:
		return of, false
	}
	return of, o.holds[demand]
}

// join enters the opening of a test.
func (b *builder) join(to *series, s *step, opening uint32) {
	switch s.kind {
	case sum, remainder:
		k := &b.sums[s.number]
		to.times, to.is = append(to.times, k.a), append(to.is, k.k)
		if s.kind == sum {
			to.others = append(to.others, k.b)
		}
		to.openings = append(to.openings, opening)
	case textIs:
		to.value = b.refs[s.number].(*Value)
		to.joinText(s.text, opening)
	case textIn:
		v := &b.values[s.number]
		to.value = b.refs[v.ref].(*Value)
		set := b.refs[v.with].(Set)
		b.expanded += set.Len()
		for text := range set.All {
			to.joinText(text, opening)
		}
	case valueIs:
		v := &b.values[s.number]
		to.value = b.refs[v.ref].(*Value)
		if to.numbers == nil {
			to.numbers = map[int64]uint32{}
		}
		to.numbers[v.with] = opening
	}
}

// joinText enters one of the texts that an opening's test takes.
func (to *series) joinText(text string, opening uint32) {
	switch _, known := to.texts[text]; {
	case !known && to.texts == nil:
		to.texts = map[string]uint32{text: opening}
	case !known:
		to.texts[text] = opening
	case to.more == nil:
		to.more = map[string][]uint32{text: {opening}}
	default:
		to.more[text] = append(to.more[text], opening)
	}
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
			for _, i := range s.more[text] {
				x.goThrough(f, ev, i)
			}
		}
	case valueIs:
		if i, ok := s.numbers[int64(s.value.Number(ev))]; ok {
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
