package pairindex

import (
	"encoding/binary"
	"math/bits"
)

// table is a hash table from texts to postings. A filter before it, small enough to stay in a cache, answers for nearly every text
// that is not there. One that is there has a slot of its own, to which its pilot leads: it costs that one look into memory and no
// search. Nothing in it is a pointer for the garbage collector to follow, but for what is nearly always empty.
type table struct {
	filter []uint64
	pilots []uint8 // a few texts share one that leads each of them to another slot
	slots  []slot
	long   []byte            // of texts that no slot has room for
	rest   map[string]uint32 // what no pilot leads to a slot of its own
}

// slot is half a cache line.
type slot struct {
	value uint32
	size  uint8 // of the text, plus one; 0 where there is none, longText where the text's place and size stand in its stead
	text  [27]byte
}

const longText = 1<<8 - 1

// has gives 1 where a text of the hash may be in the table and 0 where none is, without a branch.
func (t *table) has(h uint64) uint64 {
	word := t.filter[h>>12&uint64(len(t.filter)-1)]
	return word >> (h & 63) & (word >> (h >> 6 & 63)) & 1
}

// group is the place of a hash's pilot.
func (t *table) group(h uint64) uint64 { return h >> 12 & uint64(len(t.pilots)-1) }

// slot gives the place of the slot that a pilot leads a hash to.
func (t *table) slot(h uint64, pilot uint8) uint64 {
	i, _ := bits.Mul64((h^uint64(pilot)*multiplier1)*multiplier2, uint64(len(t.slots)))
	return i
}

// find gives what a text leads to that the filter let through. Texts of an account's usual length are compared here, without a call.
func (t *table) find(h uint64, text string) (value uint32, ok bool) {
	s := &t.slots[t.slot(h, t.pilots[t.group(h)])]
	n := len(text)
	if n < 8 || n > len(s.text) {
		return t.findAny(s, text)
	}
	if int(s.size) == n+1 {
		differ := load8(s.text[:]) ^ load8(text) | load8(s.text[n-8:]) ^ load8(text[n-8:])
		for at := 8; at+8 < n; at += 8 {
			differ |= load8(s.text[at:]) ^ load8(text[at:])
		}
		if differ == 0 {
			return s.value, true
		}
	}
	value, ok = t.rest[text]
	return value, ok
}

// findAny is find for a text of any length.
func (t *table) findAny(s *slot, text string) (value uint32, ok bool) {
	if t.holds(s, text) {
		return s.value, true
	}
	value, ok = t.rest[text]
	return value, ok
}

func (t *table) holds(s *slot, text string) bool {
	if s.size == longText {
		at, size := binary.LittleEndian.Uint32(s.text[:]), binary.LittleEndian.Uint32(s.text[4:])
		return string(t.long[at:][:size]) == text
	}
	return int(s.size) == len(text)+1 && string(s.text[:len(text)]) == text
}

// put enters a text into its slot.
func (t *table) put(s *slot, text string, value uint32) {
	s.value = value
	if len(text) <= len(s.text) {
		s.size = uint8(len(text) + 1)
		copy(s.text[:], text)
		return
	}
	s.size = longText
	binary.LittleEndian.PutUint32(s.text[:], uint32(len(t.long)))
	binary.LittleEndian.PutUint32(s.text[4:], uint32(len(text)))
	t.long = append(t.long, text...)
}
