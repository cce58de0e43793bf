package strictyaml

import (
	"strings"
	"unicode/utf8"

	"gopkg.in/yaml.v3"
)

// quick reads the part of YAML that rules files are mostly written in, some twenty times as fast as the parser that knows all of it:
// block mappings and lists, flow ones on one line, texts on one line, and those below a | or >. At the first thing that it is not
// sure of, sound or not, it gives up, and the parser reads the file instead. So what it gives is what the parser gives, comments
// aside, and has nothing wrong with it: no tag, alias, merge key, repeated key or empty value, and no comment behind a value.
//
// It works without looking back: the lines of a block are those that are indented deeper than what the block belongs to, whatever is
// in them. That is what lets it skip entries that it has read before (see Entries).
type quick struct {
	src     string
	at      int // the byte that is read next
	line    int // its line, from 1
	from    int // where that line begins
	indent  int // of the line, or of the mapping that begins behind a dash; -1 at the end
	ascii   bool
	nodes   slab[yaml.Node]
	links   slab[*yaml.Node] // what nodes hold their content in
	stack   []*yaml.Node     // the content of nodes that are still being read
	doc     *Document
	entries *Entries
}

// readQuickly gives the value of a document (nil where there is only comments), and false where the parser must read it.
func readQuickly(d *Document, entries *Entries) (root *yaml.Node, ok bool) {
	if strings.IndexByte(d.src, '\r') >= 0 {
		return nil, false
	}
	r := &quick{src: d.src, line: 1, ascii: isASCII(d.src), doc: d, entries: entries}
	if !r.next() {
		return nil, false
	}
	if r.indent < 0 {
		return nil, true
	}
	if r.indent == 0 && !r.atDash() {
		root = r.mapping(1)
	}
	return root, root != nil && r.indent < 0
}

func isASCII(s string) bool {
	for i := range len(s) {
		if s[i] >= utf8.RuneSelf {
			return false
		}
	}
	return true
}

// node makes a node that stands where r reads.
func (r *quick) node(kind yaml.Kind, style yaml.Style, tag, value string) *yaml.Node {
	n := &r.nodes.take(1, min(64, 8+len(r.src)/16))[0]
	column := r.at - r.from
	if !r.ascii {
		column = utf8.RuneCountInString(r.src[r.from:r.at])
	}
	n.Kind, n.Style, n.Tag, n.Value, n.Line, n.Column = kind, style, tag, value, r.line, column+1
	return n
}

// fill moves what was stacked since base into n. It gives nil where n is a mapping with a repeated key.
func (r *quick) fill(n *yaml.Node, base int) *yaml.Node {
	if len(r.stack) == base {
		return n
	}
	n.Content = r.links.take(len(r.stack)-base, min(64, 8+len(r.src)/16))
	copy(n.Content, r.stack[base:])
	r.stack = r.stack[:base]
	if n.Kind == yaml.MappingNode && repeats(n.Content) {
		return nil
	}
	return n
}

// repeats tells that two keys of a mapping are the same.
func repeats(content []*yaml.Node) bool {
	const few = 32
	if len(content) > few {
		seen := make(map[string]bool, len(content)/2)
		for i := 0; i < len(content); i += 2 {
			seen[content[i].Value] = true
		}
		return len(seen) < len(content)/2
	}
	for i := 2; i < len(content); i += 2 {
		for j := 0; j < i; j += 2 {
			if content[i].Value == content[j].Value {
				return true
			}
		}
	}
	return false
}

// next goes from the begin of a line to the first line from there on that is neither blank nor a comment.
func (r *quick) next() bool {
	for {
		i := r.at
		for i < len(r.src) && r.src[i] == ' ' {
			i++
		}
		if i == len(r.src) {
			r.at, r.indent = i, -1
			return true
		}
		switch r.src[i] {
		case '\t':
			return false
		case '\n', '#':
			end := strings.IndexByte(r.src[i:], '\n')
			if end < 0 {
				r.at, r.indent = len(r.src), -1
				return true
			}
			r.at, r.line = i+end+1, r.line+1
		default:
			r.from, r.at, r.indent = r.at, i, i-r.at
			return true
		}
	}
}

// endLine goes to the next line, if nothing more stands on this one and the next does not belong to what is indented by indent.
func (r *quick) endLine(indent int) bool {
	r.spaces()
	if r.at < len(r.src) {
		if r.src[r.at] != '\n' {
			return false
		}
		r.at, r.line = r.at+1, r.line+1
	}
	return r.next() && r.indent <= indent
}

func (r *quick) spaces() {
	for r.at < len(r.src) && r.src[r.at] == ' ' {
		r.at++
	}
}

// peek gives the byte that is read next, a line break at the end.
func (r *quick) peek() byte {
	if r.at < len(r.src) {
		return r.src[r.at]
	}
	return '\n'
}

// blankAt tells that a space or line break, or nothing, stands at i.
func (r *quick) blankAt(i int) bool { return i >= len(r.src) || r.src[i] == ' ' || r.src[i] == '\n' }

// atDash tells that an entry of a block list begins here.
func (r *quick) atDash() bool { return r.peek() == '-' && r.blankAt(r.at+1) }

// keyLength is the length of the key that stands here with its colon behind it, 0 where there is none.
func (r *quick) keyLength() int {
	i := r.at
	for i < len(r.src) && isWord(r.src[i]) {
		i++
	}
	const most = 128 // the parser looks for the colon within 1,024 characters
	if i == r.at || i-r.at > most || r.peek() == '-' || r.peek() == '.' || i == len(r.src) || r.src[i] != ':' || !r.blankAt(i+1) {
		return 0
	}
	return i - r.at
}

func isWord(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '_' || c == '-' || c == '.'
}

// key reads a key and its colon onto the stack.
func (r *quick) key() bool {
	length := r.keyLength()
	if length == 0 {
		return false
	}
	text := r.src[r.at : r.at+length]
	r.stack = append(r.stack, r.node(yaml.ScalarNode, 0, plainTag(text), text))
	r.at += length + 1
	return true
}

// mapping reads the block mapping that begins here, and stands at the next line that is none of it then.
func (r *quick) mapping(depth int) *yaml.Node {
	if depth >= maxDepth {
		return nil
	}
	indent, base := r.indent, len(r.stack)
	n := r.node(yaml.MappingNode, 0, "!!map", "")
	for {
		if !r.key() {
			return nil
		}
		listed := depth == 1 && r.entries != nil && r.stack[len(r.stack)-1].Value == r.entries.Key
		value := r.value(indent, depth+1, false, listed)
		if value == nil {
			return nil
		}
		r.stack = append(r.stack, value)
		if r.indent < indent {
			return r.fill(n, base)
		}
		if r.indent > indent || r.atDash() {
			return nil
		}
	}
}

// list reads the block list that begins here. An open one may stand as deep as the key above it, so that another key ends it.
func (r *quick) list(depth int, open bool, listed bool) *yaml.Node {
	if depth >= maxDepth {
		return nil
	}
	indent, base := r.indent, len(r.stack)
	n := r.node(yaml.SequenceNode, 0, "!!seq", "")
	r.doc.listed = r.doc.listed || listed
	for {
		if listed {
			if !r.entry(indent, depth) {
				return nil
			}
		} else if !r.item(indent, depth) {
			return nil
		}
		switch {
		case r.indent == indent && r.atDash():
		case r.indent < indent || r.indent == indent && open:
			return r.fill(n, base)
		default:
			return nil
		}
	}
}

// item reads one entry of a block list onto the stack.
func (r *quick) item(indent, depth int) bool {
	r.at++
	value := r.value(indent, depth+1, true, false)
	r.stack = append(r.stack, value)
	return value != nil
}

// value reads what stands behind a key or a dash: on the rest of its line, or below.
func (r *quick) value(indent, depth int, behindDash, listed bool) *yaml.Node {
	r.spaces()
	switch r.peek() {
	case '\n':
		if !r.endLine(1 << 30) {
			return nil
		}
		switch dash := r.atDash(); {
		case r.indent > indent && dash, r.indent == indent && dash && !behindDash:
			return r.list(depth, r.indent == indent, listed)
		case r.indent > indent:
			return r.mapping(depth)
		}
		return nil
	case '|', '>':
		return r.blockText(indent)
	}
	if behindDash && r.keyLength() > 0 {
		r.indent = r.at - r.from
		return r.mapping(depth)
	}
	n := r.onLine(depth, false)
	if n == nil || !r.endLine(indent) {
		return nil
	}
	return n
}

// onLine reads a text, or a flow mapping or list, that ends on its line; within tells that it stands in a flow mapping or list.
func (r *quick) onLine(depth int, within bool) *yaml.Node {
	switch r.peek() {
	case '\'':
		return r.singleQuoted()
	case '"':
		return r.doubleQuoted()
	case '[', '{':
		return r.flow(depth)
	}
	return r.plain(within)
}

// flow reads a flow mapping or list that ends on its line.
func (r *quick) flow(depth int) *yaml.Node {
	if depth >= maxDepth {
		return nil
	}
	kind, tag, closing := yaml.SequenceNode, "!!seq", byte(']')
	if r.peek() == '{' {
		kind, tag, closing = yaml.MappingNode, "!!map", '}'
	}
	base := len(r.stack)
	n := r.node(kind, yaml.FlowStyle, tag, "")
	r.at++
	for {
		if r.spaces(); r.peek() == closing {
			r.at++
			return r.fill(n, base)
		}
		if kind == yaml.MappingNode && !r.key() {
			return nil
		}
		r.spaces()
		value := r.onLine(depth+1, true)
		if value == nil {
			return nil
		}
		r.stack = append(r.stack, value)
		if r.spaces(); r.peek() == ',' {
			r.at++
		} else if r.peek() != closing {
			return nil
		}
	}
}
