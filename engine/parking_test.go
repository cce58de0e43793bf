package engine_test

import (
	"context"
	"fmt"
	"strings"
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
	parks, appends atomic.Int64
}

const syncTakes = 2 * time.Millisecond

func (s *syncing) Park(ctx context.Context, ps []engine.Parked) error {
	s.parks.Add(1)
	time.Sleep(syncTakes)
	return s.Memory.Park(ctx, ps)
}

func (s *syncing) Append(ctx context.Context, events []engine.Event, totals *engine.Totals) (uint64, error) {
	s.appends.Add(1)
	time.Sleep(syncTakes)
	return s.Memory.Append(ctx, events, totals)
}

// TestDeadReceiverCostsFewWrites sends 500 callbacks a second to an action that is spared: what is put off is gathered however often there
// is something new while a write is under way, and is recorded once for a reason, though the action's error is another each time.
func TestDeadReceiverCostsFewWrites(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		store := &syncing{Memory: w.mem}
		w.store = store
		var attempts atomic.Int64
		var well atomic.Bool
		w.receive["k"] = func(context.Context, *actions.Delivery) (actions.Result, error) {
			if well.Load() {
				return actions.Result{}, nil
			}
			return actions.Result{}, fmt.Errorf("no answer: port %d", attempts.Add(1))
		}
		w.start(`rules: [{name: all, condition: "true", actions: [{type: fn, key: k}]}]`)
		const callbacks, seconds = 5000, 10
		for range callbacks {
			w.send("", "a>b")
			time.Sleep(seconds * time.Second / callbacks)
		}
		parks, appends := store.parks.Load(), store.appends.Load()
		if parks > 10*seconds || appends > 30*seconds {
			t.Errorf("in %d s there were %d writes of what is parked and %d of outcomes, want 10 and 30 a second at most", seconds, parks, appends)
		}
		well.Store(true)
		putOff := 0
		for _, history := range w.expect(callbacks, 0) {
			putOff += strings.Count(outcomes(history), engine.OutcomeParked)
		}
		if putOff > callbacks*3/2 {
			t.Errorf("of %d deliveries it is recorded %d times that one was put off", callbacks, putOff)
		}
	})
}
