package torture

import (
	"context"
	"math/rand/v2"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aftermath-rules/aftermath/internal/e2e/program"
	"github.com/aftermath-rules/aftermath/internal/load"
)

// Whatever was answered OK before a kill -9 arrives, under one id, and is counted once; over a thousand kills at random moments of
// a load that keeps 64 connections busy, on one and the same store.
//
// What it cannot show: the loss of pages that the kernel had not yet written, since the kernel outlives the process.
func TestTortureKill(t *testing.T) {
	l := newLedger()
	hook := newReceiver(t, l)
	dir := newFolder(t, allRules(hook.URL), "")
	send := newSender(t, l, 64)
	kills, spot := rounds(50), max(rounds(50)/10, 5)
	var starting time.Duration
	for round := range kills {
		before := time.Now()
		s := built.Start(t, dir)
		starting += time.Since(before)
		if round%spot == spot-1 {
			handled(t, s)
			l.readLog(t, dir)
			t.Logf("after %d kills: %s", round, l.balance(t, s.Status(), "hook", "log"))
		}
		killAfter(t, s, time.Duration(rand.Int64N(int64(500*time.Millisecond))), send)
		if t.Failed() {
			return
		}
	}
	s := built.Start(t, dir)
	handled(t, s)
	l.readLog(t, dir)
	t.Logf("%d kills: %s; %s a start", kills, l.balance(t, s.Status(), "hook", "log"), starting/time.Duration(kills))
}

// killAfter kills s when so much time of a load has passed. Until then every request must be answered.
func killAfter(t testing.TB, s *program.Server, d time.Duration, send *sender) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var killed atomic.Bool
	send.failed = func(err error) {
		if !killed.Load() {
			t.Errorf("before the kill: %v", err)
		}
		cancel()
	}
	timer := time.AfterFunc(d, func() {
		killed.Store(true)
		s.Kill()
		cancel()
	})
	defer timer.Stop()
	send.run(ctx, s.Callback, load.Plan{Concurrency: 64})
}
