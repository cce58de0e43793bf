package pairindex

import (
	"iter"
	"slices"
)

// maker collects the texts of a table and the postings of each.
type maker struct {
	slots    []uint32 // numbers of entries, plus one
	entries  []entry
	postings []posting
	lengths  []int // of prefixes and suffixes, ascending
	size     int   // of the texts
}

// maxText is how much text the slots of one table can point into.
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
	m.size += len(text)
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

// table lays out what was collected. The filter has 8 to 16 bits an entry, of which it sets two.
func (m *maker) table(ls *lists) table {
	words, long := 1, 0
	for words*8 < len(m.entries) {
		words *= 2
	}
	for i := range m.entries {
		if n := len(m.entries[i].text); n > len(slot{}.text) {
			long += n
		}
	}
	t := table{
		filter: make([]uint64, words),
		pilots: make([]uint8, 2*words),
		slots:  make([]slot, len(m.entries)+len(m.entries)/4+1),
		long:   make([]byte, 0, long),
	}
	values := ls.layout(m.postings, len(m.entries))
	taken := make([]uint64, len(t.slots)/64+1)
	for group := range m.groups(&t) {
		pilot, ok := m.pilot(&t, group, taken)
		for _, i := range group {
			e := &m.entries[i]
			t.filter[e.hash>>12&uint64(words-1)] |= 1<<(e.hash&63) | 1<<(e.hash>>6&63)
			if ok {
				t.pilots[t.group(e.hash)] = pilot
				t.put(&t.slots[t.slot(e.hash, pilot)], e.text, values[i])
				continue
			}
			if t.rest == nil {
				t.rest = map[string]uint32{}
			}
			t.rest[e.text] = values[i]
		}
	}
	return t
}

// groups gives the entries that share a pilot, those of the most first: while most slots are free, many find one each.
func (m *maker) groups(t *table) iter.Seq[[]uint32] {
	ends := make([]uint32, len(t.pilots)+1)
	for i := range m.entries {
		ends[t.group(m.entries[i].hash)+1]++
	}
	most := slices.Max(ends)
	for i := range t.pilots {
		ends[i+1] += ends[i]
	}
	entries, next := make([]uint32, len(m.entries)), slices.Clone(ends)
	for i := range m.entries {
		n := &next[t.group(m.entries[i].hash)]
		entries[*n] = uint32(i)
		*n++
	}
	return func(yield func([]uint32) bool) {
		for size := most; size > 0; size-- {
			for i := range t.pilots {
				if ends[i+1]-ends[i] == size && !yield(entries[ends[i]:ends[i+1]]) {
					return
				}
			}
		}
	}
}

// pilot takes for each entry of a group a slot that is free, and gives the pilot that leads there.
func (m *maker) pilot(t *table, group []uint32, taken []uint64) (pilot uint8, ok bool) {
	for pilot := range 1 << 8 {
		n := 0
		for ; n < len(group); n++ {
			at := t.slot(m.entries[group[n]].hash, uint8(pilot))
			if taken[at/64]>>(at%64)&1 != 0 {
				break
			}
			taken[at/64] |= 1 << (at % 64)
		}
		if n == len(group) {
			return uint8(pilot), true
		}
		for _, i := range group[:n] {
			at := t.slot(m.entries[i].hash, uint8(pilot))
			taken[at/64] &^= 1 << (at % 64)
		}
	}
	return 0, false
}
