package strictyaml

import (
	"errors"
	"strings"
	"testing"
	"unicode/utf8"

	"gopkg.in/yaml.v3"
)

// FuzzParse: whatever is in a file, it is read or refused, and each problem stands within the file.
func FuzzParse(f *testing.F) {
	for _, s := range []string{
		"", "# only\n", "name: a\ncondition: b # c\n", "a: &x {b: *x}\n", "<<: [{a: b}, {c: d}]\n", "a: |2-\n    x\n\n", "a: >+\n x\n\n y\n",
		"a: \"\\u0041\\x41\\\n b\"\n", "a: '''x'\n", "\ufeffa: b\r\nc: d\r\n", "a: [1, {b: c}]\n", "a: b\n---\nc: d\n", "a: \"x\n", "a:\n\tb\n",
		"? [a]\n: b\n", "a: !x y\n", "a: ! y\n", "%YAML 1.1\n---\na: b\n", "staff: [~, 010]\nwait: 1d\nlimit: 1MiB\nlist: [{a: b}]\n", "\x00\xff",
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		doc, err := Parse("f", data)
		var ps Problems
		if err != nil && (!errors.As(err, &ps) || len(ps) == 0) {
			t.Fatalf("the error %v holds no problems", err)
		}
		within(t, data, ps)
		if doc == nil {
			if err == nil {
				t.Fatal("no document and no error")
			}
			return
		}
		d := &Decoder{Doc: doc}
		d.DecodeFile(&sample{})
		budget := 1000
		d.everyOffset(doc.Root, &budget)
		within(t, data, d.Problems())
	})
}

// everyOffset reports a problem at every byte of every scalar, as far as the budget goes.
func (d *Decoder) everyOffset(n *yaml.Node, budget *int) {
	if n == nil {
		return
	}
	if n.Kind == yaml.ScalarNode {
		for i := 0; i <= len(n.Value) && *budget > 0; i++ {
			*budget--
			d.ProblemAt(n, i, "here")
		}
	}
	for _, c := range n.Content {
		if *budget--; *budget > 0 {
			d.everyOffset(c, budget)
		}
	}
}

func within(t *testing.T, data []byte, ps Problems) {
	t.Helper()
	lines := strings.Split(strings.TrimPrefix(string(data), "\ufeff"), "\n")
	for _, p := range ps {
		switch {
		case p.Line == 0 && p.Column == 0:
		case p.Line == len(lines)+1 && p.Column == 1: // an empty value at the end stands on the line after the last
		case p.Line < 1 || p.Line > len(lines), p.Column < 1 || p.Column > utf8.RuneCountInString(lines[p.Line-1])+1:
			t.Fatalf("%v is outside of %q", p, data)
		}
	}
}
