// Package torture holds what must survive the worst: tests that kill, starve, flood, break and restart the built program, and hold what its
// senders were told against what its receivers got. Each has a short form that CI runs, some minutes for the whole package, and a long
// one:
//
//	go test ./internal/torture -run TestTortureKill -v -timeout 0 -torture.rounds 1000
//	go test ./internal/torture -run TestTortureDamage -v -timeout 0 -torture.rounds 300
//	go test ./internal/torture -run TestTorturePowerCut -v -timeout 0 -torture.rounds 100
//	go test ./internal/torture -run TestTortureFailpoints -v -timeout 0 -torture.rounds 5
//	go test ./internal/torture -run TestTortureReload -v -timeout 0 -torture.rounds 10000
//	go test ./internal/torture -run TestTortureRestart -v -timeout 0 -torture.rounds 50
//	go test ./internal/torture -run TestTortureCluster -v -timeout 0 -torture.rounds 100
//	go test ./internal/torture -run TestTortureClock -v -timeout 0 -torture.rounds 60
//	go test ./internal/torture -run 'TestTortureOverload|TestTortureMemoryLimit' -v -timeout 0 -torture.for 60s
//
// -torture.rounds is how often what a test does is done, and -torture.for how long it goes on, where it goes by time.
//
// A test is made of these parts: the program of package program, built once; a ledger, which gives out callbacks, each with a From_Account
// of its own, and notes what was answered and what arrived; a sender, which posts them over keep-alive connections, in a closed loop or at a
// rate; a receiver of webhooks, which writes into the ledger and can be made to fail. The rules that allRules gives send every pair to
// the receiver and to a log file. Nothing is global but the program and the flags, so that a test may have several of each:
//
//	func TestTortureSomething(t *testing.T) {
//		l := newLedger()
//		hook := newReceiver(t, l)
//		dir := newFolder(t, allRules(hook.URL), "")
//		send := newSender(t, l, 16)
//		s := built.Start(t, dir)
//		for range rounds(5) {
//			times := send.run(t.Context(), s.Callback, load.Plan{Rate: 200, Concurrency: 16, For: time.Second})
//			s.Kill()
//			s = built.Start(t, dir)
//			t.Logf("99 %% were answered within %s", times.Quantile(0.99))
//		}
//		l.readLog(t, dir)
//		t.Log(l.check(t, s, "hook", "log"))
//	}
//
// check waits until the program has handled all that it has, and then wants: every callback that was answered OK arrived on each route;
// under one delivery id, which no other callback has; the program's counts are those of the ledger. What was neither answered OK
// nor refused, because the process died meanwhile, may arrive or not. What arrived more than once is counted, since deliveries are
// at least once.
//
// Every test's comment says what it cannot show.
package torture
