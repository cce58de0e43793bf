package engine_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/aftermath-rules/aftermath/actions"
	"github.com/aftermath-rules/aftermath/engine"
	"github.com/aftermath-rules/aftermath/engine/storetest"
)

const badRule = `
rules:
  - {name: bad, condition: "true", actions: [{type: fn, key: bad}]}
`

// letters gives the dead letters by id.
func (w *world) letters() map[string]*engine.DeadLetter {
	w.t.Helper()
	all := map[string]*engine.DeadLetter{}
	for d, err := range w.mem.DeadLetters(context.Background()) {
		if err != nil {
			w.t.Fatal(err)
		}
		all[d.Job.ID] = d
	}
	return all
}

// sums checks that the engine's totals are what the events say, whatever was replayed, discarded or made.
func (w *world) sums() engine.Totals {
	w.t.Helper()
	states := map[string]string{}
	for pack, err := range w.mem.Events(context.Background(), 0) {
		if err != nil {
			w.t.Fatal(err)
		}
		for _, ev := range pack.Events {
			switch {
			case ev.Matched != nil:
				for _, j := range ev.Matched.Deliveries {
					states[j.ID] = "pending"
				}
			case ev.Made != nil:
				if states[ev.Made.Job.ID] != "" {
					w.t.Errorf("delivery %s was made twice", ev.Made.Job.ID)
				}
				states[ev.Made.Job.ID] = "pending"
			case ev.Ended != nil:
				id, was := ev.Ended.Delivery, states[ev.Ended.Delivery]
				switch ev.Ended.Outcome {
				case engine.OutcomeReplayed:
					if was != "dead" {
						w.t.Errorf("delivery %s was replayed while %s", id, was)
					}
					states[id] = "pending"
				case engine.OutcomeDone, engine.OutcomeDead:
					if was != "pending" {
						w.t.Errorf("delivery %s is %s while %s", id, ev.Ended.Outcome, was)
					}
					states[id] = ev.Ended.Outcome
				case engine.OutcomeDiscarded:
					if was != "dead" {
						w.t.Errorf("delivery %s was discarded while %s", id, was)
					}
					states[id] = "discarded"
				}
			}
		}
	}
	count := map[string]uint64{}
	letters := w.letters()
	for id, s := range states {
		count[s]++
		if (s == "dead") != (letters[id] != nil) {
			w.t.Errorf("delivery %s is %s, dead letter: %t", id, s, letters[id] != nil)
		}
	}
	t := w.eng.Totals()
	if t.Created != uint64(len(states)) || t.Done != count["done"] || t.Dead != count["dead"] ||
		t.Discarded != count["discarded"] || t.Pending() != count["pending"] {
		w.t.Errorf("the totals are %+v, the events say %v", t, count)
	}
	return t
}

func TestReplay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		broken := true
		w.receive["bad"] = func(_ context.Context, d *actions.Delivery) (actions.Result, error) {
			if broken {
				return actions.Result{State: []byte("alice has it")}, actions.Permanent(errors.New("gone"))
			}
			return actions.Result{}, nil
		}
		w.start(badRule)
		ctx := context.Background()
		if err := w.eng.Replay(ctx, "nosuch"); !errors.Is(err, engine.ErrNotFound) {
			t.Errorf("replaying what is not there: %v", err)
		}
		w.send("", "a>b")
		w.settle()
		if s := w.sums(); s.Dead != 1 {
			t.Fatalf("%+v", s)
		}
		var id string
		for id = range w.letters() {
		}
		if err := w.eng.Replay(ctx, id); err != nil { // it fails again
			t.Fatal(err)
		}
		w.settle()
		if s := w.sums(); s.Dead != 1 || s.Created != 1 {
			t.Errorf("%+v", s)
		}
		broken = false
		if err := w.eng.Replay(ctx, id); err != nil {
			t.Fatal(err)
		}
		w.settle()
		if s := w.sums(); s.Done != 1 || s.Created != 1 {
			t.Errorf("%+v", s)
		}
		seen := w.seen("bad")
		if len(seen) != 3 {
			t.Fatalf("%d attempts", len(seen))
		}
		for i, g := range seen {
			if g.d.ID != id || g.d.Attempt != 1 || (string(g.d.State) == "alice has it") != (i > 0) {
				t.Errorf("attempt %d: %+v", i, g.d)
			}
		}
		for _, again := range []func(context.Context, string) error{w.eng.Replay, w.eng.Discard} {
			if err := again(ctx, id); !errors.Is(err, engine.ErrNotFound) {
				t.Errorf("what is done has no dead letter: %v", err)
			}
		}
	})
}

func TestDiscard(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.receive["bad"] = failTimes(9, actions.Permanent(errors.New("never")))
		w.start(badRule)
		for i := range 3 {
			w.send("", fmt.Sprintf("a%d>b", i))
		}
		w.settle()
		var ids []string
		for id := range w.letters() {
			ids = append(ids, id)
		}
		if err := w.eng.Discard(context.Background(), ids[0]); err != nil {
			t.Fatal(err)
		}
		if s := w.sums(); s.Discarded != 1 || s.Dead != 2 {
			t.Errorf("%+v", s)
		}
		w.restart(badRule)
		p, err := w.eng.DiscardAll(context.Background(), func(d *engine.DeadLetter) bool { return d.Job.ID == ids[1] }, func(engine.Progress) {})
		if err != nil || p != (engine.Progress{Found: 1, Done: 1}) {
			t.Errorf("%+v %v", p, err)
		}
		w.settle()
		if s := w.sums(); s.Discarded != 2 || s.Dead != 1 {
			t.Errorf("%+v", s)
		}
	})
}

// slowLetters are so slow that all have found a dead letter before one of them has it taken away, if they may.
type slowLetters struct{ *storetest.Memory }

func (s slowLetters) DeadLetter(ctx context.Context, delivery string) (*engine.DeadLetter, error) {
	letter, err := s.Memory.DeadLetter(ctx, delivery)
	time.Sleep(time.Second)
	return letter, err
}

// Of a replay and a discard of the same dead letter at once one is done, and the other learns that it came too late.
func TestReplayAndDiscardAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.store = slowLetters{w.mem}
		w.receive["bad"] = failOnce(actions.Permanent(errors.New("gone")))
		w.start(badRule)
		w.send("", "a>b")
		w.settle()
		letter := only2(t, w.letters())
		ctx := context.Background()
		orders := []func(context.Context, string) error{w.eng.Replay, w.eng.Discard, w.eng.Replay, w.eng.Discard}
		errs := make([]error, len(orders))
		var all sync.WaitGroup
		for i, order := range orders {
			all.Go(func() { errs[i] = order(ctx, letter.Job.ID) })
		}
		all.Wait()
		w.settle()
		s := w.sums()
		obeyed := -1
		for i, err := range errs {
			switch {
			case err == nil && obeyed < 0:
				obeyed = i
			case !errors.Is(err, engine.ErrNotFound):
				t.Errorf("order %d: %v, after order %d", i, err, obeyed)
			}
		}
		if obeyed < 0 || (s.Done == 1) != (obeyed%2 == 0) || (s.Discarded == 1) != (obeyed%2 == 1) {
			t.Errorf("order %d was obeyed, they say; %+v", obeyed, s)
		}
	})
}

// Two that replay the same dead letter at once replay it once, and so do a copy that was stored twice and a discard that is too late.
func TestReplayTwice(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.receive["bad"] = failOnce(errors.New("never"))
		w.start(badRule)
		w.send("", "a>b")
		w.settle()
		letter := only2(t, w.letters())
		now := time.Now().UTC()
		for _, order := range []string{engine.OrderReplay, engine.OrderReplay, engine.OrderDiscard} {
			p := letter.Parked
			p.Order, p.Due, p.Parks, p.Attempt = order, now, 1<<20, 0
			if err := w.mem.Park(context.Background(), []engine.Parked{p}); err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Minute)
			synctest.Wait()
		}
		w.settle()
		if s := w.sums(); s.Done != 1 || s.Discarded != 0 {
			t.Errorf("%+v", s)
		}
		if n := len(w.seen("bad")); n != 2 {
			t.Errorf("%d attempts, want 2", n)
		}
	})
}

func only2[T any](t testing.TB, m map[string]T) (one T) {
	t.Helper()
	if len(m) != 1 {
		t.Fatalf("%d of them, want 1", len(m))
	}
	for _, one = range m {
	}
	return one
}

// TestCrashWhileReplaying kills the engine at each write of a bulk replay and a bulk discard, before or right after it: nothing is
// lost, nothing counted twice, and each dead letter is replayed once, or left.
func TestCrashWhileReplaying(t *testing.T) {
	for _, late := range []bool{false, true} {
		for k := 1; ; k++ {
			if !crashReplay(t, k, late) {
				if k < 8 {
					t.Errorf("only %d writes", k)
				}
				break
			}
		}
	}
}

func (d *dying) Exhume(ctx context.Context, l *engine.DeadLetter) error {
	return d.write(func() error { return d.Memory.Exhume(ctx, l) })
}

func crashReplay(t *testing.T, k int, late bool) (died bool) {
	ok := t.Run(fmt.Sprintf("write %d, late %t", k, late), func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t)
			w.receive["bad"] = failTimes(9, actions.Permanent(errors.New("never")))
			store := &dying{Memory: w.mem, late: late, left: 1 << 30}
			w.store = store
			w.start(badRule)
			for i := range 8 {
				w.send("", fmt.Sprintf("replay%d>b", i%4), fmt.Sprintf("discard%d>b", i))
			}
			w.settle()
			// From here on the receiver takes everything but what replay3 sends.
			w.receive["bad"] = func(_ context.Context, d *actions.Delivery) (actions.Result, error) {
				if d.Pair.From == "replay3" {
					return actions.Result{}, actions.Permanent(errors.New("still not"))
				}
				return actions.Result{}, nil
			}
			store.mu.Lock()
			store.left = k
			store.mu.Unlock()
			ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
			defer cancel()
			replays := func(d *engine.DeadLetter) bool { return d.Job.From[0] == 'r' && d.Job.From != "replay2" }
			discards := func(d *engine.DeadLetter) bool { return d.Job.From[0] == 'd' }
			_, err1 := w.eng.ReplayAll(ctx, replays, func(engine.Progress) {})
			_, err2 := w.eng.DiscardAll(ctx, discards, func(engine.Progress) {})
			time.Sleep(time.Second)
			died = store.dead()
			if !died && (err1 != nil || err2 != nil) {
				t.Errorf("%v, %v", err1, err2)
			}
			w.restart(badRule)
			w.settle()
			w.sums()
			if _, err := w.eng.ReplayAll(context.Background(), func(d *engine.DeadLetter) bool {
				return replays(d) && d.Job.From != "replay3"
			}, func(engine.Progress) {}); err != nil {
				t.Fatal(err)
			}
			if _, err := w.eng.DiscardAll(context.Background(), discards, func(engine.Progress) {}); err != nil {
				t.Fatal(err)
			}
			w.settle()
			if s := w.sums(); s.Created != 16 || s.Done != 4 || s.Dead != 4 || s.Discarded != 8 {
				t.Errorf("%+v", s)
			}
			w.checkReplays()
		})
	})
	return died && ok
}

// checkReplays checks that no replay was run more than twice: before the crash and after it.
func (w *world) checkReplays() {
	w.t.Helper()
	count := map[string]int{}
	for _, g := range w.got {
		count[g.d.ID]++
	}
	for id, n := range count {
		if n > 3 { // its death, and its replay twice
			w.t.Errorf("delivery %s ran %d times", id, n)
		}
	}
}

// A process that ends between burying and recording, and whose dead letter is replayed before its pack is read again, still counts
// each death and each replay once.
func TestReplayBeforeTheDeathIsRecorded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.receive["bad"] = failOnce(errors.New("never"))
		w.start(badRule)
		buried := false
		w.mem.SetFail(func(op string) error {
			buried = buried || op == "bury"
			if op == "append" && buried {
				return errors.New("no space left on device")
			}
			return nil
		})
		w.send("", "x>y")
		time.Sleep(time.Second)
		w.stop()
		w.mem.SetFail(nil)
		letter := only2(t, w.letters())
		p := letter.Parked
		p.Order, p.Due, p.Parks, p.Attempt = engine.OrderReplay, time.Now().UTC(), 1<<20, 0
		must(t, w.mem.Park(context.Background(), []engine.Parked{p}))
		w.restart(badRule)
		w.settle()
		if s := w.eng.Totals(); s.Created != 1 || s.Done != 1 || s.Dead != 0 || s.Pending() != 0 {
			t.Errorf("%+v", s)
		}
	})
}

// failOnce fails for good the first time it is called, and never again.
func failOnce(err error) receiver {
	failed := false
	return func(context.Context, *actions.Delivery) (actions.Result, error) {
		if failed {
			return actions.Result{}, nil
		}
		failed = true
		return actions.Result{}, actions.Permanent(err)
	}
}

func TestReprocess(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const old = `
rules:
  - {name: kept, condition: "true", actions: [{type: fn, key: kept}]}
`
		const mended = old + `
  - {name: mended, condition: 'From_Account == "a"', actions: [{type: fn, key: mended}]}
`
		w := newWorld(t)
		w.start(old)
		w.send("", "a>b", "c>d")
		w.send("r1", "a>e")
		w.send("r1", "a>e") // a repeat
		must(t, w.eng.Quarantine(context.Background(), &engine.Quarantined{
			At: time.Now(), Query: "SdkAppid=1400000000", Error: "torn",
			Body: []byte(`{"CallbackCommand":"Sns.CallbackFriendDelete","PairList":[{"From_Account":"a","To_Account":"q"},{"From_Account":`),
		}))
		must(t, w.eng.Quarantine(context.Background(), &engine.Quarantined{At: time.Now(), Query: "SdkAppid=1", Body: []byte("garbage")}))
		w.settle()
		start := time.Now().Add(-time.Hour)
		w.restart(mended)
		w.settle()

		run := func(name string, o engine.ReprocessOptions, want engine.Reprocessed) string {
			t.Helper()
			o.Since = start
			got, err := w.eng.Reprocess(context.Background(), o, func(engine.Reprocessed) {})
			must(t, err)
			w.settle()
			w.sums()
			id := got.Run
			if got.Run = ""; got != want {
				t.Errorf("%s:\n%+v, want\n%+v", name, got, want)
			}
			return id
		}
		run("what was missing", engine.ReprocessOptions{}, engine.Reprocessed{Callbacks: 2, Pairs: 3, Matches: 5, Made: 2, Existing: 3})
		if n := len(w.seen("mended")); n != 2 {
			t.Errorf("%d new deliveries", n)
		}
		run("again", engine.ReprocessOptions{}, engine.Reprocessed{Callbacks: 2, Pairs: 3, Matches: 5, Existing: 5})
		run("the quarantine", engine.ReprocessOptions{Quarantined: true}, engine.Reprocessed{Callbacks: 1, Pairs: 1, Matches: 2, Made: 2, Unread: 1})
		run("the quarantine again", engine.ReprocessOptions{Quarantined: true}, engine.Reprocessed{Callbacks: 1, Pairs: 1, Matches: 2, Existing: 2, Unread: 1})
		forced := run("force", engine.ReprocessOptions{Force: true}, engine.Reprocessed{Callbacks: 2, Pairs: 3, Matches: 5, Made: 5})
		ids, reprocess := map[string]bool{}, 0
		for _, g := range append(w.seen("kept"), w.seen("mended")...) {
			if ids[g.d.ID] {
				t.Errorf("delivery %s ran twice", g.d.ID)
			}
			ids[g.d.ID] = true
			if g.d.Reprocess != "" {
				reprocess++
				if g.d.Reprocess != forced {
					t.Errorf("run %q, want %q", g.d.Reprocess, forced)
				}
			}
		}
		if reprocess != 5 {
			t.Errorf("%d deliveries say that they were made anew", reprocess)
		}
		if s := w.sums(); s.Callbacks != 2 || s.Created != 3+2+2+5 || s.Done != s.Created {
			t.Errorf("%+v", s)
		}
		run("nothing so late", engine.ReprocessOptions{Until: start}, engine.Reprocessed{})
	})
}

// TestReprocessAgainBeforeItIsRecorded has what a reprocessing made wait to be read, as after a kill, while another is asked for: that skips
// what exists already.
func TestReprocessAgainBeforeItIsRecorded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.start("rules: []")
		w.send("", "a>b", "c>d")
		w.settle()
		w.restart(badRule)
		w.stop()
		w.mem = w.mem.Reopen()
		w.store, w.reg = &noBundles{w.mem}, prometheus.NewRegistry()
		w.start(badRule)
		for _, want := range []engine.Reprocessed{{Made: 2}, {Existing: 2}} {
			got, err := w.eng.Reprocess(context.Background(), engine.ReprocessOptions{}, func(engine.Reprocessed) {})
			must(t, err)
			if got.Made != want.Made || got.Existing != want.Existing {
				t.Errorf("made %d, existing %d; want %d and %d", got.Made, got.Existing, want.Made, want.Existing)
			}
		}
		w.restart(badRule)
		w.settle()
		if s := w.sums(); s.Created != 2 || s.Done+s.Dead != 2 {
			t.Errorf("%+v", s)
		}
	})
}

// noBundles is a store that gives no bundle.
type noBundles struct{ *storetest.Memory }

func (s *noBundles) NextBundle(ctx context.Context) (*engine.Bundle, error) {
	<-ctx.Done()
	return nil, ctx.Err()
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
