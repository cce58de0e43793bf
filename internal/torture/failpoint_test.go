package torture

import (
	"context"
	"net/http"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aftermath-rules/aftermath/internal/e2e/program"
	"github.com/aftermath-rules/aftermath/internal/failpoint"
	"github.com/aftermath-rules/aftermath/internal/load"
)

// The process is killed at every step of a callback's way, at the first pass of it and at later ones, on one and the same store: what was
// answered OK arrives, under one id; dead letters that are replayed too; the counts balance. The program is built with a build tag for
// it: the one that users build has no failpoints.
//
// What it cannot show: a kill between two instructions that no point stands between; the loss of what the kernel had not yet written.
func TestTortureFailpoints(t *testing.T) {
	besides(t)
	failing := program.Program{Path: filepath.Join(t.TempDir(), "aftermath")}
	if out, err := exec.Command("go", "build", "-tags", "failpoint", "-o", failing.Path,
		"github.com/aftermath-rules/aftermath/cmd/aftermath").CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	l := newLedger()
	hook := newReceiver(t, l)
	var well atomic.Bool
	hook.behave(func(w http.ResponseWriter, req *http.Request) {
		switch n, _ := strconv.Atoi(strings.TrimPrefix(req.URL.Path, "/u")); {
		case n%7 == 1 && !well.Load(): // a dead letter, until it is replayed in the end
			w.WriteHeader(http.StatusGone)
		case n%5 == 1 && !well.Load(): // parked
			w.WriteHeader(http.StatusServiceUnavailable)
		default:
			hook.take(w, req)
		}
	})
	rules := strings.Replace(allRules(`"`+hook.URL+`/{{ From_Account }}"`), "type: webhook", "type: webhook, retry: {min: 250ms, max: 500ms}", 1)
	dir := newFolder(t, rules, "")
	send := newSender(t, l, 16)
	kills := 0
	for n := range rounds(1) {
		for _, point := range failpoint.All() {
			env := "AFTERMATH_FAILPOINT=" + point + ":" + strconv.Itoa(1+n*n)
			if !dies(t, failing.Launch(t, dir, []string{env}), send) {
				t.Errorf("%s: the process lives on", env)
			}
			kills++
		}
	}
	well.Store(true)
	s := built.Start(t, dir)
	handled(t, s)
	if code, text := s.Call("POST", "deliveries/replay", `{"status": "dead"}`, nil); code/100 != 2 {
		t.Fatalf("replay: %d %s", code, text)
	}
	s.Counted("every dead letter to be replayed and done", func(created, done, _, _, _ uint64) bool { return created == done })
	l.readLog(t, dir)
	t.Logf("%d kills at %d points: %s", kills, len(failpoint.All()), l.balance(t, s.Status(), "hook", "log"))
}

// dies sends callbacks and replays dead letters until the process has ended; it tells whether it did within a while.
func dies(t testing.TB, s *program.Server, send *sender) bool {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*program.Patience) // the last of many passes may be minutes away
	defer cancel()
	for s.Running() && !s.Up() && ctx.Err() == nil { // it may die while it starts
		time.Sleep(10 * time.Millisecond)
	}
	for s.Running() && ctx.Err() == nil {
		some, stop := context.WithTimeout(ctx, 300*time.Millisecond)
		send.run(some, s.Callback, load.Plan{Rate: 300, Concurrency: 8, Count: 40})
		stop()
		if req, err := http.NewRequestWithContext(ctx, http.MethodPost, s.Admin+"/api/v1/deliveries/replay", strings.NewReader(`{"status": "dead"}`)); err == nil {
			if resp, err := http.DefaultClient.Do(req); err == nil { // an error is what is waited for
				resp.Body.Close()
			}
		}
	}
	return !s.Running()
}
