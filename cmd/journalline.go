package cmd

import (
	"bytes"
	"errors"
	"strconv"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/aftermath-rules/aftermath/internal/backtest"
)

// errOtherLine says that a line which was read by hand turned out to be another than the journal's export writes.
var errOtherLine = errors.New("a line of another form")

// line reads a line as the journal's export writes it, {"id":…,"at":…,"query":…,"matches":[…],"packet":…} without a space, matches or
// not; it tells whether it is one. What stands as the packet is all up to the end: whether it is one JSON value is for its reader to see.
func (v *storedValue) line(line []byte) bool {
	b := bytes.TrimRight(line, "\r\n")
	v.reset()
	l := lineReader{b: b}
	l.skip(`{"id":`)
	id := l.text()
	l.skip(`,"at":`)
	at := l.text()
	l.skip(`,"query":`)
	query := l.text()
	if l.has(`,"matches":[`) {
		v.Matches = l.matches(v.Matches)
	}
	l.skip(`,"packet":`)
	if l.bad || len(l.b) < 2 || l.b[0] != '{' || l.b[len(l.b)-1] != '}' {
		return false
	}
	v.texts = append(append(append(v.texts[:0], id...), at...), query...)
	texts := string(v.texts) // one allocation
	v.ID, texts = texts[:len(id)], texts[len(id):]
	v.At, v.Query = texts[:len(at)], texts[len(at):]
	v.Packet, v.byHand = append(v.Packet, l.b[:len(l.b)-1]...), true
	return true
}

// lineReader reads what must stand where it is.
type lineReader struct {
	b   []byte
	bad bool // something else stood there
}

func (l *lineReader) has(text string) bool {
	rest, ok := bytes.CutPrefix(l.b, []byte(text))
	if ok {
		l.b = rest
	}
	return ok
}

func (l *lineReader) skip(text string) {
	if !l.has(text) {
		l.bad = true
	}
}

// text reads a JSON string.
func (l *lineReader) text() []byte {
	if l.bad || len(l.b) == 0 || l.b[0] != '"' {
		l.bad = true
		return nil
	}
	plain := true
	for i := 1; i < len(l.b); i++ {
		switch c := l.b[i]; {
		case c == '"':
			quoted := l.b[:i+1]
			l.b = l.b[i+1:]
			if plain {
				return quoted[1:i]
			}
			text, err := jsontext.AppendUnquote(nil, quoted)
			l.bad = l.bad || err != nil
			return text
		case c == '\\':
			plain = false
			i++
		case c < ' ', c >= 0x7f:
			plain = false
		}
	}
	l.bad = true
	return nil
}

// matches reads the rest of the list of what was decided.
func (l *lineReader) matches(dst []backtest.Decided) []backtest.Decided {
	if l.has("]") {
		return dst
	}
	for !l.bad {
		var d backtest.Decided
		l.skip(`{"pair":`)
		end := bytes.IndexByte(l.b, ',')
		if end < 0 {
			break
		}
		n, err := strconv.Atoi(string(l.b[:end]))
		l.bad = l.bad || err != nil
		d.Pair, l.b = n, l.b[end:]
		l.skip(`,"rule":`)
		d.Rule = string(l.text())
		d.Shadow = l.has(`,"shadow":true`)
		d.Failed = l.has(`,"failed":true`)
		l.skip("}")
		dst = append(dst, d)
		if l.has("]") {
			return dst
		}
		l.skip(",")
	}
	l.bad = true
	return dst
}
