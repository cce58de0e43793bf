// Package strictyaml turns YAML into Go structs, strictly: unknown and repeated keys, tags, second documents and the traps of
// YAML itself are problems, all of them are reported at once, and each one stands at its place in the file.
//
// A file is read by yaml.v3, unless it is as plain as large files are: then it is read quickly (see quick), to the same tree, and the
// list that makes it large is given to the caller entry by entry (see Entries). Tests hold the two to each other.
package strictyaml

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Problem is one thing that is wrong at one place of a file.
type Problem struct {
	File    string `json:"file"`
	Line    int    `json:"line"`   // from 1; 0: the file as a whole
	Column  int    `json:"column"` // from 1, in characters; 0: the line as a whole
	Message string `json:"message"`
	Warning bool   `json:"-"` // what is said, but does not keep the file from being used
}

// String gives "file:line:col: message", the shape that editors and CI systems link to.
func (p Problem) String() string {
	sep := ": "
	if p.Warning {
		sep = ": warning: "
	}
	return fmt.Sprintf("%s:%d:%d%s%s", p.File, max(p.Line, 1), max(p.Column, 1), sep, p.Message)
}

// Problems is every problem of one or more files, as an error.
type Problems []Problem

// Error gives one problem a line.
func (ps Problems) Error() string {
	lines := make([]string, len(ps))
	for i, p := range ps {
		lines[i] = p.String()
	}
	return strings.Join(lines, "\n")
}

// Sorted gives the problems in the order of their places, each once.
func (ps Problems) Sorted() Problems {
	slices.SortStableFunc(ps, func(a, b Problem) int {
		return cmp.Or(cmp.Compare(a.File, b.File), cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column))
	})
	return slices.Compact(ps)
}
