//go:build unix

package cmd

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/aftermath-rules/aftermath/internal/adminclient"
	"github.com/aftermath-rules/aftermath/internal/backtest"
	"github.com/aftermath-rules/aftermath/rules"
)

// BenchmarkBacktest compares two sets of 1,000 rules on callbacks of one pair each: of a file, and of the journal of a serve, which
// runs in the same process and counts as well. Run it with -cpu 1.
func BenchmarkBacktest(b *testing.B) {
	const callbacks = 20_000
	running := manyRules(`OptPlatform != "RESTAPI"`)
	before, now := loaded(b, running), loaded(b, manyRules(`OptPlatform != "Web"`))
	measure := func(feed func(*backtester) error) func(*testing.B) {
		return func(b *testing.B) {
			var pairs uint64
			started := cpuTime(b)
			for b.Loop() {
				bt := &backtester{run: backtest.New(before, now), now: time.Now(), warn: io.Discard, step: func(int) {}}
				if err := feed(bt); err != nil || bt.run.Pairs != callbacks {
					b.Fatalf("%d pairs, %v", bt.run.Pairs, err)
				}
				pairs += bt.run.Pairs
			}
			b.ReportMetric(float64(pairs)/b.Elapsed().Seconds(), "pairs/s")
			b.ReportMetric(float64(pairs)/(cpuTime(b)-started).Seconds(), "pairs/cpu-s")
		}
	}

	var lines bytes.Buffer
	for i := range callbacks {
		fmt.Fprintf(&lines, "{\"id\":\"%032x\",\"at\":\"2026-11-22T08:00:00.123456Z\",\"query\":%q,\"packet\":%s}\n", i, benchQuery(i), onePair(i))
	}
	file := filepath.Join(b.TempDir(), "packets.jsonl")
	if err := os.WriteFile(file, lines.Bytes(), 0o600); err != nil {
		b.Fatal(err)
	}
	b.Run("file", measure(func(bt *backtester) error { return bt.fromFile(b.Context(), nil, file) }))

	admin := freeAddr(b)
	shadows := bytes.ReplaceAll(running, []byte("actions: [note]"), []byte("actions: [note], shadow: true")) // they match, and deliver nothing
	fill(b, startServe(b, shadows, "admin: {listen: '"+admin+"'}\n"), callbacks)
	client, err := adminclient.New("http://"+admin, "")
	if err != nil {
		b.Fatal(err)
	}
	defer client.Close()
	b.Run("journal", measure(func(bt *backtester) error { return bt.fromJournal(b.Context(), client, now) }))
}

// cpuTime is what the process has used of all cores: a busy machine does not lengthen it.
func cpuTime(b *testing.B) time.Duration {
	b.Helper()
	var used syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &used); err != nil {
		b.Fatal(err)
	}
	return time.Duration(used.Utime.Nano() + used.Stime.Nano())
}

// manyRules are 1,000 rules of several kinds, each with one condition more.
func manyRules(more string) []byte {
	var text bytes.Buffer
	text.WriteString("actions: {note: {type: log, message: x}}\nrules:\n")
	for i := range 1000 {
		condition := []string{`From_Account == "u%[1]d"`, `To_Account in ["u%[1]d", "v%[1]d"]`, `From_Account startsWith "u%[1]d"`, `To_Account contains "x%[1]d"`}[i%4]
		fmt.Fprintf(&text, "  - {name: r%[1]d, condition: '"+condition+" && %[2]s', actions: [note]}\n", i, more)
	}
	return text.Bytes()
}

func loaded(b testing.TB, text []byte) *rules.RuleSet {
	b.Helper()
	reg, err := newRegistry(nil)
	if err != nil {
		b.Fatal(err)
	}
	file := filepath.Join(b.TempDir(), "rules.yaml")
	if err := os.WriteFile(file, text, 0o600); err != nil {
		b.Fatal(err)
	}
	set, err := offlineLoader(reg, nil, []string{file}).Load(b.Context(), nil)
	if err != nil {
		b.Fatal(err)
	}
	return set
}

func benchQuery(i int) string {
	return fmt.Sprintf("SdkAppid=1400000000&CallbackCommand=Sns.CallbackFriendDelete&contenttype=json&ClientIP=127.0.0.1&OptPlatform=iOS&RequestId=%08x-3ba1-4a42-9a20-ed03b3d2fa37", i)
}

func onePair(i int) string {
	return fmt.Sprintf(`{"CallbackCommand":"Sns.CallbackFriendDelete","PairList":[{"From_Account":"u%d","To_Account":"w%d"}]}`, i, i)
}

// fill posts so many callbacks.
func fill(b *testing.B, addr string, callbacks int) {
	b.Helper()
	const conns = 64
	var wg sync.WaitGroup
	for c := range conns {
		wg.Go(func() {
			conn, err := net.Dial("tcp", addr)
			if err != nil {
				b.Error(err)
				return
			}
			defer conn.Close()
			r := bufio.NewReader(conn)
			for i := c; i < callbacks; i += conns {
				body := onePair(i)
				request := fmt.Sprintf("POST /?%s HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n%s", benchQuery(i), len(body), body)
				if err := postOnce(conn, r, request); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
}
