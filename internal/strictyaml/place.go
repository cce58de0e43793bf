package strictyaml

import (
	"strings"
	"unicode/utf8"

	"gopkg.in/yaml.v3"
)

// place gives the line and column of a byte of a scalar's decoded value.
func (d *Document) place(n *yaml.Node, offset int) (line, column int) {
	offset = max(0, min(offset, len(n.Value)))
	for offset > 0 && offset < len(n.Value) && !utf8.RuneStart(n.Value[offset]) {
		offset-- // a column is that of a whole character
	}
	if n.Kind != yaml.ScalarNode {
		return n.Line, n.Column
	}
	start, _ := d.content(n)
	if start < 0 {
		return n.Line, n.Column
	}
	at := -1
	switch {
	case n.Style&yaml.LiteralStyle != 0:
		return d.placeInLiteral(n, start, offset)
	case n.Style&yaml.SingleQuotedStyle != 0:
		at = inQuoted(d.src[start:], offset, singleQuoted)
	case n.Style&yaml.DoubleQuotedStyle != 0:
		at = inQuoted(d.src[start:], offset, doubleQuoted)
	case n.Style&yaml.FoldedStyle == 0 && strings.HasPrefix(d.src[start:], n.Value):
		at = offset // plain, and not folded over lines
	}
	if at < 0 {
		return n.Line, n.Column
	}
	return d.position(start + at)
}

// content gives the byte of the source at which a scalar's own text begins, behind its properties (&anchor, !tag), and these.
// It is -1 where it cannot be told.
func (d *Document) content(n *yaml.Node) (start int, properties []string) {
	start = d.offset(n)
	if start < 0 {
		return -1, nil
	}
	for start < len(d.src) && (d.src[start] == '&' || d.src[start] == '!') {
		length := strings.IndexAny(d.src[start:], " \t\r\n")
		if length < 0 {
			return -1, properties
		}
		properties = append(properties, d.src[start:start+length])
		rest := strings.TrimLeft(d.src[start+length:], " \t")
		if rest == "" || rest[0] == '\r' || rest[0] == '\n' || rest[0] == '#' {
			return -1, properties
		}
		start = len(d.src) - len(rest)
	}
	return start, properties
}

// placeInLiteral finds a byte of a | scalar. Its text begins on the line below the indicator, and each of its lines ends as the
// source's line does, so that the indentation need not be known.
func (d *Document) placeInLiteral(n *yaml.Node, start, offset int) (line, column int) {
	end := len(strings.TrimRight(n.Value, "\n"))
	if end == 0 {
		return n.Line, n.Column
	}
	if offset == len(n.Value) {
		offset = end // the end of the text, not of the blank lines below it
	}
	line, _ = d.position(start)
	line += 1 + strings.Count(n.Value[:offset], "\n")
	from := strings.LastIndexByte(n.Value[:offset], '\n') + 1
	text := n.Value[from:]
	if end := strings.IndexByte(text, '\n'); end >= 0 {
		text = text[:end]
	}
	source := d.line(line)
	if line > len(d.lines()) || !strings.HasSuffix(source, text) {
		return n.Line, n.Column
	}
	return line, utf8.RuneCountInString(source[:len(source)-len(text)+offset-from]) + 1
}

// inQuoted finds a byte of the decoded value in the source of a quoted scalar, which begins with its quote: -1 where the scalar
// goes on over several lines before it. unit gives the length of the next piece of the source, and of what it stands for.
func inQuoted(src string, offset int, unit func(string) (source, value int)) int {
	i := 1
	for offset > 0 {
		if i >= len(src) || src[i] == '\n' || src[i] == '\r' {
			return -1
		}
		source, value := unit(src[i:])
		if source == 0 || i+source > len(src) {
			return -1
		}
		if value > offset {
			return i // within a character that is written as an escape
		}
		i += source
		offset -= value
	}
	if rest := strings.TrimPrefix(strings.TrimLeft(src[i:], " \t"), `\`); rest == "" || rest[0] == '\n' || rest[0] == '\r' {
		return -1 // what stands here in the value stands below a line break in the source
	}
	return i
}

func singleQuoted(src string) (source, value int) {
	if strings.HasPrefix(src, "''") {
		return 2, 1
	}
	if src[0] == '\'' {
		return 0, 0
	}
	return 1, 1
}

func doubleQuoted(src string) (source, value int) {
	if src[0] == '"' {
		return 0, 0
	}
	if src[0] != '\\' {
		return 1, 1
	}
	if len(src) < 2 {
		return 0, 0
	}
	digits := 0
	switch src[1] {
	case '\r', '\n':
		return 0, 0
	case 'N', '_':
		return 2, 2 // U+0085, U+00A0
	case 'L', 'P':
		return 2, 3 // U+2028, U+2029
	case 'x':
		digits = 2
	case 'u':
		digits = 4
	case 'U':
		digits = 8
	default:
		return 2, 1
	}
	if len(src) < 2+digits {
		return 0, 0
	}
	r := rune(0)
	for _, c := range []byte(src[2 : 2+digits]) {
		r = r<<4 | rune(strings.IndexByte("0123456789abcdef", c|0x20)&15)
	}
	return 2 + digits, max(utf8.RuneLen(r), 1)
}
