package pairindex

import (
	"math/bits"
	"slices"
	"strings"
	"unsafe"
)

// Found is what a search for an event's texts came to. The zero value is ready for one search, and needs no other memory where
// few postings are found.
type Found struct {
	n       int // how many postings there are; more than few holds: none of them counts
	few     [12]uint32
	more    bool     // rules that are not found by texts are to be looked at too
	scratch *Scratch // where set, takes all postings
}

func (f *Found) add(v uint32) {
	switch {
	case f.scratch != nil:
		f.scratch.candidates = append(f.scratch.candidates, v)
	case f.n < len(f.few):
		f.few[f.n] = v
	}
	f.n++
}

// Scratch is memory that Decide works in. It is for one goroutine at a time, and may be used with any index.
type Scratch struct {
	candidates []uint32
	groups     []uint32 // of openings to be looked at
	bits       []uint64
	seen       []uint32 // by part: the search that found it last
	search     uint32
	inner      *inner // nil until a series of values needs it
}

// begin readies the scratch for another search.
func (s *Scratch) begin(parts int) {
	s.candidates, s.groups = s.candidates[:0], s.groups[:0]
	if len(s.seen) < parts {
		s.seen = make([]uint32, parts)
	}
	if s.search++; s.search == 0 {
		clear(s.seen)
		s.search = 1
	}
}

// Far tells that the index is too large for the caches near a processor, so that it is worth while to Fetch.
func (x *Index) Far() bool { return x.far }

// Fetch has what Look will compare the texts with brought from memory, and does not wait for it.
func (x *Index) Fetch(texts []string) {
	for i := range x.equal {
		l := &x.equal[i]
		if h := hash(l.seed, texts[l.field]); l.has(h) != 0 {
			prefetch(unsafe.Pointer(&l.slots[l.slot(h, l.pilots[l.group(h)])]))
		}
	}
}

// Look searches for the event's texts, or for as many of the first of them as Needs says. It gives false where no rule matches nor is for the
// caller to decide. Otherwise that is for Decide, unless what was found says it all.
func (x *Index) Look(f *Found, texts []string) bool {
	x.search(f, texts)
	f.more = x.more
	return f.n > 0 || f.more
}

// Sure gives the rules that match, in order, if what was found says it all. It uses f up.
func (x *Index) Sure(f *Found) (rules []uint32, ok bool) {
	if f.n > len(f.few) || f.more {
		return nil, false
	}
	found := f.few[:f.n]
	sure := uint32(1)
	for i, v := range found {
		sure &= v
		for ; i > 0; i-- { // they are few, and a branch that nobody can foretell costs more than they do
			a, b := found[i-1], found[i]
			found[i-1], found[i] = min(a, b), max(a, b)
		}
	}
	if sure == 0 {
		return nil, false
	}
	n, before := 0, uint32(noRule)
	for _, v := range found {
		rule := v >> 1
		if rule == before { // found by several atoms
			continue
		}
		found[n], before = rule, rule
		n++
		if x.stopping && x.stopsAt(rule) {
			break
		}
	}
	return found[:n], true
}

// Find is Look and Decide in one.
func (x *Index) Find(dst []Hit, ev *Event, s *Scratch) []Hit {
	var f Found
	if !x.Look(&f, ev.Texts[:]) {
		return dst
	}
	return x.Decide(dst, &f, ev, s)
}

// Decide appends to dst the rules that match the event and those on which the caller must decide, in order, up to the first sure
// one that stops. f is what Look found for the event's texts. It allocates nothing once dst and the scratch are large enough.
func (x *Index) Decide(dst []Hit, f *Found, ev *Event, s *Scratch) []Hit {
	s.begin(len(x.parts))
	if f.n <= len(f.few) {
		s.candidates = append(s.candidates, f.few[:f.n]...)
	} else {
		x.search(&Found{scratch: s}, ev.Texts[:])
	}
	x.others(s, ev)
	if len(s.candidates) > 1 {
		s.order(len(x.entry))
	}
	for found := s.candidates; len(found) > 0; {
		v := found[0]
		for found = found[1:]; len(found) > 0 && found[0]>>1 == v>>1; found = found[1:] { // found by several atoms
			v |= found[0]
		}
		rule, verdict := v>>1, uint16(accept)
		if v&1 == 0 {
			verdict = x.run(x.entry[rule], ev)
		}
		if verdict != reject {
			dst = append(dst, Hit{int(rule), verdict == accept})
		}
		if verdict == accept && x.stopsAt(rule) {
			break
		}
	}
	return dst
}

func (x *Index) stopsAt(rule uint32) bool { return x.stops[rule/64]>>(rule%64)&1 != 0 }

// order sorts the candidates. Where there are very many it goes over a bit for each possible one.
func (s *Scratch) order(rules int) {
	found := s.candidates
	if slices.IsSorted(found) {
		return
	}
	if len(found) < 256 || len(found) < rules/32 {
		slices.Sort(found)
		return
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
	s.candidates = found
}

// search adds the postings of all atoms of texts that hold.
func (x *Index) search(f *Found, texts []string) {
	for i := range x.equal {
		l := &x.equal[i]
		text := texts[l.field]
		if h := hash(l.seed, text); l.has(h) != 0 {
			x.look(f, l, h, text)
		}
	}
	for i := range x.prefixes {
		x.beginnings(f, &x.prefixes[i], texts[x.prefixes[i].field])
	}
	for i := range x.suffixes {
		x.ends(f, &x.suffixes[i], texts[x.suffixes[i].field])
	}
	for i := range x.grams {
		x.within(f, &x.grams[i], texts[x.grams[i].field])
	}
	for _, n := range x.large {
		if s := &x.sets[n]; s.set.Has(texts[s.field]) {
			x.add(f, setPosting|n)
		}
	}
	for i := range x.lengths {
		l := &x.lengths[i]
		l.look(f, int64(len(texts[l.field-MaxNumbers])))
	}
}

// look adds what a text of the hash leads to, which the filter let through.
func (x *Index) look(f *Found, l *lookup, h uint64, text string) {
	switch v, ok := l.find(h, text); {
	case !ok:
	case v < setPosting && f.n < len(f.few) && f.scratch == nil: // as most are
		f.few[f.n] = v
		f.n++
	default:
		x.add(f, v)
	}
}

// add adds a posting, or the rules that it stands for.
func (x *Index) add(f *Found, v uint32) {
	switch {
	case v >= openPosting:
		if f.scratch == nil { // that is for Decide, which knows the numbers too
			f.n += len(f.few) + 1
			return
		}
		f.scratch.groups = append(f.scratch.groups, v&^openPosting)
	case v&listPosting != 0:
		x.addAll(f, x.list(v))
	case v&setPosting != 0:
		x.addAll(f, x.sets[v&^setPosting].rules)
	default:
		f.add(v)
	}
}

func (x *Index) addAll(f *Found, postings []uint32) {
	if f.scratch == nil && f.n+len(postings) > len(f.few) { // too many anyway
		f.n += len(postings)
		return
	}
	for _, v := range postings {
		if v >= setPosting {
			x.add(f, v)
		} else {
			f.add(v)
		}
	}
}

// beginnings looks up the beginnings of a text, of every length that occurs, in one pass.
func (x *Index) beginnings(f *Found, l *lookup, text string) {
	h, done := l.seed, 0
	for _, length := range l.lengths {
		if length > len(text) {
			break
		}
		for ; done+8 <= length; done += 8 {
			h = stir(h^load8(text[done:]), multiplier1)
		}
		if h := finish(h, last(text[:length]), length); l.has(h) != 0 {
			x.look(f, l, h, text[:length])
		}
	}
}

// ends looks up the ends of a text.
func (x *Index) ends(f *Found, l *lookup, text string) {
	h, done := l.seed, 0
	for _, length := range l.lengths {
		if length > len(text) {
			break
		}
		for ; done+8 <= length; done += 8 {
			h = stir(h^load8(text[len(text)-done-8:]), multiplier1)
		}
		end := text[len(text)-length:]
		if h := finish(h, first(end), length); l.has(h) != 0 {
			x.look(f, l, h, end)
		}
	}
}

// within looks up the grams of one length at each place of a text, and compares the parts that have one.
func (x *Index) within(f *Found, l *lookup, text string) {
	length := int(l.length)
	for begin := 0; begin+length <= len(text); begin += 64 {
		for places := l.places(text[begin:]); places != 0; places &= places - 1 {
			i := begin + bits.TrailingZeros64(places)
			gram := text[i : i+length]
			v, ok := l.find(gramHash(l.seed, gram), gram)
			switch {
			case !ok:
			case v&listPosting != 0:
				for _, n := range x.list(v) {
					x.part(f, n, i, text)
				}
			default:
				x.part(f, v, i, text)
			}
		}
	}
}

// places has a bit for each of the first 64 places of a text whose gram may be in the table.
func (l *lookup) places(text string) (places uint64) {
	length := int(l.length)
	last := min(len(text)-length, 63)
	if length == 8 {
		for i := 0; i <= last; i++ {
			places |= l.has(stir(l.seed^load8(text[i:]), multiplier2)) << (i & 63)
		}
		return places
	}
	for i := 0; i <= last; i++ {
		places |= l.has(gramHash(l.seed, text[i:i+length])) << (i & 63)
	}
	return places
}

// part adds the postings of a part whose gram is at a place of the text, if the part is there too.
func (x *Index) part(f *Found, n uint32, at int, text string) {
	p := &x.parts[n]
	begin := at - int(p.offset)
	if begin < 0 || !strings.HasPrefix(text[begin:], p.text) {
		return
	}
	if s := f.scratch; s != nil { // a part that a text repeats is found once
		if s.seen[n] == s.search {
			return
		}
		s.seen[n] = s.search
	}
	x.add(f, p.value)
}

// others adds the postings of all atoms of numbers and of the order of texts that hold, and of the rules that no atom serves.
func (x *Index) others(s *Scratch, ev *Event) {
	f := Found{scratch: s}
	if len(x.byValue) > 0 {
		for field := range uint8(MaxNumbers) {
			if x.valued>>field&1 != 0 {
				x.addAll(&f, x.byValue[number{field, ev.Numbers[field]}])
			}
		}
	}
	for i := range x.limits {
		l := &x.limits[i]
		l.look(&f, ev.Numbers[l.field])
	}
	for i := range x.orders {
		l := &x.orders[i]
		l.look(&f, ev.Texts[l.field])
	}
	for i := range x.spans {
		l := &x.spans[i]
		l.look(&f, ev.Numbers[l.field])
	}
	for i := range x.ranges {
		l := &x.ranges[i]
		l.look(&f, ev.Texts[l.field])
	}
	x.open(&f, ev, 0, x.opened)
	for _, g := range s.groups {
		x.open(&f, ev, x.groups[g].begin, x.groups[g].end)
	}
	s.candidates = append(s.candidates, x.always...)
}

// open adds the postings of those openings in a range that an event goes through.
func (x *Index) open(f *Found, ev *Event, i, end uint32) {
	for i < end {
		o := &x.openings[i]
		if o.series {
			x.openSeries(f, ev, &x.series[o.step])
			i = o.next
			continue
		}
		if holds, _ := x.test(&x.steps[o.step], ev); holds != o.holds {
			i = o.next
			continue
		}
		x.add(f, o.value)
		i++
	}
}
