package torture

import (
	"context"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/aftermath-rules/aftermath/internal/load"
)

// The server that leads the accept stream is killed again and again, under 100 callbacks a second to one node. Without a spool they are
// refused until there is another leader, and the longest such gap is what a failover costs; with a spool none is. Nothing is lost
// either way.
//
// What it cannot show: failovers of a cluster whose servers are far from each other.
func TestTortureFailover(t *testing.T) {
	if *roundsFlag == 0 {
		t.Skip("it measures; what it asserts is held by the cluster's test too: run it with -torture.rounds 10")
	}
	for name, more := range map[string]string{"with a spool": "spool: true", "without": "spool: false"} {
		t.Run(name, func(t *testing.T) {
			c := natsServers(t, 3)
			l := newLedger()
			hook := newReceiver(t, l)
			n := startNode(t, c, hookRules(hook.URL), more)
			var g gaps
			ctx, stop := context.WithCancel(t.Context())
			var sending sync.WaitGroup
			s := newSender(t, l, 400)
			sending.Go(func() {
				load.Plan{Rate: 100, Concurrency: 400}.Run(ctx, func(context.Context, int) {
					at := time.Now()
					number, packet := l.next()
					a, _ := s.post(n.server().Callback, packet)
					l.answered(number, a)
					g.note(at, a == accepted, time.Since(at))
				})
			})
			for range rounds(1) {
				leader := c.Leader("aftermath_accept")
				if leader == nil {
					t.Fatal("nobody leads the stream")
				}
				leader.Kill()
				time.Sleep(8 * time.Second)
				c.Heal()
				c.AwaitReady()
				time.Sleep(4 * time.Second)
			}
			stop()
			sending.Wait()
			n.handled(t)
			t.Log(l.balance(t, n.server().Status(), "hook"))
			longest, slowest := g.longest()
			t.Logf("the longest gap in which callbacks were refused: %s; the slowest OK: %s", longest.Round(10*time.Millisecond), slowest.Round(time.Millisecond))
			if refused := l.count(refused) + l.count(unknown); more == "spool: true" && refused > 0 {
				t.Errorf("with a spool %d callbacks were refused", refused)
			}
		})
	}
}

// gaps notes when callbacks were refused.
type gaps struct {
	mu      sync.Mutex
	all     []sent
	slowest time.Duration
}

type sent struct {
	at time.Time
	ok bool
}

func (g *gaps) note(at time.Time, ok bool, took time.Duration) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.all = append(g.all, sent{at, ok})
	if ok {
		g.slowest = max(g.slowest, took)
	}
}

// longest gives the longest time, from the first callback that was refused to the next that was not, and the slowest answer OK.
func (g *gaps) longest() (gap, slowest time.Duration) {
	g.mu.Lock()
	defer g.mu.Unlock()
	slices.SortFunc(g.all, func(a, b sent) int { return a.at.Compare(b.at) })
	var from time.Time
	for _, s := range g.all {
		switch {
		case !s.ok && from.IsZero():
			from = s.at
		case s.ok && !from.IsZero():
			gap = max(gap, s.at.Sub(from))
			from = time.Time{}
		}
	}
	return gap, g.slowest
}
