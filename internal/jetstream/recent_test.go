package jetstream

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/aftermath-rules/aftermath/engine"
)

// What is written within the time that the server keeps it stays within the bound, but for the last pack; and there never is a long stop.
func TestRecent(t *testing.T) {
	const most, each = 1000, 90
	r := recent{most: most}
	begin := time.Now()
	var packs []time.Time
	for now := begin; now.Before(begin.Add(time.Minute)); now = now.Add(10 * time.Millisecond) {
		if wait := r.full(now); wait > 0 {
			if wait > serverKeeps/4 {
				t.Fatalf("%s is to be waited for", wait)
			}
			now = now.Add(wait)
			if wait := r.full(now); wait > 0 {
				t.Fatalf("after the wait it still is full, for %s", wait)
			}
		}
		r.wrote(now, each)
		packs = append(packs, now)
		kept := 0
		for _, at := range packs {
			if now.Sub(at) < serverKeeps {
				kept += each
			}
		}
		if kept > most+each {
			t.Fatalf("%d bytes were written within %s, %d may be", kept, serverKeeps, most)
		}
	}
	if want := int(time.Minute/serverKeeps) * most / 2 / each; len(packs) < want {
		t.Errorf("%d packs were written in a minute, want %d at least", len(packs), want)
	}
	unbound := recent{}
	unbound.wrote(begin, 1<<40)
	if wait := unbound.full(begin); wait != 0 {
		t.Errorf("without a bound %s is to be waited for", wait)
	}
}

// Who comes when as much was written lately as may be waits, is told why it was in vain, and keeps nobody from closing the store.
func TestAcceptWaitsForRoom(t *testing.T) {
	s, err := Open(context.Background(), Options{Dir: t.TempDir(), Recent: 2})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	accept := func(ctx context.Context) error {
		return s.Accept(ctx, &engine.Record{Received: time.Now(), Body: []byte("{}")})
	}
	if err := accept(ctx); err != nil {
		t.Fatal(err)
	}
	patience, leave := context.WithCancel(ctx)
	go func() { // it leaves once it is known that it waits for room
		defer leave()
		for !s.parts[0].crowded.Load() && ctx.Err() == nil {
			time.Sleep(time.Millisecond)
		}
	}()
	if err := accept(patience); !errors.Is(err, errCrowded) {
		t.Errorf("the second one gets %v, want %v", err, errCrowded)
	}
	if n := s.Status().Callbacks; n != 1 {
		t.Errorf("%d callbacks are stored, want 1", n)
	}
	if err := s.Close(ctx); err != nil {
		t.Error(err)
	}
}
