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

// Whatever was answered OK before a kill -9 arrives, under one id, and is counted once; over many kills at random moments of a
// load that keeps 64 connections busy, on one and the same store: 100 callbacks a kill on average, and 500 in the long form.
//
// What it cannot show: the loss of pages that the kernel had not yet written, since the kernel outlives the process.
func TestTortureKill(t *testing.T) {
	besides(t)
	l := newLedger()
	hook := newReceiver(t, l)
	dir := newFolder(t, allRules(hook.URL), "")
	send := newSender(t, l, 64)
	kills, each := rounds(50), int64(100)
	if *roundsFlag > 0 {
		each = 500
	}
	spot := max(kills/10, 5)
	var starting time.Duration
	var early int64
	for round := range kills {
		before := time.Now()
		s := built.Start(t, dir)
		starting += time.Since(before)
		if round%spot == spot-1 {
			st := l.handled(t, s)
			l.readLog(t, dir)
			t.Logf("after %d kills: %s", round, l.balance(t, st, "hook", "log"))
		}
		early += killAfterAnswers(t, s, rand.Int64N(2*each), send)
		if t.Failed() {
			return
		}
	}
	s := built.Start(t, dir)
	st := l.handled(t, s)
	l.readLog(t, dir)
	t.Logf("%d kills: %s; %s a start; %d requests had no answer before their kill", kills, l.balance(t, st, "hook", "log"),
		starting/time.Duration(kills), early)
}

// killAfter kills s when so much time of a load has passed.
func killAfter(t testing.TB, s *program.Server, d time.Duration, send *sender) {
	killWhen(t, s, send, func(ctx context.Context) { pass(ctx, d) })
}

// pass waits for so long, or until ctx ends.
func pass(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

// killAfterAnswers kills s a random moment after so many callbacks of a load have been answered OK. It gives how many requests had no
// answer before that: on a machine that stood still for seconds, the program cuts them off.
func killAfterAnswers(t testing.TB, s *program.Server, callbacks int64, send *sender) int64 {
	enough := send.ledger.ok.Load() + callbacks
	return killWhen(t, s, send, func(ctx context.Context) {
		tick := time.NewTicker(time.Millisecond)
		defer tick.Stop()
		for send.ledger.ok.Load() < enough && ctx.Err() == nil {
			<-tick.C
		}
		time.Sleep(time.Duration(rand.Int64N(int64(20 * time.Millisecond)))) // so that it may fall between two answers as well
	})
}

// killWhen puts s under load, kills it when wait returns, and gives how many requests had no answer before.
func killWhen(t testing.TB, s *program.Server, send *sender, wait func(context.Context)) int64 {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var killed atomic.Bool
	var early atomic.Int64
	send.failed = func(err error) {
		if killed.Load() {
			cancel()
			return
		}
		early.Add(1)
		t.Logf("before the kill: %v", err)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		wait(ctx)
		killed.Store(true)
		s.Kill()
		cancel()
	}()
	send.run(ctx, s.Callback, load.Plan{Concurrency: 64})
	<-ended
	return early.Load()
}
