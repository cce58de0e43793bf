package rules

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
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
			running := load(t, loader(t, dir))
			for f := range tt.files {
				var b bytes.Buffer
				b.WriteString("rules:\n")
				for i := f * tt.rules / tt.files; i < (f+1)*tt.rules/tt.files; i++ {
					fmt.Fprintf(&b, "  - name: rule-%d\n    condition: '%s'\n    actions: [crm]\n", i, tt.each(i))
				}
				must(t, os.WriteFile(filepath.Join(dir, fmt.Sprintf("r%03d.yaml", f)), b.Bytes(), 0o644))
			}
			stop, served := make(chan struct{}), make(chan int)
			go func() { served <- serve(running, pair("alice", "bob"), stop) }()
			before, start := heap(), time.Now()
			set := loadRules(t, loader(t, dir), running)
			took, size := time.Since(start), heap()-before
			close(stop)
			if <-served == 0 {
				t.Error("the running set served no pair meanwhile")
			}
			want := tt.matches
			if tt.meets.Pairs[0].From == "alice" {
				want++ // the running set's rule
			}
			hot := slices.ContainsFunc(set.Warnings, func(p Problem) bool { return strings.Contains(p.Message, `equality on From_Account with "alice"`) })
			if hot != (tt.name == "all demand the same") {
				t.Errorf("a warning that very many rules demand the same: %t", hot)
			}
			start = time.Now()
			got := set.Match(nil, tt.meets, 0)
			if len(got) != want {
				t.Errorf("%d matches, want %d", len(got), want)
			}
			t.Logf("%d rules: %v, %d bytes a rule, first match %v", len(set.Rules), took.Round(time.Millisecond), size/int64(tt.rules), time.Since(start))
			runtime.KeepAlive(set)
		})
	}
}

// serve matches a pair over and over, and counts how often it was right.
func serve(rs *RuleSet, cb *callback.Callback, stop <-chan struct{}) int {
	right := 0
	var dst []Match
	for {
		select {
		case <-stop:
			return right
		default:
		}
		if dst = rs.Match(dst[:0], cb, 0); len(dst) == 1 && dst[0].Err == nil {
			right++
		}
	}
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
		"  - {name: from, condition: From_Account in vips, actions: [{type: note, message: hi}]}\n"+
		"  - {name: to, condition: To_Account in vips && From_Account not in vips, actions: [{type: note, message: hi}]}\n")
	before, start := heap(), time.Now()
	set := load(t, loader(t, dir))
	took, size := time.Since(start), heap()-before
	if limit := int64(64<<20) * int64(n) / 1_000_000; size > limit {
		t.Errorf("a list of %d accounts takes %d bytes, more than %d", n, size, limit)
	}
	t.Logf("%d accounts: %v, %d bytes an account", n, took.Round(time.Millisecond), size/int64(n))
	for account, want := range map[string]int{"account_00000000": 1, fmt.Sprintf("account_%08d", n-1): 1, "account_": 0, "nobody": 0} {
		cb := &callback.Callback{CallbackCommand: callback.Command, Pairs: []callback.Pair{{From: account, To: "x"}}}
		if got := set.Match(nil, cb, 0); len(got) != want {
			t.Errorf("%s: %d matches, want %d", account, len(got), want)
		}
	}
}

// What is beyond every bound is refused in a clear sentence, without being read.
func TestTooLargeIsRefused(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "a.yaml", rule("a"))
	must(t, os.Truncate(filepath.Join(dir, "a.yaml"), maxRulesFile+1))
	_, err := loader(t, dir).Load(t.Context(), nil)
	if err == nil || !strings.Contains(err.Error(), "a.yaml:1:1: ") || !strings.Contains(err.Error(), "64 MiB") {
		t.Errorf("error %v", err)
	}
}
