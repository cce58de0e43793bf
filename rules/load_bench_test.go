package rules

import (
	"context"
	"fmt"
	"io"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

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

// bigFolder is a folder of n rules in so many files, and one more file beside them, and the texts of the many.
func bigFolder(b *testing.B, n, files int) (dir string, texts []string) {
	dir = b.TempDir()
	write(b, dir, "a.yaml", crm+"rules: []\n")
	for i := range files {
		texts = append(texts, bigRules(i*n/files, n/files))
		write(b, dir, filepath.Join("r", fmt.Sprintf("%04d.yaml", i)), texts[i])
	}
	return dir, texts
}

func size(short, long int) int {
	if testing.Short() {
		return short
	}
	return long
}

// plainFile is a rules file as any Go program would read it.
type plainFile struct {
	Rules []struct {
		Name      string   `yaml:"name"`
		Condition string   `yaml:"condition"`
		Actions   []string `yaml:"actions"`
	} `yaml:"rules"`
}

// BenchmarkLoad loads 100,000 rules, in one file and in a thousand. In each round the twins read the same YAML, as nodes and as typed
// structs with unknown keys refused, and make nothing of it. All is processor time, that of the garbage collector included, so that
// it is the cost on one core; medians of the rounds, per rule.
func BenchmarkLoad(b *testing.B) {
	n := size(5000, 100_000)
	for _, files := range []int{1, 1000} {
		b.Run(fmt.Sprintf("files=%d", files), func(b *testing.B) {
			dir, texts := bigFolder(b, n, files)
			var load, structs, nodes, beyond []float64
			for b.Loop() {
				load = append(load, cpuPer(n, func() { loadRules(b, loader(b, dir), nil) }))
				structs = append(structs, cpuPer(n, func() {
					for _, text := range texts {
						dec := yaml.NewDecoder(strings.NewReader(text))
						dec.KnownFields(true)
						var file plainFile
						if must(b, dec.Decode(&file)); dec.Decode(&file) != io.EOF {
							b.Fatal("there is another document")
						}
					}
				}))
				nodes = append(nodes, cpuPer(n, func() {
					for _, text := range texts {
						var doc yaml.Node
						must(b, yaml.Unmarshal([]byte(text), &doc))
					}
				}))
				beyond = append(beyond, load[len(load)-1]-structs[len(structs)-1])
			}
			b.ReportMetric(0, "ns/op")
			b.ReportMetric(median(load), "load-ns/rule")
			b.ReportMetric(median(structs), "yaml-structs-ns/rule")
			b.ReportMetric(median(nodes), "yaml-nodes-ns/rule")
			b.ReportMetric(median(beyond), "beyond-structs-ns/rule")
		})
	}
}

// BenchmarkLoadMemory says what a set of 100,000 rules takes, its index included, and what an edit beside them leaves.
func BenchmarkLoadMemory(b *testing.B) {
	n := size(5000, 100_000)
	for _, files := range []int{1, 1000} {
		b.Run(fmt.Sprintf("files=%d", files), func(b *testing.B) {
			dir, _ := bigFolder(b, n, files)
			for b.Loop() {
				before := heap()
				set := loadRules(b, loader(b, dir), nil)
				b.ReportMetric(float64(heap()-before)/float64(n), "B/rule")
				runtime.KeepAlive(set)
			}
		})
	}
}

// BenchmarkEdit changes one rule of 100,000 in one file, one beside them in a thousand, and one in a file of a megabyte, and waits
// until the change is live. The clock runs from the last write and so holds the 300 ms for which a file must stand still.
func BenchmarkEdit(b *testing.B) {
	n := size(5000, 100_000)
	for _, layout := range []struct {
		name         string
		rules, files int
	}{{"one-file", n, 1}, {"1000-files", n, 1000}, {"1MB", size(1000, 9500), 1}} {
		b.Run(layout.name, func(b *testing.B) {
			dir, texts := bigFolder(b, layout.rules, layout.files)
			last := filepath.Join(dir, "r", fmt.Sprintf("%04d.yaml", layout.files/2))
			text := texts[layout.files/2]
			at := strings.Index(text[len(text)/2:], "user_") + len(text)/2
			swapped := make(chan time.Time, 1)
			l := NewLive(loader(b, dir), LiveOptions{LastGood: b.TempDir(), Poll: time.Hour,
				OnSwap: func(*RuleSet) { swapped <- time.Now() }})
			must(b, l.Start(b.Context(), true))
			<-swapped
			ctx, cancel := context.WithCancel(b.Context())
			done := make(chan error)
			go func() { done <- l.Run(ctx) }()
			defer func() { cancel(); <-done }()
			waitWatched(b, l)
			var took, worked []float64
			for i := 0; b.Loop(); i++ {
				edit := fmt.Sprintf("%sedit%d_%s", text[:at], i, text[at:])
				worked = append(worked, cpuPer(1, func() {
					write(b, filepath.Dir(last), filepath.Base(last), edit)
					written := time.Now()
					took = append(took, (<-swapped).Sub(written).Seconds())
				})/1e9)
			}
			b.ReportMetric(0, "ns/op")
			b.ReportMetric(median(worked), "cpu-s/edit")
			b.ReportMetric(median(took), "s/edit")
			b.ReportMetric(slices.Max(took), "s/slowest")
		})
	}
}

func waitWatched(b *testing.B, l *Live) {
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); time.Sleep(time.Millisecond) {
		l.mu.Lock()
		watched := l.watched
		l.mu.Unlock()
		if watched {
			return
		}
	}
	b.Fatal("the folder is not watched")
}

// cpuPer is the processor time of f, in nanoseconds for each of n.
func cpuPer(n int, f func()) float64 {
	used := func() int64 {
		var u syscall.Rusage
		if syscall.Getrusage(syscall.RUSAGE_SELF, &u) != nil {
			return 0
		}
		return u.Utime.Nano() + u.Stime.Nano()
	}
	runtime.GC() // what was before is not paid for here
	before := used()
	f()
	return float64(used()-before) / float64(n)
}

func median(values []float64) float64 {
	slices.Sort(values)
	return values[len(values)/2]
}

func loadRules(b testing.TB, l *Loader, prev *RuleSet) *RuleSet {
	b.Helper()
	set, err := l.Load(b.Context(), prev)
	if err != nil {
		b.Fatal(err)
	}
	return set
}
