package pairindex

import (
	"slices"
	"sort"
	"strings"
)

// Scratch is memory that Find works in. It is for one goroutine at a time, and may be used with any index.
type Scratch struct {
	candidates []uint32
	bits       []uint64
	seen       []uint32 // by part: the search that found it last
	search     uint32
}

// begin readies the scratch for another search.
func (s *Scratch) begin(parts int) {
	if len(s.seen) < parts {
		s.seen = make([]uint32, parts)
	}
	if s.search++; s.search == 0 {
		clear(s.seen)
		s.search = 1
	}
}

// Find appends to dst the rules that match the event and those on which the caller must decide, in order, up to the first sure one
// that stops. It allocates nothing once dst and the scratch are large enough.
func (x *Index) Find(dst []Hit, ev *Event, s *Scratch) []Hit {
	s.begin(len(x.parts))
	found := x.candidates(s.candidates[:0], ev, s)
	s.candidates = found[:0]
	if len(found) > 1 {
		found = s.ordered(found, len(x.entry))
	}
	always := x.always
	for {
		switch {
		case len(found) == 0 && len(always) == 0:
			return dst
		case len(always) == 0 || len(found) > 0 && found[0] < always[0].posting:
			v := found[0]
			found = found[1:]
			for len(found) > 0 && found[0]>>1 == v>>1 { // found by several atoms
				v |= found[0]
				found = found[1:]
			}
			var stop bool
			if dst, stop = x.hit(dst, v, ev); stop {
				return dst
			}
		default:
			until := uint32(1<<32 - 1)
			if len(found) > 0 {
				until = found[0]
			}
			var n int
			var stop bool
			if dst, n, stop = x.residual(dst, always, until, ev); stop {
				return dst
			}
			always = always[n:]
		}
	}
}

// residual looks at the rules that no atom serves, up to another. The first test of most decides, so it is done here.
func (x *Index) residual(dst []Hit, always []residual, until uint32, ev *Event) (hits []Hit, n int, stop bool) {
	for i, r := range always {
		if r.posting >= until {
			return dst, i, false
		}
		verdict := uint16(accept)
		if r.posting&1 == 0 {
			first := &x.steps[r.entry]
			var holds bool
			switch first.kind {
			case NumberIs:
				holds = ev.Numbers[first.field&(MaxNumbers-1)] == first.number
			case Equal:
				holds = ev.Texts[first.field&(MaxTexts-1)] == first.text
			default:
				goto run
			}
			if holds && first.yes == reject || !holds && first.no == reject {
				continue
			}
		run:
			if verdict = x.run(r.entry, ev); verdict == reject {
				continue
			}
		}
		dst = append(dst, Hit{int(r.posting >> 1), verdict == accept})
		if verdict == accept && x.stopsAt(r.posting>>1) {
			return dst, i, true
		}
	}
	return dst, len(always), false
}

// hit appends the rule of a posting if its program does not reject it. stop tells that nothing after it counts.
func (x *Index) hit(dst []Hit, v uint32, ev *Event) (hits []Hit, stop bool) {
	verdict := uint16(accept)
	if v&1 == 0 {
		if verdict = x.run(x.entry[v>>1], ev); verdict == reject {
			return dst, false
		}
	}
	return append(dst, Hit{int(v >> 1), verdict == accept}), verdict == accept && x.stopsAt(v>>1)
}

func (x *Index) stopsAt(rule uint32) bool { return x.stops[rule/64]>>(rule%64)&1 != 0 }

// ordered sorts postings. Where there are very many it goes over a bit for each possible one.
func (s *Scratch) ordered(found []uint32, rules int) []uint32 {
	if slices.IsSorted(found) {
		return found
	}
	if len(found) < 256 || len(found) < rules/32 {
		slices.Sort(found)
		return found
	}
	words := (2*rules + 63) / 64
	if len(s.bits) < words {
		s.bits = make([]uint64, words)
	}
	for _, v := range found {
		s.bits[v/64] |= 1 << (v % 64)
	}
	found = found[:0]
	for i, w := range s.bits[:words] {
		if w == 0 {
			continue
		}
		s.bits[i] = 0
		for bit := uint32(0); w != 0; bit, w = bit+1, w>>1 {
			if w&1 != 0 {
				found = append(found, uint32(i)*64+bit)
			}
		}
	}
	return found
}

// candidates appends the postings of all atoms that hold.
func (x *Index) candidates(to []uint32, ev *Event, s *Scratch) []uint32 {
	for i := range x.equal {
		l := &x.equal[i]
		text := ev.Texts[l.field&(MaxTexts-1)]
		if e := x.table.find(hash(l.seed, text), l.key, text); e != nil {
			to = x.values(to, e.list)
		}
	}
	for i := range x.prefixes {
		to = x.beginnings(to, &x.prefixes[i], ev.Texts[x.prefixes[i].field])
	}
	for i := range x.suffixes {
		to = x.ends(to, &x.suffixes[i], ev.Texts[x.suffixes[i].field])
	}
	for i := range x.grams {
		to = x.within(to, &x.grams[i], ev.Texts[x.grams[i].field], s)
	}
	for i := range x.sets {
		if set := &x.sets[i]; !set.expanded && set.set.Has(ev.Texts[set.field]) {
			to = append(to, set.rules...)
		}
	}
	if len(x.byValue) > 0 {
		to = x.numbers(to, ev)
	}
	for i := range x.limits {
		l := &x.limits[i]
		v := ev.number(l.field)
		if len(l.atLeast) > 0 && l.atLeast[0] <= v {
			n := sort.Search(len(l.atLeast), func(i int) bool { return l.atLeast[i] > v })
			to = append(to, l.leastRules[:n]...)
		}
		if len(l.atMost) > 0 && l.atMost[len(l.atMost)-1] >= v {
			n := sort.Search(len(l.atMost), func(i int) bool { return l.atMost[i] >= v })
			to = append(to, l.rules[n:]...)
		}
	}
	return to
}

// values appends a posting list.
func (x *Index) values(to []uint32, l list) []uint32 {
	if !l.many {
		return x.value(to, l.at)
	}
	for _, v := range x.lists[l.at+1:][:x.lists[l.at]] {
		to = x.value(to, v)
	}
	return to
}

func (x *Index) value(to []uint32, v uint32) []uint32 {
	if v&setPosting != 0 {
		return append(to, x.sets[v&^setPosting].rules...)
	}
	return append(to, v)
}

// beginnings looks up the beginnings of a text, of every length that occurs, in one pass.
func (x *Index) beginnings(to []uint32, l *lookup, text string) []uint32 {
	h, done := l.seed, 0
	for _, length := range l.lengths {
		if length > len(text) {
			break
		}
		for ; done+8 <= length; done += 8 {
			h = stir(h^load8(text[done:]), multiplier1)
		}
		if e := x.table.find(finish(h, text[done:length], length), l.key, text[:length]); e != nil {
			to = x.values(to, e.list)
		}
	}
	return to
}

// ends looks up the ends of a text.
func (x *Index) ends(to []uint32, l *lookup, text string) []uint32 {
	h, done := l.seed, 0
	for _, length := range l.lengths {
		if length > len(text) {
			break
		}
		end := text[len(text)-length:]
		for ; done+8 <= length; done += 8 {
			h = stir(h^load8(text[len(text)-done-8:]), multiplier1)
		}
		if e := x.table.find(finish(h, end[:length-done], length), l.key, end); e != nil {
			to = x.values(to, e.list)
		}
	}
	return to
}

// within looks up the grams of one length at each place of a text, and compares the parts that have one.
func (x *Index) within(to []uint32, l *lookup, text string, s *Scratch) []uint32 {
	length := l.lengths[0]
	for i := 0; i+length <= len(text); i++ {
		gram := text[i : i+length]
		h := gramHash(l.seed, gram)
		if !x.table.has(h) {
			continue
		}
		e := x.table.find(h, l.key, gram)
		switch {
		case e == nil:
		case e.list.many:
			for _, p := range x.lists[e.list.at+1:][:x.lists[e.list.at]] {
				to = x.part(to, p, i, text, s)
			}
		default:
			to = x.part(to, e.list.at, i, text, s)
		}
	}
	return to
}

// part appends the postings of a part whose gram is at a place of the text, if the part is there too.
func (x *Index) part(to []uint32, n uint32, at int, text string, s *Scratch) []uint32 {
	p := &x.parts[n]
	begin := at - int(p.offset)
	if begin < 0 || s.seen[n] == s.search || !strings.HasPrefix(text[begin:], p.text) {
		return to
	}
	s.seen[n] = s.search
	return x.values(to, p.list)
}

func (x *Index) numbers(to []uint32, ev *Event) []uint32 {
	for field := range uint8(MaxNumbers) {
		if x.valued>>field&1 != 0 {
			to = append(to, x.byValue[number{field, ev.Numbers[field]}]...)
		}
	}
	return to
}
