package strictyaml

import (
	"strings"
	"unicode/utf8"

	"gopkg.in/yaml.v3"
)

// plain reads an unquoted text up to the end of its line; within a flow mapping or list, up to what ends it there.
func (r *quick) plain(within bool) *yaml.Node {
	if !r.beginsPlain() {
		return nil
	}
	i := r.at
	for ; i < len(r.src) && r.src[i] != '\n'; i++ {
		switch c := r.src[i]; {
		case c == '\t', c == '#' && (within || r.src[i-1] == ' '):
			return nil
		case c == ':' && (r.blankAt(i+1) || r.src[i+1] == '\t' || within && !isWord(r.src[i+1]) && r.src[i+1] != '/'):
			return nil
		case within && (c == ',' || c == ']' || c == '}'):
			return r.plainTo(i)
		case within && (c == '[' || c == '{' || c == '?'):
			return nil
		}
	}
	return r.plainTo(i)
}

// plainTo makes the node of an unquoted text that ends before end.
func (r *quick) plainTo(end int) *yaml.Node {
	text := strings.TrimRight(r.src[r.at:end], " ")
	if text == "<<" {
		return nil
	}
	n := r.node(yaml.ScalarNode, 0, plainTag(text), text)
	r.at = end
	return n
}

// beginsPlain tells that what stands here begins an unquoted text and nothing else.
func (r *quick) beginsPlain() bool {
	c := r.peek()
	if c == '-' && r.at+1 < len(r.src) {
		c = r.src[r.at+1]
		return isWord(c) && c != '-'
	}
	return c != '-' && (isWord(c) || c >= utf8.RuneSelf || strings.IndexByte("/()$+~<;^", c) >= 0)
}

// plainTag is the tag that YAML gives an unquoted text.
func plainTag(text string) string {
	c := text[0]
	if letter := 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z'; letter && len(text) > len("false") || c == '_' || c >= utf8.RuneSelf {
		return "!!str"
	}
	return (&yaml.Node{Kind: yaml.ScalarNode, Value: text}).ShortTag()
}

func (r *quick) singleQuoted() *yaml.Node {
	text, escaped := r.src[r.at+1:], false
	for i := 0; i < len(text); i++ {
		switch text[i] {
		case '\n':
			return nil
		case '\'':
			if i+1 < len(text) && text[i+1] == '\'' {
				i, escaped = i+1, true
				continue
			}
			text = text[:i]
			if escaped {
				text = strings.ReplaceAll(text, "''", "'")
			}
			n := r.node(yaml.ScalarNode, yaml.SingleQuotedStyle, "!!str", text)
			r.at += i + 2
			return n
		}
	}
	return nil
}

func (r *quick) doubleQuoted() *yaml.Node {
	text := r.src[r.at+1:]
	var decoded []byte // up to i, once there was an escape
	for i := 0; i < len(text); i++ {
		c := text[i]
		switch c {
		case '\n':
			return nil
		case '"':
			value := text[:i]
			if decoded != nil {
				value = string(decoded)
			}
			n := r.node(yaml.ScalarNode, yaml.DoubleQuotedStyle, "!!str", value)
			r.at += i + 2
			return n
		case '\\':
			if decoded == nil {
				decoded = append(make([]byte, 0, 2*i+16), text[:i]...)
			}
			if i++; i == len(text) {
				return nil
			}
			switch c = text[i]; c {
			case '"', '\\':
			case 'n':
				c = '\n'
			case 't':
				c = '\t'
			default:
				return nil
			}
		}
		if decoded != nil {
			decoded = append(decoded, c)
		}
	}
	return nil
}

// blockText reads a text below its | or >, which belongs to what is indented by indent.
func (r *quick) blockText(indent int) *yaml.Node {
	n := r.node(yaml.ScalarNode, yaml.LiteralStyle, "!!str", "")
	between := "\n"
	if r.peek() == '>' {
		n.Style, between = yaml.FoldedStyle, " "
	}
	r.at++
	end := "\n"
	if r.peek() == '-' {
		r.at++
		end = ""
	}
	if r.spaces(); r.at == len(r.src) || r.src[r.at] != '\n' {
		return nil
	}
	r.at, r.line = r.at+1, r.line+1
	var text []byte
	width, blank := 0, 0 // the indentation, and the empty lines since the last that is none
	for {
		line, ok := r.blockLine(indent, &width)
		if !ok {
			return nil
		}
		if line == nil {
			break
		}
		if blank++; *line == "" {
			continue
		}
		if folded := n.Style == yaml.FoldedStyle; blank > 1 && (text == nil || folded) || folded && (*line)[0] == ' ' {
			return nil
		}
		if text != nil {
			text = append(text, strings.Repeat(between, blank)...)
		}
		text, blank = append(text, *line...), 0
	}
	if text == nil || !r.next() || r.indent > indent {
		return nil
	}
	n.Value = string(append(text, end...))
	return n
}

// blockLine gives the next line of a block text without its indentation, nil where the text has ended. Where it is the first, its
// indentation is that of all.
func (r *quick) blockLine(indent int, width *int) (line *string, ok bool) {
	i := r.at
	for i < len(r.src) && r.src[i] == ' ' && (*width == 0 || i-r.at < *width) {
		i++
	}
	empty := ""
	switch {
	case i == len(r.src):
		return nil, i == r.at
	case r.src[i] == '\n' && i > r.at || r.src[i] == '\t':
		return nil, false
	case r.src[i] == '\n':
		r.at, r.line = i+1, r.line+1
		return &empty, true
	case i-r.at <= indent || i-r.at < *width:
		return nil, true
	}
	*width = i - r.at
	length := strings.IndexByte(r.src[i:], '\n')
	if length < 0 {
		return nil, false
	}
	text := r.src[i : i+length]
	r.at, r.line = i+length+1, r.line+1
	return &text, true
}
