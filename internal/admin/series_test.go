package admin

import (
	"math"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

func TestSeriesGivesRatesAndQuantiles(t *testing.T) {
	reg := prometheus.NewRegistry()
	seconds := prometheus.NewHistogram(prometheus.HistogramOpts{Name: "aftermath_callback_seconds", Buckets: []float64{0.001, 0.01, 0.1}})
	reg.MustRegister(seconds)
	var counts Counts
	s := NewSeries(func() Counts { return counts }, reg)
	start := time.Now().Add(-time.Minute)
	s.take(start)
	for range 99 {
		seconds.Observe(0.0005)
	}
	seconds.Observe(0.05)
	counts.Callbacks, counts.Matches, counts.Deliveries = 100, 50, Deliveries{Created: 50, Done: 40, Pending: 7, Dead: 3}
	s.take(start.Add(2 * time.Second))
	s.take(start.Add(4 * time.Second))

	p := s.since(start.Add(-time.Second))
	if len(p.At) != 2 || p.Callbacks[0] != 50 || p.Matches[0] != 25 || p.Done[0] != 20 || p.Pending[0] != 7 || p.Dead[0] != 3 || p.Callbacks[1] != 0 {
		t.Errorf("%+v", p)
	}
	if p.P50[0] == nil || math.Abs(*p.P50[0]-0.505) > 0.01 || p.P99[0] == nil || *p.P99[0] > 1 || p.P50[1] != nil {
		t.Errorf("quantiles: %v %v", p.P50, p.P99)
	}
	if p := s.since(start.Add(3 * time.Second)); len(p.At) != 0 {
		t.Errorf("one sample makes %d points", len(p.At))
	}
}

func TestSeriesIsBoundedAndThinnedOut(t *testing.T) {
	s := NewSeries(func() Counts { return Counts{} }, prometheus.NewRegistry())
	start := time.Now()
	for i := range maxSamples + 100 {
		s.take(start.Add(time.Duration(i) * sampleEvery))
	}
	p := s.since(start)
	if len(s.samples) != maxSamples || len(p.At) > maxPoints || len(p.At) < maxPoints/2 {
		t.Errorf("%d samples, %d points", len(s.samples), len(p.At))
	}
	newest := start.Add((maxSamples + 99) * sampleEvery).Unix()
	for i := range p.At[1:] {
		if p.At[i+1] <= p.At[i] {
			t.Fatal("the points are out of order")
		}
	}
	if p.At[len(p.At)-1] != newest {
		t.Errorf("the last point is %d, not %d", p.At[len(p.At)-1], newest)
	}
}
