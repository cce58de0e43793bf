package backtest

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/aftermath-rules/aftermath/callback"
	"github.com/aftermath-rules/aftermath/internal/rulestest"
	"github.com/aftermath-rules/aftermath/rules"
)

const before = `
rules:
  - {name: same, condition: From_Account == "a", actions: [{type: log}]}
  - {name: wider, condition: From_Account == "a", actions: [{type: log}]}
  - {name: gone, condition: To_Account == "b", actions: [{type: log}]}
  - {name: shadow, condition: Mutual, shadow: true, actions: [{type: log}]}
  - {name: action, condition: To_Account == "c", actions: [{type: log}]}
  - {name: fails, condition: int(From_Account) > 0, actions: [{type: log}]}
`

const now = `
rules:
  - {name: new, condition: From_Account == "b", actions: [{type: log}]}
  - {name: same, condition: From_Account == "a", actions: [{type: log}]}
  - {name: wider, condition: 'From_Account in ["a", "b"]', actions: [{type: log}]}
  - {name: shadow, condition: Mutual, actions: [{type: log}]}
  - {name: action, condition: To_Account == "c", actions: [{type: log, name: other}]}
  - {name: fails, condition: From_Account == "7", actions: [{type: log}]}
`

func packet(pairs ...callback.Pair) *callback.Callback {
	return &callback.Callback{CallbackCommand: callback.Command, RequestId: "r", Pairs: pairs, Received: time.Unix(1e9, 0).UTC()}
}

// A backtest counts, rule by rule, what fired before, what would fire now, and keeps examples of each difference.
func TestRun(t *testing.T) {
	r := New(rulestest.Compile(t, before), rulestest.Compile(t, now))
	r.Add(packet(callback.Pair{From: "a", To: "b"}, callback.Pair{From: "b", To: "a"}), "cb1")
	r.Add(packet(callback.Pair{From: "7", To: "c"}), "")
	at := time.Unix(1e9, 0).UTC()
	example := func(change, id string, pair int, from, to string) Example {
		return Example{Change: change, Callback: id, RequestID: "r", At: at, Pair: pair, From: from, To: to}
	}
	want := []Rule{
		{Rule: "new", State: "new", Now: 1, Gained: 1, Examples: []Example{example("gained", "cb1", 1, "b", "a")}},
		{Rule: "same", Before: 1, Now: 1},
		{Rule: "wider", Before: 1, Now: 2, Gained: 1, Examples: []Example{example("gained", "cb1", 1, "b", "a")}},
		{Rule: "shadow", Now: 2, Gained: 2, ShadowBefore: 2, Examples: []Example{example("gained", "cb1", 0, "a", "b"), example("gained", "cb1", 1, "b", "a")}},
		{Rule: "action", Before: 1, Now: 1, ActionsBefore: []string{"action/log"}, ActionsNow: []string{"action/other"}},
		{Rule: "fails", Before: 1, Now: 1, ErrorsBefore: 2},
		{Rule: "gone", State: "gone", Before: 1, Lost: 1, Examples: []Example{example("lost", "cb1", 0, "a", "b")}},
	}
	if diff := cmp.Diff(want, r.Rules()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if r.Callbacks != 2 || r.Pairs != 3 {
		t.Errorf("%d callbacks, %d pairs", r.Callbacks, r.Pairs)
	}
	var changed []string
	for _, rule := range r.Rules() {
		if rule.Changed() {
			changed = append(changed, rule.Rule)
		}
	}
	if got := strings.Join(changed, " "); got != "new wider shadow action gone" {
		t.Errorf("changed: %s", got)
	}
}

// The counts are those that comparing each pair's matches as sets of names gives, and the same where another process tells what the first
// set makes of each callback.
func TestRunAgreesWithSets(t *testing.T) {
	a, b := rulestest.Compile(t, before), rulestest.Compile(t, now)
	r, told := New(a, b), NewDecided(KnownOf(a), b)
	counts := map[string][2]uint64{} // gained and lost
	rng := rand.New(rand.NewPCG(1, 2))
	names := []string{"a", "b", "c", "7", "x"}
	for range 500 {
		var pairs []callback.Pair
		for range 1 + rng.IntN(4) {
			pairs = append(pairs, callback.Pair{From: names[rng.IntN(5)], To: names[rng.IntN(5)]})
		}
		cb := packet(pairs...)
		r.Add(cb, "")
		told.AddDecided(cb, "", AppendDecided(nil, a, cb))
		for i := range pairs {
			was, is := firing(a, cb, i), firing(b, cb, i)
			for name := range is {
				if !was[name] {
					counts[name] = [2]uint64{counts[name][0] + 1, counts[name][1]}
				}
			}
			for name := range was {
				if !is[name] {
					counts[name] = [2]uint64{counts[name][0], counts[name][1] + 1}
				}
			}
		}
	}
	if diff := cmp.Diff(r.Rules(), told.Rules()); diff != "" || r.Pairs != told.Pairs || r.Callbacks != told.Callbacks {
		t.Errorf("told by another process (-here +told):\n%s", diff)
	}
	for _, rule := range r.Rules() {
		if got := [2]uint64{rule.Gained, rule.Lost}; got != counts[rule.Rule] {
			t.Errorf("%s: gained and lost %v, want %v", rule.Rule, got, counts[rule.Rule])
		}
		if rule.Before+rule.Gained-rule.Lost != rule.Now {
			t.Errorf("%s: %d + %d - %d is not %d", rule.Rule, rule.Before, rule.Gained, rule.Lost, rule.Now)
		}
		for _, change := range []string{"gained", "lost"} {
			if n := strings.Count(fmt.Sprint(rule.Examples), "{"+change); n > mostExamples {
				t.Errorf("%s: %d examples of pairs %s", rule.Rule, n, change)
			}
		}
	}
}

func firing(rs *rules.RuleSet, cb *callback.Callback, pair int) map[string]bool {
	names := map[string]bool{}
	for _, m := range rs.Match(nil, cb, pair) {
		if m.Err == nil && !m.Rule.Shadow {
			names[m.Rule.Name] = true
		}
	}
	return names
}

// BenchmarkRun runs one pair through two sets of 1,000 rules each.
func BenchmarkRun(b *testing.B) {
	var old, new strings.Builder
	old.WriteString("rules:\n")
	new.WriteString("rules:\n")
	for i := range 1000 {
		fmt.Fprintf(&old, "  - {name: r%d, condition: 'From_Account == \"u%d\"', actions: [{type: log}]}\n", i, i)
		fmt.Fprintf(&new, "  - {name: r%d, condition: 'From_Account == \"u%d\" && OptPlatform != \"Web\"', actions: [{type: log}]}\n", i, i)
	}
	r := New(rulestest.Compile(b, old.String()), rulestest.Compile(b, new.String()))
	packets := make([]*callback.Callback, 1024)
	for i := range packets {
		packets[i] = packet(callback.Pair{From: fmt.Sprintf("u%d", i*3), To: "x"})
	}
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		r.Add(packets[i%len(packets)], "")
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "pairs/s")
}
