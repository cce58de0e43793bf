package history

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/aftermath-rules/aftermath/engine"
)

// benchRows is how many deliveries are searched: a million, or few where only -short is asked for.
func benchRows() int {
	if testing.Short() {
		return 20_000
	}
	return 1_000_000
}

// million makes a history of benchRows finished deliveries: 1,000 rules, 20 shared actions, 200,000 accounts, some dead and pending.
func million(b *testing.B) (*History, *log) {
	b.Helper()
	l := newLog(b)
	h := New(Options{Path: filepath.Join(b.TempDir(), "history.db"), Source: l})
	rnd, rows := rand.New(rand.NewPCG(1, 2)), benchRows()
	start := time.Now()
	for n := 0; n < rows; {
		var events []engine.Event
		for range 1000 {
			j := job(fmt.Sprintf("%032x", n), fmt.Sprint("rule", rnd.IntN(1000)), fmt.Sprint("action", rnd.IntN(20)),
				fmt.Sprint("account", rnd.IntN(200_000)), fmt.Sprint("account", rnd.IntN(200_000)), 0)
			j.Created = epoch.Add(time.Duration(n) * 500 * time.Millisecond)
			switch {
			case n%1000 == 17:
				j.Rule = "hot"
				events = append(events, matched(j), ended(j, engine.OutcomeDead, 0, 1, "410"))
			case n%10_000 == 18:
				events = append(events, matched(j))
			case n%3 == 0:
				j.Rule = "hot" // a third of all, of which few are dead
				events = append(events, matched(j), ended(j, engine.OutcomeDone, 0, 1, ""))
			default:
				events = append(events, matched(j), ended(j, engine.OutcomeDone, 0, 1, ""))
			}
			n++
		}
		for i := range events {
			if d := events[i].Ended; d != nil {
				d.Sent, d.Received = nil, nil // so that the benchmark's own log stays small
			}
		}
		l.record(events...)
		if n%10_000 == 0 { // as it comes, for the log in memory is copied by every reading
			if err := h.follow(context.Background()); err != nil {
				b.Fatal(err)
			}
			l.source = newLog(b).source
			if err := skip(h, l); err != nil {
				b.Fatal(err)
			}
		}
	}
	took := time.Since(start)
	info, err := os.Stat(h.o.Path)
	if err != nil {
		b.Fatal(err)
	}
	b.Logf("%d deliveries in %s, %.0f/s, %d bytes each", rows, took.Round(time.Second), float64(rows)/took.Seconds(), info.Size()/int64(rows))
	b.Cleanup(h.closeFile)
	return h, l
}

// BenchmarkFollow takes finished deliveries in, 4,096 events a pack.
func BenchmarkFollow(b *testing.B) {
	l := newLog(b)
	h := New(Options{Path: filepath.Join(b.TempDir(), "history.db"), Source: l})
	b.Cleanup(h.closeFile)
	n := 0
	for b.Loop() {
		b.StopTimer()
		l.source = newLog(b).source
		var events []engine.Event
		for range 2048 {
			j := job(fmt.Sprintf("%032x", n), fmt.Sprint("rule", n%1000), fmt.Sprint("action", n%20), fmt.Sprint("account", n), fmt.Sprint("friend", n), 0)
			events = append(events, matched(j), ended(j, engine.OutcomeDone, 0, 1, ""))
			n++
		}
		l.record(events...)
		b.StartTimer()
		h.o.Source = l
		if err := h.follow(context.Background()); err != nil {
			b.Fatal(err)
		}
		b.StopTimer()
		if err := skip(h, l); err != nil {
			b.Fatal(err)
		}
		b.StartTimer()
	}
	b.ReportMetric(float64(n)/b.Elapsed().Seconds(), "deliveries/s")
}

// skip makes the history go on with an empty log.
func skip(h *History, l *log) error {
	h.o.Source, h.file.ahead = l, 0
	_, err := h.file.write.Exec("UPDATE place SET seq = 0")
	return err
}

// BenchmarkSearch searches a million deliveries in every way, a page of 50 each. The twin scans them all.
func BenchmarkSearch(b *testing.B) {
	h, _ := million(b)
	for _, c := range []struct {
		name string
		q    Query
	}{
		{"newest", Query{}},
		{"dead", Query{Status: Dead}},
		{"pending", Query{Status: Pending}},
		{"done", Query{Status: Done}},
		{"discarded/none", Query{Status: Discarded}},
		{"rule", Query{Rule: "rule7"}},
		{"hot-rule", Query{Rule: "hot"}},
		{"hot-rule/dead", Query{Rule: "hot", Status: Dead}},
		{"hot-rule/pending/none", Query{Rule: "hot", Status: Pending}},
		{"action", Query{Action: "action3"}},
		{"action/dead", Query{Action: "action3", Status: Dead}},
		{"rule/action", Query{Rule: "rule7", Action: "action3"}},
		{"hot-rule/action/dead", Query{Rule: "hot", Action: "action3", Status: Dead}},
		{"account", Query{Account: "account12345"}},
		{"account/dead", Query{Account: "account12345", Status: Dead}},
		{"account/rule", Query{Account: "account12345", Rule: "hot"}},
		{"time", Query{Since: epoch.Add(1000 * time.Minute), Until: epoch.Add(1001 * time.Minute)}},
		{"time/dead", Query{Since: epoch.Add(1000 * time.Minute), Until: epoch.Add(1100 * time.Minute), Status: Dead}},
		{"time/rule", Query{Since: epoch.Add(1000 * time.Minute), Until: epoch.Add(2000 * time.Minute), Rule: "rule7"}},
	} {
		q := c.q
		q.Limit = 50
		b.Run(c.name, func(b *testing.B) {
			var took []time.Duration
			for b.Loop() {
				start := time.Now()
				if _, _, err := h.Search(context.Background(), q); err != nil {
					b.Fatal(err)
				}
				took = append(took, time.Since(start))
			}
			b.ReportMetric(float64(slices.Max(took).Microseconds())/1e3, "ms-max")
		})
	}
	b.Run("twin-scan", func(b *testing.B) {
		for b.Loop() {
			var n int
			if err := h.file.read.QueryRow("SELECT count(*) FROM deliveries NOT INDEXED WHERE status = 1 AND sender = ?", []byte("account12345")).Scan(&n); err != nil {
				b.Fatal(err)
			}
		}
	})
}
