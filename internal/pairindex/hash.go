package pairindex

import "math/bits"

const (
	multiplier1 = 0x9E3779B97F4A7C15
	multiplier2 = 0xD6E8FEB86659FD93
)

func stir(a, b uint64) uint64 {
	hi, lo := bits.Mul64(a, b)
	return hi ^ lo
}

func load8[T string | []byte](s T) uint64 {
	_ = s[7]
	return uint64(s[0]) | uint64(s[1])<<8 | uint64(s[2])<<16 | uint64(s[3])<<24 |
		uint64(s[4])<<32 | uint64(s[5])<<40 | uint64(s[6])<<48 | uint64(s[7])<<56
}

func load4(s string) uint64 {
	_ = s[3]
	return uint64(s[0]) | uint64(s[1])<<8 | uint64(s[2])<<16 | uint64(s[3])<<24
}

// hash is of a text from its front: its words of eight bytes, and then the last eight bytes, all or some of which were taken in.
func hash(h uint64, s string) uint64 {
	n := len(s)
	if n < 8 {
		return finish(h, few(s), n)
	}
	for at := 0; at+8 <= n; at += 8 {
		h = stir(h^load8(s[at:]), multiplier1)
	}
	return finish(h, load8(s[n-8:]), n)
}

// hashBack is the same from the end.
func hashBack(h uint64, s string) uint64 {
	for rest := s; len(rest) >= 8; rest = rest[:len(rest)-8] {
		h = stir(h^load8(rest[len(rest)-8:]), multiplier1)
	}
	return finish(h, first(s), len(s))
}

// last gives the last eight bytes of a text.
func last(s string) uint64 {
	if len(s) >= 8 {
		return load8(s[len(s)-8:])
	}
	return few(s)
}

// first gives the first eight bytes of a text.
func first(s string) uint64 {
	if len(s) >= 8 {
		return load8(s)
	}
	return few(s)
}

// finish takes in a word and the length of the whole.
func finish(h, word uint64, n int) uint64 { return stir(h^word^uint64(n)<<56, multiplier2) }

// few is a word that tells apart texts of the same length of up to seven bytes.
func few(s string) uint64 {
	switch k := len(s); {
	case k >= 4:
		return load4(s) | load4(s[k-4:])<<32
	case k > 0:
		return uint64(s[0]) | uint64(s[k>>1])<<8 | uint64(s[k-1])<<16
	}
	return 0
}

// gramHash is the hash of a gram of 1 to 8 bytes.
func gramHash(seed uint64, gram string) uint64 {
	switch len(gram) {
	case 8:
		return stir(seed^load8(gram), multiplier2)
	case 4:
		return stir(seed^load4(gram), multiplier2)
	}
	return stir(seed^few(gram), multiplier2)
}

// hashOf is the hash under which a text of a kind is found.
func hashOf(kind Kind, seed uint64, text string) uint64 {
	switch kind {
	case Suffix:
		return hashBack(seed, text)
	case Contains:
		return gramHash(seed, text)
	}
	return hash(seed, text)
}
