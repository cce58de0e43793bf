package engine_test

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aftermath-rules/aftermath/actions"
	"github.com/aftermath-rules/aftermath/callback"
	"github.com/aftermath-rules/aftermath/engine"
)

const oneRule = `
rules:
  - name: all
    condition: "true"
    labels: {team: care}
    actions: [{type: fn, key: k}]
`

// failTimes fails the first n attempts of every delivery.
func failTimes(n int, err error) receiver {
	return func(_ context.Context, d *actions.Delivery) (actions.Result, error) {
		if d.Attempt <= n {
			return actions.Result{Detail: "no", Code: 500, State: []byte(fmt.Sprint("after ", d.Attempt))}, err
		}
		return actions.Result{Detail: "ok"}, nil
	}
}

func TestDelivers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.start(oneRule)
		w.send("r1", "a>b", "b>a")
		w.send("r2", "x>y")
		w.expect(3, 0)
		all := w.seen("k")
		slices.SortFunc(all, func(x, y got) int { return strings.Compare(x.d.Pair.From, y.d.Pair.From) })
		d := all[0].d
		if d.Pair != (callback.Pair{From: "a", To: "b"}) || !d.Mutual || d.PairCount != 2 || d.Rule.Name != "all" ||
			d.Rule.Labels["team"] != "care" || d.Action != "all/fn" || d.Attempt != 1 || d.RequestId != "r1" ||
			d.SdkAppid != 1400000000 || d.OptPlatform != "iOS" || d.RuleSet != w.eng.RuleSet().Hash || d.CallbackID == "" {
			t.Errorf("got %+v", d)
		}
		ids := make(map[string]bool)
		for _, g := range all {
			if !regexp.MustCompile(`^[a-z0-9]{1,32}$`).MatchString(g.d.ID) {
				t.Errorf("delivery id %q", g.d.ID)
			}
			ids[g.d.ID] = true
		}
		if len(ids) != 3 {
			t.Errorf("%d ids for 3 deliveries", len(ids))
		}
		if w.mem.Status().Waiting != 0 {
			t.Error("a pack was not acked")
		}
	})
}

func TestAttempts(t *testing.T) {
	down := errors.New("receiver down")
	tests := []struct {
		name       string
		options    string // of the action
		receive    receiver
		want       string // outcomes, as a pattern
		error      string // of the last
		least      time.Duration
		most       time.Duration // from the first attempt to the last
		deadLetter bool
	}{
		{name: "success", want: "done"},
		{name: "two failures", receive: failTimes(2, down), want: "retry retry done", least: time.Second, most: 5 * time.Second},
		{name: "permanent", receive: failTimes(9, actions.Permanent(errors.New("410 Gone"))), want: "dead", error: "410 Gone", deadLetter: true},
		{name: "permanent by code", options: "retry: {permanent: [500]}", receive: failTimes(9, down), want: "dead", error: "code 500", deadLetter: true},
		{name: "max attempts", options: "retry: {max_attempts: 3}", receive: failTimes(9, down), want: "retry retry dead",
			error: "gave up after 3 attempts", deadLetter: true},
		{name: "span", options: "retry: {for: 5s, min: 1s}", receive: failTimes(99, down), want: "(retry )+dead",
			error: "later than 5s", most: 5250 * time.Millisecond, deadLetter: true},
		{name: "retry after, beyond retry.max", options: "retry: {max: 2s}", receive: failTimes(1, actions.RetryAfter(down, time.Hour)),
			want: "retry done", least: time.Hour, most: 72 * time.Minute},
		{name: "panic", receive: func(_ context.Context, d *actions.Delivery) (actions.Result, error) {
			if d.Attempt == 1 {
				panic("boom")
			}
			return actions.Result{}, nil
		}, want: "retry done"},
		{name: "the action ends its goroutine", receive: func(_ context.Context, d *actions.Delivery) (actions.Result, error) {
			if d.Attempt == 1 {
				runtime.Goexit()
			}
			return actions.Result{}, nil
		}, want: "retry done"},
		{name: "time-out", options: "timeout: 2s", receive: func(ctx context.Context, d *actions.Delivery) (actions.Result, error) {
			if d.Attempt == 1 {
				<-ctx.Done()
				return actions.Result{}, ctx.Err()
			}
			return actions.Result{}, nil
		}, want: "retry done", least: 2 * time.Second, most: 5 * time.Second},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				w.receive["k"] = test.receive
				w.start("rules: [{name: r, condition: \"true\", actions: [{type: fn, key: k, " + strings.TrimSuffix(test.options+", ", ", ") + "}]}]")
				w.send("", "a>b")
				var ended map[string][]engine.Ended
				if test.deadLetter {
					ended = w.expect(0, 1)
				} else {
					ended = w.expect(1, 0)
				}
				history := only(t, ended)
				if got := outcomes(history); !regexp.MustCompile("^" + test.want + "$").MatchString(got) {
					t.Errorf("attempts ended %q, want %q", got, test.want)
				}
				if last := history[len(history)-1].Error; !strings.Contains(last, test.error) {
					t.Errorf("error %q, want %q in it", last, test.error)
				}
				seen := w.seen("k")
				took := seen[len(seen)-1].at.Sub(seen[0].at)
				if took < test.least || test.most > 0 && took > test.most {
					t.Errorf("from the first attempt to the last it took %s, want %s to %s", took, test.least, test.most)
				}
				for i, g := range seen {
					if g.d.Attempt != i+1 || g.d.ID != seen[0].d.ID {
						t.Errorf("attempt %d came as attempt %d of %s", i+1, g.d.Attempt, g.d.ID)
					}
				}
			})
		})
	}
}

func TestStateComesBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.receive["k"] = failTimes(2, errors.New("no"))
		w.start(oneRule)
		w.send("", "a>b")
		w.expect(1, 0)
		var states []string
		for _, g := range w.seen("k") {
			states = append(states, string(g.d.State))
		}
		if got := strings.Join(states, ","); got != ",after 1,after 2" {
			t.Errorf("states %q", got)
		}
	})
}

func TestHangingActionIsAbandoned(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		release := make(chan struct{})
		w.receive["hang"] = func(_ context.Context, d *actions.Delivery) (actions.Result, error) {
			if d.Attempt == 1 {
				<-release // whatever the context says
			}
			return actions.Result{}, nil
		}
		w.start(`
rules:
  - {name: bad, condition: "true", actions: [{type: fn, key: hang, timeout: 1s, concurrency: 2, retry: {min: 1s, max: 2s}}]}
  - {name: good, condition: "true", actions: [{type: fn, key: good}]}
`)
		for range 20 {
			w.send("", "a>b")
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		s := w.eng.Status()
		if a := s.Actions["bad/fn"]; a.Abandoned != 2 || a.Running != 2 {
			t.Errorf("abandoned %d, running %d; want 2 slots held", a.Abandoned, a.Running)
		}
		if n := len(w.seen("good")); n != 20 {
			t.Errorf("the healthy action had %d of 20", n)
		}
		if s.Loose != 0 {
			t.Errorf("%d deliveries are loose while their action hangs", s.Loose)
		}
		w.balance()
		close(release)
		w.expect(40, 0)
	})
}

func TestDryRunSendsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.start(`rules: [{name: r, condition: "true", actions: [{type: fn, key: k, text: "to {{ To_Account }}", dry_run: true}]}]`)
		w.send("", "a>bob")
		history := only(t, w.expect(1, 0))
		if !history[0].DryRun || !strings.Contains(string(history[0].Sent), "to bob") {
			t.Errorf("recorded %+v", history[0])
		}
		if len(w.seen("k")) != 0 {
			t.Error("a dry run ran the action")
		}
		lines := w.log.FilterMessageSnippet("dry run").All()
		if len(lines) != 1 || !strings.Contains(fmt.Sprintf("%s", lines[0].ContextMap()["fields"]), "to bob") {
			t.Errorf("logged %v", lines)
		}
	})
}

func TestStopShadowAndUnmatched(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.start(`
rules:
  - {name: shadow, condition: "true", shadow: true, stop: true, actions: [{type: fn, key: shadow}]}
  - {name: first, condition: From_Account == "vip", stop: true, actions: [{type: fn, key: first}]}
  - {name: second, condition: From_Account startsWith "v", actions: [{type: fn, key: second}, {type: fn, name: other, key: other}]}
`)
		w.send("", "vip>x", "victor>y", "bob>z")
		w.send("")
		w.expect(3, 0)
		totals := w.eng.Totals()
		if totals.Callbacks != 2 || totals.Unmatched != 1 || totals.Pairs != 3 || totals.Matches != 2 || totals.ShadowMatches != 3 {
			t.Errorf("%+v", totals)
		}
		if len(w.seen("shadow")) != 0 || len(w.seen("first")) != 1 || len(w.seen("second")) != 1 || len(w.seen("other")) != 1 {
			t.Errorf("seen %v", w.got)
		}
		if r := w.eng.RuleTotals("shadow"); r.Matches != 3 || r.Last.IsZero() {
			t.Errorf("shadow: %+v", r)
		}
	})
}

func TestRepeats(t *testing.T) {
	tests := []struct {
		name          string
		senderRetries bool
		id            string
		apart         time.Duration
		handled       int
	}{
		{"same id at once", false, "id", 0, 1},
		{"same id within the window", false, "id", 9 * time.Minute, 1},
		{"same id beyond the window", false, "id", 11 * time.Minute, 2},
		{"no id", false, "", 0, 2},
		{"no id, the sender repeats", true, "", 5 * time.Second, 1},
		{"no id, the sender repeats, later", true, "", 11 * time.Second, 2},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				w.opt.SenderRetries = test.senderRetries
				w.start(oneRule)
				w.send(test.id, "a>b")
				time.Sleep(test.apart)
				w.send(test.id, "a>b")
				w.expect(uint64(test.handled), 0)
				totals := w.eng.Totals()
				if totals.Callbacks != uint64(test.handled) || totals.Repeats != uint64(2-test.handled) {
					t.Errorf("%+v", totals)
				}
			})
		})
	}
}

func TestSwapWhileCallbacksFlow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		// Each set matches every pair by two rules whose labels name the set: a mixture would show.
		set := func(n int) string {
			return fmt.Sprintf(`
rules:
  - {name: one, condition: "true", labels: {set: "%d"}, actions: [{type: fn, key: k}]}
  - {name: two, condition: "true", labels: {set: "%d"}, actions: [{type: fn, key: k}]}
`, n, n)
		}
		w.start(set(0))
		const callbacks = 200
		for i := range callbacks {
			w.send("", "a>b", "b>c", "c>d")
			if i%3 == 0 {
				w.eng.Swap(w.rules(set(i)))
			}
			time.Sleep(time.Millisecond)
		}
		w.expect(callbacks*6, 0)
		sets := make(map[string]string)
		for _, g := range w.seen("k") {
			decided := g.d.Rule.Labels["set"] + " " + g.d.RuleSet
			if was, ok := sets[g.d.CallbackID]; ok && was != decided {
				t.Fatalf("callback %s was decided by %s and %s", g.d.CallbackID, was, decided)
			}
			sets[g.d.CallbackID] = decided
		}
		if len(sets) != callbacks {
			t.Errorf("%d callbacks seen", len(sets))
		}
	})
}

func TestSlowActionHarmsNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.receive["dead"] = func(ctx context.Context, _ *actions.Delivery) (actions.Result, error) {
			<-ctx.Done()
			return actions.Result{}, ctx.Err()
		}
		w.start(`
rules:
  - {name: dead, condition: "true", actions: [{type: fn, key: dead, concurrency: 4}]}
  - {name: good, condition: "true", actions: [{type: fn, key: good}]}
`)
		worst := time.Duration(0)
		for range 10_000 { // at 1,000/s
			w.send("", "a>b")
			time.Sleep(time.Millisecond)
		}
		time.Sleep(time.Second)
		synctest.Wait()
		seen := w.seen("good")
		if len(seen) != 10_000 {
			t.Fatalf("the healthy action had %d of 10,000", len(seen))
		}
		for _, g := range seen {
			worst = max(worst, g.at.Sub(g.d.Time))
		}
		if worst > 100*time.Millisecond {
			t.Errorf("the healthy action waited %s", worst)
		}
		if s := w.eng.Status(); s.Loose > 2048 {
			t.Errorf("%d loose deliveries", s.Loose)
		}
		// The receiver comes back: all of it is delivered, and never more at once than it takes.
		w.mu.Lock()
		w.receive["dead"] = nil
		w.mu.Unlock()
		w.expect(20_000, 0)
	})
}

func TestRateAndConcurrency(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		running, most := 0, 0
		w.receive["k"] = func(context.Context, *actions.Delivery) (actions.Result, error) {
			w.mu.Lock()
			running++
			most = max(most, running)
			w.mu.Unlock()
			time.Sleep(50 * time.Millisecond)
			w.mu.Lock()
			running--
			w.mu.Unlock()
			return actions.Result{}, nil
		}
		w.start(`rules: [{name: r, condition: "true", actions: [{type: fn, key: k, concurrency: 3, rate: 10/s}]}]`)
		for range 200 {
			w.send("", "a>b")
		}
		w.expect(200, 0)
		if most > 3 {
			t.Errorf("%d attempts at once, want at most 3", most)
		}
		seen := w.seen("k")
		if took := seen[199].at.Sub(seen[0].at); took < 19*time.Second || took > 40*time.Second {
			t.Errorf("200 attempts at 10/s took %s", took)
		}
	})
}

func TestBreakerSparesADeadReceiver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		up := false
		w.receive["k"] = func(context.Context, *actions.Delivery) (actions.Result, error) {
			w.mu.Lock()
			defer w.mu.Unlock()
			if !up {
				return actions.Result{}, errors.New("connection refused")
			}
			return actions.Result{}, nil
		}
		w.start(oneRule)
		for range 1000 {
			w.send("", "a>b")
		}
		time.Sleep(30 * time.Minute)
		synctest.Wait()
		if n := len(w.seen("k")); n > 200 {
			t.Errorf("a dead receiver was asked %d times in half an hour", n)
		}
		if s := w.eng.Status().Actions["all/fn"]; s.Breaker == "closed" || !strings.Contains(s.LastError, "refused") {
			t.Errorf("%+v", s)
		}
		w.mu.Lock()
		up = true
		w.mu.Unlock()
		put := 0
		for id, history := range w.expect(1000, 0) {
			for _, e := range history {
				if e.Type != "fn" {
					t.Fatalf("%s ended as %s without its action's type", id, e.Outcome)
				}
				if e.Outcome == engine.OutcomeParked {
					put++
				}
			}
		}
		if put == 0 {
			t.Error("no delivery was put off without an attempt")
		}
	})
}

func TestEditClosesTheBreaker(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.receive["typo"] = failTimes(99, errors.New("no such host"))
		text := `rules: [{name: r, condition: "true", actions: [{type: fn, key: typo}]}]`
		w.start(text)
		for range 10 {
			w.send("", "a>b")
		}
		time.Sleep(5 * time.Minute)
		synctest.Wait()
		if s := w.eng.Status().Actions["r/fn"]; s.Breaker == "closed" {
			t.Errorf("%+v", s)
		}
		w.eng.Swap(w.rules(strings.ReplaceAll(text, "typo", "mended")))
		if s := w.eng.Status().Actions["r/fn"]; s.Breaker != "closed" {
			t.Errorf("after the edit: %+v", s)
		}
		w.send("", "new>b")
		time.Sleep(100 * time.Millisecond)
		synctest.Wait()
		if n := len(w.seen("mended")); n == 0 {
			t.Error("the mended action waits for the broken one's cool-down")
		}
		w.expect(11, 0)
	})
}

func TestDrain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.receive["quick"] = func(context.Context, *actions.Delivery) (actions.Result, error) {
			time.Sleep(3 * time.Second)
			return actions.Result{}, nil
		}
		w.receive["slow"] = func(ctx context.Context, _ *actions.Delivery) (actions.Result, error) {
			select {
			case <-ctx.Done():
				return actions.Result{}, ctx.Err()
			case <-time.After(14 * time.Second):
				return actions.Result{}, nil
			}
		}
		text := `
rules:
  - {name: quick, condition: "true", actions: [{type: fn, key: quick}]}
  - {name: slow, condition: "true", actions: [{type: fn, key: slow}]}
`
		w.start(text)
		w.send("", "a>b")
		time.Sleep(time.Second)
		began := time.Now()
		w.stop()
		if took := time.Since(began); took < 10*time.Second || took > 12*time.Second {
			t.Errorf("draining took %s, want the drain time of 10 s", took)
		}
		totals, _ := w.balance()
		if totals.Done != 1 || totals.Pending() != 1 {
			t.Errorf("after draining: %+v", totals)
		}
		w.restart(text)
		w.expect(2, 0)
		if n := len(w.seen("quick")); n != 1 {
			t.Errorf("what was done before the restart ran %d times", n)
		}
	})
}

func TestCountsOutliveARestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.start(oneRule)
		w.send("", "a>b")
		w.eng.ObserveCallback(callback.Unauthorized, time.Millisecond)
		w.eng.ObserveCallback(callback.OK, time.Millisecond)
		if err := w.eng.Quarantine(context.Background(), &engine.Quarantined{Body: []byte("{")}); err != nil {
			t.Fatal(err)
		}
		for _, when := range []string{"at once", "when it is stored"} {
			if got := w.eng.Totals(); got.Refused != 1 || got.Quarantined != 1 {
				t.Errorf("%s %d are refused and %d quarantined", when, got.Refused, got.Quarantined)
			}
			time.Sleep(2 * time.Second)
		}
		w.expect(1, 0)
		w.eng.ObserveCallback(callback.Forbidden, time.Millisecond) // right before the end
		w.restart(oneRule)
		w.send("", "a>b")
		w.expect(2, 0)
		if got := w.eng.Totals(); got.Callbacks != 2 || got.Refused != 2 || got.Quarantined != 1 {
			t.Errorf("%+v", got)
		}
		if r := w.eng.RuleTotals("all"); r.Matches != 2 {
			t.Errorf("the rule's matches: %+v", r)
		}
	})
}

func TestIdleActionsCostNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const n = 5000
		var text strings.Builder
		text.WriteString("rules:\n")
		for i := range n {
			fmt.Fprintf(&text, "- {name: r%d, condition: From_Account == \"u%d\", actions: [{type: fn, key: k}]}\n", i, i)
		}
		w := newWorld(t)
		w.start(text.String())
		for i := range 100 {
			w.send("", fmt.Sprintf("u%d>b", i*7))
		}
		w.expect(100, 0)
		if s := w.eng.Status(); len(s.Actions) != 100 {
			t.Errorf("%d runners for 100 actions that had something to do", len(s.Actions))
		}
	})
}
