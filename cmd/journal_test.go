package cmd

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/aftermath-rules/aftermath/actions"
	"github.com/aftermath-rules/aftermath/actions/logentry"
	"github.com/aftermath-rules/aftermath/internal/backtest"
	"github.com/aftermath-rules/aftermath/rules"
)

// What holds callbacks is read whatever its layout: stored ones, packets alone, pages of the admin API, long lines, a last line that
// is being written.
func TestStoredReader(t *testing.T) {
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
		{"a byte order mark", "\ufeff" + line("a"), 1, false},
		{"a packet alone", "{\n  \"PairList\": [{\"To_Account\": \"b\", \"From_Account\": \"a\"}],\n  \"CallbackCommand\": \"Sns.CallbackFriendDelete\"\n}", 1, false},
		{"a list", "[" + line("a") + ", " + line("b") + "]\n[]", 2, false},
		{"a page", `{"callbacks":[` + line("a") + "," + line("b") + `],"next":""}` + "\n" + line("c"), 3, false},
		{"an empty page", `{"callbacks":[],"next":""}`, 0, false},
		{"a packet as text", `{"packet":"{\"CallbackCommand\":\"Sns.CallbackFriendDelete\",\"PairList\":[]}"}`, 1, false},
		{"a part that could not be read", line("a") + "\n" + `{"error":"damaged"}` + "\n" + line("b"), 2, true},
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

// What holds none is an error at its line.
func TestStoredReaderRefuses(t *testing.T) {
	const good = `{"packet":{"CallbackCommand":"Sns.CallbackFriendDelete","PairList":[]}}` + "\n"
	file := filepath.Join(t.TempDir(), "p")
	for _, tt := range []struct{ name, text, want string }{
		{"another object", good + `{"name":"x"}`, ":2: this is neither {query, packet, at} nor a packet: packet is missing"},
		{"another object at the end of a line", good + good + "{}\n" + good, ":3: this is neither"},
		{"a text", good + "\n\nhello\n", ":4: this is no JSON"},
		{"a value of another type", good + `{"packet":{},"query":7}` + "\n", ":2: this is neither"},
		{"a bad time", `{"packet":{},"at":"noon"}`, `:1: this is neither {query, packet, at} nor a packet: at: "noon" is no time`},
		{"half of the first", good[:40], ":1: this is no JSON"},
		{"a number", "7", ":1: this is neither"},
		{"a list that does not end", good + "[" + good, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if err := os.WriteFile(file, []byte(tt.text), 0o600); err != nil {
				t.Fatal(err)
			}
			err := testBacktester(t, io.Discard).fromFile(t.Context(), nil, file)
			if tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.Contains(err.Error(), file+tt.want)) {
				t.Errorf("got %v, want %s", err, tt.want)
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
