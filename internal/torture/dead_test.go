package torture

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"testing"
	"time"

	"github.com/aftermath-rules/aftermath/internal/load"
)

// A dead receiver does not delay the answers to callbacks: 500 of them come each second, answered within the same time while all
// receivers are well and while none is. Everything arrives once they are well again.
//
//	go test ./internal/torture -run TestTortureDead -v -timeout 0 -torture.for 5m
//
// In the long form all kinds of death are tried, and the 99th percentile with all receivers dead must be under 100 ms and at most half as long again as with all well. It
// can't show how disks behave that are slower than this machine's.
func TestTortureDead(t *testing.T) {
	for _, kind := range []struct {
		name string
		dead http.HandlerFunc
	}{
		{"failing", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusInternalServerError) }},
		{"silent", silent},
		{"hanging up", func(w http.ResponseWriter, _ *http.Request) { hangUp(w) }},
	} {
		t.Run(kind.name, func(t *testing.T) {
			if *forFlag == 0 && kind.name != "silent" {
				t.Skip("one kind is enough for a short run: -torture.for runs all")
			}
			l := newLedger()
			hook := newReceiver(t, l)
			dir := newFolder(t, fmt.Sprintf(`
rules:
  - name: all
    condition: PairCount > 0
    actions: [{type: webhook, name: hook, url: %s, timeout: 2s, retry: {min: 1s, max: 10s}}]
`, hook.URL), "")
			s := built.Start(t, dir)
			send := newSender(t, l, 256)
			plan := load.Plan{Rate: 500, Concurrency: 256, For: duration(2 * time.Second)}
			well := send.run(t.Context(), s.Callback, plan)
			hook.behave(kind.dead)
			send.run(t.Context(), s.Callback, load.Plan{Rate: 500, Concurrency: 256, For: time.Second}) // until it is known to be dead
			dead := send.run(t.Context(), s.Callback, plan)
			pending := s.Status().Counts.Deliveries.Pending
			if int(pending) < l.count(accepted)/2-1000 {
				t.Errorf("%d deliveries are pending, though nothing arrived of what was sent to the dead receiver", pending)
			}
			hook.behave(nil)
			back := time.Now()
			c := l.check(t, s, "hook")
			p99 := [2]time.Duration{well.Quantile(0.99), dead.Quantile(0.99)}
			t.Logf("99 %% were answered within %s with the receiver well, %s with it %s (%.2f times; half within %s and %s); %d deliveries were pending, and delivered %s after it came back; %s",
				p99[0], p99[1], kind.name, float64(p99[1])/float64(p99[0]), well.Quantile(0.5), dead.Quantile(0.5), pending,
				time.Since(back).Round(time.Millisecond), c)
			if c.refused+c.unknown > 0 {
				t.Errorf("%d callbacks were not answered OK", c.refused+c.unknown)
			}
			if *forFlag > 0 && (p99[1] > 100*time.Millisecond || 2*p99[1] > 3*p99[0]) {
				t.Errorf("dead receivers delay the answers: 99 %% within %s, %s with all well", p99[1], p99[0])
			}
		})
	}
}

// silent gives no answer until the client has left.
func silent(_ http.ResponseWriter, r *http.Request) {
	_, _ = io.Copy(io.Discard, r.Body) // else the server does not see the client leave
	<-r.Context().Done()
}

// hangUp resets the connection instead of answering.
func hangUp(w http.ResponseWriter) {
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return
	}
	if tcp, ok := conn.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0)
	}
	_ = conn.Close()
}
