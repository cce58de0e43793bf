package torture

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"os"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/aftermath-rules/aftermath/internal/e2e/program"
	"github.com/aftermath-rules/aftermath/internal/load"
)

// What the program is meant to take with a hundred rules, whatever it is offered, and what it must never take. Between the two lies what
// depends on how fast the machine is, and how often the collector gets its turn: the test says the figure.
const (
	wantedRSS = 256 << 20
	maxRSS    = 512 << 20
)

// Ten times what the program can take is offered, with a hundred rules of which one takes every pair to a webhook: its memory stays
// bounded, what it can't store in time it refuses and counts, and nothing that was answered OK is lost.
//
// What it cannot show: how much of the ten times reaches the program, since the sender runs on the same cores and has 1,024 connections at
// most; what is due waits for one. The 200 KB of a packet are alike, so that they compress: the store keeps in memory what it wrote in
// the last ten seconds, up to a sixteenth of the machine's memory. TestTortureMemoryLimit has packets that don't.
func TestTortureOverload(t *testing.T) {
	eachOverload(t, alike, func(t *testing.T, dir string) (s *program.Server, check func()) {
		s = built.Start(t, dir)
		return s, func() {}
	})
}

// flood is what a program is overloaded with.
type flood struct {
	name        string
	padding     func() string // makes packets longer; nil: it does not
	connections int
}

// alike are floods of packets that are alike.
var alike = []flood{
	{"packets of one pair", nil, 1024},
	{"packets of 200 KB", func() string { return strings.Repeat("x", 200_000) }, 256},
}

// unlike is a flood of packets that no compression makes smaller.
var unlike = flood{"packets of 200 KB that do not compress", noise, 256}

func noise() string {
	b := make([]byte, 150_000)
	rand.Read(b) // it never gives an error
	return base64.StdEncoding.EncodeToString(b)
}

// eachOverload overloads a program, as start starts it, in each of some ways; check is called when the load is over, and when all is handled.
func eachOverload(t *testing.T, floods []flood, start func(t *testing.T, dir string) (s *program.Server, check func())) {
	for _, f := range floods {
		t.Run(f.name, func(t *testing.T) {
			l := newLedger()
			l.padding = f.padding
			hook := newReceiver(t, l)
			dir := newFolder(t, hundredRules(hook.URL), "")
			s, check := start(t, dir)
			overload(t, l, s, f.connections, check)
		})
	}
}

func overload(t *testing.T, l *ledger, s *program.Server, connections int, check func()) {
	send := newSender(t, l, connections)

	const calm = time.Second
	send.run(t.Context(), s.Callback, load.Plan{Concurrency: 32, For: calm})
	capacity := float64(l.ok.Load()) / calm.Seconds()
	if capacity == 0 {
		t.Fatal("it takes nothing without any overload")
	}
	ctx, cancel := context.WithTimeout(t.Context(), duration(2*time.Second))
	defer cancel()
	start := time.Now()
	before := l.ok.Load()
	times := send.run(ctx, s.Callback, load.Plan{Rate: 10 * capacity, Concurrency: connections})
	took := time.Since(start)
	taken := float64(l.ok.Load()-before) / took.Seconds()

	check()
	tally := l.check(t, s, "hook")
	check()
	peak := peakRSS(t, s)
	counted := func() bool { // who left without an answer may have been refused too
		n := int(s.Status().Counts.Refused)
		return n >= tally.refused && n <= tally.refused+tally.unknown
	}
	program.Eventually(t, fmt.Sprintf("%d refused callbacks to be counted", tally.refused), counted)
	if peak > maxRSS && !program.Race {
		t.Errorf("it took %d MB, want less than %d", peak>>20, maxRSS>>20)
	}
	t.Logf("%.0f/s without overload; %.0f/s offered for %s: %.0f/s answered OK; %v; at most %d MB (wanted: %d); 99 %% of the requests took %s",
		capacity, 10*capacity, took.Round(time.Second), taken, tally, peak>>20, wantedRSS>>20, times.Quantile(0.99))
}

// hundredRules are a hundred, of which the last takes every pair.
func hundredRules(url string) string {
	var rules bytes.Buffer
	fmt.Fprintf(&rules, "actions: {hook: {type: webhook, url: %s, concurrency: 32}}\nrules:\n", url)
	for i := range 99 {
		fmt.Fprintf(&rules, "  - {name: r%d, condition: 'From_Account == \"nobody-%d\" || To_Account startsWith \"none%d\"', actions: [hook]}\n", i, i, i)
	}
	rules.WriteString("  - {name: all, condition: PairCount > 0, actions: [hook]}\n")
	return rules.String()
}

var highWater = regexp.MustCompile(`(?m)^VmHWM:\s+(\d+) kB$`)

// peakRSS is the most memory that the program has had, in bytes; 0 where the system doesn't tell.
func peakRSS(t testing.TB, s *program.Server) int64 {
	t.Helper()
	if runtime.GOOS != "linux" {
		return 0
	}
	status, err := os.ReadFile("/proc/" + strconv.Itoa(s.PID()) + "/status")
	if err != nil {
		t.Fatal(err)
	}
	m := highWater.FindSubmatch(status)
	if m == nil {
		t.Fatalf("/proc says nothing of the memory: %s", strings.TrimSpace(string(status)))
	}
	kb, err := strconv.ParseInt(string(m[1]), 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return kb << 10
}
