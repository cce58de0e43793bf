package strictyaml

import (
	"strings"

	"gopkg.in/yaml.v3"
)

// Entries reads the list below one top-level key, such as rules, entry by entry, so that a file of a hundred thousand of them is
// never in memory as nodes, and one of which a single entry was edited is not read as a whole. It takes files as most are written;
// Document.Listed says whether it did.
type Entries struct {
	Key   string
	Known map[string]Entry // what an earlier text had, by FirstLine: what has the same text need not be read again
	// Read is told of each entry in turn. The node of one that is not known is gone when Read returns, unless that gives true.
	Read func(d *Document, e Entry, n *yaml.Node) (keep bool)
}

// Entry is one entry of such a list.
type Entry struct {
	Text  string // its lines, and the blank ones and comments behind them
	Line  int    // on which it begins
	Value any    // what the caller knows it by; nil for one that is not known
	Moved int    // by how many lines since it was known
}

// FirstLine is what Known is looked up by.
func FirstLine(text string) string {
	line, _, _ := strings.Cut(text, "\n")
	return line
}

// Listed tells that Entries.Read was told of all entries of the list, whose node has none then. Where it was not, they are in the
// node, and what Read was told until then does not count.
func (d *Document) Listed() bool { return d.plain && d.listed }

// entry reads one entry of the list of r.entries, or skips it where it is known.
//
// That the same text is the same entry holds because nothing that came before changes how quick reads it, and because the line right
// behind it begins another entry or is indented less, as it was when the text was read.
func (r *quick) entry(indent, depth int) bool {
	begin, line := r.from, r.line
	known, ok := r.entries.Known[FirstLine(r.src[begin:])]
	if end := begin + len(known.Text); ok && strings.HasPrefix(r.src[begin:], known.Text) && (end == len(r.src) || r.src[end-1] == '\n') {
		r.at, r.line = end, line+strings.Count(known.Text, "\n")
		if r.next() && r.indent <= indent && (r.from == end || end == len(r.src)) {
			r.entries.Read(r.doc, Entry{Text: r.since(begin), Line: line, Value: known.Value, Moved: line - known.Line}, nil)
			return true
		}
		r.at, r.line, r.from, r.indent = begin+indent, line, begin, indent
	}
	nodes, links, base := r.nodes, r.links, len(r.stack)
	if !r.item(indent, depth) {
		return false
	}
	n := r.stack[base]
	r.stack = r.stack[:base]
	if !r.entries.Read(r.doc, Entry{Text: r.since(begin), Line: line}, n) {
		r.nodes.giveBack(nodes)
		r.links.giveBack(links)
	}
	return true
}

// since is the text from begin to the line at which r stands.
func (r *quick) since(begin int) string {
	if r.indent < 0 {
		return r.src[begin:r.at]
	}
	return r.src[begin:r.from]
}

// slab gives out zero values in blocks.
type slab[T any] struct {
	free   []T
	blocks int
}

func (s *slab[T]) take(n, block int) []T {
	if len(s.free) < n {
		s.free, s.blocks = make([]T, max(n, block)), s.blocks+1
	}
	taken := s.free[:n:n]
	s.free = s.free[n:]
	return taken
}

// giveBack takes back all that was given out since s was as before.
func (s *slab[T]) giveBack(before slab[T]) {
	if s.blocks == before.blocks {
		clear(before.free[:len(before.free)-len(s.free)])
		*s = before
	}
}
