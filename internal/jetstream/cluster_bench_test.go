package jetstream_test

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	natsjs "github.com/nats-io/nats.go/jetstream"

	"github.com/aftermath-rules/aftermath/engine"
	"github.com/aftermath-rules/aftermath/internal/e2e/natscluster"
	"github.com/aftermath-rules/aftermath/internal/jetstream"
)

// BenchmarkPartitions accepts callbacks of 500 bytes from 512 at once, for three seconds each with 1, 2 and 4 partitions, on three
// servers of this machine that sync each message. The limit beside it is one publisher that has one message of 256 callbacks in
// flight, packed beforehand: what one partition of the cluster takes.
func BenchmarkPartitions(b *testing.B) {
	binary, err := natscluster.Build(b.TempDir())
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		limit := limitOf(b, binary.Start(b, 3))
		b.ReportMetric(limit, "limit/s")
		for _, partitions := range []int{1, 2, 4} {
			rate := acceptRate(b, binary.Start(b, 3), partitions)
			b.ReportMetric(rate, fmt.Sprintf("of-%d/s", partitions))
			b.ReportMetric(rate/limit, fmt.Sprintf("of-%d/limit", partitions))
		}
	}
}

func benchTime() time.Duration {
	if testing.Short() {
		return 200 * time.Millisecond
	}
	return 3 * time.Second
}

func limitOf(b *testing.B, c *natscluster.Cluster) float64 {
	nc, err := nats.Connect(c.URL())
	if err != nil {
		b.Fatal(err)
	}
	defer nc.Close()
	js, err := natsjs.New(nc)
	if err != nil {
		b.Fatal(err)
	}
	ctx := ctxFor(b, time.Minute)
	if _, err := js.CreateStream(ctx, natsjs.StreamConfig{Name: "limit", Subjects: []string{"limit"}, Replicas: 3}); err != nil {
		b.Fatal(err)
	}
	pack, n, start := make([]byte, 256*550), 0, time.Now()
	for time.Since(start) < benchTime() {
		if _, err := js.Publish(ctx, "limit", pack); err != nil {
			b.Fatal(err)
		}
		n += 256
	}
	return float64(n) / time.Since(start).Seconds()
}

func acceptRate(b *testing.B, c *natscluster.Cluster, partitions int) float64 {
	s := open(b, jetstream.Options{Dir: b.TempDir(), URL: c.URL(), Replicas: 3, Partitions: partitions})
	defer closeStore(b, s)
	ctx, cancel := context.WithTimeout(context.Background(), benchTime())
	defer cancel()
	var n atomic.Int64
	var wg sync.WaitGroup
	start := time.Now()
	for range 512 {
		wg.Go(func() {
			for ctx.Err() == nil {
				r := &engine.Record{Window: time.Minute, Received: time.Now(), Query: "a=b", Body: make([]byte, 500)}
				random(r.Key[:])
				if s.Accept(ctx, r) == nil {
					n.Add(1)
				}
			}
		})
	}
	wg.Wait()
	return float64(n.Load()) / time.Since(start).Seconds()
}
