package admin

import (
	"context"
	"math"
	"net/http"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"

	"github.com/aftermath-rules/aftermath/internal/strictyaml"
)

const (
	sampleEvery = 2 * time.Second
	maxSamples  = 12 * 60 * 60 / 2 // 12 hours
	maxPoints   = 360              // of one answer
)

// Series keeps how the counts and the time to accept went over the last hours, for the page. It is lost with the process: metrics
// are what is kept.
type Series struct {
	counts   func() Counts
	gatherer prometheus.Gatherer

	mu      sync.Mutex
	samples []sample // a ring once it is full
	next    int
}

// sample is the state at one moment. The counts are cumulative.
type sample struct {
	at                                    time.Time
	callbacks, matches, done, dead, waits float64
	accept                                []bucket
}

// bucket is a bucket of the histogram of aftermath_callback_seconds: how many took at most le seconds.
type bucket struct {
	le    float64
	count uint64
}

// NewSeries makes a Series. It samples nothing until Run.
func NewSeries(counts func() Counts, gatherer prometheus.Gatherer) *Series {
	return &Series{counts: counts, gatherer: gatherer}
}

// Run takes samples until ctx ends.
func (s *Series) Run(ctx context.Context) error {
	tick := time.NewTicker(sampleEvery)
	defer tick.Stop()
	for {
		s.take(time.Now())
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

func (s *Series) take(now time.Time) {
	c := s.counts()
	one := sample{
		at: now, callbacks: float64(c.Callbacks), matches: float64(c.Matches), done: float64(c.Deliveries.Done),
		dead: float64(c.Deliveries.Dead), waits: float64(c.Deliveries.Pending), accept: acceptBuckets(s.gatherer),
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.samples) < maxSamples {
		s.samples = append(s.samples, one)
		return
	}
	s.samples[s.next] = one
	s.next = (s.next + 1) % maxSamples
}

// acceptBuckets reads the histogram of the time to accept; nil where there is none.
func acceptBuckets(g prometheus.Gatherer) []bucket {
	families, err := g.Gather()
	if err != nil && len(families) == 0 {
		return nil
	}
	for _, f := range families {
		if f.GetName() != "aftermath_callback_seconds" || f.GetType() != dto.MetricType_HISTOGRAM || len(f.GetMetric()) == 0 {
			continue
		}
		h := f.GetMetric()[0].GetHistogram()
		out := make([]bucket, 0, len(h.GetBucket())+1)
		for _, b := range h.GetBucket() {
			out = append(out, bucket{b.GetUpperBound(), b.GetCumulativeCount()})
		}
		return append(out, bucket{math.Inf(1), h.GetSampleCount()})
	}
	return nil
}

// points is the series as columns: rates per second between two points, and what waits or is dead at the end of each.
type points struct {
	At        []int64    `json:"at"` // seconds since 1970
	Callbacks []float64  `json:"callbacks"`
	Matches   []float64  `json:"matches"`
	Done      []float64  `json:"done"`
	Pending   []float64  `json:"pending"`
	Dead      []float64  `json:"dead"`
	P50       []*float64 `json:"accept_p50_ms"` // null where nothing came
	P99       []*float64 `json:"accept_p99_ms"`
}

// answer gives the series of the last ?span, 15 minutes where the request does not say.
func (s *Series) answer(w http.ResponseWriter, r *http.Request) {
	span := 15 * time.Minute
	if text := r.URL.Query().Get("span"); text != "" {
		d, err := strictyaml.ParseDuration(text)
		if err != nil || d <= 0 {
			Error(w, http.StatusBadRequest, "span must be a duration, such as 15m or 12h")
			return
		}
		span = d
	}
	JSON(w, http.StatusOK, s.since(time.Now().Add(-span)))
}

func (s *Series) since(from time.Time) points {
	p := points{
		At: []int64{}, Callbacks: []float64{}, Matches: []float64{}, Done: []float64{}, Pending: []float64{}, Dead: []float64{},
		P50: []*float64{}, P99: []*float64{},
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	var kept []*sample
	for i := range s.samples {
		if one := &s.samples[(s.next+i)%len(s.samples)]; !one.at.Before(from) {
			kept = append(kept, one)
		}
	}
	step := max(1, (len(kept)+maxPoints-1)/maxPoints)
	// Points end at the newest sample, so that what is shown now is what is.
	for i := (len(kept) - 1) % step; i >= 0 && i+step < len(kept); i += step {
		p.add(kept[i], kept[i+step])
	}
	return p
}

func (p *points) add(a, b *sample) {
	seconds := b.at.Sub(a.at).Seconds()
	rate := func(from, to float64) float64 { return math.Round(max(to-from, 0)/seconds*100) / 100 }
	p.At = append(p.At, b.at.Unix())
	p.Callbacks = append(p.Callbacks, rate(a.callbacks, b.callbacks))
	p.Matches = append(p.Matches, rate(a.matches, b.matches))
	p.Done = append(p.Done, rate(a.done, b.done))
	p.Pending = append(p.Pending, b.waits)
	p.Dead = append(p.Dead, b.dead)
	p.P50 = append(p.P50, quantile(0.5, a.accept, b.accept))
	p.P99 = append(p.P99, quantile(0.99, a.accept, b.accept))
}

// quantile gives the milliseconds within which the share q of what came between two samples was answered, from the line within its
// bucket; nil where nothing came.
func quantile(q float64, a, b []bucket) *float64 {
	if len(b) == 0 || len(a) != len(b) {
		return nil
	}
	between := func(i int) float64 { return float64(b[i].count - a[i].count) }
	last := len(b) - 1
	want := q * between(last)
	if want <= 0 {
		return nil
	}
	lower, below := 0.0, 0.0
	for i := range b {
		n := between(i)
		if n >= want {
			at := b[i].le
			if math.IsInf(at, 1) {
				at = lower
			} else if n > below {
				at = lower + (at-lower)*(want-below)/(n-below)
			}
			ms := math.Round(at*1e6) / 1e3
			return &ms
		}
		lower, below = b[i].le, n
	}
	return nil
}
