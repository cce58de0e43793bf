package engine_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aftermath-rules/aftermath/engine"
	"github.com/aftermath-rules/aftermath/engine/storetest"
	"github.com/aftermath-rules/aftermath/internal/jetstream"
)

// crowdRules make a delivery of some 2.5 KB of each pair for which a condition holds.
func crowdRules(names []string, condition string) string {
	rules := make([]string, len(names))
	for i, name := range names {
		rules[i] = fmt.Sprintf(`{name: %s, condition: '%s', labels: {note: %q}, actions: [act]}`, name, condition, strings.Repeat("x", 2000))
	}
	return "actions: {act: {type: fn, key: k, concurrency: 64}}\nrules:\n  - " + strings.Join(rules, "\n  - ")
}

func crowd(pairs int) (packet []string) {
	for i := range pairs {
		packet = append(packet, fmt.Sprintf("a>b%d", i))
	}
	return packet
}

// What matched of one callback may take far more than a message of the store that serve uses: it is handled as any other.
func TestCallbackThatMatchesMuch(t *testing.T) {
	w := newWorld(t)
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
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
	w.start(crowdRules([]string{"all"}, "true"))
	const pairs = 15_000
	w.send("", crowd(pairs)...)
	for w.eng.Totals().Done < pairs {
		select {
		case <-ctx.Done():
			t.Fatalf("%+v", w.eng.Totals())
		case <-time.After(20 * time.Millisecond):
		}
	}
	if totals := w.eng.Totals(); totals.Callbacks != 1 || totals.Pairs != pairs || totals.Created != pairs || totals.Unmatched != 0 {
		t.Errorf("%+v", totals)
	}
}

// matching is a store that knows how many deliveries there were in one event, and in all of what was appended at once. Once it has so many
// events of what matched it takes no more, or has another process given what is being read.
type matching struct {
	*storetest.Memory
	event, write, taken atomic.Int64
	most                int64
	loses               bool
}

func (s *matching) Append(ctx context.Context, events []engine.Event, totals *engine.Totals) (uint64, error) {
	var all, parts int64
	for i := range events {
		if c := events[i].Matched; c != nil {
			n := int64(len(c.Deliveries))
			all, parts = all+n, parts+1
			s.event.Store(max(s.event.Load(), n))
		}
	}
	s.write.Store(max(s.write.Load(), all))
	if !s.loses && s.taken.Load()+parts > s.most {
		return 0, errors.New("no room")
	}
	s.taken.Add(parts)
	return s.Memory.Append(ctx, events, totals)
}

func (s *matching) NextPack(ctx context.Context) (*engine.Pack, error) {
	p, err := s.Memory.NextPack(ctx)
	if err == nil && s.loses {
		p.Held = func() bool { return s.taken.Load() < s.most }
	}
	return p, err
}

// Of a callback of which very much matches only a part is held at a time. Where the process ends, or another one is given the callback, after
// some of them were recorded, those stand, and the rules of whoever goes on decide the pairs behind them: each once.
func TestCallbackThatMatchesInParts(t *testing.T) {
	for name, loses := range map[string]bool{"the process ends": false, "another one is given it": true} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				store := &matching{Memory: w.mem, most: 20, loses: loses}
				w.store = store
				w.start(crowdRules([]string{"before"}, "true"))
				const pairs = 20_000
				w.send("", crowd(pairs)...)
				w.send("", "c>d")
				time.Sleep(time.Minute)
				synctest.Wait()
				if s := w.eng.Status(); loses && s.Loose > 0 {
					t.Errorf("of what another process was given %d deliveries are loose", s.Loose)
				}
				if store.taken.Load() == 0 {
					t.Fatal("nothing was recorded")
				}
				if n := store.event.Load(); n > 600 {
					t.Errorf("an event of %d deliveries", n)
				}
				if n := store.write.Load(); n > 6000 {
					t.Errorf("%d deliveries were held at once", n)
				}
				w.restart(crowdRules([]string{"after"}, "true"))
				w.expect(pairs+1, 0)
				if totals := w.eng.Totals(); totals.Callbacks != 2 || totals.Pairs != pairs+1 || totals.Unmatched != 0 {
					t.Errorf("%+v", totals)
				}
				var before, after int
				for _, g := range w.seen("k") {
					if g.d.Rule.Name == "before" {
						before++
					} else {
						after++
					}
				}
				if before == 0 || after == 0 {
					t.Errorf("%d attempts by the rules of before, %d by those of after", before, after)
				}
			})
		})
	}
}

// narrow is a store that takes no event of more than some deliveries.
type narrow struct {
	*storetest.Memory
	most int
}

func (s narrow) Fits(ev *engine.Event) bool { return len(ev.Matched.Deliveries) <= s.most }

// A pair of which more matched than the store takes holds up none behind it, nor another callback, after a restart neither; and reprocessing
// makes its deliveries.
func TestPairThatMatchesTooMuch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.store = narrow{w.mem, 100}
		const many = 600
		var names []string
		for i := range many {
			names = append(names, fmt.Sprint("many", i))
		}
		text := crowdRules(names, `To_Account == "x"`) + "\n  - {name: all, condition: 'true', actions: [act]}"
		w.start(text)
		w.send("", "a>x", "a>b", "a>c")
		w.send("", "a>d")
		w.expect(3, 0)
		w.restart(text)
		w.expect(3, 0)
		if totals := w.eng.Totals(); totals.Callbacks != 2 || totals.Unmatched != 0 || totals.Pairs != 4 {
			t.Errorf("%+v", totals)
		}
		if n := w.log.FilterMessage("a callback matches too much").Len(); n != 1 {
			t.Errorf("it is said %d times", n)
		}
		r, err := w.eng.Reprocess(t.Context(), engine.ReprocessOptions{}, func(engine.Reprocessed) {})
		if err != nil || r.Callbacks != 2 || r.Pairs != 4 || r.Made != many+1 || r.Existing != 3 {
			t.Errorf("%+v, %v", r, err)
		}
		w.settle()
		if n := len(w.seen("k")); n != many+1+3 {
			t.Errorf("%d deliveries ran, want %d", n, many+1+3)
		}
	})
}
