package engine_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"go.uber.org/zap"

	"github.com/aftermath-rules/aftermath/actions"
	"github.com/aftermath-rules/aftermath/callback"
	"github.com/aftermath-rules/aftermath/engine"
)

// BenchmarkEngine measures callbacks from the store through one rule and an action that does nothing to the recorded outcome,
// and beside it the plain loop: parse, match, run.
func BenchmarkEngine(b *testing.B) {
	record := func(b *testing.B, i int) *engine.Record {
		cb := packet(b, fmt.Sprint(i), "a>b")
		return &engine.Record{Received: time.Now().UTC().Add(time.Duration(i)), Query: cb.Query, Body: cb.Body}
	}
	for _, pack := range []int{1, 64, 1024} {
		b.Run(fmt.Sprintf("pack=%d", pack), func(b *testing.B) {
			w := newWorld(b)
			w.opt.Logger = zap.NewNop()
			rs := make([]*engine.Record, 0, pack)
			for i := range b.N {
				if rs = append(rs, record(b, i)); len(rs) == pack || i == b.N-1 {
					if err := w.mem.AcceptPack(context.Background(), rs...); err != nil {
						b.Fatal(err)
					}
					rs = rs[:0]
				}
			}
			b.ReportAllocs()
			b.ResetTimer()
			w.start(oneRule)
			for w.eng.Totals().Done < uint64(b.N) {
				time.Sleep(100 * time.Microsecond)
			}
			b.StopTimer()
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "callbacks/s")
			b.ReportMetric(float64(countParked(b, w))/float64(b.N), "parks/op")
		})
	}
	b.Run("plain", func(b *testing.B) {
		w := newWorld(b)
		set := w.rules(oneRule)
		inst, _ := set.Action("all/fn")
		r := record(b, 0)
		b.ReportAllocs()
		for b.Loop() {
			cb, err := callback.Parse(r.Query, r.Body, r.Received)
			if err != nil {
				b.Fatal(err)
			}
			for range set.Match(nil, cb, 0) {
				if _, err := inst.Run(context.Background(), &actions.Delivery{Pair: cb.Pairs[0]}); err != nil {
					b.Fatal(err)
				}
			}
		}
		b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "callbacks/s")
	})
}

func countParked(b *testing.B, w *world) (n int) {
	b.Helper()
	for pack, err := range w.mem.Events(context.Background(), 0) {
		if err != nil {
			b.Fatal(err)
		}
		for _, ev := range pack.Events {
			if ev.Ended != nil && ev.Ended.Outcome == engine.OutcomeParked {
				n++
			}
		}
	}
	return n
}
