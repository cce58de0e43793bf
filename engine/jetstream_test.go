package engine_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/aftermath-rules/aftermath/actions"
	"github.com/aftermath-rules/aftermath/engine"
	"github.com/aftermath-rules/aftermath/internal/jetstream"
)

// TestOnTheEmbeddedStore runs the engine on the store that serve uses, stops it in the middle of everything, and goes on.
func TestOnTheEmbeddedStore(t *testing.T) {
	w := newWorld(t)
	w.opt.Drain = 100 * time.Millisecond
	w.receive["flaky"] = failTimes(1, errors.New("not yet"))
	w.receive["bad"] = failTimes(9, actions.Permanent(errors.New("never")))
	dir := t.TempDir()
	open := func() *jetstream.Store {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		s, err := jetstream.Open(ctx, jetstream.Options{Dir: dir})
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	closeIt := func(s *jetstream.Store) {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		if err := s.Close(ctx); err != nil {
			t.Error(err)
		}
	}
	store := open()
	w.store = store
	w.start(crashRules)
	const lives, callbacks = 3, 200
	for life := range lives {
		if life > 0 {
			w.stop()
			closeIt(store)
			store = open()
			w.store, w.reg = store, prometheus.NewRegistry()
			w.start(crashRules)
		}
		var senders sync.WaitGroup
		for n := range 8 {
			senders.Go(func() {
				for i := range callbacks / 8 {
					from := "u"
					if i == 0 {
						from = "a" // the flaky action's
					}
					cb := packet(t, fmt.Sprint(life, "-", n, "-", i), from+">b", "v>d")
					if err := w.eng.Accept(context.Background(), cb); err != nil {
						t.Error(err)
					}
				}
			})
		}
		senders.Wait()
	}
	const all = lives * callbacks
	want := engine.Totals{Callbacks: all, Pairs: 2 * all, Done: 3*all + lives*8, Dead: 2 * all}
	deadline := time.Now().Add(2 * time.Minute)
	for {
		got := w.eng.Totals()
		if got.Callbacks == all && got.Pending() == 0 {
			if got.Done != want.Done || got.Dead != want.Dead || got.Pairs != want.Pairs || got.Created != want.Done+want.Dead {
				t.Errorf("%+v, want %+v", got, want)
			}
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("it never settled: %+v", w.eng.Status())
		}
		time.Sleep(20 * time.Millisecond)
	}
	w.stop()
	for store.Status().Waiting > 0 { // Ack does not wait
		if time.Now().After(deadline) {
			t.Fatalf("%d packs are not acked", store.Status().Waiting)
		}
		time.Sleep(20 * time.Millisecond)
	}
	closeIt(store)
}
