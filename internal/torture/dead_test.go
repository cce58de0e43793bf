package torture

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/aftermath-rules/aftermath/internal/e2e/program"
	"github.com/aftermath-rules/aftermath/internal/load"
)

// A dead receiver does not delay the answers to callbacks: 500 of them come each second, answered within the same time while all
// receivers are well and while none is. Everything arrives once they are well again.
//
//	go test ./internal/torture -run TestTortureDead -v -timeout 0 -torture.for 5m
//
// There are two programs, whose receivers are well and dead, and they take turns of two seconds, while the other one is stopped: so what else
// the machine and its disk do meets both alike. In the long form all kinds of death are tried, and the 99th percentile with all receivers dead must
// be under 100 ms, and at most half as long again as in the turn before with all well, in the middle of all turns. It can't show how disks behave
// that are slower than this machine's.
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
			well, dead := newPatient(t, nil), newPatient(t, kind.dead)
			var ratios []float64
			for range max(duration(turnTime)/turnTime, 1) {
				before := well.turn(t)
				ratios = append(ratios, float64(dead.turn(t))/float64(before))
			}
			slices.Sort(ratios)
			ratio := ratios[len(ratios)/2]
			dead.Signal(syscall.SIGCONT)
			pending := dead.Status().Counts.Deliveries.Pending
			if int(pending) < dead.ledger.count(accepted)-dead.arrivedWell-1000 {
				t.Errorf("%d deliveries are pending, though nothing arrived of what was sent to the dead receiver", pending)
			}
			dead.hook.behave(nil)
			back := time.Now()
			c := dead.ledger.check(t, dead.Server, "hook")
			p99 := [2]time.Duration{well.times.Quantile(0.99), dead.times.Quantile(0.99)}
			t.Logf("99 %% were answered within %s with the receiver well, %s with it %s (%.2f times; %.2f in the middle of %d turns; half within %s and %s); %d deliveries were pending, and delivered %s after it came back; %s",
				p99[0], p99[1], kind.name, float64(p99[1])/float64(p99[0]), ratio, len(ratios), well.times.Quantile(0.5), dead.times.Quantile(0.5), pending,
				time.Since(back).Round(time.Millisecond), c)
			well.Signal(syscall.SIGCONT)
			if other := well.ledger.check(t, well.Server, "hook"); other.unknown+c.unknown > 0 || max(other.refused, c.refused) > mayRefuse(256) {
				t.Errorf("%d callbacks were not answered OK with the receiver dead, %d with it well", c.refused+c.unknown, other.refused+other.unknown)
			}
			if *forFlag > 0 && (p99[1] > 100*time.Millisecond || ratio > 1.5) {
				t.Errorf("dead receivers delay the answers: 99 %% within %s, %.2f times what it takes with all well", p99[1], ratio)
			}
		})
	}
}

const (
	turnTime = 2 * time.Second
	turnLead = 500 * time.Millisecond // of a turn's beginning that does not count: what fell due while the program was stopped comes then
)

// patient is a program whose receiver is well or dead, with those who send to it. It is stopped but in its turns.
type patient struct {
	*program.Server
	ledger      *ledger
	hook        *receiver
	send        *sender
	times       load.Histogram
	arrivedWell int // before the receiver died
}

func newPatient(t *testing.T, dead http.HandlerFunc) *patient {
	p := &patient{ledger: newLedger()}
	p.hook = newReceiver(t, p.ledger)
	dir := newFolder(t, fmt.Sprintf(`
rules:
  - name: all
    condition: PairCount > 0
    actions: [{type: webhook, name: hook, url: %s, timeout: 2s, retry: {min: 1s, max: 10s}}]
`, p.hook.URL), "")
	p.Server = built.Start(t, dir)
	p.send = newSender(t, p.ledger, 256)
	p.send.client.Timeout = program.Patience // who waits is answered, however slow the machine
	p.run(t, time.Second)
	p.ledger.handled(t, p.Server)
	p.arrivedWell = p.ledger.arrivals("hook")
	p.hook.behave(dead)
	p.run(t, time.Second) // until it is known to be dead
	p.Signal(syscall.SIGSTOP)
	return p
}

func (p *patient) run(t *testing.T, d time.Duration) *load.Histogram {
	return p.send.run(t.Context(), p.Callback, load.Plan{Rate: 500, Concurrency: 256, For: d})
}

// turn sends callbacks for a while and gives the time within which 99 % of them were answered.
func (p *patient) turn(t *testing.T) time.Duration {
	p.Signal(syscall.SIGCONT)
	p.run(t, turnLead)
	times := p.run(t, turnTime)
	p.Signal(syscall.SIGSTOP)
	p.times.Merge(times)
	return times.Quantile(0.99)
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
