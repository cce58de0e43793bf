package engine_test

import (
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aftermath-rules/aftermath/actions"
	"github.com/aftermath-rules/aftermath/engine"
)

// A delivery outlives its rule, and waits for its action as long as its retry span lasts.
func TestActionGoneAndBack(t *testing.T) {
	with := `
actions: {crm: {type: fn, key: crm}, spare: {type: fn, key: spare}}
rules: [{name: r, condition: "true", actions: [crm]}]
`
	without := `
actions: {spare: {type: fn, key: spare}}
rules: [{name: other, condition: "false", actions: [spare]}]
`
	t.Run("back in time", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t)
			w.receive["crm"] = failTimes(1, actions.RetryAfter(errors.New("later"), time.Minute))
			w.start(with)
			w.send("", "a>b")
			time.Sleep(time.Second)
			w.eng.Swap(w.rules(without))
			time.Sleep(10 * time.Minute)
			synctest.Wait()
			totals, ended := w.balance()
			history := only(t, ended)
			if last := history[len(history)-1]; totals.Pending() != 1 || last.Outcome != engine.OutcomeParked || !strings.Contains(last.Error, "no action is called crm any more: add it again; else") {
				t.Errorf("pending %d, last %+v", totals.Pending(), last)
			}
			if w.closed["crm"] != 1 {
				t.Errorf("the action that is gone was closed %d times", w.closed["crm"])
			}
			w.eng.Swap(w.rules(with)) // its rule is the same, and its delivery was never lost
			w.expect(1, 0)
		})
	})
	t.Run("never back", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t)
			w.receive["crm"] = failTimes(1, errors.New("no"))
			w.start(with)
			w.send("", "a>b")
			time.Sleep(100 * time.Millisecond)
			w.eng.Swap(w.rules(without))
			time.Sleep(71 * time.Hour)
			synctest.Wait()
			if got := w.eng.Status(); got.Pending != 1 {
				t.Errorf("after 71 h: %+v", got)
			}
			w.expect(0, 1)
		})
	})
	t.Run("never back, with a span of its own", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t)
			w.receive["crm"] = failTimes(9, actions.RetryAfter(errors.New("no"), 5*time.Second))
			w.start(strings.Replace(with, "key: crm", "key: crm, retry: {for: 1m}", 1))
			w.send("", "a>b")
			time.Sleep(time.Second)
			w.eng.Swap(w.rules(without)) // while the delivery waits in the store, and nothing of the action is in memory
			time.Sleep(10 * time.Second)
			w.restart(without)
			began := time.Now()
			w.expect(0, 1)
			if took := time.Since(began); took > time.Minute {
				t.Errorf("it was given up %v after the restart; its retry span is 1m", took)
			}
		})
	})
	t.Run("never back, and never attempted", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t)
			w.receive["crm"] = failTimes(99, errors.New("no"))
			w.start(strings.Replace(with, "key: crm", "key: crm, retry: {for: 1m, min: 20s, max: 20s}", 1))
			for _, pair := range []string{"a>b", "c>d", "e>f", "g>h", "i>j"} {
				w.send("", pair) // the fifth failure opens the breaker
			}
			time.Sleep(500 * time.Millisecond)
			w.send("", "k>l")
			time.Sleep(100 * time.Millisecond)
			w.eng.Swap(w.rules(without))
			w.restart(without)
			began := time.Now()
			w.expect(0, 6)
			if took := time.Since(began); took > 70*time.Second {
				t.Errorf("the last was given up %v after the restart; the retry span is 1m", took)
			}
			for _, d := range w.seen("crm") {
				if d.d.Pair.From == "k" {
					t.Error("the last was attempted: the test shows nothing")
				}
			}
		})
	})
	t.Run("rule gone", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t)
			w.receive["crm"] = failTimes(1, errors.New("no"))
			w.start(with)
			w.send("", "a>b")
			time.Sleep(100 * time.Millisecond)
			w.eng.Swap(w.rules("actions: {crm: {type: fn, key: mended}}\nrules: [{name: other, condition: \"false\", actions: [crm]}]"))
			w.expect(1, 0)
			if len(w.seen("mended")) != 1 {
				t.Error("the second attempt did not run the action as it is configured now")
			}
		})
	})
}

// A delivery whose retry span ends while its action is spared is given up without another attempt: the log tells of it as of every
// dead letter, and says once why.
func TestGivenUpWhileSpared(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.receive["crm"] = failTimes(99, errors.New("refused"))
		w.start(`rules: [{name: all, condition: "true", actions: [{type: fn, key: crm, concurrency: 2, retry: {for: 8s, min: 1s, max: 2s}}]}]`)
		for _, pair := range []string{"a>b", "c>d", "e>f", "g>h"} {
			w.send("", pair)
		}
		w.expect(0, 4)
		if n := w.log.FilterMessage("delivery dead").Len(); n != 4 {
			t.Errorf("the log tells of %d of 4 dead letters", n)
		}
		spared := 0
		for _, line := range w.log.FilterMessage("delivery dead").All() {
			why := line.ContextMap()["error"].(string)
			if strings.Count(why, "gave up") != 1 || !strings.Contains(why, "refused") {
				t.Errorf("given up because %q", why)
			}
			if strings.Contains(why, "spared") {
				spared++
			}
		}
		if spared == 0 {
			t.Error("none was given up while its action was spared: the test shows nothing")
		}
	})
}
