package strictyaml

import (
	"fmt"
	"strings"
	"testing"

	"gopkg.in/yaml.v3"
)

// TestProblemAt finds the X of each value, wherever YAML lets it stand.
func TestProblemAt(t *testing.T) {
	tests := []struct{ name, src, want string }{
		{"plain", "a: b Xc\n", "1:6"},
		{"plain, behind other characters", "é: ü𝄞 X\n", "1:7"},
		{"plain in a list", "- a\n- bX\n", "2:4"},
		{"plain in a flow", "{a: [b, cX]}\n", "1:10"},
		{"plain on the line below", "a:\n  bX\n", "2:4"},
		{"plain behind an anchor", "a: &n bX\n", "1:8"},
		{"plain behind a tag", "a: !!str bX\n", "1:11"},
		{"plain behind both", "a: &n !!str   bX\n", "1:16"},
		{"plain of several lines: its own place", "a: b\n  X\n", "1:4"},
		{"plain with Windows line ends", "a: b\r\nc: dX\r\n", "2:5"},
		{"single quotes", "a: 'b X'\n", "1:7"},
		{"single quotes with one inside", "a: '''b'' X'\n", "1:11"},
		{"single quotes over two lines: their own place", "a: 'b\n  X'\n", "1:4"},
		{"double quotes", `a: "b X"`, "1:7"},
		{"double quotes with escapes", `a: "\"\\\n\t\x41\u00e9\U0001d11e\_\L\N X"`, "1:40"},
		{"double quotes with other characters", `a: "é𝄞X"`, "1:7"},
		{"an escape that stands for the X", `a: "bc\u0058"`, "1:7"},
		{"double quotes over two lines: their own place", "a: \"b\n  X\"\n", "1:4"},
		{"double quotes over two lines, the break escaped", "a: \"b \\\n  X\"\n", "1:4"},
		{"double quotes over two lines, spaces before the break", "a: \"b   \n  X\"\n", "1:4"},
		{"single quotes over two lines, spaces before the break", "a: 'b   \n  X'\n", "1:4"},
		{"literal", "a: |\n  b X\n", "2:5"},
		{"literal, second line", "a: |\n  b\n  éX\n", "3:4"},
		{"literal with an indented line", "a: |\n  b\n    X\n", "3:5"},
		{"literal with an indentation indicator", "a: |2\n    X\n", "2:5"},
		{"literal that keeps its end", "a: |+\n  X\n\n\n", "2:3"},
		{"literal without its end", "a: |-\n  b\n  X\n", "3:3"},
		{"literal after blank lines", "a: |\n\n\n  X\n", "4:3"},
		{"literal with a blank line inside", "a: |\n  b\n\n  X\n", "4:3"},
		{"literal with a comment at its head", "a: | # why\n  bX\n", "2:4"},
		{"literal behind an anchor", "a: &n |\n  bX\n", "2:4"},
		{"literal with Windows line ends", "a: |\r\n  b\r\n  X\r\n", "3:3"},
		{"literal in a list", "- - |\n    X\n", "2:5"},
		{"folded: its own place", "a: >\n  b\n  X\n", "1:4"},
		{"an alias: where it was written", "a: &n bX\nc: *n\n", "1:8"},
		{"behind a byte order mark", "\ufeffa: bX\n", "1:5"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			doc, err := Parse("f", []byte(test.src))
			if err != nil {
				t.Fatal(err)
			}
			d := &Decoder{Doc: doc}
			n := findX(doc.Root)
			d.ProblemAt(n, strings.IndexByte(n.Value, 'X'), "here")
			p := d.Problems()[0]
			if got := fmt.Sprintf("%d:%d", p.Line, p.Column); got != test.want {
				t.Errorf("got %s, want %s", got, test.want)
			}
		})
	}
}

func findX(n *yaml.Node) *yaml.Node {
	if n.Kind == yaml.ScalarNode && strings.Contains(n.Value, "X") {
		return n
	}
	for _, c := range n.Content {
		if found := findX(c); found != nil {
			return found
		}
	}
	return nil
}

// The end of a text is a place too: of an expression that stops too early.
func TestProblemAtTheEnd(t *testing.T) {
	for src, want := range map[string]string{
		"a: b &&\n":           "1:8",
		"a: 'b &&'\n":         "1:9",
		"a: \"b &&\"\n":       "1:9",
		"a: |\n  b\n  c &&\n": "3:7",
		"a: |+\n  b &&\n\n\n": "2:7",
		"a: |-\n  b &&\n":     "2:7",
		"a: ''\n":             "1:5",
		"a: |\n\nc: d\n":      "1:4",
	} {
		doc, err := Parse("f", []byte(src))
		if err != nil {
			t.Fatal(err)
		}
		n := doc.Root.Content[1]
		line, column := doc.place(n, len(n.Value))
		if got := fmt.Sprintf("%d:%d", line, column); got != want {
			t.Errorf("%q: got %s, want %s", src, got, want)
		}
	}
}
