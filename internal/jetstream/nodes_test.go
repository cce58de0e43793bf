package jetstream_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"

	"github.com/aftermath-rules/aftermath/engine"
	"github.com/aftermath-rules/aftermath/engine/storetest"
	"github.com/aftermath-rules/aftermath/internal/jetstream"
)

// TestTwoNodes has two nodes on one cluster: each pack is read by one of them, a callback that both stored is a repeat once, and
// each knows the other's totals.
func TestTwoNodes(t *testing.T) {
	url := newServer(t, t.TempDir(), server.RANDOM_PORT).ClientURL()
	var nodes []*jetstream.Store
	for range 2 {
		nodes = append(nodes, open(t, jetstream.Options{Dir: t.TempDir(), URL: url}))
	}
	ctx := ctxFor(t, time.Minute)
	const n = 40
	for i := range n {
		for _, s := range nodes {
			if err := s.Accept(ctx, storetest.NewRecord(fmt.Sprint("same", i))); err != nil {
				t.Fatal(err)
			}
		}
	}
	first, repeats, read := make(map[engine.Key]int), 0, make(map[uint64]int)
	by := make([]int, len(nodes))
	for len(read) < 2*n {
		before := len(read)
		for i, s := range nodes {
			wait, cancel := context.WithTimeout(ctx, 200*time.Millisecond)
			p, err := s.NextPack(wait)
			cancel()
			if errors.Is(err, context.DeadlineExceeded) {
				continue
			}
			if err != nil {
				t.Fatal(err)
			}
			by[i]++
			read[p.Seq]++
			for _, r := range p.Records {
				if r.Repeat {
					repeats++
				} else {
					first[r.Key]++
				}
			}
			p.Ack()
		}
		if len(read) == before && ctx.Err() != nil {
			t.Fatalf("only %d of %d packs are read", len(read), 2*n)
		}
	}
	for seq, times := range read {
		if times != 1 {
			t.Errorf("pack %d was read %d times", seq, times)
		}
	}
	if len(first) != n || repeats != n {
		t.Errorf("%d callbacks and %d repeats, want %d each", len(first), repeats, n)
	}
	if by[0] == 0 || by[1] == 0 {
		t.Logf("one node read everything: %v", by)
	}
	for i, s := range nodes {
		if _, err := s.Append(ctx, nil, &engine.Totals{Done: uint64(i + 1)}); err != nil {
			t.Fatal(err)
		}
	}
	own, others, err := nodes[0].Totals(ctx)
	if err != nil || own.Done != 1 || others.Done != 2 {
		t.Errorf("totals %+v and %+v, %v", own, others, err)
	}
	for _, s := range nodes {
		if st := s.Status(); st.Damage != "" || st.Kind != "nats" {
			t.Errorf("status %+v", st)
		}
	}
}

// A lease is one node's at a time, until it gives it up.
func TestLease(t *testing.T) {
	url := newServer(t, t.TempDir(), server.RANDOM_PORT).ClientURL()
	a, b := open(t, jetstream.Options{Dir: t.TempDir(), URL: url}), open(t, jetstream.Options{Dir: t.TempDir(), URL: url})
	ctx := ctxFor(t, time.Minute)
	first, err := a.Lease(ctx, "x")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := b.Lease(ctx, "x"); !errors.Is(err, engine.ErrLeased) {
		t.Errorf("a second lease: %v, want %v", err, engine.ErrLeased)
	}
	if _, err := b.Lease(ctx, "y"); err != nil {
		t.Errorf("a lease of another name: %v", err)
	}
	for range 2 {
		if err := first.Renew(ctx); err != nil {
			t.Errorf("renew: %v", err)
		}
	}
	if err := first.Release(ctx); err != nil {
		t.Errorf("release: %v", err)
	}
	if err := first.Renew(ctx); err == nil {
		t.Error("a lease that was given up is renewed")
	}
	if _, err := b.Lease(ctx, "x"); err != nil {
		t.Errorf("a lease after its release: %v", err)
	}
}

// Whoever is not given a lease that nodes take and give up all the time is told that another one has it, also where that just gave it up.
func TestLeaseThatIsContended(t *testing.T) {
	url := newServer(t, t.TempDir(), server.RANDOM_PORT).ClientURL()
	nodes := []*jetstream.Store{open(t, jetstream.Options{Dir: t.TempDir(), URL: url}), open(t, jetstream.Options{Dir: t.TempDir(), URL: url})}
	ctx := ctxFor(t, time.Minute)
	var all sync.WaitGroup
	for i := range 8 {
		all.Go(func() {
			for range 100 {
				l, err := nodes[i%2].Lease(ctx, "x")
				if err == nil {
					err = l.Release(ctx)
				}
				if err != nil && !errors.Is(err, engine.ErrLeased) {
					t.Error(err)
					return
				}
			}
		})
	}
	all.Wait()
}

// Outcomes whose answer was lost are stored once, however often that is tried again, and whatever a server says that has not heard of them;
// and others are stored behind them.
func TestAppendAgain(t *testing.T) {
	for name, unheard := range map[string]func(*jetstream.Store, context.Context, []engine.Event, *engine.Totals) error{
		"the answer is lost": (*jetstream.Store).AppendUnheard, "the server is behind": (*jetstream.Store).AppendBehind,
	} {
		t.Run(name, func(t *testing.T) {
			s := open(t, jetstream.Options{Dir: t.TempDir()})
			ctx := ctxFor(t, time.Minute)
			ended := func(id string) []engine.Event {
				return []engine.Event{{Ended: &engine.Ended{Delivery: id, Outcome: engine.OutcomeDone, At: time.Unix(1669872112, 0).UTC()}}}
			}
			totals := &engine.Totals{Created: 2, Done: 1}
			if err := unheard(s, ctx, ended("a"), totals); err != nil {
				t.Fatal(err)
			}
			for _, id := range []string{"a", "b"} {
				if _, err := s.Append(ctx, ended(id), totals); err != nil {
					t.Fatal(err)
				}
			}
			var got []string
			for p, err := range s.Events(ctx, 0) {
				if err != nil {
					t.Fatal(err)
				}
				for _, ev := range p.Events {
					got = append(got, ev.Ended.Delivery)
				}
			}
			if fmt.Sprint(got) != "[a b]" {
				t.Errorf("stored %v, want a and b once", got)
			}
		})
	}
}

// A node that learns of the packs of others, to tell repeats, takes no server's word that does not know of all of them.
func TestCatchUp(t *testing.T) {
	s := open(t, jetstream.Options{Dir: t.TempDir()})
	ctx := ctxFor(t, time.Minute)
	const packs = 4
	for i := range packs {
		if err := s.Accept(ctx, storetest.NewRecord(fmt.Sprint(i))); err != nil {
			t.Fatal(err)
		}
	}
	for range packs {
		if _, err := s.NextPack(ctx); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := s.CatchUpBehind(packs, 2); err == nil {
		t.Error("a server that knows of 2 packs is good enough for all before the fourth one")
	}
	if fed, err := s.CatchUpBehind(packs, packs); err != nil || fed != packs-1 {
		t.Errorf("up to pack %d: %v", fed, err)
	}
}
