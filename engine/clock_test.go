package engine_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aftermath-rules/aftermath/actions"
)

// TestStoreClockJumps puts the store's clock forward by hours and back by minutes while callbacks come in, deliveries wait for their retry and the
// process is restarted: every delivery ends once, the counts are exact, and nothing is attempted more often than its retries say.
func TestStoreClockJumps(t *testing.T) {
	for _, jump := range []time.Duration{5 * time.Hour, -5 * time.Minute, 20 * time.Second, -20 * time.Second} {
		t.Run(fmt.Sprint(jump), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				w.receive["k"] = func(_ context.Context, d *actions.Delivery) (actions.Result, error) {
					switch from := d.Pair.From; {
					case strings.HasSuffix(from, "3"):
						return actions.Result{}, actions.Permanent(errors.New("never"))
					case strings.HasSuffix(from, "5") && d.Attempt == 1:
						return actions.Result{}, errors.New("not yet")
					}
					return actions.Result{}, nil
				}
				const rule = `rules: [{name: all, condition: "true", actions: [{type: fn, key: k, retry: {min: 2s, max: 4s}}]}]`
				w.start(rule)
				for i := range 30 {
					w.send(fmt.Sprint("id", i), fmt.Sprint("u", i, ">b"))
					time.Sleep(20 * time.Millisecond)
					switch i {
					case 10:
						w.mem.Advance(jump)
					case 20:
						w.restart(rule)
					}
				}
				start := time.Now()
				w.settle()
				if took := time.Since(start); took > max(-jump, 0)+time.Minute {
					t.Errorf("it took %s", took)
				}
				w.expect(27, 3)
				for _, g := range w.seen("k") {
					if g.d.Attempt > 2 {
						t.Errorf("attempt %d of delivery %s, want 2 at most", g.d.Attempt, g.d.ID)
					}
				}
				w.checkRepeats()
			})
		})
	}
}
