package strictyaml

import "strings"

// Entries are the entries of the list below one top-level key, such as rules, each with its text: so that a file of a hundred
// thousand of them, one of which was edited, need not be read as a whole.
type Entries struct {
	Key   string
	Known map[string]Entry // what earlier text had, by FirstLine
	All   []Entry          // as they are now; empty where the file has no such list, or is not as simple as most
}

// Entry is one entry of such a list.
type Entry struct {
	Text  string // its lines, and the blank ones and comments behind them
	Line  int    // on which it begins
	Value any    // nil for one that must be decoded: then it is the next of the list's node. Else its Known's
	Moved int    // by how many lines since it was known
}

// FirstLine is what Known is looked up by.
func FirstLine(text string) string {
	line, _, _ := strings.Cut(text, "\n")
	return line
}

// entry reads one entry of the list of r.entries, or skips it where it is known: then nothing goes onto the stack.
//
// That the same text is the same entry holds because nothing that came before changes how quick reads it, and because the line right
// behind it begins another entry or is indented less, as it was when the text was read.
func (r *quick) entry(indent, depth int) bool {
	begin, line := r.from, r.line
	known, ok := r.entries.Known[FirstLine(r.src[begin:])]
	if end := begin + len(known.Text); ok && strings.HasPrefix(r.src[begin:], known.Text) && (end == len(r.src) || r.src[end-1] == '\n') {
		r.at, r.line = end, line+strings.Count(known.Text, "\n")
		if r.next() && r.indent <= indent && (r.from == end || end == len(r.src)) {
			r.endEntry(begin, Entry{Line: line, Value: known.Value, Moved: line - known.Line})
			return true
		}
		r.at, r.line, r.from, r.indent = begin+indent, line, begin, indent
	}
	if !r.item(indent, depth) {
		return false
	}
	r.endEntry(begin, Entry{Line: line})
	return true
}

// endEntry notes an entry that ends where r reads.
func (r *quick) endEntry(begin int, e Entry) {
	end := r.from
	if r.indent < 0 {
		end = r.at
	}
	e.Text = r.src[begin:end]
	r.entries.All = append(r.entries.All, e)
}
