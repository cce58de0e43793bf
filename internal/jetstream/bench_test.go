package jetstream_test

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/aftermath-rules/aftermath/engine"
	"github.com/aftermath-rules/aftermath/internal/jetstream"
)

func benchRecord() *engine.Record {
	r := &engine.Record{Window: 10 * time.Minute, Received: time.Now(), Query: "SdkAppid=1400000000", Body: bytes.Repeat([]byte{'x'}, 480)}
	random(r.Key[:])
	return r
}

// logFile is the least that a durable accept can cost: an append-only file, and one fsync for all that wait.
type logFile struct {
	f     *os.File
	queue chan logWait
}

type logWait struct {
	data []byte
	done chan error
}

func (l *logFile) run() {
	for w := range l.queue {
		waits := []logWait{w}
		buf := append([]byte(nil), w.data...)
		for more := true; more && len(waits) < 1024; {
			select {
			case w, ok := <-l.queue:
				if more = ok; ok {
					waits, buf = append(waits, w), append(buf, w.data...)
				}
			default:
				more = false
			}
		}
		_, err := l.f.Write(buf)
		if err == nil {
			err = l.f.Sync()
		}
		for _, w := range waits {
			w.done <- err
		}
	}
}

// inParallel runs f b.N times in n goroutines.
func inParallel(b *testing.B, n int, f func() error) {
	b.Helper()
	work := make(chan struct{}, n)
	var wg sync.WaitGroup
	b.ResetTimer()
	for range n {
		wg.Go(func() {
			for range work {
				if err := f(); err != nil {
					b.Error(err)
				}
			}
		})
	}
	for range b.N {
		work <- struct{}{}
	}
	close(work)
	wg.Wait()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "callbacks/s")
}

// BenchmarkAccept stores callbacks of 500 bytes from n goroutines, beside the limit: a file with one fsync a group.
func BenchmarkAccept(b *testing.B) {
	for _, n := range []int{1, 16, 64, 256} {
		b.Run(fmt.Sprintf("file/n=%d", n), func(b *testing.B) {
			f, err := os.Create(filepath.Join(b.TempDir(), "log"))
			if err != nil {
				b.Fatal(err)
			}
			defer f.Close()
			l := &logFile{f: f, queue: make(chan logWait, n)}
			var wg sync.WaitGroup
			wg.Go(l.run)
			data := make([]byte, 540)
			inParallel(b, n, func() error {
				w := logWait{data, make(chan error, 1)}
				l.queue <- w
				return <-w.done
			})
			close(l.queue)
			wg.Wait()
		})
		b.Run(fmt.Sprintf("store/n=%d", n), func(b *testing.B) {
			s := open(b, jetstream.Options{Dir: b.TempDir()})
			ctx := ctxFor(b, 10*time.Minute)
			inParallel(b, n, func() error { return s.Accept(ctx, benchRecord()) })
		})
	}
}

func parked(n int, due time.Time) []engine.Parked {
	ps := make([]engine.Parked, n)
	for i := range ps {
		ps[i] = engine.Parked{Due: due, Attempt: 1, Job: engine.Job{
			ID: fmt.Sprintf("%032d", i), Callback: "c", Rule: "vip-lost-a-friend", Action: "crm", From: "alice", To: "bob", Time: due, Created: due,
		}}
	}
	return ps
}

// BenchmarkPark parks 500 deliveries of one due time.
func BenchmarkPark(b *testing.B) {
	s := open(b, jetstream.Options{Dir: b.TempDir()})
	ctx := ctxFor(b, 10*time.Minute)
	ps := parked(500, time.Now().Add(24*time.Hour))
	for b.Loop() {
		if err := s.Park(ctx, ps); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(500*float64(b.N)/b.Elapsed().Seconds(), "deliveries/s")
}

// BenchmarkOpenParked opens a store in which 100,000 deliveries wait.
func BenchmarkOpenParked(b *testing.B) {
	dir := b.TempDir()
	s := open(b, jetstream.Options{Dir: dir})
	if err := s.Park(ctxFor(b, time.Minute), parked(100_000, time.Now().Add(24*time.Hour))); err != nil {
		b.Fatal(err)
	}
	closeStore(b, s)
	for b.Loop() {
		s, err := tryOpen(b, jetstream.Options{Dir: dir})
		if err != nil {
			b.Fatal(err)
		}
		b.StopTimer()
		closeStore(b, s)
		b.StartTimer()
	}
}

// BenchmarkOpenJournal opens a store whose last ten minutes had 100,000 callbacks: they are read, checked and indexed.
func BenchmarkOpenJournal(b *testing.B) {
	dir := b.TempDir()
	s := open(b, jetstream.Options{Dir: dir})
	const n = 100_000
	var wg sync.WaitGroup
	for range 512 {
		wg.Go(func() {
			for range n / 512 {
				if err := s.Accept(context.Background(), benchRecord()); err != nil {
					b.Error(err)
				}
			}
		})
	}
	wg.Wait()
	size := s.Status().Bytes
	closeStore(b, s)
	b.SetBytes(int64(size))
	for b.Loop() {
		s, err := tryOpen(b, jetstream.Options{Dir: dir})
		if err != nil {
			b.Fatal(err)
		}
		b.StopTimer()
		closeStore(b, s)
		b.StartTimer()
	}
}
