package lang

import (
	"encoding/binary"
	"hash/maphash"
	"iter"
	"slices"
)

// List is a named set of strings, immutable unless it was opened. It is as small as its text and some 16 bytes a value: the values lie one after the
// other in one block, each behind its length, and a table of hashes says where.
type List struct {
	text  []byte
	slots []uint64 // high bits of the hash, place in text + 1
	count int
	seed  maphash.Seed
	open  bool // see Opened
}

// placeBits of a slot are the place, which bounds a list at a terabyte.
const placeBits = 40

// NewList makes a list of the values.
func NewList(values []string) *List {
	size := 0
	for _, v := range values {
		size += len(v) + 1
	}
	return CollectList(len(values), size, slices.Values(values))
}

// CollectList makes a list of about so many values and bytes.
func CollectList(values, bytes int, all iter.Seq[string]) *List {
	l := &List{text: make([]byte, 0, bytes), seed: maphash.MakeSeed()}
	l.grow(values)
	for v := range all {
		l.add(v)
	}
	if cap(l.text)-len(l.text) > len(l.text)/4 {
		l.text = slices.Clone(l.text)
	}
	return l
}

// grow makes a table for so many values that at most two of three slots are taken.
func (l *List) grow(values int) {
	size := 2
	for size*2 < values*3 {
		size *= 2
	}
	l.slots = make([]uint64, size)
	for place := 0; place < len(l.text); {
		value, next := l.at(place)
		l.put(string(value), place)
		place = next
	}
}

func (l *List) add(v string) {
	if _, found := l.find(v); found {
		return
	}
	if (l.count+1)*3 > len(l.slots)*2 {
		l.grow(2 * (l.count + 1))
	}
	l.put(v, len(l.text))
	l.text = binary.AppendUvarint(l.text, uint64(len(v)))
	l.text = append(l.text, v...)
	l.count++
}

func (l *List) put(v string, place int) {
	h := maphash.String(l.seed, v)
	mask := uint64(len(l.slots) - 1)
	i := h & mask
	for l.slots[i] != 0 {
		i = (i + 1) & mask
	}
	l.slots[i] = h>>placeBits<<placeBits | uint64(place+1)
}

func (l *List) find(v string) (slot uint64, found bool) {
	h := maphash.String(l.seed, v)
	mask := uint64(len(l.slots) - 1)
	for i := h & mask; ; i = (i + 1) & mask {
		s := l.slots[i]
		if s == 0 {
			return i, false
		}
		if s>>placeBits != h>>placeBits {
			continue
		}
		if value, _ := l.at(int(s&(1<<placeBits-1)) - 1); string(value) == v {
			return i, true
		}
	}
}

// at gives the value at a place and the place of the next.
func (l *List) at(place int) (value []byte, next int) {
	n := uint64(l.text[place])
	size := 1
	if n >= 0x80 {
		n, size = binary.Uvarint(l.text[place:])
	}
	place += size
	return l.text[place : place+int(n)], place + int(n)
}

// Has tells whether s is in the list.
func (l *List) Has(s string) bool {
	_, found := l.find(s)
	return found
}

// Opened gives a list of the same values for Replace: what is compiled with it relies on none of them.
func (l *List) Opened() *List {
	open := *l
	open.open = true
	return &open
}

// IsOpen tells whether the list was opened.
func (l *List) IsOpen() bool { return l.open }

// Replace gives an opened list the values of another in the place of its own. Nobody may use the list meanwhile.
func (l *List) Replace(other *List) {
	*l = *other
	l.open = true
}

// Len is the number of distinct values; of an opened list, as many as it might have.
func (l *List) Len() int {
	if l.open {
		return 1 << 30
	}
	return l.count
}

// All gives the values in the order in which they came first.
func (l *List) All(yield func(string) bool) {
	for place := 0; place < len(l.text); {
		var value []byte
		if value, place = l.at(place); !yield(string(value)) {
			return
		}
	}
}
