package pairindex

// gramOf is how long the gram is by which a part of so many bytes is found.
func gramOf(n int) int {
	switch {
	case n >= 8:
		return 8
	case n >= 4:
		return 4
	}
	return n
}

// gramKey tells apart the grams of each text and length.
func gramKey(field uint8, length int) uint16 { return key(Contains, field|uint8(length)<<4) }

// gramHash is the hash of a gram of 1 to 8 bytes.
func gramHash(seed uint64, gram string) uint64 {
	switch len(gram) {
	case 8:
		return stir(seed^load8(gram), multiplier2)
	case 4:
		return stir(seed^load4(gram), multiplier2)
	}
	w := uint64(0)
	for i := range len(gram) {
		w = w<<8 | uint64(gram[i])
	}
	return stir(seed^w, multiplier2)
}

// findGrams enters each part that rules look for under that one of its grams which the fewest parts have.
func (b *builder) findGrams() {
	size := 1 << 10
	for size < 16*len(b.wanted) && size < 1<<24 {
		size *= 2
	}
	seen := make([]uint32, size)
	for _, w := range b.wanted {
		eachGram(w, func(_ int, h uint64) { seen[h&uint64(size-1)]++ })
	}
	type known struct {
		field uint8
		text  string
	}
	numbers := map[known]uint32{}
	for _, w := range b.wanted {
		k := known{w.field, w.text}
		n, ok := numbers[k]
		if !ok {
			n = uint32(len(b.parts))
			numbers[k] = n
			b.parts = append(b.parts, part{text: w.text, offset: b.rarestGram(w, seen, n)})
		}
		b.found = append(b.found, posting{n, w.value})
	}
	b.parts = trimmed(b.parts)
	b.wanted = nil
}

// rarestGram enters part n under one gram and gives the gram's place in it.
func (b *builder) rarestGram(w wanted, seen []uint32, n uint32) uint32 {
	rarest := uint32(1<<32 - 1)
	var at int
	var h uint64
	eachGram(w, func(offset int, hash uint64) {
		if s := seen[hash&uint64(len(seen)-1)]; s < rarest {
			rarest, at, h = s, offset, hash
		}
	})
	length := gramOf(len(w.text))
	k := gramKey(w.field, length)
	b.grams = withLength(b.grams, w.field, k, length)
	entry := b.table.add(h, k, w.text[at:at+length])
	b.postings = append(b.postings, posting{uint32(entry), n})
	return uint32(at)
}

func eachGram(w wanted, f func(offset int, hash uint64)) {
	length := gramOf(len(w.text))
	seed := seed(gramKey(w.field, length))
	for i := 0; i+length <= len(w.text); i++ {
		f(i, gramHash(seed, w.text[i:i+length]))
	}
}
