package engine_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aftermath-rules/aftermath/actions"
	"github.com/aftermath-rules/aftermath/engine"
)

// TestBurstForAFastActionIsNotParked sends packets of many pairs at once to an action that takes a millisecond for each: they are read as fast
// as it goes, since parking what it has no room for costs more than attempting it.
func TestBurstForAFastActionIsNotParked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.receive["k"] = func(context.Context, *actions.Delivery) (actions.Result, error) {
			time.Sleep(time.Millisecond)
			return actions.Result{}, nil
		}
		w.start(`rules: [{name: all, condition: "true", actions: [{type: fn, key: k}]}]`)
		const callbacks, pairs = 50, 400
		var packet []string
		for i := range pairs {
			packet = append(packet, fmt.Sprintf("a>b%d", i))
		}
		for range callbacks {
			w.send("", packet...)
		}
		parked := 0
		for _, history := range w.expect(callbacks*pairs, 0) {
			parked += strings.Count(outcomes(history), engine.OutcomeParked)
		}
		if parked > callbacks*pairs/100 {
			t.Errorf("%d of %d deliveries were put off", parked, callbacks*pairs)
		}
	})
}
