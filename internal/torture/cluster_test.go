package torture

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/aftermath-rules/aftermath/internal/e2e/natscluster"
	"github.com/aftermath-rules/aftermath/internal/e2e/program"
	"github.com/aftermath-rules/aftermath/internal/load"
)

// Three nodes on a JetStream cluster of three servers, while callbacks come to all nodes, each tenth of them to two at once: in each
// round something is killed, paused or cut off, one server or node, or two servers so that there is no majority. Whatever was
// answered OK arrives, under one id, whichever node took it; and in the end the nodes' counts are those of the ledger.
//
// What it cannot show: the loss of unwritten pages of servers and nodes, since the kernel outlives them all; what a node does that
// is paused or cut off for longer than the 30 s after which its work is given to others.
func TestTortureCluster(t *testing.T) {
	besides(t)
	c := natsServers(t, 3)
	l := newLedger()
	hook := newReceiver(t, l)
	var nodes []*node
	for range 3 {
		nodes = append(nodes, startNode(t, c, hookRules(hook.URL), "partitions: 2"))
	}
	ctx, stop := context.WithCancel(t.Context())
	var sending sync.WaitGroup
	for i, n := range nodes {
		sending.Go(func() { send(ctx, t, l, n, nodes[(i+1)%len(nodes)]) })
	}
	for round := range rounds(2) {
		what, heal := fault(t, c, nodes)
		time.Sleep(time.Duration(500+rand.IntN(2500)) * time.Millisecond)
		heal()
		t.Logf("round %d: %s; %d callbacks answered OK, %d refused", round+1, what, l.count(accepted), l.count(refused))
		time.Sleep(time.Duration(300+rand.IntN(700)) * time.Millisecond)
		for _, n := range nodes {
			if !n.server().Running() {
				t.Fatalf("after %s a node has ended by itself:\n%s", what, program.Tail(n.server().Log(), 20))
			}
		}
	}
	stop()
	sending.Wait()
	c.AwaitReady()
	for _, n := range nodes {
		n.handled(t)
	}
	// What a node knows of the others is seconds old: all may think for a moment that nothing is left.
	agree := func() bool {
		first := nodes[0].server().Status().Counts
		return first == nodes[1].server().Status().Counts && first == nodes[2].server().Status().Counts && first.Waiting == 0 &&
			int64(first.Callbacks) >= l.ok.Load()
	}
	for until := time.Now().Add(program.Patience); !agree(); time.Sleep(100 * time.Millisecond) {
		if time.Now().After(until) {
			t.Error("the nodes don't agree, or don't know of all that was answered OK")
			break
		}
	}
	t.Logf("%s", l.balance(t, nodes[0].server().Status(), "hook"))
}

func natsServers(t testing.TB, n int) *natscluster.Cluster {
	t.Helper()
	binary, err := natscluster.Build(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	return binary.Start(t, n)
}

// hookRules sends every pair to a webhook receiver.
func hookRules(url string) string {
	return "rules:\n  - name: all\n    condition: PairCount > 0\n    actions:\n      - {type: webhook, name: hook, url: " + url +
		", retry: {min: 250ms, max: 1s}}\n"
}

// node is an aftermath node, which may be killed and started again.
type node struct {
	dir  string
	door *natscluster.Door
	s    atomic.Pointer[program.Server]
}

func startNode(t testing.TB, c *natscluster.Cluster, rules, more string) *node {
	t.Helper()
	n := &node{door: c.Door()}
	n.dir = newFolder(t, rules, fmt.Sprintf("nats: {url: '%s', replicas: 3, %s}\n", n.door.URL, more))
	n.s.Store(built.Start(t, n.dir))
	return n
}

func (n *node) server() *program.Server { return n.s.Load() }

func (n *node) restart(t testing.TB) { n.s.Store(built.Start(t, n.dir)) }

// handled waits until nothing is left in the cluster, nor in this node's spool.
func (n *node) handled(t testing.TB) {
	t.Helper()
	var store struct {
		Store struct {
			Waiting int
			Spool   struct{ Callbacks int }
		}
	}
	awaitHandled(t, n.server(), func(st program.Status) bool {
		_, body := n.server().Request("GET", "/api/v1/status")
		if err := json.Unmarshal(body, &store); err != nil {
			t.Fatal(err)
		}
		return store.Store.Waiting == 0 && store.Store.Spool.Callbacks == 0 && st.Counts.Waiting == 0 && st.Counts.Deliveries.Pending == 0
	})
}

// send posts callbacks to a node until ctx ends, each tenth to the other one too, at the same time.
func send(ctx context.Context, t testing.TB, l *ledger, n, other *node) {
	s := newSender(t, l, 16)
	plan := load.Plan{Rate: 60, Concurrency: 16}
	plan.Run(ctx, func(_ context.Context, i int) {
		number, packet := l.next()
		query := program.Query + "&RequestId=" + fmt.Sprint("request-", number)
		if i%10 > 0 {
			a, _ := s.postTo(n.server().Callback, query, packet)
			l.answered(number, a)
			return
		}
		var second answer
		var both sync.WaitGroup
		both.Go(func() { second, _ = s.postTo(other.server().Callback, query, packet) })
		first, _ := s.postTo(n.server().Callback, query, packet)
		both.Wait()
		switch {
		case first == accepted || second == accepted:
			first = accepted
		case second == unknown:
			first = unknown
		}
		l.answered(number, first)
	})
}

// fault breaks something, and gives what mends it.
func fault(t testing.TB, c *natscluster.Cluster, nodes []*node) (what string, heal func()) {
	i := rand.IntN(len(c.Servers))
	server, second := c.Servers[i], c.Servers[(i+1)%len(c.Servers)]
	n := rand.IntN(len(nodes))
	signal := func(sig syscall.Signal) {
		if err := syscall.Kill(nodes[n].server().PID(), sig); err != nil {
			t.Error(err)
		}
	}
	switch rand.IntN(9) {
	case 0, 1:
		server.Kill()
		return "kill of server " + server.Name, c.Heal
	case 2:
		server.Pause()
		return "pause of server " + server.Name, c.Heal
	case 3:
		server.Cut()
		return "partition of server " + server.Name, c.Heal
	case 4:
		server.Kill()
		second.Pause()
		return strings.Join([]string{"kill of server", server.Name, "and pause of", second.Name}, " "), c.Heal
	case 5:
		server.Kill()
		nodes[n].server().Kill()
		return fmt.Sprintf("kill of server %s and node %d", server.Name, n+1), func() {
			c.Heal()
			nodes[n].restart(t)
		}
	case 6:
		nodes[n].server().Kill()
		return fmt.Sprintf("kill of node %d", n+1), func() { nodes[n].restart(t) }
	case 7:
		signal(syscall.SIGSTOP)
		return fmt.Sprintf("pause of node %d", n+1), func() { signal(syscall.SIGCONT) }
	}
	nodes[n].door.Cut()
	return fmt.Sprintf("partition of node %d", n+1), nodes[n].door.Mend
}
