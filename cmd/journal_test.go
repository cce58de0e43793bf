package cmd

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/aftermath-rules/aftermath/actions"
	"github.com/aftermath-rules/aftermath/actions/logentry"
	"github.com/aftermath-rules/aftermath/internal/backtest"
	"github.com/aftermath-rules/aftermath/rules"
)

// A line longer than the reader's buffer is read whole, and a last line without an end is told from the others.
func TestReadLine(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "packets.jsonl")
	account := string(bytes.Repeat([]byte("x"), 3<<20))
	line := func(from string) string {
		return fmt.Sprintf(`{"query":"","packet":{"CallbackCommand":"Sns.CallbackFriendDelete","PairList":[{"From_Account":%q,"To_Account":"b"}]},"at":"2026-01-01T00:00:00Z"}`, from)
	}
	for _, tt := range []struct {
		name, text string
		callbacks  uint64
		warned     bool
	}{
		{"empty", "", 0, false},
		{"whole lines", line("a") + "\n\n" + line("b") + "\r\n", 2, false},
		{"no end at the end", line("a") + "\n" + line("b"), 2, false},
		{"half-written", line("a") + "\n" + line("b")[:50], 1, true},
		{"long", line(account) + "\n" + line("b") + "\n", 2, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if err := os.WriteFile(file, []byte(tt.text), 0o600); err != nil {
				t.Fatal(err)
			}
			var warned bytes.Buffer
			b := testBacktester(t, &warned)
			if err := b.fromFile(context.Background(), nil, file); err != nil {
				t.Fatal(err)
			}
			if b.run.Callbacks != tt.callbacks || b.skipped != 0 || warned.Len() > 0 != tt.warned {
				t.Errorf("%d callbacks, %d skipped, warned %q", b.run.Callbacks, b.skipped, warned.String())
			}
		})
	}
}

func testBacktester(t testing.TB, warn io.Writer) *backtester {
	t.Helper()
	reg, err := actions.NewRegistry(logentry.Type())
	if err != nil {
		t.Fatal(err)
	}
	f, err := rules.Parse("rules.yaml", []byte("rules: [{name: a, condition: Mutual, actions: [{type: log}]}]\n"))
	if err != nil {
		t.Fatal(err)
	}
	set, err := rules.Compile([]*rules.File{f}, rules.Options{Registry: reg})
	if err != nil {
		t.Fatal(err)
	}
	return &backtester{run: backtest.New(set, set), warn: warn, step: func(int) {}}
}

// BenchmarkBacktestFile reads a line of a file of packets and runs it through two sets of one rule: what reading alone costs.
func BenchmarkBacktestFile(b *testing.B) {
	line := []byte(`{"query":"SdkAppid=1400000000&CallbackCommand=Sns.CallbackFriendDelete&OptPlatform=iOS&ClientIP=10.0.0.7&RequestId=2ea4e023-2859-4512-b629-3089f77dff70",` +
		`"packet":{"CallbackCommand":"Sns.CallbackFriendDelete","PairList":[{"From_Account":"211172","To_Account":"425214"}]},"at":"2026-11-22T08:00:00Z"}` + "\n")
	bt := testBacktester(b, io.Discard)
	const lines = 10_000
	file := bytes.Repeat(line, lines)
	path := filepath.Join(b.TempDir(), "packets.jsonl")
	if err := os.WriteFile(path, file, 0o600); err != nil {
		b.Fatal(err)
	}
	start := time.Now()
	for b.Loop() {
		if err := bt.fromFile(b.Context(), nil, path); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(bt.run.Pairs)/time.Since(start).Seconds(), "pairs/s")
}
