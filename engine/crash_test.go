package engine_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/aftermath-rules/aftermath/actions"
	"github.com/aftermath-rules/aftermath/engine"
	"github.com/aftermath-rules/aftermath/engine/storetest"
)

// dying is a store that dies at its k-th write: from then on nothing is written, or, where late, that one write is and only its
// answer is lost.
type dying struct {
	*storetest.Memory
	late bool

	mu   sync.Mutex
	left int
}

var errDead = errors.New("the process is dead")

func (d *dying) write(f func() error) error {
	d.mu.Lock()
	d.left--
	left := d.left
	d.mu.Unlock()
	switch {
	case left > 0:
		return f()
	case left == 0 && d.late:
		f() // it is on disk, and nobody hears of it
	}
	return errDead
}

func (d *dying) Park(ctx context.Context, ps []engine.Parked) error {
	return d.write(func() error { return d.Memory.Park(ctx, ps) })
}

func (d *dying) Bury(ctx context.Context, l *engine.DeadLetter) error {
	return d.write(func() error { return d.Memory.Bury(ctx, l) })
}

func (d *dying) Append(ctx context.Context, events []engine.Event, totals *engine.Totals) (seq uint64, err error) {
	err = d.write(func() (err error) {
		seq, err = d.Memory.Append(ctx, events, totals)
		return err
	})
	return seq, err
}

func (d *dying) dead() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.left <= 0
}

const crashRules = `
rules:
  - {name: good, condition: "true", actions: [{type: fn, key: good}]}
  - {name: flaky, condition: 'From_Account in ["a", "c"]', actions: [{type: fn, key: flaky, retry: {min: 1s, max: 2s}}]}
  - {name: bad, condition: "true", actions: [{type: fn, key: bad}]}
  - {name: some, condition: PairIndex == 1, actions: [{type: fn, key: good}]}
`

// otherRules are what the operator has put there by the time of the restart: the actions are the same, what matches is not.
const otherRules = `
rules:
  - {name: some, condition: "true", actions: [{type: fn, key: good}]}
  - {name: new, condition: "true", actions: [{type: fn, key: good}]}
  - {name: good, condition: PairIndex == 0, actions: [{type: fn, key: good}]}
  - {name: flaky, condition: "false", actions: [{type: fn, key: flaky, retry: {min: 1s, max: 2s}}]}
  - {name: bad, condition: PairIndex == 1, actions: [{type: fn, key: bad}]}
`

// TestCrashAtEveryWrite kills the engine at each of its writes, before or right after it, starts another on what is stored, and
// checks that every callback is handled, every delivery ends once, the counts are exact, and little is repeated.
func TestCrashAtEveryWrite(t *testing.T) {
	for _, late := range []bool{false, true} {
		for _, again := range []string{crashRules, otherRules} {
			for k := 1; ; k++ {
				if !crash(t, k, late, again) {
					if k < 8 {
						t.Errorf("only %d writes", k)
					}
					break
				}
			}
		}
	}
}

// crash runs one such round; it tells whether the engine got as far as the k-th write.
func crash(t *testing.T, k int, late bool, again string) (died bool) {
	t.Helper()
	name := fmt.Sprintf("write %d, late %t, other rules %t", k, late, again == otherRules)
	ok := t.Run(name, func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t)
			w.receive["flaky"] = failTimes(2, errors.New("not yet"))
			w.receive["bad"] = failTimes(9, actions.Permanent(errors.New("never")))
			store := &dying{Memory: w.mem, late: late, left: k}
			w.store = store
			w.start(crashRules)
			for i := range 12 {
				w.send(fmt.Sprint("id", i), "a>b", "c>d")
				if i%4 == 3 {
					w.send(fmt.Sprint("id", i), "a>b", "c>d") // a repeat
				}
				time.Sleep(7 * time.Millisecond)
			}
			for range 200 {
				time.Sleep(50 * time.Millisecond)
				if died = store.dead(); died {
					break
				}
			}
			w.restart(again)
			w.settle()
			totals, _ := w.balance()
			if totals.Callbacks != 12 || totals.Repeats != 3 || totals.Pending() != 0 {
				t.Errorf("%+v", totals)
			}
			if again == crashRules && (totals.Created != 12*7 || totals.Dead != 24) {
				t.Errorf("created %d, dead %d; want 84 and 24", totals.Created, totals.Dead)
			}
			w.checkRepeats()
			if waiting := w.mem.Status().Waiting; waiting != 0 {
				t.Errorf("%d packs are not acked", waiting)
			}
		})
	})
	return died && ok
}

// checkRepeats checks that no attempt was made more than twice: once in the life before the crash, and once after it.
func (w *world) checkRepeats() {
	w.t.Helper()
	type attempt struct {
		id string
		n  int
	}
	count := make(map[attempt]int)
	for _, g := range w.got {
		count[attempt{g.d.ID, g.d.Attempt}]++
	}
	for a, n := range count {
		if n > 2 {
			w.t.Errorf("attempt %d of %s was made %d times", a.n, a.id, n)
		}
	}
}

// A pack is read again, since some of its deliveries have not ended, when there are other rules that match everything: what nothing
// matched at first stays so, and is counted once.
func TestUnmatchedStaysSo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		var hang atomic.Bool
		hang.Store(true)
		w.receive["k"] = func(ctx context.Context, _ *actions.Delivery) (actions.Result, error) {
			if hang.Load() {
				<-ctx.Done()
			}
			return actions.Result{}, ctx.Err()
		}
		w.start(`rules: [{name: r, condition: From_Account == "a", actions: [{type: fn, key: k}]}]`)
		var pack []*engine.Record
		for i, pairs := range [][]string{{"x>y", "x>z"}, {"a>b"}, {"x>y"}, {"x>y"}, {"a>b"}, {"x>y"}} {
			cb := packet(t, "", pairs...)
			pack = append(pack, &engine.Record{Key: engine.Key{byte(i)}, Received: time.Now(), Query: cb.Query, Body: cb.Body})
		}
		if err := w.mem.AcceptPack(t.Context(), pack...); err != nil {
			t.Fatal(err)
		}
		w.accepted = len(pack)
		time.Sleep(time.Second)
		check := func(when string) {
			t.Helper()
			if got := w.eng.Totals(); got.Callbacks != 6 || got.Unmatched != 4 || got.Pairs != 7 || got.Created != 2 {
				t.Errorf("%s: %+v", when, got)
			}
		}
		check("at first")
		hang.Store(false)
		w.restart(`rules: [{name: r, condition: "true", actions: [{type: fn, key: k}]}]`)
		w.settle()
		check("read again")
		w.balance()
	})
}

// TestManyCrashes kills the engine again and again at random writes while callbacks come in.
func TestManyCrashes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rnd := rand.New(rand.NewPCG(1, 2))
		w := newWorld(t)
		w.receive["flaky"] = failTimes(2, errors.New("not yet"))
		w.receive["bad"] = failTimes(9, actions.Permanent(errors.New("never")))
		w.start(crashRules)
		for round := range 60 {
			w.stop()
			w.mem = w.mem.Reopen()
			w.store = &dying{Memory: w.mem, late: round%2 == 0, left: 1 + rnd.IntN(30)}
			w.reg = prometheus.NewRegistry()
			w.start([]string{crashRules, otherRules}[rnd.IntN(2)])
			w.send("", "a>b", "c>d")
			for range 20 {
				w.send("", "u>b", "v>d")
				time.Sleep(time.Duration(rnd.IntN(20)) * time.Millisecond)
			}
		}
		// What is pending for an action that is gone would wait for its retry span, three days.
		w.restart(crashRules + `  - {name: new, condition: "false", actions: [{type: fn, key: good}]}` + "\n")
		w.settle()
		totals, _ := w.balance()
		if totals.Callbacks != uint64(w.accepted) || totals.Pending() != 0 {
			t.Errorf("accepted %d: %+v", w.accepted, totals)
		}
	})
}

// TestStoreDownForAWhile has the store refuse every write for a minute: nothing is lost, and nothing is held without bound.
func TestStoreDownForAWhile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.receive["bad"] = failTimes(9, actions.Permanent(errors.New("never")))
		w.start(crashRules)
		down := errors.New("no space left on device")
		w.mem.SetFail(func(op string) error {
			if op == "accept" {
				return nil
			}
			return down
		})
		for range 5000 {
			w.send("", "u>b", "v>d")
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		s := w.eng.Status()
		if s.Loose > 8192 || s.Waiting < 100 {
			t.Errorf("while the store is down: %d loose, %d waiting", s.Loose, s.Waiting)
		}
		w.mem.SetFail(nil)
		w.expect(5000*3, 5000*2)
	})
}

// TestReadAgainWhileItRuns has the store give every pack twice, as one does whose redelivery time is shorter than an attempt.
func TestReadAgainWhileItRuns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.receive["good"] = func(context.Context, *actions.Delivery) (actions.Result, error) {
			time.Sleep(10 * time.Second)
			return actions.Result{}, nil
		}
		w.receive["flaky"] = failTimes(2, errors.New("not yet"))
		w.receive["bad"] = failTimes(9, actions.Permanent(errors.New("never")))
		store := &twice{Memory: w.mem, every: 3 * time.Second}
		w.store = store
		w.start(crashRules)
		for range 20 {
			w.send("", "a>b", "c>d")
			time.Sleep(100 * time.Millisecond)
		}
		w.expect(100, 40)
		if store.again == 0 {
			t.Error("no pack was read again")
		}
		seen := make(map[string]int)
		for _, g := range w.seen("good") {
			if seen[g.d.ID]++; seen[g.d.ID] > 1 {
				t.Errorf("delivery %s ran again while it ran", g.d.ID)
			}
		}
	})
}

// twice is a store that gives a pack again as long as it is not acked.
type twice struct {
	*storetest.Memory
	every time.Duration

	mu    sync.Mutex
	open  map[uint64]*engine.Pack
	given map[uint64]time.Time
	again int
}

func (s *twice) NextPack(ctx context.Context) (*engine.Pack, error) {
	for {
		if p := s.overdue(); p != nil {
			return p, nil
		}
		short, cancel := context.WithTimeout(ctx, s.every/4)
		p, err := s.Memory.NextPack(short)
		cancel()
		if ctx.Err() == nil && errors.Is(err, context.DeadlineExceeded) {
			continue
		}
		if err != nil {
			return nil, err
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.open == nil {
			s.open, s.given = make(map[uint64]*engine.Pack), make(map[uint64]time.Time)
		}
		ack := p.Ack
		p.Ack = func() {
			s.mu.Lock()
			defer s.mu.Unlock()
			delete(s.open, p.Seq)
			ack()
		}
		s.open[p.Seq], s.given[p.Seq] = p, time.Now()
		return p, nil
	}
}

func (s *twice) overdue() *engine.Pack {
	s.mu.Lock()
	defer s.mu.Unlock()
	for seq, p := range s.open {
		if time.Since(s.given[seq]) > s.every {
			s.given[seq] = time.Now()
			s.again++
			c := *p
			c.Again = true
			return &c
		}
	}
	return nil
}
