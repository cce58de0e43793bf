package engine_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aftermath-rules/aftermath/actions"
)

// TestCrashRepeatsFewDeliveries has the store record nothing for ten seconds while there is always more to deliver, and then crashes: what
// is delivered again is what may run at once and what the action does in 5 ms, under the ids it had. It is delivered at full speed
// before and after.
func TestCrashRepeatsFewDeliveries(t *testing.T) {
	for _, test := range []struct {
		concurrency int
		takes       time.Duration
		most        int
	}{
		{16, 5 * time.Millisecond, 16 + 16},
		{4, time.Millisecond, 4 + 20},
		{1, time.Second, 1 + 1},
	} {
		t.Run(fmt.Sprintf("%d of %s", test.concurrency, test.takes), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				w.receive["k"] = func(context.Context, *actions.Delivery) (actions.Result, error) {
					time.Sleep(test.takes)
					return actions.Result{}, nil
				}
				rule := fmt.Sprintf(`rules: [{name: all, condition: "true", actions: [{type: fn, key: k, concurrency: %d}]}]`, test.concurrency)
				w.start(rule)
				const callbacks = 200
				for range callbacks {
					w.send("", "a>b")
				}
				time.Sleep(10 * test.takes)
				synctest.Wait()
				before := len(w.seen("k"))
				w.mem.SetFail(func(op string) error {
					if op == "append" {
						return errors.New("the disk is slow")
					}
					return nil
				})
				time.Sleep(10 * time.Second)
				synctest.Wait()
				if n := len(w.seen("k")) - before; n > test.most {
					t.Errorf("%d deliveries were made that are not recorded, want %d at most", n, test.most)
				}
				w.restart(rule)
				w.expect(callbacks, 0)
				if n := len(w.seen("k")) - callbacks; n > test.most || n == 0 {
					t.Errorf("%d deliveries were made again, want 1 to %d", n, test.most)
				}
				w.checkRepeats()
			})
		})
	}
}
