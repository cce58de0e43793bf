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
func gramKey(w *wanted) key {
	return key{kind: Contains, field: w.field, length: uint8(gramOf(len(w.text)))}
}

// findGrams enters each part that rules look for under that one of its grams which the fewest parts have.
func (b *builder) findGrams() {
	size := 1 << 10
	for size < 16*len(b.wanted) && size < 1<<24 {
		size *= 2
	}
	seen := make([]uint32, size)
	for _, w := range b.wanted {
		b.eachGram(&w, func(_ int, h uint64) { seen[h&uint64(size-1)]++ })
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
			b.parts = append(b.parts, part{text: w.text, offset: b.rarestGram(&w, seen, n)})
		}
		b.found = append(b.found, posting{n, w.value})
	}
	b.parts = trimmed(b.parts)
	b.wanted = nil
}

// rarestGram enters part n under one gram and gives the gram's place in it.
func (b *builder) rarestGram(w *wanted, seen []uint32, n uint32) uint32 {
	rarest := uint32(1<<32 - 1)
	var at int
	b.eachGram(w, func(offset int, hash uint64) {
		if s := seen[hash&uint64(len(seen)-1)]; s < rarest {
			rarest, at = s, offset
		}
	})
	k := gramKey(w)
	b.text(k, w.text[at:at+int(k.length)], n)
	return uint32(at)
}

func (b *builder) eachGram(w *wanted, f func(offset int, hash uint64)) {
	k := gramKey(w)
	length, seed := int(k.length), b.seedOf(k)
	for i := 0; i+length <= len(w.text); i++ {
		f(i, gramHash(seed, w.text[i:i+length]))
	}
}
