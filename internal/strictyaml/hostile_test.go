package strictyaml

import (
	"errors"
	"fmt"
	"strings"
	"testing"
)

// TestHostileFiles: each is refused with one problem, in time and memory that are in proportion to it.
func TestHostileFiles(t *testing.T) {
	bomb := "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n"
	for i := 1; i < 12; i++ {
		bomb += fmt.Sprintf("a%d: &a%d [%s]\n", i, i, strings.TrimSuffix(strings.Repeat(fmt.Sprintf("*a%d, ", i-1), 10), ", "))
	}
	chain := "a0: &a0 [x]\n"
	for i := 1; i < 3000; i++ {
		chain += fmt.Sprintf("a%d: &a%d [*a%d]\n", i, i, i-1)
	}
	merges := "a0: &a0 {k: v}\n"
	for i := 1; i < 30; i++ {
		merges += fmt.Sprintf("a%d: &a%d {<<: [*a%d, *a%d], l: [*a%d, *a%d]}\n", i, i, i-1, i-1, i-1, i-1)
	}
	tests := []struct{ name, src, holds string }{
		{"an alias bomb", bomb, "ten times larger"},
		{"a bomb of merges", merges, "ten times larger"},
		{"a chain of aliases", chain, "ten times larger"},
		{"deep lists in a flow", strings.Repeat("[", 100_000), "f:1:1: YAML: exceeded max depth"},
		{"deep lists in a flow, closed", "a: " + strings.Repeat("[", 5000) + strings.Repeat("]", 5000), "nested more than 100 deep"},
		{"deep lists in a block", strings.Repeat("- ", 100_000), "YAML: exceeded max depth"},
		{"deep mappings", strings.Repeat("{a: ", 5000) + strings.Repeat("}", 5000), "nested more than 100 deep"},
		{"a binary file", strings.Repeat("\x00\xff", 1000), "NUL"},
		{"UTF-16", "\xff\xfea\x00:\x00", "f:1:1: this is UTF-16: save the file as UTF-8"},
		{"UTF-16, the other way round", "\xfe\xff\x00a\x00:", "f:1:1: this is UTF-16: save the file as UTF-8"},
		{"another version of YAML", "%YAML 1.2\n---\na: b\n", "f:1:1: YAML: found incompatible YAML document; take the line that begins with %YAML away"},
		{"a lone surrogate", "a: \xed\xa0\x80\n", "f:1:4: this is not UTF-8"},
		{"too large", strings.Repeat("#", maxSize+1), "larger than 64 MiB"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			_, err := Parse("f", []byte(test.src))
			if err == nil || !strings.Contains(err.Error(), test.holds) {
				t.Errorf("got %.200v; want %q", err, test.holds)
			}
		})
	}
}

// Honest use of anchors is no bomb.
func TestManyAliases(t *testing.T) {
	src := "x-retry: &retry {a: x, b: 1}\nlist:\n" + strings.Repeat("  - *retry\n", 5000) + strings.Repeat("  - {<<: *retry, b: 2}\n", 5000)
	var got sample
	decode(t, src, &got)
	if len(got.List) != 10_000 || got.List[0] != (nested{"x", 1}) || got.List[9999] != (nested{"x", 2}) {
		t.Errorf("%d in the list: %+v", len(got.List), got.List[0])
	}
}

// In a large file the line is found as well, wherever the error is.
func TestSyntaxErrorsInLargeFiles(t *testing.T) {
	const lines = 20_000
	for _, at := range []int{1, lines / 3, lines - 2} {
		for name, wrong := range map[string]string{"indentation": "   name: x\n", "unclosed quote": "- name: \"x\n"} {
			var b strings.Builder
			for i := range lines {
				if i == at {
					b.WriteString(wrong)
				} else {
					b.WriteString("- name: 'rule'\n  condition: From_Account == 'somebody'\n")
				}
			}
			want := at*2 + 1
			_, err := Parse("f", []byte(b.String()))
			var ps Problems
			if !errors.As(err, &ps) || ps[0].Line != want {
				t.Errorf("%s: got %v, want line %d", name, err, want)
			}
		}
	}
}

func BenchmarkParse(b *testing.B) {
	src := []byte(strings.Repeat("- name: rule\n  condition: From_Account == 'somebody'\n  actions: [log, {type: webhook, url: x}]\n", 10_000))
	b.SetBytes(int64(len(src)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Parse("f", src); err != nil {
			b.Fatal(err)
		}
	}
}
