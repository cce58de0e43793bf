package pairindex

import "math/bits"

// table is a hash table from texts, each of a kind and field, to numbers from 0 in the order in which they were added. A filter
// before it, small enough to stay in a cache, answers for nearly every text that is not there.
type table struct {
	slots   []uint64 // high half of the hash, number + 1
	entries []entry
	filter  []uint64
}

// entry is a text of the table and where it leads to.
type entry struct {
	text string
	list list
	key  uint16
}

// list is a posting list: one posting, or where in the lists its length and its postings are.
type list struct {
	at   uint32
	many bool
}

const (
	multiplier1 = 0x9E3779B97F4A7C15
	multiplier2 = 0xD6E8FEB86659FD93
)

func stir(a, b uint64) uint64 {
	hi, lo := bits.Mul64(a, b)
	return hi ^ lo
}

// seed is where the hash of a text of one kind and field begins.
func seed(key uint16) uint64 { return (uint64(key) + 1) * multiplier1 }

func load8(s string) uint64 {
	_ = s[7]
	return uint64(s[0]) | uint64(s[1])<<8 | uint64(s[2])<<16 | uint64(s[3])<<24 |
		uint64(s[4])<<32 | uint64(s[5])<<40 | uint64(s[6])<<48 | uint64(s[7])<<56
}

func load4(s string) uint64 {
	_ = s[3]
	return uint64(s[0]) | uint64(s[1])<<8 | uint64(s[2])<<16 | uint64(s[3])<<24
}

// hash is of a text from its front: words of eight bytes, then finish for what is left.
func hash(h uint64, s string) uint64 {
	n := len(s)
	for ; len(s) >= 8; s = s[8:] {
		h = stir(h^load8(s), multiplier1)
	}
	return finish(h, s, n)
}

// hashBack is the same from the end.
func hashBack(h uint64, s string) uint64 {
	n := len(s)
	for ; len(s) >= 8; s = s[:len(s)-8] {
		h = stir(h^load8(s[len(s)-8:]), multiplier1)
	}
	return finish(h, s, n)
}

// finish takes in the last bytes, fewer than eight, and the length of the whole.
func finish(h uint64, tail string, n int) uint64 {
	var w uint64
	switch k := len(tail); {
	case k >= 4:
		w = load4(tail) | load4(tail[k-4:])<<32
	case k > 0:
		w = uint64(tail[0]) | uint64(tail[k>>1])<<8 | uint64(tail[k-1])<<16
	}
	return stir(h^w^uint64(n)<<56, multiplier2)
}

func (t *table) has(h uint64) bool {
	bit := h >> 16
	return t.filter[bit>>6&uint64(len(t.filter)-1)]>>(bit&63)&1 != 0
}

// find gives the entry of a text, or nil.
func (t *table) find(h uint64, key uint16, text string) *entry {
	if !t.has(h) {
		return nil
	}
	mask := uint64(len(t.slots) - 1)
	for i := h & mask; ; i = (i + 1) & mask {
		s := t.slots[i]
		if s == 0 {
			return nil
		}
		if s>>32 != h>>32 {
			continue
		}
		if e := &t.entries[uint32(s)-1]; e.key == key && e.text == text {
			return e
		}
	}
}

func (t *table) probe(h uint64, key uint16, text string) (slot, number int) {
	mask := uint64(len(t.slots) - 1)
	for i := h & mask; ; i = (i + 1) & mask {
		s := t.slots[i]
		if s == 0 {
			return int(i), -1
		}
		if s>>32 != h>>32 {
			continue
		}
		if n := int(uint32(s)) - 1; t.entries[n].key == key && t.entries[n].text == text {
			return int(i), n
		}
	}
}

// add gives the number of a text, which it adds where it is not there.
func (t *table) add(h uint64, key uint16, text string) int {
	if len(t.entries)*4 >= len(t.slots)*3 {
		t.grow()
	}
	slot, n := t.probe(h, key, text)
	if n < 0 {
		n = len(t.entries)
		t.slots[slot] = h>>32<<32 | uint64(n+1)
		t.entries = append(t.entries, entry{text: text, key: key})
	}
	return n
}

func (t *table) grow() {
	t.slots = make([]uint64, max(16, 2*len(t.slots)))
	mask := uint64(len(t.slots) - 1)
	for n := range t.entries {
		h := hashOf(t.entries[n].key, t.entries[n].text)
		i := h & mask
		for t.slots[i] != 0 {
			i = (i + 1) & mask
		}
		t.slots[i] = h>>32<<32 | uint64(n+1)
	}
}

// seal makes the filter, of 16 bits or more a text, and gives back what was reserved.
func (t *table) seal() {
	if t.slots == nil {
		t.grow()
	}
	words := 1
	for words*4 < len(t.entries) {
		words *= 2
	}
	t.filter = make([]uint64, words)
	for n := range t.entries {
		bit := hashOf(t.entries[n].key, t.entries[n].text) >> 16
		t.filter[bit>>6&uint64(words-1)] |= 1 << (bit & 63)
	}
	t.entries = trimmed(t.entries)
}

// key tells apart what lies in the table.
func key(kind Kind, field uint8) uint16 { return uint16(kind)<<8 | uint16(field) }

// hashOf is the hash under which a text of a key is found.
func hashOf(key uint16, text string) uint64 {
	switch Kind(key >> 8) {
	case Suffix:
		return hashBack(seed(key), text)
	case Contains:
		return gramHash(seed(key), text)
	}
	return hash(seed(key), text)
}

// trimmed gives a slice without much spare room.
func trimmed[T any](s []T) []T {
	if cap(s)-len(s) <= len(s)/8 {
		return s
	}
	return append(make([]T, 0, len(s)), s...)
}
