package rules

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"path/filepath"
	"strings"
	"unicode/utf8"

	"github.com/aftermath-rules/aftermath/internal/lang"
)

// list is a list and the sum of what it was made of, by which the next set sees that it did not change.
type list struct {
	*lang.List
	sum  [sha256.Size]byte
	path string // absolute; "" for a list that is written in the rules file
}

// lineProblem is what is wrong, or odd, in one line of a list file.
type lineProblem struct {
	line    int
	message string
}

// parseList reads a list file: one value a line, byte for byte. A byte order mark, CR before LF, empty lines and lines that begin
// with # are dropped. The odd lines are no error: the first of each kind is told, since nobody reads a thousand of them.
func parseList(data []byte) (values []string, wrong *lineProblem, odd []lineProblem) {
	text := string(bytes.TrimPrefix(data, []byte("\ufeff"))) // one copy, which all values share
	values = make([]string, 0, strings.Count(text, "\n")+1)
	spaces := false
	for line := 1; text != ""; line++ {
		value, rest, _ := strings.Cut(text, "\n")
		text = rest
		value = strings.TrimSuffix(value, "\r")
		if value == "" || value[0] == '#' {
			continue
		}
		if !utf8.ValidString(value) || strings.IndexByte(value, 0) >= 0 {
			return nil, &lineProblem{line, "this line is not UTF-8 text"}, nil
		}
		if !spaces && strings.TrimSpace(value) != value {
			spaces = true
			odd = append(odd, lineProblem{line, "the spaces around this value are a part of it"})
		}
		values = append(values, value)
	}
	return values, nil, odd
}

// listOf gives the list that def names.
func (c *compiler) listOf(f *File, def *listDef) *list {
	if c.trial && f.carried != nil {
		return c.Prev.lists[def.name]
	}
	return c.list(f, def)
}

// list makes the list that def names, or takes over the one of the set before. It gives an empty one where there was a problem, so
// that what uses the list is not reported too.
func (c *compiler) list(f *File, def *listDef) *list {
	if def.file == "" {
		sum := sumOf(def.values)
		if before := c.before(def.name, sum); before != nil {
			return &list{List: before, sum: sum}
		}
		return &list{List: lang.NewList(def.values), sum: sum}
	}
	empty := &list{List: lang.NewList(nil)}
	if def.faulty {
		return empty
	}
	path := f.resolve(def.file)
	c.inputs[path] = true
	in := c.reader.read(path)
	switch {
	case in.err != nil:
		f.dec.Problemf(def.at, "the file of the list %s, %s: %v", def.name, def.file, in.err)
		return empty
	case len(in.data) == 0:
		f.dec.Problemf(def.at, "the file of the list %s, %s, is empty, as if half-written; an empty list holds at least a # comment", def.name, def.file)
		return empty
	}
	if before := c.before(def.name, in.sum); before != nil {
		return &list{List: before, sum: in.sum, path: path}
	}
	values, wrong, odd := parseList(in.data)
	name := def.file
	if !filepath.IsAbs(name) {
		name = filepath.Join(filepath.Dir(f.Name), name)
	}
	if wrong != nil {
		c.problems = append(c.problems, Problem{File: name, Line: wrong.line, Column: 1, Message: wrong.message})
		return empty
	}
	for _, o := range odd {
		c.warnings = append(c.warnings, Problem{File: name, Line: o.line, Column: 1, Message: o.message, Warning: true})
	}
	return &list{List: lang.NewList(values), sum: in.sum, path: path}
}

// before gives the list that the set before had by the name, if it was made of the same. That it is the same value tells actions
// that it did not change.
func (c *compiler) before(name string, sum [sha256.Size]byte) *lang.List {
	if c.Prev == nil || c.Prev.lists[name] == nil || c.Prev.lists[name].sum != sum {
		return nil
	}
	return c.Prev.lists[name].List
}

// sumOf sums the values of an inline list so that no two lists, and no list file, have the same.
func sumOf(values []string) (sum [sha256.Size]byte) {
	h := sha256.New()
	h.Write([]byte("inline\x00")) // a list file has no NUL
	for _, v := range values {
		fmt.Fprintf(h, "%d:%s", len(v), v)
	}
	return [sha256.Size]byte(h.Sum(nil))
}

// resolve makes a path in the file absolute.
func (f *File) resolve(path string) string {
	if filepath.IsAbs(path) {
		return filepath.Clean(path)
	}
	return filepath.Join(filepath.Dir(f.Path), path)
}
