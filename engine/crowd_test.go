package engine_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aftermath-rules/aftermath/engine"
	"github.com/aftermath-rules/aftermath/engine/storetest"
	"github.com/aftermath-rules/aftermath/internal/jetstream"
)

// crowdRule makes a delivery of some 2.5 KB of each pair.
var crowdRule = fmt.Sprintf(`rules: [{name: all, condition: "true", labels: {note: %q}, actions: [{type: fn, key: k, concurrency: 64}]}]`, strings.Repeat("x", 2000))

func crowd(pairs int) (packet []string) {
	for i := range pairs {
		packet = append(packet, fmt.Sprintf("a>b%d", i))
	}
	return packet
}

// What matched of one callback may take more than a message of the store that serve uses: it is handled as any other.
func TestCallbackThatMatchesMuch(t *testing.T) {
	w := newWorld(t)
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	s, err := jetstream.Open(ctx, jetstream.Options{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		w.stop()
		if err := s.Close(context.Background()); err != nil {
			t.Error(err)
		}
	}()
	w.store = s
	w.start(crowdRule)
	const pairs = 5000
	w.send("", crowd(pairs)...)
	for w.eng.Totals().Done < pairs {
		select {
		case <-ctx.Done():
			t.Fatalf("%+v", w.eng.Totals())
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// narrow is a store that takes no event of more than some deliveries.
type narrow struct {
	*storetest.Memory
	most int
}

func (s narrow) Fits(ev *engine.Event) bool { return len(ev.Matched.Deliveries) <= s.most }

// A callback of which more matched than the store takes holds up no other, after a restart neither; and reprocessing makes its deliveries.
func TestCallbackThatMatchesTooMuch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.store = narrow{w.mem, 100}
		w.start(crowdRule)
		const pairs = 1000
		w.send("", crowd(pairs)...)
		w.send("", "a>c")
		w.expect(1, 0)
		w.restart(crowdRule)
		w.expect(1, 0)
		if totals := w.eng.Totals(); totals.Callbacks != 2 || totals.Unmatched != 1 || totals.Pairs != pairs+1 {
			t.Errorf("%+v", totals)
		}
		if n := w.log.FilterMessage("a callback matches too much").Len(); n != 1 {
			t.Errorf("it is said %d times", n)
		}
		r, err := w.eng.Reprocess(t.Context(), engine.ReprocessOptions{}, func(engine.Reprocessed) {})
		if err != nil || r.Made != pairs {
			t.Errorf("%+v, %v", r, err)
		}
		w.settle()
		if n := len(w.seen("k")); n != pairs+1 {
			t.Errorf("%d deliveries ran, want %d", n, pairs+1)
		}
	})
}
