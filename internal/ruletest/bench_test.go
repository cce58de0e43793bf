package ruletest

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/aftermath-rules/aftermath/actions"
	"github.com/aftermath-rules/aftermath/actions/logentry"
	"github.com/aftermath-rules/aftermath/rules"
)

// BenchmarkThousandFiles loads 1,000 rules files and runs the tests beside them, half of which replace a list: what test does.
func BenchmarkThousandFiles(b *testing.B) {
	const files = 1000
	dir := b.TempDir()
	for i := range files {
		write(b, dir, fmt.Sprintf("r%d.yaml", i), fmt.Sprintf(`lists: {vips%[1]d: [a%[1]d, b%[1]d]}
rules:
  - name: rule-%[1]d
    condition: From_Account in vips%[1]d && OptPlatform != "RESTAPI"
    actions: [{type: log, message: "VIP {{ From_Account }}"}]
`, i))
		write(b, dir, fmt.Sprintf("r%d_test.yaml", i), fmt.Sprintf(`tests:
  - name: replaced
    callback: {PairList: [{From_Account: z, To_Account: bob}]}
    lists: {vips%[1]d: [z]}
    matches: [{rule: rule-%[1]d, render: {log.message: VIP z}}]
  - name: as it is
    callback: {PairList: [{From_Account: a%[1]d, To_Account: bob}]}
    matches: [{rule: rule-%[1]d}]
`, i))
	}
	reg := registry(b)
	for b.Loop() {
		loader := &rules.Loader{Roots: []string{dir}, Registry: reg}
		set, err := loader.Load(b.Context(), nil)
		if err != nil {
			b.Fatal(err)
		}
		tests, err := loader.Tests(b.Context())
		if err != nil {
			b.Fatal(err)
		}
		runner := &Runner{Set: set, Load: func(context.Context, map[string][]string) (*rules.RuleSet, error) { return nil, os.ErrInvalid }}
		passed := 0
		for _, f := range tests {
			parsed, err := Parse(f.Name, f.Data)
			if err != nil {
				b.Fatal(err)
			}
			for _, t := range parsed {
				res, err := runner.Run(b.Context(), t)
				if err != nil {
					b.Fatal(err)
				}
				if res.Passed {
					passed++
				}
			}
		}
		if passed != 2*files {
			b.Fatalf("%d tests passed", passed)
		}
	}
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
