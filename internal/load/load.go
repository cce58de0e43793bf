// Package load makes requests at a steady rate and measures how long they take.
//
// The load is open: request number i is due i/rate after the start, whatever became of those before it, and its time counts from then.
// A server that stalls for a second so shows a second, as it does to senders who don't wait for each other, and not one slow request.
package load

import (
	"context"
	"sync"
	"time"
)

// Plan is what load to make.
type Plan struct {
	Rate        float64       // requests a second; 0 for as many as go, each timed from when it is made
	Concurrency int           // requests under way at a time, 1 at least; what is due beyond that waits, and its time runs
	Count       int           // requests in all; 0 for no bound
	For         time.Duration // how long; 0 for no bound
}

// Run makes requests until the plan is carried out or ctx ends, and returns when the last has. request is told its number, from 0; what
// it returns is of no interest to Run.
func (p Plan) Run(ctx context.Context, request func(ctx context.Context, i int)) *Histogram {
	type due struct {
		i  int
		at time.Time
	}
	var (
		queue = make(chan due)
		wg    sync.WaitGroup
		mu    sync.Mutex
		times Histogram
	)
	for range max(p.Concurrency, 1) {
		wg.Go(func() {
			for d := range queue {
				if d.at.IsZero() {
					d.at = time.Now()
				}
				request(ctx, d.i)
				took := time.Since(d.at)
				mu.Lock()
				times.Add(took)
				mu.Unlock()
			}
		})
	}
	start := time.Now()
	for i := 0; (p.Count == 0 || i < p.Count) && ctx.Err() == nil; i++ {
		d := due{i: i}
		if p.Rate > 0 {
			d.at = start.Add(time.Duration(float64(i) / p.Rate * float64(time.Second)))
		}
		if p.For > 0 && (time.Since(start) >= p.For || d.at.Sub(start) >= p.For) {
			break
		}
		if !sleepUntil(ctx, d.at) {
			break
		}
		queue <- d
	}
	close(queue)
	wg.Wait()
	return &times
}

// sleepUntil waits for a time; it tells whether ctx is still alive.
func sleepUntil(ctx context.Context, at time.Time) bool {
	wait := time.Until(at)
	if wait <= 0 {
		return ctx.Err() == nil
	}
	t := time.NewTimer(wait)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}
