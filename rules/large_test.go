package rules

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime/metrics"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aftermath-rules/aftermath/callback"
)

// large gives a size for every run, and the one that is promised where AFTERMATH_LONG is set.
func large(everyRun, promised int) int {
	if os.Getenv("AFTERMATH_LONG") != "" {
		return promised
	}
	return everyRun
}

// Huge inputs load, find what they should, and leave a set that runs meanwhile in peace.
func TestHugeInputs(t *testing.T) {
	pair := func(from, to string) *callback.Callback {
		return &callback.Callback{CallbackCommand: callback.Command, Pairs: []callback.Pair{{From: from, To: to}}, Received: time.Unix(1.8e9, 0)}
	}
	tests := []struct {
		name    string
		rules   int
		files   int
		each    func(i int) string // the condition of rule i
		meets   *callback.Callback
		matches int
	}{
		{"a million rules", large(10_000, 1_000_000), 100, mixedCondition, pair("nobody", account(7)), 1},
		{"one file of ten megabytes", large(5_000, 90_000), 1, mixedCondition, pair(account(4), account(7)), 2},
		{"ten thousand patterns", large(1_000, 10_000), 1, func(i int) string { return fmt.Sprintf("From_Account matches `^(?:a|b)*x%d[0-9]{3}$`", i) },
			pair("aabx7123", ""), 1},
		{"all demand the same", large(10_000, 100_000), 1, func(i int) string { return `From_Account == "alice"` }, pair("alice", ""), large(10_000, 100_000)},
		{"all may match", large(10_000, 100_000), 1, func(i int) string { return fmt.Sprintf(`From_Account != "user_%d"`, i) }, pair("user_1", ""), large(10_000, 100_000) - 1},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			write(t, dir, "a.yaml", crm+"rules:\n  - {name: always, condition: From_Account == 'alice', actions: [crm]}\n")
			l := startLive(t, dir)
			for f := range tt.files {
				var b bytes.Buffer
				b.WriteString("rules:\n")
				for i := f * tt.rules / tt.files; i < (f+1)*tt.rules/tt.files; i++ {
					fmt.Fprintf(&b, "  - name: rule-%d\n    condition: '%s'\n    actions: [crm]\n", i, tt.each(i))
				}
				must(t, os.WriteFile(filepath.Join(dir, fmt.Sprintf("r%03d.yaml", f)), b.Bytes(), 0o644))
			}
			must(t, reloadServing(t, l, fmt.Sprint(tt.rules, " rules")))
			set := l.Current()
			want := tt.matches
			if tt.meets.Pairs[0].From == "alice" {
				want++ // the rule from before
			}
			hot := slices.ContainsFunc(set.Warnings, func(p Problem) bool { return strings.Contains(p.Message, `equality on From_Account with "alice"`) })
			if hot != (tt.name == "all demand the same") {
				t.Errorf("a warning that very many rules demand the same: %t", hot)
			}
			start := time.Now()
			got := set.Match(nil, tt.meets, 0)
			if len(got) != want {
				t.Errorf("%d matches, want %d", len(got), want)
			}
			t.Logf("the first match takes %v", time.Since(start))
		})
	}
}

// A value that one rule demands is not taken for one that thousands do, whatever else they share and whichever way the index's hashes fall.
func TestRareValuesAreNotCommon(t *testing.T) {
	dir := t.TempDir()
	var b bytes.Buffer
	b.WriteString(crm + "rules:\n")
	for i := range 3000 {
		fmt.Fprintf(&b, "  - {name: r%d, condition: 'From_Account == \"u%d\" && To_Account startsWith \"x\"', actions: [crm]}\n", i, i)
	}
	write(t, dir, "r.yaml", b.String())
	for range 40 {
		if set := load(t, loader(t, dir)); len(set.Warnings) > 0 {
			t.Fatal(set.Warnings)
		}
	}
}

// startLive runs the rules of a folder.
func startLive(t *testing.T, dir string) *Live {
	l := NewLive(loader(t, dir), LiveOptions{LastGood: t.TempDir(), Poll: time.Hour})
	must(t, l.Start(t.Context(), true))
	return l
}

// reloadServing loads what is on disk while pairs are matched, which all must meet the rule that is there before and after. It logs
// what that took.
func reloadServing(t *testing.T, l *Live, what string) error {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	served, most := make(chan error), make(chan int64)
	go func() { served <- serve(ctx, l) }()
	before := heap()
	go func() { most <- mostMemory(ctx) }()
	start := time.Now()
	var err error
	used := cpuPer(1, func() { _, err = l.Reload(t.Context()) })
	took := time.Since(start)
	cancel()
	if err := <-served; err != nil {
		t.Error(err)
	}
	peak := <-most
	t.Logf("%s: %.1f s, of which the processor worked %.1f s; %d MB more at the most while they were loaded, %d MB afterwards",
		what, took.Seconds(), used/1e9, (peak-before)>>20, (heap()-before)>>20)
	return err
}

// serve matches a pair over and over. The error says that one did not find its rule, or that there was none to match.
func serve(ctx context.Context, l *Live) error {
	cb := &callback.Callback{CallbackCommand: callback.Command, Pairs: []callback.Pair{{From: "alice", To: "bob"}}}
	var dst []Match
	for served := 0; ; served++ {
		if ctx.Err() != nil {
			if served == 0 {
				return errors.New("no pair was matched meanwhile")
			}
			return nil
		}
		dst = l.Current().Match(dst[:0], cb, 0)
		if !slices.ContainsFunc(dst, func(m Match) bool { return m.Rule.Name == "always" && m.Err == nil }) {
			return fmt.Errorf("a pair met %d rules, and not the one that it met before", len(dst))
		}
		time.Sleep(time.Millisecond) // what is measured beside it is the load
	}
}

// mostMemory is how large the heap was at the most, as often as it was looked at.
func mostMemory(ctx context.Context) (most int64) {
	sample := []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}}
	for ctx.Err() == nil {
		metrics.Read(sample)
		most = max(most, int64(sample[0].Value.Uint64()))
		time.Sleep(10 * time.Millisecond)
	}
	return most
}

// A list of a million accounts takes at most 64 MB, and one of ten million loads too.
func TestHugeList(t *testing.T) {
	n := large(1_000_000, 10_000_000)
	dir := t.TempDir()
	var b bytes.Buffer
	for i := range n {
		fmt.Fprintf(&b, "account_%08d\n", i)
	}
	must(t, os.WriteFile(filepath.Join(dir, "vips.txt"), b.Bytes(), 0o644))
	b = bytes.Buffer{}
	write(t, dir, "a.yaml", "lists:\n  vips: {file: vips.txt}\nrules:\n"+
		"  - {name: always, condition: From_Account == 'alice', actions: [{type: note, message: hi}]}\n"+
		"  - {name: from, condition: From_Account in vips, actions: [{type: note, message: hi}]}\n"+
		"  - {name: to, condition: To_Account in vips && From_Account not in vips, actions: [{type: note, message: hi}]}\n")
	before := heap()
	l := startLive(t, dir)
	if size, limit := heap()-before, int64(64<<20)*int64(n)/1_000_000; size > limit {
		t.Errorf("a list of %d accounts takes %d bytes, more than %d", n, size, limit)
	}
	f, err := os.OpenFile(filepath.Join(dir, "vips.txt"), os.O_APPEND|os.O_WRONLY, 0)
	must(t, err)
	_, err = f.WriteString("one_more\n")
	must(t, err)
	must(t, f.Close())
	must(t, reloadServing(t, l, fmt.Sprintf("a list of %d lines beside the one from before", n+1)))
	set := l.Current()
	for account, want := range map[string]int{"account_00000000": 1, "one_more": 1, fmt.Sprintf("account_%08d", n-1): 1, "account_": 0, "nobody": 0} {
		cb := &callback.Callback{CallbackCommand: callback.Command, Pairs: []callback.Pair{{From: account, To: "x"}}}
		if got := set.Match(nil, cb, 0); len(got) != want {
			t.Errorf("%s: %d matches, want %d", account, len(got), want)
		}
	}
}

// What is beyond a bound is refused in a clear sentence, and what ran before runs on.
func TestTooLargeIsRefused(t *testing.T) {
	const mega = 1 << 20
	list := "lists:\n  vips: {file: vips.txt}\nrules:\n  - {name: in, condition: From_Account in vips, actions: [crm]}\n"
	tests := []struct {
		name  string
		files map[string]string
		large map[string]int64 // files of so many bytes
		want  []string
	}{
		{"a rules file", nil, map[string]int64{"b.yaml": maxRulesFile + 1}, []string{"b.yaml:1:1: ", "is larger than 64 MiB"}},
		{"all rules files together", nil, map[string]int64{"b.yaml": mega, "c.yaml": mega, "d.yaml": mega}, []string{"c.yaml:1:1: ", "d.yaml:1:1: ", "larger than 2 MiB in all"}},
		{"a list", map[string]string{"b.yaml": list}, map[string]int64{"vips.txt": maxInputFile + 1}, []string{"b.yaml:2:16: ", "is larger than 512 MiB"}},
		{"all lists together", map[string]string{"b.yaml": strings.Replace(list, "rules:", "  a: {file: a.txt}\nrules:", 1)},
			map[string]int64{"vips.txt": mega, "a.txt": mega}, []string{"b.yaml:3:13: ", "larger than 1 MiB in all"}},
		{"rules", map[string]string{"b.yaml": rule("b"), "c.yaml": rule("c")}, nil, []string{"c.yaml:1:1: with this file there are 3 rules, more than 2"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			write(t, dir, "a.yaml", crm+"rules:\n  - {name: always, condition: From_Account == 'alice', actions: [crm]}\n")
			l := startLive(t, dir)
			l.loader.limits = &bounds{text: 2 * mega, inputs: mega, rules: 2}
			before := l.Current()
			for name, text := range tt.files {
				write(t, dir, name, text)
			}
			for name, size := range tt.large {
				write(t, dir, name, strings.Repeat("#\n", mega/2)[:min(size, mega)])
				must(t, os.Truncate(filepath.Join(dir, name), size))
			}
			err := reloadServing(t, l, tt.name)
			for _, want := range tt.want {
				if err == nil || !strings.Contains(err.Error(), want) {
					t.Errorf("the error is %v; it should say %q", err, want)
				}
			}
			if l.Current() != before {
				t.Error("another set runs")
			}
		})
	}
}
