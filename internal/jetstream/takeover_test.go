package jetstream_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	natsjs "github.com/nats-io/nats.go/jetstream"

	"github.com/aftermath-rules/aftermath/engine"
	"github.com/aftermath-rules/aftermath/engine/storetest"
	"github.com/aftermath-rules/aftermath/internal/e2e/natscluster"
	"github.com/aftermath-rules/aftermath/internal/e2e/program"
	"github.com/aftermath-rules/aftermath/internal/jetstream"
)

// The server that leads the readers is cut off from the others, with a node that holds a pack: it goes on hearing that the pack is being
// worked on, for as long as it takes itself for the leader, while the others have a new one. When that gives the pack to another node, the
// first one knows that it has lost it, or both would count what becomes of it.
func TestHoldIsLostWithoutAMajority(t *testing.T) {
	t.Parallel()
	binary, err := natscluster.Build(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	c := binary.Start(t, 3)
	ctx := ctxFor(t, 3*time.Minute)
	// So that the streams are there, and it is known who leads.
	s, err := tryOpen(t, jetstream.Options{Dir: t.TempDir(), URL: c.URL(), Replicas: 3})
	if err != nil {
		t.Fatal(err)
	}
	closeStore(t, s)
	readBacklog(t, c)
	leader, held := holdAtLeader(t, c)
	var others []string
	for _, s := range c.Servers {
		if s != leader {
			others = append(others, s.URL())
		}
	}
	second := open(t, jetstream.Options{Dir: t.TempDir(), URL: strings.Join(others, ","), Replicas: 3})
	leader.Cut()
	defer c.Heal()
	cut := time.Now()
	again, err := second.NextPack(ctx)
	for err == nil && again.Seq != held.Seq { // one of the backlog, whose ack was lost with the leader of then
		again.Ack()
		again, err = second.NextPack(ctx)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("after %s another node is given the pack", time.Since(cut).Round(time.Second))
	if !again.Again || len(again.Records) != 1 {
		t.Errorf("the second node gets %+v", again)
	}
	if held.Held() {
		t.Error("the first node still takes the pack for its own")
	}
}

// holdAtLeader has a node hold a pack, which knows of no other server than the one that leads the readers.
func holdAtLeader(t *testing.T, c *natscluster.Cluster) (*natscluster.Server, *engine.Pack) {
	t.Helper()
	ctx := ctxFor(t, time.Minute)
	for range 5 {
		leader := readersLeader(t, c)
		s, err := tryOpen(t, jetstream.Options{Dir: t.TempDir(), URL: leader.URL(), Replicas: 3})
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Accept(ctx, storetest.NewRecord("a")); err != nil {
			t.Fatal(err)
		}
		held, err := s.NextPack(ctx)
		if err != nil {
			t.Fatal(err)
		}
		if readersLeader(t, c) == leader {
			t.Cleanup(func() { closeStore(t, s) })
			return leader, held
		}
		held.Ack() // another leads by now
		closeStore(t, s)
	}
	t.Fatal("no server leads the readers for long enough")
	return nil, nil
}

// readBacklog has a node read more packs than it asks for at once: none is lost on its way, and comes again.
func readBacklog(t *testing.T, c *natscluster.Cluster) {
	t.Helper()
	s, err := tryOpen(t, jetstream.Options{Dir: t.TempDir(), URL: c.URL(), Replicas: 3})
	if err != nil {
		t.Fatal(err)
	}
	defer closeStore(t, s)
	ctx, start := ctxFor(t, time.Minute), time.Now()
	const packs = 80
	for i := range packs {
		if err := s.Accept(ctx, storetest.NewRecord(fmt.Sprint("backlog", i))); err != nil {
			t.Fatal(err)
		}
	}
	for i := range packs {
		p, err := s.NextPack(ctx)
		if err != nil {
			t.Fatalf("after %d packs: %v", i, err)
		}
		if p.Again && time.Since(start) < 10*time.Second { // what is read late is looked up whether it comes again or not
			t.Errorf("pack %d comes again", p.Seq)
		}
		p.Ack()
	}
}

// readersLeader gives the server that leads the reader of the first partition.
func readersLeader(t *testing.T, c *natscluster.Cluster) *natscluster.Server {
	t.Helper()
	nc, err := nats.Connect(c.URL())
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	js, err := natsjs.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	var leader *natscluster.Server
	program.Eventually(t, "somebody to lead the reader", func() bool {
		cons, err := js.Consumer(ctxFor(t, 2*time.Second), "aftermath_accept", "reader") // which nobody answers while there is no leader
		if err != nil {
			return false
		}
		i := slices.IndexFunc(c.Servers, func(s *natscluster.Server) bool { return s.Name == cons.CachedInfo().Cluster.Leader })
		if i >= 0 {
			leader = c.Servers[i]
		}
		return i >= 0
	})
	return leader
}
