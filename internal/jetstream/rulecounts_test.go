package jetstream_test

import (
	"fmt"
	"maps"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/aftermath-rules/aftermath/engine"
	"github.com/aftermath-rules/aftermath/internal/jetstream"
)

// The counts of hundreds of rules are not in every pack of outcomes, and are the same after a restart wherever that comes: also where a rule
// comes or goes, and where all that is old has been taken away.
func TestCountsOfManyRules(t *testing.T) {
	o := jetstream.Options{Dir: t.TempDir(), Keep: jetstream.Keep{Deliveries: time.Nanosecond}}
	s := open(t, o)
	ctx := ctxFor(t, time.Minute)
	const rules = 100
	totals := engine.Totals{}
	counts := map[string]engine.RuleTotals{}
	begin := time.Unix(1669872112, 0).UTC()
	hit := func(i int) engine.Event {
		rule := fmt.Sprint("rule-", i%rules)
		at := begin.Add(time.Duration(i) * time.Second)
		counts = maps.Clone(counts) // the store may keep it
		counts[rule] = engine.RuleTotals{Matches: counts[rule].Matches + 1, Last: at}
		totals.Callbacks++
		totals.Matches++
		return engine.Event{Matched: &engine.Matched{
			Callback: fmt.Sprint("callback-", i), Seq: uint64(i + 1), Received: at, Pairs: 1, Matches: []engine.Hit{{Rule: rule}},
		}}
	}
	for i := range 3 * rules {
		if i == 2*rules+40 {
			counts = maps.Clone(counts)
			delete(counts, "rule-7")
			counts["rule-new"] = engine.RuleTotals{Matches: 1, Last: begin}
		}
		events := []engine.Event{hit(i)}
		totals.Rules = counts
		if _, err := s.Append(ctx, events, &totals); err != nil {
			t.Fatal(err)
		}
		if i%29 != 0 {
			continue
		}
		if err := s.Purge(ctx); err != nil {
			t.Fatal(err)
		}
		closeStore(t, s)
		s = open(t, o)
		own, _, err := s.Totals(ctx)
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(&totals, own); d != "" {
			t.Fatalf("after %d packs: %s", i+1, d)
		}
	}
	without := 0
	for p, err := range s.Events(ctx, 0) {
		if err != nil {
			t.Fatal(err)
		}
		if len(p.Totals.Rules) == 0 {
			without++
		}
	}
	if without == 0 {
		t.Error("all counts are in every pack")
	}
}
