package load

import (
	"context"
	"math"
	"math/rand/v2"
	"slices"
	"sync/atomic"
	"testing"
	"time"
)

func TestHistogram(t *testing.T) {
	var h Histogram
	if got := h.Quantile(0.5); got != 0 {
		t.Errorf("the median of nothing is %s", got)
	}
	random := rand.New(rand.NewPCG(1, 2))
	var all []time.Duration
	var halves [2]Histogram
	for i := range 20_000 {
		d := time.Duration(1) << random.IntN(40)
		d += time.Duration(random.Int64N(int64(d)))
		all = append(all, d)
		halves[i%2].Add(d)
	}
	h.Merge(&halves[0])
	h.Merge(&halves[1])
	slices.Sort(all)
	if h.Count() != 20_000 {
		t.Errorf("%d counted", h.Count())
	}
	for _, q := range []float64{0, 0.001, 0.5, 0.9, 0.99, 0.999, 1} {
		exact := all[max(int(math.Ceil(q*20_000))-1, 0)]
		if got := h.Quantile(q); got < exact || float64(got) > 1.01*float64(exact)+1 {
			t.Errorf("quantile %v is %d, want %d and at most 1 %% more", q, got, exact)
		}
	}
}

func TestBucketsFollowEachOther(t *testing.T) {
	for i := range 40 * perPower {
		if got := bucket(upper(i)); got != i {
			t.Fatalf("the largest value of bucket %d falls into %d", i, got)
		}
		if got := bucket(upper(i) + 1); got != i+1 {
			t.Fatalf("the value after bucket %d falls into %d", i, got)
		}
	}
}

// A stall delays what is due during it, and each of those shows how long it has waited.
func TestStallShowsInAllThatWait(t *testing.T) {
	const stall = 200 * time.Millisecond
	times := Plan{Rate: 500, Concurrency: 1, Count: 100}.Run(t.Context(), func(_ context.Context, i int) {
		if i == 0 {
			time.Sleep(stall)
		}
	})
	if times.Count() != 100 {
		t.Fatalf("%d requests", times.Count())
	}
	// The hundred are due within 200 ms, so that the one in the middle has waited for half of the stall.
	if median := times.Quantile(0.5); median < stall/4 {
		t.Errorf("the median is %s: what waited behind the stall does not show it", median)
	}
}

func TestPlanEnds(t *testing.T) {
	var made atomic.Int64
	request := func(context.Context, int) { made.Add(1) }
	start := time.Now()
	Plan{Rate: 100, Concurrency: 4, For: 200 * time.Millisecond}.Run(t.Context(), request)
	if n, took := made.Load(), time.Since(start); n > 20 || n == 0 || took > 5*time.Second {
		t.Errorf("%d requests in %s, want 20 in 200 ms", n, took)
	}
	ctx, cancel := context.WithCancel(t.Context())
	Plan{Concurrency: 2}.Run(ctx, func(context.Context, int) { cancel() })
	if ctx.Err() == nil {
		t.Error("it went on")
	}
}
