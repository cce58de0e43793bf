package strictyaml

import (
	"errors"
	"strings"
	"testing"
)

// TestSyntaxErrors: each is reported at the line where the trouble starts, which the comment marker ← names.
func TestSyntaxErrors(t *testing.T) {
	tests := []struct {
		name, src string
		line      int
		holds     string
	}{
		{"value with colon", "rules:\n  - name: a\n    condition: A ? b : c\n    actions: []\n", 3, "`|`"},
		{"condition begins with a quote", "rules:\n  - name: a\n    condition: \"a\" in From\n    actions: []\n", 3, "begins with a quote"},
		{"condition begins with a single quote", "rules:\n  - name: a\n    condition: 'a' == From\n    actions: []\n", 3, "begins with a quote"},
		{"condition begins with a bracket", "rules:\n  - name: a\n    condition: [1, 2] contains x\n", 3, "begins with `[`"},
		{"text begins with a template", "rules:\n  - name: a\n    message: {{ From }} left\n    level: warn\n", 3, "begins with `{`"},
		{"text begins with an at", "a: 1\nb: @all\n", 2, "begins with `@`"},
		{"text begins with a percent", "a: 1\nb: %d\n", 2, "begins with `%`"},
		{"text begins with a backtick", "a: 1\nb: `x`\n", 2, "quote"},
		{"unclosed double quote", "a: 1\nb: \"x\nc: 2\nd: 3\n", 2, "not closed"},
		{"unclosed single quote", "a: 1\nb: 'x\nc: 2\n", 2, "not closed"},
		{"unclosed quote that a later one closes", "a: 1\nb: \"x\nc: 2\nd: \"y\"\n", 2, "not closed"},
		{"unclosed list", "a: 1\nb: [1, 2\nc: 3\n", 2, ""},
		{"unclosed mapping", "a: 1\nb: {x: 1\nc: 3\n", 2, ""},
		{"closed too often", "a: 1\nb: [1]]\nc: 3\n", 2, ""},
		{"too little indentation", "rules:\n  - name: a\n   condition: b\n", 3, ""},
		{"too much indentation", "rules:\n  - name: a\n      condition: b\n", 3, ""},
		{"tab as indentation", "a:\n\tb: 1\n", 2, "tab"},
		{"tab before a list item", "a:\n  - b\n\t- c\n", 3, "tab"},
		{"missing colon", "a: 1\nb\nc: 3\n", 2, ""},
		{"list item among keys", "a: 1\n- b\n", 2, ""},
		{"key among list items", "- a\nb: 1\n", 2, ""},
		{"a pattern in double quotes", "a: 1\nb: \"x matches \\\"\\d\\\"\"\nc: 1\n", 2, "between double quotes a backslash is written \\\\;"},
		{"a text that begins with {{ and holds a colon", "a: 1\nb: {{ x }}: y\n", 2, "quote the whole value"},
		{"unknown alias", "a: 1\nb: *nobody\nc: 1\n", 2, "unknown anchor"},
		{"bad escape", "a: 1\nb: \"\\d\"\nc: 1\n", 2, ""},
		{"comment within a plain text", "a: x # y\n  z\nb: 1\n", 2, ""},
		{"text after a literal", "a: |\n  x\n y\nb: 1\n", 3, ""},
		{"bad block header", "a: 1\nb: |x\n  y\n", 2, ""},
		{"first line", "}\n", 1, ""},
		{"windows line ends", "a: 1\r\nb: [1\r\nc: 2\r\n", 2, ""},
		{"a secret in a list", "a: 1\ntokens: [${env:A}]\n", 2, "quote each ${…}"},
		{"no space behind the colon", "rules:\n  - name: a\n    condition:Mutual\n    actions: [x]\n", 3, "a space is missing"},
		{"a quote within a quoted text", "a: 1\nb: 'it's'\nc: 2\n", 2, "end with the next one"},
		{"text behind a quoted one", "a: 1\nb: \"x\" y\nc: 2\n", 2, "end with the next one"},
		{"no line end at the end", "a: 1\nb: \"x", 2, "not closed"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			doc, err := Parse("f.yaml", []byte(test.src))
			var ps Problems
			if !errors.As(err, &ps) || len(ps) != 1 || doc != nil {
				t.Fatalf("got %v, %v; want one problem", doc, err)
			}
			if ps[0].Line != test.line || !strings.Contains(ps[0].Message, test.holds) {
				t.Errorf("got %v; want line %d, saying %q", ps[0], test.line, test.holds)
			}
		})
	}
}
