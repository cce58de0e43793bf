package rules

import (
	"fmt"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"gopkg.in/yaml.v3"
)

// bigRules is a rules file of n rules, as mixed as those of BenchmarkIndex, the first of which is number from.
func bigRules(from, n int) string {
	var b strings.Builder
	b.WriteString("rules:\n")
	for i := from; i < from+n; i++ {
		fmt.Fprintf(&b, "  - name: rule-%d\n    condition: '%s'\n    actions: [crm]\n", i, mixedCondition(i))
	}
	return b.String()
}

// BenchmarkLoad loads 100,000 rules in a thousand files and in one, reloads them after a change of one file beside them, and parses
// the same YAML without making anything of it.
func BenchmarkLoad(b *testing.B) {
	n := 100_000
	if testing.Short() {
		n = 5000
	}
	for _, layout := range []struct {
		name  string
		files int
	}{{"files=1000", 1000}, {"files=1", 1}} {
		dir := b.TempDir()
		write(b, dir, "a.yaml", crm+"rules: []\n")
		var texts []string
		for i := range layout.files {
			texts = append(texts, bigRules(i*n/layout.files, n/layout.files))
			write(b, dir, filepath.Join("r", fmt.Sprintf("%04d.yaml", i)), texts[i])
		}
		b.Run(layout.name+"/yaml", func(b *testing.B) {
			for b.Loop() {
				for _, text := range texts {
					var doc yaml.Node
					must(b, yaml.Unmarshal([]byte(text), &doc))
				}
			}
			perRule(b, n)
		})
		texts = nil
		b.Run(layout.name+"/cold", func(b *testing.B) {
			for b.Loop() {
				loadRules(b, loader(b, dir), nil)
			}
			perRule(b, n)
		})
		b.Run(layout.name+"/edit", func(b *testing.B) {
			l := loader(b, dir)
			before := heap()
			set := loadRules(b, l, nil)
			memory := float64(heap()-before) / float64(n)
			for i := 0; b.Loop(); i++ {
				write(b, dir, "a.yaml", fmt.Sprintf("%s# edit %d\nrules: []\n", crm, i))
				set = loadRules(b, l, set)
			}
			b.ReportMetric(memory, "B/rule")
			runtime.KeepAlive(set)
		})
	}
}

func perRule(b *testing.B, n int) {
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(n), "ns/rule")
}

func loadRules(b testing.TB, l *Loader, prev *RuleSet) *RuleSet {
	b.Helper()
	set, err := l.Load(b.Context(), prev)
	if err != nil {
		b.Fatal(err)
	}
	return set
}
