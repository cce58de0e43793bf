package pairindex

import (
	"encoding/binary"
	"math/bits"
)

// table is a hash table from texts to postings. A filter before it, small enough to stay in a cache, answers for nearly every text
// that is not there. One that is there costs a cache line, its bucket, and its own bytes. Nothing in it is a pointer for the garbage
// collector to follow.
type table struct {
	filter  []uint64
	buckets []bucket
	text    []byte // of all entries, each behind its length
}

// bucket is a cache line of up to seven entries. Those that find no room go on to the next.
type bucket struct {
	tags    uint64 // a byte of each entry's hash; 0 where there is no entry
	entries [7]struct{ value, at uint32 }
}

const (
	everyTag = 1<<48 | 1<<40 | 1<<32 | 1<<24 | 1<<16 | 1<<8 | 1
	full     = 1 << 48 // or more: the seventh entry has a tag
)

func tagOf(h uint64) uint64 { return max(1, h>>32&0xFF) }

// has gives 1 where a text of the hash may be in the table and 0 where none is, without a branch.
func (t *table) has(h uint64) uint64 {
	word := t.filter[h>>12&uint64(len(t.filter)-1)]
	return word >> (h & 63) & (word >> (h >> 6 & 63)) & 1
}

// find gives what a text leads to. Texts of an account's usual length are compared here, without a call.
func (t *table) find(h uint64, text string) (value uint32, ok bool) {
	n := len(text)
	if n < 8 || n >= 0x80 {
		return t.findAny(h, text)
	}
	first, last := load8(text), load8(text[n-8:])
	tags := tagOf(h) * everyTag
	for i := t.home(h); ; i = t.after(i) {
		b := &t.buckets[i]
		for same := equalBytes(b.tags, tags); same != 0; same &= same - 1 {
			e := &b.entries[bits.TrailingZeros64(same)/8]
			begin := uint(e.at) + 1
			end := begin + uint(n)
			if end > uint(len(t.text)) || int(t.text[begin-1]) != n {
				continue
			}
			this := t.text[begin:end:end]
			differ := load8(this) ^ first | load8(this[n-8:]) ^ last
			for at := 8; at+8 < n; at += 8 {
				differ |= load8(this[at:]) ^ load8(text[at:])
			}
			if differ == 0 {
				return e.value, true
			}
		}
		if b.tags < full {
			return 0, false
		}
	}
}

// equalBytes has the highest bit of each byte that both words have in common, and perhaps of some above one.
func equalBytes(a, b uint64) uint64 {
	differ := a ^ b
	return (differ - everyTag) &^ differ & (everyTag << 7)
}

// findAny is find for a text of any length.
func (t *table) findAny(h uint64, text string) (value uint32, ok bool) {
	tags := tagOf(h) * everyTag
	for i := t.home(h); ; i = t.after(i) {
		b := &t.buckets[i]
		for same := equalBytes(b.tags, tags); same != 0; same &= same - 1 {
			e := &b.entries[bits.TrailingZeros64(same)/8]
			this := t.text[e.at:]
			n, size := int(this[0]), 1
			if n >= 0x80 {
				n, size = long(this)
			}
			if n == len(text) && string(this[size:size+n]) == text {
				return e.value, true
			}
		}
		if b.tags < full {
			return 0, false
		}
	}
}

// long reads a length of more than a byte, and how many it takes.
func long(text []byte) (n, size int) {
	v, size := binary.Uvarint(text)
	return int(v), size
}

// put enters a text that is not there.
func (t *table) put(h uint64, text string, value uint32) {
	word := h >> 12 & uint64(len(t.filter)-1)
	t.filter[word] |= 1<<(h&63) | 1<<(h>>6&63)
	i := t.home(h)
	for t.buckets[i].tags >= full {
		i = t.after(i)
	}
	b := &t.buckets[i]
	n := (bits.Len64(b.tags) + 7) / 8
	b.tags |= tagOf(h) << (8 * n)
	b.entries[n].value, b.entries[n].at = value, uint32(len(t.text))
	t.text = append(binary.AppendUvarint(t.text, uint64(len(text))), text...)
}

func (t *table) home(h uint64) uint64 {
	i, _ := bits.Mul64(h, uint64(len(t.buckets)))
	return i
}

func (t *table) after(i uint64) uint64 {
	if i++; i == uint64(len(t.buckets)) {
		return 0
	}
	return i
}

// maker collects the texts of a table and the postings of each.
type maker struct {
	slots    []uint32 // numbers of entries, plus one
	entries  []entry
	postings []posting
	lengths  []int // of prefixes and suffixes, ascending
	size     int   // of the texts and their lengths, at most
}

// maxText is how much text the entries of one table can point into.
const maxText = 1<<32 - 1

type entry struct {
	hash uint64
	text string
}

// posting says that an entry leads to a value.
type posting struct{ entry, value uint32 }

func (m *maker) add(h uint64, text string, value uint32) {
	if len(m.entries)*4 >= len(m.slots)*3 {
		m.grow()
	}
	mask := uint64(len(m.slots) - 1)
	i := h & mask
	for ; m.slots[i] != 0; i = (i + 1) & mask {
		if e := &m.entries[m.slots[i]-1]; e.hash == h && e.text == text {
			m.postings = append(m.postings, posting{m.slots[i] - 1, value})
			return
		}
	}
	m.postings = append(m.postings, posting{uint32(len(m.entries)), value})
	m.entries = append(m.entries, entry{h, text})
	m.size += len(text) + binary.MaxVarintLen64
	m.slots[i] = uint32(len(m.entries))
}

func (m *maker) grow() {
	m.slots = make([]uint32, max(16, 2*len(m.slots)))
	mask := uint64(len(m.slots) - 1)
	for n := range m.entries {
		i := m.entries[n].hash & mask
		for m.slots[i] != 0 {
			i = (i + 1) & mask
		}
		m.slots[i] = uint32(n + 1)
	}
}

// table lays out what was collected: five of seven places are taken, and the filter has 8 to 16 bits an entry, of which it
// sets two.
func (m *maker) table(ls *lists) table {
	words, size := 1, 0
	for words*8 < len(m.entries) {
		words *= 2
	}
	for i := range m.entries {
		n := len(m.entries[i].text)
		size += n + 1 + bits.Len(uint(n))/8 // some lengths take a byte more than one
	}
	t := table{filter: make([]uint64, words), buckets: make([]bucket, len(m.entries)/5+1), text: make([]byte, 0, size)}
	values := ls.layout(m.postings, len(m.entries))
	for i := range m.entries {
		t.put(m.entries[i].hash, m.entries[i].text, values[i])
	}
	return t
}
