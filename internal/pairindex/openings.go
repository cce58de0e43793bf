package pairindex

// opening is a test that rules demand which no atom serves, and the posting of those that go on where it holds, or where it does
// not. Thousands of rules often demand the same, and then one test stands for them all.
type opening struct {
	step  uint32 // one that is such a test
	holds bool
	value uint32
}

// demand is what tells openings apart.
type demand struct {
	test  step // without where to go on
	holds bool
}

// findOpenings enters each rule that no atom serves under that one of its demands which most of them share, or among those that are
// run for every event.
func (b *builder) findOpenings() {
	shared := map[demand]int{}
	for _, v := range b.residual {
		b.demands(v, func(_ uint32, d demand) { shared[d]++ })
	}
	numbers := map[demand]uint32{}
	var found []posting
	for _, v := range b.residual {
		var best demand
		var at uint32
		most := 0
		b.demands(v, func(step uint32, d demand) {
			if shared[d] > most {
				best, at, most = d, step, shared[d]
			}
		})
		if most == 0 {
			b.always = append(b.always, v)
			continue
		}
		n, ok := numbers[best]
		if !ok {
			n = uint32(len(b.openings))
			numbers[best] = n
			b.openings = append(b.openings, opening{step: at, holds: best.holds})
		}
		if b.steps[at].next(best.holds) == accept && at == b.entry[v>>1] {
			v |= 1 // it demands nothing else
		}
		found = append(found, posting{n, v})
	}
	for i, v := range b.layout(found, len(b.openings)) {
		b.openings[i].value = v
	}
	b.residual = nil
}

// demands calls f for each test that must go one way for the rule to match or to fail, if it costs little.
func (b *builder) demands(posting uint32, f func(step uint32, d demand)) {
	entry := b.entry[posting>>1]
	if entry == noProgram {
		return
	}
	for at := entry; ; at++ {
		s := b.steps[at]
		holds := s.no == reject
		if !holds && s.yes != reject || s.kind == pattern || s.kind == opaque {
			return
		}
		next := s.next(holds)
		if s.kind <= lessNumber {
			s.yes, s.no = 0, 0
			f(at, demand{s, holds})
		}
		if uint32(next) != at-entry+1 { // not one after the other, or the end
			return
		}
	}
}
