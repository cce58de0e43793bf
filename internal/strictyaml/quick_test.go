package strictyaml

import (
	"fmt"
	"strings"
	"testing"

	"gopkg.in/yaml.v3"
	"pgregory.net/rapid"
)

// sameAsParser fails unless what is read quickly is what the parser reads. It tells whether it was read quickly at all.
func sameAsParser(t interface{ Fatalf(string, ...any) }, src string) bool {
	d := &Document{File: "f", src: src, faulty: map[*yaml.Node]bool{}}
	if len(d.checkCharacters()) > 0 {
		return false
	}
	got, ok := readQuickly(d, nil)
	if !ok {
		return false
	}
	want, second, err := compose(strings.NewReader(src))
	if err != nil || second != nil {
		t.Fatalf("read quickly, but the parser says %v, %v:\n%q", err, second, src)
	}
	if diff := differ(got, want); diff != "" {
		t.Fatalf("%s (quickly, by the parser):\n%q", diff, src)
	}
	d.Root = want
	check := tree{doc: d}
	if check.check(); len(check.problems) > 0 {
		t.Fatalf("read quickly, but it has a problem: %v\n%q", check.problems, src)
	}
	if want != nil {
		noComment(t, &Decoder{Doc: d}, want)
	}
	return true
}

func differ(a, b *yaml.Node) string {
	if a == nil || b == nil {
		if a != b {
			return fmt.Sprintf("%v, %v", a, b)
		}
		return ""
	}
	if a.Kind != b.Kind || a.Style != b.Style || a.Tag != b.Tag || a.Value != b.Value || a.Line != b.Line || a.Column != b.Column ||
		b.Anchor != "" || b.LineComment != "" || len(a.Content) != len(b.Content) {
		return fmt.Sprintf("%+v, %+v", *a, *b)
	}
	for i := range a.Content {
		if diff := differ(a.Content[i], b.Content[i]); diff != "" {
			return diff
		}
	}
	return ""
}

func noComment(t interface{ Fatalf(string, ...any) }, d *Decoder, n *yaml.Node) {
	if d.commentBehind(n) {
		t.Fatalf("read quickly, but there is a comment behind %q:\n%q", n.Value, d.Doc.src)
	}
	for _, c := range n.Content {
		noComment(t, d, c)
	}
}

// plainYAML are files as people write them: all of it is to be read quickly.
var plainYAML = []string{
	"", "# only a comment\n\n", "version: 1\n", "a: b", "a:\n  - b\n  -   c: d\n      e: 1.5\n  -\n    f: ~\n", "a:\n- b\n- c: d\n  e: f\nb: x\n",
	"a: {b: c, d: [1, \"x\", {e: 'f''g'}],}\nb: [ ]\nc: {}\n", "a: \"q\\\"\\\\\\n\\t/\" \nb: 'it''s'\n", "a: |\n  x\n   y\n\n  z\n\n\nb: >-\n  one\n  two\nc: |-\n   x\n",
	"rules:\n  # first\n  - name: a-1\n    condition: From_Account == \"ä\" && Time.Hour() >= 3\n\n    actions: [crm, {type: webhook, url: https://x.example/ü}]\n" +
		"    labels:\n      team: ops\n # odd comment\n  - name: b\n    actions:\n    - log\n    - type: log\n      message: |\n        {{ From_Account }}\n",
	"a: 2026-11-22\nb: 010\nc: yes\nd: .5\ne: 0x1f\nf: -1\ng: Null\nh: 1_000\nnull: true\n12: x\n", "a: x\n\n  \nb: y\n  # c\n",
}

// trickyYAML looks much like it. Some of it is not YAML.
var trickyYAML = []string{
	"a: b # c\n", "a: b\n  c\n", "a: 'b\n  c'\n", "a: \"b\n", "a:\n\tb: c\n", "a: b\n b: c\n", "a:\n - b\n  - c\n", "a: - b\n", "a: b: c\n", "- a\n", "a:\nb: c\n",
	"a: {{ x }}\n", "a: &x b\nc: *x\n", "a: !t b\n", "? a\n: b\n", "--- \na: b\n", "a: b\n---\nc: d\n", "a: b\n...\n", "%YAML 1.1\n---\na: b\n", "a: |\n x\n  y\nz\n",
	"a: |2\n   x\n", "a: >\n  x\n\n  y\n", "a: >\n  x\n   y\n", "a: |+\n  x\n\n", "a: |\n\n  x\n", "a: |\n  x\n\ty\n", "a: |\nb: c\n", "a: 1\na: 2\n", "a: {b: 1, b: 2}\n",
	"<<: {a: b}\n", "a: <<\n", "a: [b: c]\n", "a: [b,\n  c]\n", "a: [,]\n", "a: {b}\n", "a: x:\n", "a: x\ty\n", "a: \"\\d\"\n", "a: \"\\x41\"\n", "a: b\r\nc: d\r\n",
	"'a': b\n", "a : b\n", "a:b\n", "a: [x #y]\n", "a: [x?y, ?z]\n", "a: @b\n", "a: `b`\n", "a: - \n", "a: -\n", "- - a\n", "a:\n  - - b\n", "a: \u00a0b\n", "a: | # c\n  b\n", "a: |\n  b",
	"a:\n  b\n", "a:\n# c\n- b\n# d\n  # e\n- f\n", "a: b #\n", "a: #b\n", "a: b#c\n", "a: [a]b\n", "a: 'b'c\n", "a: {b: c}}\n", "a: x,y]z\n",
}

func FuzzQuick(f *testing.F) {
	for _, s := range plainYAML {
		f.Add(s)
	}
	for _, s := range trickyYAML {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, src string) { sameAsParser(t, src) })
}

func TestQuick(t *testing.T) {
	for _, src := range plainYAML {
		if !sameAsParser(t, src) {
			t.Errorf("not read quickly: %q", src)
		}
	}
	for _, src := range trickyYAML {
		sameAsParser(t, src)
	}
}

// anyYAML draws a file like those above: parts of them, and a few bytes that matter.
func anyYAML(t *rapid.T) string {
	var lines []string
	for _, s := range append(append([]string{}, plainYAML...), trickyYAML...) {
		lines = append(lines, strings.SplitAfter(s, "\n")...)
	}
	line := rapid.SampledFrom(lines)
	var b strings.Builder
	for range rapid.IntRange(1, 12).Draw(t, "lines") {
		b.WriteString(strings.Repeat(" ", rapid.SampledFrom([]int{0, 0, 0, 0, 1, 2, 4}).Draw(t, "indent")))
		b.WriteString(line.Draw(t, "line"))
	}
	return edited(t, b.String(), 2)
}

// edited changes some bytes of src.
func edited(t *rapid.T, src string, most int) string {
	pieces := rapid.SampledFrom([]string{"", "", " ", "  ", "\n", "\n  ", "\n\n", "'", "\"", "[", "]", "{", "}", "|\n", ">\n", "#", " # ", "- ", ": ", ":", ",", "\t", "\r\n", "&a ", "*a", "!", "\ufeff",
		"          \n", "\n          \n", "x", "é", "---\n", "...\n", "<<: ", "rules:\n", "actions:\n", "  - name: z\n", "    stop: true\n", "      deeper: 1\n", "? "})
	for range rapid.IntRange(0, most).Draw(t, "edits") {
		at := rapid.IntRange(0, len(src)).Draw(t, "at")
		end := min(len(src), at+rapid.SampledFrom([]int{0, 0, 0, 1, 2, 5, 20, 90}).Draw(t, "cut"))
		src = src[:at] + pieces.Draw(t, "put") + src[end:]
	}
	return src
}

func TestQuickIsTheParser(t *testing.T) {
	read, all := 0, 0
	rapid.Check(t, func(t *rapid.T) {
		all++
		if sameAsParser(t, anyYAML(t)) {
			read++
		}
	})
	if read < all/100 {
		t.Errorf("only %d of %d were read quickly, so that this shows little", read, all)
	}
}

func ExampleEntries() {
	known := map[string]Entry{}
	remember := func(_ *Document, e Entry, _ *yaml.Node) bool {
		e.Value = "known since line " + fmt.Sprint(e.Line)
		known[FirstLine(e.Text)] = e
		return false
	}
	_, _ = ParseEntries("f.yaml", []byte("rules:\n  - name: a\n  - name: b\n"), &Entries{Key: "rules", Read: remember})
	tell := func(_ *Document, e Entry, n *yaml.Node) bool {
		fmt.Println(e.Line, n != nil, e.Value)
		return false
	}
	_, _ = ParseEntries("f.yaml", []byte("rules:\n  - name: new\n  - name: b\n"), &Entries{Key: "rules", Known: known, Read: tell})
	// Output:
	// 2 true <nil>
	// 3 false known since line 3
}

// entriesOf reads src, and gives the entries, each with its node, and the rest of the document.
func entriesOf(src string, known map[string]Entry) (all []Entry, nodes []*yaml.Node, doc *Document) {
	doc, _ = ParseEntries("f", []byte(src), &Entries{Key: "rules", Known: known, Read: func(_ *Document, e Entry, n *yaml.Node) bool {
		all = append(all, e)
		if len(all)%3 == 0 {
			nodes = append(nodes, n)
			return true
		}
		nodes = append(nodes, copyOf(n))
		return false
	}})
	if doc == nil || !doc.Listed() {
		return nil, nil, doc
	}
	return all, nodes, doc
}

func copyOf(n *yaml.Node) *yaml.Node {
	if n == nil {
		return nil
	}
	c := *n
	c.Content = nil
	for _, child := range n.Content {
		c.Content = append(c.Content, copyOf(child))
	}
	return &c
}

// Entry by entry, with what is known and without, a file is what it is as a whole.
func TestEntries(t *testing.T) {
	skipped, all := 0, 0
	rapid.Check(t, func(t *rapid.T) {
		pieces := []string{"  - name: %d\n    condition: 'x'\n", "  - name: %d\n    actions: [a]\n    # c\n\n", "  - name: %d\n    condition: |\n      a\n\n      b\n",
			"  - name: %d\n", "  -\n    name: %d\n", "  - {name: %d, stop: true}\n", "  # %d\n", "  - name: %d\n    condition: >-\n      a\n      b\n\n", "  - text%d\n"}
		src := rapid.SampledFrom([]string{"rules:\n", "lists: {a: [b]}\nrules:\n", "# x\nrules:\n\n"}).Draw(t, "top")
		for i := range rapid.IntRange(0, 8).Draw(t, "entries") {
			src += fmt.Sprintf(rapid.SampledFrom(pieces).Draw(t, "entry"), i)
		}
		src += rapid.SampledFrom([]string{"", "", "actions: {}\n", "# end", "\n\n"}).Draw(t, "bottom")
		before, nodes, _ := entriesOf(src, nil)
		known := map[string]Entry{}
		for i, e := range before {
			e.Value = nodes[i]
			known[FirstLine(e.Text)] = e
		}
		src = edited(t, src, 3)
		whole, wantErr := Parse("f", []byte(src))
		for _, known := range []map[string]Entry{nil, known} {
			got, gotNodes, doc := entriesOf(src, known)
			if doc == nil || !doc.Listed() {
				if wantErr == nil && doc == nil {
					t.Fatalf("refused, but not as a whole:\n%q", src)
				}
				continue
			}
			if wantErr != nil {
				t.Fatalf("not refused, but as a whole: %v\n%q", wantErr, src)
			}
			_, list := (&Decoder{}).Key(whole.Root, "rules")
			if len(got) != len(list.Content) {
				t.Fatalf("%d entries, as a whole %d:\n%q", len(got), len(list.Content), src)
			}
			for i, e := range got {
				if all++; e.Value != nil {
					skipped++
					gotNodes[i] = copyOf(e.Value.(*yaml.Node))
					moveLines(gotNodes[i], e.Moved)
				}
				if diff := differ(gotNodes[i], list.Content[i]); diff != "" {
					t.Fatalf("entry %d: %s\n%q", i, diff, src)
				}
			}
			_, rest := (&Decoder{}).Key(doc.Root, "rules")
			rest.Content = list.Content
			if diff := differ(doc.Root, whole.Root); diff != "" {
				t.Fatalf("around the entries: %s\n%q", diff, src)
			}
		}
	})
	if skipped < all/5 {
		t.Errorf("only %d of %d entries were known, so that this shows little", skipped, all)
	}
}

// What stands behind a known entry may make another of it.
func TestWhatFollowsAKnownEntry(t *testing.T) {
	const text = "  - name: a\n    condition: |\n      x\n"
	for name, behind := range map[string]string{
		"spaces that belong to the text": "          \n", "another line of the text": "      y\n", "another key": "    stop: true\n", "what is no entry": "   - b\n",
	} {
		t.Run(name, func(t *testing.T) {
			known := map[string]Entry{FirstLine(text): {Text: text, Line: 2, Value: "known"}}
			all, _, doc := entriesOf("rules:\n"+text+behind+"  - name: b\n", known)
			if doc != nil && doc.Listed() && all[0].Value != nil {
				t.Error("it was skipped")
			}
			if all, _, _ := entriesOf("rules:\n"+text+"  - name: b\n", known); len(all) != 2 || all[0].Value == nil {
				t.Error("it is not skipped without")
			}
		})
	}
}

func moveLines(n *yaml.Node, by int) {
	n.Line += by
	for _, c := range n.Content {
		moveLines(c, by)
	}
}
