package callback

import (
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// space skips white space and gives the byte after it, 0 at the end.
func (d *decoder) space() byte {
	for d.i < len(d.s) {
		c := d.s[d.i]
		if c != ' ' && c != '\n' && c != '\r' && c != '\t' {
			return c
		}
		d.i++
	}
	return 0
}

// peek gives the byte that is read next, 0 at the end.
func (d *decoder) peek() byte {
	if d.i < len(d.s) {
		return d.s[d.i]
	}
	return 0
}

// open reads the bracket that opens an object or array, and reports whether a member or element follows: it stands at its first
// byte then.
func (d *decoder) open() bool {
	closing := d.s[d.i] + 2 // in ASCII, ] is two after [, and } two after {
	d.i++
	if d.space() == closing {
		d.i++
		return false
	}
	return true
}

// next is open for what follows a member or element.
func (d *decoder) next(closing byte) bool {
	if d.dead {
		return false
	}
	switch d.space() {
	case ',':
		d.i++
		d.space()
		return true
	case closing:
		d.i++
	default:
		d.unexpected("a comma or " + string(closing))
	}
	return false
}

// name reads the name of a member and the colon after it, and stands at the first byte of its value.
func (d *decoder) name() string {
	var name string
	// The names that nearly every packet is made of are known at a glance.
	switch rest := d.s[d.i:]; {
	case strings.HasPrefix(rest, `"From_Account":`):
		name = "From_Account"
		d.i += len(`"From_Account"`)
	case strings.HasPrefix(rest, `"To_Account":`):
		name = "To_Account"
		d.i += len(`"To_Account"`)
	case d.peek() != '"':
		d.unexpected("a name in quotes")
		return ""
	default:
		name = d.string(true)
	}
	if d.dead {
		return ""
	}
	if d.space() != ':' {
		d.unexpected("a colon")
		return ""
	}
	d.i++
	d.space()
	return name
}

// string reads a string; its value is only asked for where keep is set.
func (d *decoder) string(keep bool) string {
	s, start := d.s, d.i+1
	for i := start; i < len(s); {
		switch c := s[i]; {
		case c == '"':
			d.i = i + 1
			return s[start:i]
		case c == '\\':
			return d.escaped(start, i, keep)
		case c < ' ':
			d.fatal(i, "has a control character in a string that is not escaped")
			return ""
		case c < utf8.RuneSelf:
			i++
		default:
			i += d.multibyte(i)
		}
	}
	d.fatal(len(s), "is cut off inside a string")
	return ""
}

// multibyte checks the character at i, which is not ASCII, and gives its length.
func (d *decoder) multibyte(i int) int {
	_, n := utf8.DecodeRuneInString(d.s[i:])
	if n == 1 {
		d.ill(i, "is not valid UTF-8")
	}
	return n
}

// escaped reads the rest of a string that began at start and has its first backslash at i.
func (d *decoder) escaped(start, i int, keep bool) string {
	s := d.s
	var b []byte
	for i < len(s) {
		c := s[i]
		switch {
		case c == '"':
			d.i = i + 1
			if !keep {
				return ""
			}
			return string(append(b, s[start:i]...))
		case c < ' ':
			d.fatal(i, "has a control character in a string that is not escaped")
			return ""
		case c >= utf8.RuneSelf:
			i += d.multibyte(i)
			continue
		case c != '\\':
			i++
			continue
		}
		r, n := d.escape(i)
		if n == 0 {
			return ""
		}
		if keep {
			b = utf8.AppendRune(append(b, s[start:i]...), r)
		}
		i += n
		start = i
	}
	d.fatal(len(s), "is cut off inside a string")
	return ""
}

// escape reads the escape sequence at i, a surrogate pair as one, and gives its length; 0 is an error.
func (d *decoder) escape(i int) (rune, int) {
	s := d.s
	if i+1 >= len(s) {
		d.fatal(len(s), "is cut off inside a string")
		return 0, 0
	}
	switch c := s[i+1]; c {
	case '"', '\\', '/':
		return rune(c), 2
	case 'b':
		return '\b', 2
	case 'f':
		return '\f', 2
	case 'n':
		return '\n', 2
	case 'r':
		return '\r', 2
	case 't':
		return '\t', 2
	}
	r := unicodeEscape(s[i:])
	if r < 0 {
		d.fatal(i, "has an invalid escape in a string")
		return 0, 0
	}
	if !utf16.IsSurrogate(r) {
		return r, 6
	}
	if whole := utf16.DecodeRune(r, unicodeEscape(s[i+6:])); whole != utf8.RuneError {
		return whole, 12
	}
	d.ill(i, "has a lone surrogate in a string")
	return utf8.RuneError, 6
}

// unicodeEscape gives the code unit of a \uXXXX that s begins with, -1 where it doesn't.
func unicodeEscape(s string) rune {
	if len(s) < 6 || s[0] != '\\' || s[1] != 'u' {
		return -1
	}
	var r rune
	for _, c := range []byte(s[2:6]) {
		if !isHex(c) {
			return -1
		}
		r = r<<4 | rune(hexValue(c))
	}
	return r
}

// number reads a number as RFC 8259 has it: no leading zeros, no plus, no bare point.
func (d *decoder) number() {
	if d.peek() == '-' {
		d.i++
	}
	if d.peek() == '0' {
		d.i++
	} else if !d.digits() {
		return
	}
	if d.peek() == '.' {
		d.i++
		if !d.digits() {
			return
		}
	}
	if c := d.peek(); c == 'e' || c == 'E' {
		d.i++
		if c := d.peek(); c == '+' || c == '-' {
			d.i++
		}
		d.digits()
	}
}

// digits reads one digit or more.
func (d *decoder) digits() bool {
	start := d.i
	for c := d.peek(); '0' <= c && c <= '9'; c = d.peek() {
		d.i++
	}
	if d.i == start {
		d.unexpected("a digit")
		return false
	}
	return true
}

func (d *decoder) literal(word string) {
	if !strings.HasPrefix(d.s[d.i:], word) {
		d.unexpected("a value")
		return
	}
	d.i += len(word)
}
