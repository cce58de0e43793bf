package jetstream_test

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aftermath-rules/aftermath/engine"
	"github.com/aftermath-rules/aftermath/internal/jetstream"
)

func TestJournalBack(t *testing.T) {
	s := open(t, jetstream.Options{Dir: t.TempDir()})
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	for p, err := range s.JournalBack(ctx, 0) {
		t.Fatalf("an empty journal gave %v, %v", p, err)
	}
	const n = 150 // more than two windows
	for i := range n {
		r := &engine.Record{Key: engine.Key{byte(i)}, Received: time.Now().UTC(), Query: fmt.Sprint("q", i), Body: []byte("{}")}
		if err := s.Accept(ctx, r); err != nil {
			t.Fatal(err)
		}
	}
	back := func(before uint64) (queries []string) {
		t.Helper()
		for p, err := range s.JournalBack(ctx, before) {
			if err != nil {
				t.Fatal(err)
			}
			for _, r := range p.Records {
				queries = append(queries, r.Query)
			}
		}
		return queries
	}
	all := back(0)
	if len(all) != n {
		t.Fatalf("%d of %d callbacks", len(all), n)
	}
	for i, q := range all {
		if want := fmt.Sprint("q", n-1-i); q != want {
			t.Fatalf("the %dth is %s, want %s", i, q, want)
		}
	}
	if rest := back(100); len(rest) != 99 || rest[0] != "q98" || rest[98] != "q0" {
		t.Errorf("before 100: %v", rest)
	}
	if rest := back(1); len(rest) != 0 {
		t.Errorf("before the first: %v", rest)
	}
	if p, err := s.PackAt(ctx, 7); err != nil || p.Seq != 7 || p.Records[0].Query != "q6" {
		t.Errorf("%+v, %v", p, err)
	}
	if _, err := s.PackAt(ctx, n+1); !errors.Is(err, engine.ErrNotFound) {
		t.Errorf("beyond the last: %v", err)
	}
}

// Outcomes older than is kept go, but not while a delivery that is older still waits: when it is read again, they are asked for.
func TestOutcomesStayWhileSomethingWaits(t *testing.T) {
	var ahead atomic.Int64
	now := func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) }
	s := open(t, jetstream.Options{Dir: t.TempDir(), Keep: jetstream.Keep{Deliveries: time.Hour}, Now: now})
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	record := func(id string) {
		t.Helper()
		ev := engine.Event{Ended: &engine.Ended{Delivery: id, Outcome: engine.OutcomeDone}}
		if _, err := s.Append(ctx, []engine.Event{ev}, &engine.Totals{}); err != nil {
			t.Fatal(err)
		}
	}
	parked := engine.Parked{Job: engine.Job{ID: "waits"}, Due: time.Now().Add(1500 * time.Millisecond)}
	if err := s.Park(ctx, []engine.Parked{parked}); err != nil {
		t.Fatal(err)
	}
	record("old")
	record("last")
	ahead.Store(int64(3 * time.Hour))
	if err := s.Purge(ctx); err != nil {
		t.Fatal(err)
	}
	if p, err := s.EventsAt(ctx, 1); err != nil || p.Events[0].Ended.Delivery != "old" {
		t.Errorf("what is needed while a delivery waits: %v, %v", p, err)
	}
	b, err := s.NextBundle(ctx)
	if err != nil {
		t.Fatal(err)
	}
	b.Ack()
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(50 * time.Millisecond) {
		if err := s.Purge(ctx); err != nil {
			t.Fatal(err)
		}
		if _, err := s.EventsAt(ctx, 1); errors.Is(err, engine.ErrNotFound) {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("what is older than is kept stays, though nothing waits")
		}
	}
	if _, err := s.EventsAt(ctx, 2); err != nil {
		t.Errorf("the last, which has the totals: %v", err)
	}
}
