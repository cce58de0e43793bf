package lang

import (
	"math/bits"
	"strings"
	"unicode"
	"unicode/utf8"
	"unsafe"

	"github.com/aftermath-rules/aftermath/internal/pairindex"
)

// Texts of an event that are made of one of its names. Each lies as far behind what it is made of as its kind says.
const (
	lowered = 8  // lower(x)
	raised  = 16 // upper(x)
	folded  = 24 // x as foldText has it, for patterns that ignore case; "" where x is longer than patterns look at
	kinds   = 8  // how far apart the kinds are
)

// PlainTexts has a bit for each text of an event that is a name's own.
const PlainTexts = 1<<texts - 1

// Texts is how many these are.
const Texts = texts

// Derived makes the texts of an event that are made of others. It is for one goroutine at a time, and what it made holds until it
// makes those of the next event.
type Derived struct {
	memory []byte // of texts whose ASCII letters changed, so that they need no other
}

// fill makes the texts that have a bit in which.
func (d *Derived) fill(to *pairindex.Texts, which uint32) {
	d.memory = d.memory[:0]
	for which &^= PlainTexts; which != 0; which &= which - 1 {
		field := bits.TrailingZeros32(which)
		text := to[field%kinds]
		switch field - field%kinds {
		case lowered:
			text = d.cased(text, 'A', strings.ToLower)
		case raised:
			text = d.cased(text, 'a', strings.ToUpper)
		case folded:
			if len(text) > MaxSubject {
				text = ""
			}
			text = d.cased(text, 'A', foldText)
		}
		to[field] = text
	}
}

// cased gives what convert gives, which of a text of ASCII is the text with the letters from first on in their other case.
func (d *Derived) cased(text string, first byte, convert func(string) string) string {
	letters := 0
	for i := range len(text) {
		c := text[i]
		if c >= utf8.RuneSelf {
			return convert(text)
		}
		if c-first < 26 {
			letters++
		}
	}
	if letters == 0 {
		return text
	}
	begin := len(d.memory)
	d.memory = append(d.memory, text...)
	made := d.memory[begin:]
	for i, c := range made {
		if c-first < 26 {
			made[i] = c ^ ('a' - 'A')
		}
	}
	return unsafe.String(&made[0], len(made)) // nothing writes there before the next event
}

// foldText replaces each character by the one that stands for all that are the same but for their case, as patterns with (?i) see it:
// the Kelvin sign is a k. What is no UTF-8 becomes U+FFFD, which is what patterns take it for.
func foldText(text string) string {
	var b strings.Builder
	b.Grow(len(text))
	for _, r := range text {
		b.WriteRune(foldRune(r))
	}
	return b.String()
}

func foldRune(r rune) rune {
	least := r
	for f := unicode.SimpleFold(r); f != r; f = unicode.SimpleFold(f) {
		least = min(least, f)
	}
	if least >= 'A' && least <= 'Z' {
		return least + 'a' - 'A'
	}
	return least
}

// impossible tells that no text of the field can be, or have in it, a text that is not in the field's case. What is no UTF-8 is left
// aside: a part of a character may be no character.
func impossible(field uint8, text string) bool {
	switch field - field%kinds {
	case lowered:
		return utf8.ValidString(text) && strings.ToLower(text) != text
	case raised:
		return utf8.ValidString(text) && strings.ToUpper(text) != text
	}
	return false
}

// textTest is a test of a kind from pairindex.Equal to pairindex.Contains.
func textTest(kind pairindex.Kind, field uint8, text string) pairindex.Formula {
	if impossible(field, text) {
		return pairindex.Constant(false)
	}
	return pairindex.Text(kind, field, text)
}
