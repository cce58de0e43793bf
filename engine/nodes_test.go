package engine_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"

	"github.com/aftermath-rules/aftermath/engine"
	"github.com/aftermath-rules/aftermath/internal/jetstream"
)

// Two nodes of a cluster reprocess at once: one of them is told that the other does, each delivery is made once whoever makes it, and the
// counts of both together say so.
func TestTwoNodesReprocess(t *testing.T) {
	srv, err := server.NewServer(&server.Options{
		Host: "127.0.0.1", Port: server.RANDOM_PORT, NoSigs: true, NoLog: true,
		JetStream: true, StoreDir: t.TempDir(), MaxPayload: 8 << 20, SyncAlways: true,
	})
	if err != nil {
		t.Fatal(err)
	}
	srv.Start()
	t.Cleanup(func() {
		srv.Shutdown()
		srv.WaitForShutdown()
	})
	if !srv.ReadyForConnections(20 * time.Second) {
		t.Fatal("the server does not start")
	}
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	var nodes [2]*world
	for i := range nodes {
		s, err := jetstream.Open(ctx, jetstream.Options{Dir: t.TempDir(), URL: srv.ClientURL()})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := s.Close(context.Background()); err != nil {
				t.Error(err)
			}
		})
		w := newWorld(t)
		w.store = s
		w.start("rules: []")
		nodes[i] = w
	}
	const callbacks = 40
	for i := range callbacks {
		nodes[i%2].send("", fmt.Sprintf("u%d>x", i))
	}
	// Of both nodes, as the store has them: each knows the other's a while later.
	counted := func(what string, cond func(t engine.Totals) bool) {
		t.Helper()
		for {
			own, others, err := nodes[0].store.Totals(ctx)
			must(t, err)
			sum := engine.Totals{
				Callbacks: own.Callbacks + others.Callbacks, Created: own.Created + others.Created, Done: own.Done + others.Done,
			}
			if cond(sum) {
				return
			}
			select {
			case <-ctx.Done():
				t.Fatalf("waiting for %s: %+v", what, sum)
			case <-time.After(20 * time.Millisecond):
			}
		}
	}
	counted("the callbacks", func(t engine.Totals) bool { return t.Callbacks == callbacks })
	for _, w := range nodes {
		w.eng.Swap(w.rules(`rules: [{name: all, condition: "true", actions: [{type: fn, key: all}]}]`))
	}

	silent := func(engine.Reprocessed) {}
	var made int
	first, err := nodes[0].eng.Reprocess(ctx, engine.ReprocessOptions{}, func(engine.Reprocessed) {
		if _, err := nodes[1].eng.Reprocess(ctx, engine.ReprocessOptions{}, silent); !errors.Is(err, engine.ErrReprocessing) {
			t.Errorf("the second node, while the first one is at it: %v, want %v", err, engine.ErrReprocessing)
		}
	})
	must(t, err)
	made += first.Made
	var all sync.WaitGroup
	var mu sync.Mutex
	for i := range 8 {
		all.Go(func() {
			r, err := nodes[i%2].eng.Reprocess(ctx, engine.ReprocessOptions{}, silent)
			if err != nil && !errors.Is(err, engine.ErrReprocessing) {
				t.Error(err)
			}
			mu.Lock()
			defer mu.Unlock()
			made += r.Made
		})
	}
	all.Wait()
	if made != callbacks {
		t.Errorf("%d deliveries were made, want %d", made, callbacks)
	}
	counted("the deliveries", func(t engine.Totals) bool { return t.Created == callbacks && t.Done == callbacks })
	runs := map[string]int{}
	for _, w := range nodes {
		for _, g := range w.seen("all") {
			runs[g.d.ID]++
		}
	}
	for id, n := range runs {
		if n > 1 {
			t.Errorf("delivery %s ran %d times", id, n)
		}
	}
	if len(runs) != callbacks {
		t.Errorf("%d deliveries ran, want %d", len(runs), callbacks)
	}
}
