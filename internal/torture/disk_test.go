package torture

import (
	"context"
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/aftermath-rules/aftermath/internal/e2e/program"
	"github.com/aftermath-rules/aftermath/internal/load"
)

// A disk that is full, read-only or so slow that nothing is stored in time: callbacks are refused with 503 after the wait, readyz says 503,
// and both heal by themselves when the disk is well again, in the same process. What was answered OK before, meanwhile and after arrives.
// The disk is that of tools/powercut, over FUSE.
//
// What it cannot show: a disk that gives back wrong bytes, which the test of damage does; one that is ill for hours.
func TestTortureDisk(t *testing.T) {
	tool := powercutTool(t)
	for _, c := range []struct{ name, ill, well string }{
		{"full", "full 1", "full 0"},
		{"read-only", "readonly on", "readonly off"},
		{"slow", "slow 3s", "slow 0s"},
	} {
		t.Run(c.name, func(t *testing.T) {
			l := newLedger()
			hook := newReceiver(t, l)
			dir := newFolder(t, allRules(hook.URL), "")
			send := newSender(t, l, 16)
			send.client.Timeout = program.Patience // who waits is answered, however slow the machine
			d := mount(t, tool, dir)
			s := built.Start(t, dir)
			send.run(t.Context(), s.Callback, load.Plan{Concurrency: 16, Count: 100})
			if n := l.count(accepted); n < 100-mayRefuse(16) {
				t.Fatalf("%d of 100 callbacks were answered OK on a disk that is well", n)
			}

			d.tell(t, "%s", c.ill)
			before := time.Now()
			program.Eventually(t, "readyz to answer 503 beside a callback that is refused", func() bool { // a slow write may just have ended
				wantRefused(t, s, send)
				return ready(t, s) == http.StatusServiceUnavailable
			})
			d.tell(t, "%s", c.well)
			ill := time.Since(before)
			before = time.Now()
			program.Within(t, time.Minute, "callbacks to be stored again", func() bool {
				one := l.count(accepted)
				send.run(t.Context(), s.Callback, load.Plan{Concurrency: 1, Count: 1})
				return l.count(accepted) > one
			})
			healed := time.Since(before)
			program.Eventually(t, "readyz to answer 200 again", func() bool { return ready(t, s) == http.StatusOK })
			send.run(t.Context(), s.Callback, load.Plan{Concurrency: 16, Count: 100})
			st := l.handled(t, s)
			l.readLog(t, dir)
			c := l.balance(t, st, "hook", "log")
			if int(st.Counts.Refused) != c.refused {
				t.Errorf("%d callbacks were refused, and the program counts %d", c.refused, st.Counts.Refused)
			}
			t.Logf("ill for %s, stored again %s later; %s", ill.Round(time.Millisecond), healed.Round(time.Millisecond), c)
			s.Kill()
			d.cut(t)
		})
	}
}

// wantRefused sends callbacks until one is refused, as what cannot be stored is: with 503 and Retry-After, when the wait is over.
func wantRefused(t *testing.T, s *program.Server, send *sender) {
	t.Helper()
	program.Eventually(t, "a callback to be refused", func() bool {
		n, packet := send.ledger.next()
		ctx, cancel := context.WithTimeout(t.Context(), program.Patience)
		defer cancel()
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, s.Callback+"?"+program.Query, strings.NewReader(packet))
		if err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		resp, err := send.client.Do(req)
		if err != nil {
			t.Fatalf("a callback that cannot be stored gets no answer: %v", err)
		}
		defer resp.Body.Close()
		if resp.StatusCode == http.StatusOK {
			send.ledger.answered(n, accepted)
			return false
		}
		send.ledger.answered(n, refused)
		var answer struct {
			ActionStatus string
			ErrorCode    int
		}
		took := time.Since(began)
		if err := json.NewDecoder(resp.Body).Decode(&answer); err != nil || resp.StatusCode != http.StatusServiceUnavailable ||
			answer.ActionStatus != "FAIL" || answer.ErrorCode != 1 || resp.Header.Get("Retry-After") == "" || took > 10*time.Second {
			t.Errorf("refused with %d, %+v, Retry-After %q after %s: %v", resp.StatusCode, answer, resp.Header.Get("Retry-After"), took, err)
		}
		return true
	})
}

func ready(t *testing.T, s *program.Server) int {
	t.Helper()
	code, _ := s.Request(http.MethodGet, "/readyz")
	return code
}
