package engine_test

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aftermath-rules/aftermath/actions"
	"github.com/aftermath-rules/aftermath/engine"
	"github.com/aftermath-rules/aftermath/engine/storetest"
)

// syncing is a store whose writes take as long as a disk's, and that counts them.
type syncing struct {
	*storetest.Memory
	parks, parked, appends, putOff atomic.Int64 // writes, and what was written: deliveries that are parked, records of some that were put off
}

const syncTakes = 2 * time.Millisecond

func (s *syncing) Park(ctx context.Context, ps []engine.Parked) error {
	s.parks.Add(1)
	s.parked.Add(int64(len(ps)))
	time.Sleep(syncTakes)
	return s.Memory.Park(ctx, ps)
}

func (s *syncing) Append(ctx context.Context, events []engine.Event, totals *engine.Totals) (uint64, error) {
	s.appends.Add(1)
	for _, ev := range events {
		if ev.Ended != nil && ev.Ended.Outcome == engine.OutcomeParked {
			s.putOff.Add(1)
		}
	}
	time.Sleep(syncTakes)
	return s.Memory.Append(ctx, events, totals)
}

// newSyncingWorld is a world with such a store and a rule that all match, for an action that fails as dead does until well is set.
func newSyncingWorld(t *testing.T, dead func(context.Context) error) (w *world, store *syncing, well *atomic.Bool) {
	w, well = newWorld(t), &atomic.Bool{}
	store = &syncing{Memory: w.mem}
	w.store = store
	w.receive["k"] = func(ctx context.Context, _ *actions.Delivery) (actions.Result, error) {
		if well.Load() {
			time.Sleep(time.Millisecond)
			return actions.Result{}, nil
		}
		return actions.Result{}, dead(ctx)
	}
	w.start(`rules: [{name: all, condition: "true", actions: [{type: fn, key: k, timeout: 5s}]}]`)
	return w, store, well
}

// TestDeadReceiverCostsFewWrites sends 500 callbacks a second to an action that is spared: what is put off is gathered however often there
// is something new while a write is under way, and is recorded once for a reason, though the action's error is another each time.
func TestDeadReceiverCostsFewWrites(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var attempts atomic.Int64
		w, store, well := newSyncingWorld(t, func(context.Context) error {
			return fmt.Errorf("no answer: port %d", attempts.Add(1))
		})
		const callbacks, seconds = 5000, 10
		for range callbacks {
			w.send("", "a>b")
			time.Sleep(seconds * time.Second / callbacks)
		}
		parks, appends := store.parks.Load(), store.appends.Load()
		if parks > 10*seconds || appends > 30*seconds {
			t.Errorf("in %d s there were %d writes of what is parked and %d of outcomes, want 10 and 30 a second at most", seconds, parks, appends)
		}
		if n := store.putOff.Load(); n > callbacks {
			t.Errorf("of %d deliveries it is recorded %d times that one was put off", callbacks, n)
		}
		well.Store(true)
		w.expect(callbacks, 0)
	})
}

// TestSilentReceiverIsAskedSeldom has a fast receiver fall silent, so that each attempt takes its time-out: what falls due meanwhile is put off the
// longer, the longer nothing moves, and not over and over until the attempt has failed.
func TestSilentReceiverIsAskedSeldom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, store, well := newSyncingWorld(t, func(ctx context.Context) error {
			<-ctx.Done()
			return ctx.Err()
		})
		const callbacks = 2000
		well.Store(true) // and fast, at first
		for i := range callbacks {
			if i == callbacks/10 {
				well.Store(false)
			}
			w.send("", "a>b")
			time.Sleep(time.Millisecond)
		}
		time.Sleep(time.Minute)
		if n := store.parked.Load(); n > 16*callbacks {
			t.Errorf("%d deliveries were put off %d times in a minute, want 16 times each at most", callbacks, n)
		}
		well.Store(true)
		w.expect(callbacks, 0)
	})
}

// TestManyPendingComeBackInTurn has very many deliveries wait for a dead receiver: what falls due is put off again at a bounded pace, which
// leaves the processor and the disk to the others.
func TestManyPendingComeBackInTurn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, store, well := newSyncingWorld(t, func(context.Context) error { return errors.New("no answer") })
		const callbacks, pairs, seconds, most = 100, 200, 15, 2600 // a second
		var packet []string
		for i := range pairs {
			packet = append(packet, fmt.Sprintf("a>b%d", i))
		}
		for range callbacks {
			w.send("", packet...)
		}
		time.Sleep(seconds * time.Second)
		if n := store.parked.Load(); n > callbacks*pairs+seconds*most {
			t.Errorf("%d deliveries were put off %d times in %d s, want once each and %d a second at most", callbacks*pairs, n, seconds, most)
		}
		well.Store(true)
		w.expect(callbacks*pairs, 0)
	})
}
