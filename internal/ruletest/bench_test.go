package ruletest

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/aftermath-rules/aftermath/actions"
	"github.com/aftermath-rules/aftermath/actions/logentry"
	"github.com/aftermath-rules/aftermath/rules"
)

// BenchmarkThousandFiles loads 1,000 rules files of ten rules and runs the ten tests beside each, half of which put other values
// into a list that all rules use: what test does.
func BenchmarkThousandFiles(b *testing.B) {
	const files, each = 1000, 10
	dir := b.TempDir()
	write(b, dir, "a.yaml", "lists: {vips: [a, b]}\n")
	for i := range files {
		var rulesText, testsText strings.Builder
		rulesText.WriteString("rules:\n")
		testsText.WriteString("tests:\n")
		for j := range each {
			fmt.Fprintf(&rulesText, "  - name: r%[1]d-%[2]d\n    condition: From_Account in vips && To_Account == \"u%[1]d_%[2]d\"\n"+
				"    actions: [{type: log, message: \"VIP {{ From_Account }}\"}]\n", i, j)
			who, lists := "a", ""
			if j%2 == 0 {
				who, lists = "z", "lists: {vips: [z]}, "
			}
			fmt.Fprintf(&testsText, "  - {name: t%[1]d-%[2]d, %[4]scallback: {PairList: [{From_Account: %[3]s, To_Account: u%[1]d_%[2]d}]},\n"+
				"     matches: [{rule: r%[1]d-%[2]d, render: {log.message: VIP %[3]s}}]}\n", i, j, who, lists)
		}
		write(b, dir, fmt.Sprintf("r%d.yaml", i), rulesText.String())
		write(b, dir, fmt.Sprintf("r%d_test.yaml", i), testsText.String())
	}
	reg := registry(b)
	for b.Loop() {
		if passed := passed(b, &rules.Loader{Roots: []string{dir}, Registry: reg}); passed != files*each {
			b.Fatalf("%d tests passed", passed)
		}
	}
}

// passed runs all tests that the loader finds and counts those that pass.
func passed(t testing.TB, loader *rules.Loader) int {
	t.Helper()
	files, err := loader.Tests(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var tests []*Test
	for _, f := range files {
		parsed, err := Parse(f.Name, f.Data)
		if err != nil {
			t.Fatal(err)
		}
		tests = append(tests, parsed...)
	}
	loader.OpenLists = Lists(tests)
	set, err := loader.Load(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	runner, passed := &Runner{Set: set}, 0
	for _, test := range tests {
		res, err := runner.Run(t.Context(), test)
		if err != nil {
			t.Fatal(err)
		}
		if res.Passed {
			passed++
		}
	}
	return passed
}

func registry(t testing.TB) *actions.Registry {
	t.Helper()
	reg, err := actions.NewRegistry(logentry.Type())
	if err != nil {
		t.Fatal(err)
	}
	return reg
}

func write(t testing.TB, dir, name, text string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}
