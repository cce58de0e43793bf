package jetstream_test

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aftermath-rules/aftermath/engine"
	"github.com/aftermath-rules/aftermath/engine/storetest"
	"github.com/aftermath-rules/aftermath/internal/e2e/program"
	"github.com/aftermath-rules/aftermath/internal/jetstream"
)

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); !ok(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("not within a minute: ", what)
		}
	}
}

func TestDiskFull(t *testing.T) {
	var free atomic.Uint64
	free.Store(1 << 40)
	s := open(t, jetstream.Options{Dir: t.TempDir(), Logger: quiet()}.WithFree(free.Load))
	if err := s.Accept(ctxFor(t, 20*time.Second), storetest.NewRecord("before")); err != nil {
		t.Fatal(err)
	}
	free.Store(1 << 20)
	eventually(t, "the status says so", func() bool { return !s.Status().OK })
	if st := s.Status(); st.DiskFree != 1<<20 || st.Error == "" {
		t.Errorf("status %+v", st)
	}
	ctx := ctxFor(t, 300*time.Millisecond)
	if err := s.Accept(ctx, storetest.NewRecord("full")); !errors.Is(err, jetstream.ErrDiskFull) {
		t.Errorf("Accept on a full disk: %v", err)
	}
	if _, err := s.Append(ctxFor(t, 500*time.Millisecond), nil, &engine.Totals{Done: 1}); !errors.Is(err, jetstream.ErrDiskFull) {
		t.Errorf("Append on a full disk: %v", err)
	}
	waits := make(chan error, 1)
	waiting := ctxFor(t, 20*time.Second)
	go func() { waits <- s.Accept(waiting, storetest.NewRecord("waits")) }()
	free.Store(1 << 40)
	if err := <-waits; err != nil {
		t.Errorf("what waited for room: %v", err)
	}
	eventually(t, "the status is well again", func() bool { return s.Status().OK })
}

func TestServerStartedAnew(t *testing.T) {
	t.Parallel()
	s := open(t, jetstream.Options{Dir: t.TempDir(), Logger: quiet()})
	ctx := ctxFor(t, time.Minute)
	for i := range 3 {
		if err := s.Accept(ctx, storetest.NewRecord(fmt.Sprint("r", i))); err != nil {
			t.Fatal(err)
		}
	}
	held, err := s.NextPack(ctx)
	if err != nil {
		t.Fatal(err)
	}
	s.StopServer()
	done := make(chan error, 1)
	go func() { done <- s.Accept(ctx, storetest.NewRecord("r3")) }()
	eventually(t, "the status says that nothing can be stored", func() bool { return !s.Status().OK })
	if err := <-done; err != nil {
		t.Fatalf("a callback that came while the server was down: %v", err)
	}
	eventually(t, "the status is well again", func() bool { return s.Status().OK })
	seqs := []uint64{held.Seq}
	for len(seqs) < 4 {
		p, err := s.NextPack(ctx)
		if err != nil {
			t.Fatal(err)
		}
		p.Ack()
		seqs = append(seqs, p.Seq)
	}
	if fmt.Sprint(seqs) != "[1 2 3 4]" {
		t.Errorf("read the packs %v: each once, what is held too", seqs)
	}
	held.Ack()
	eventually(t, "all acked", func() bool { return s.Status().Waiting == 0 })
}

func TestClusterGoneAndBack(t *testing.T) {
	port := program.Reserved(t).Port
	srv := newServer(t, t.TempDir(), port)
	s := open(t, jetstream.Options{Dir: t.TempDir(), URL: srv.ClientURL(), Logger: quiet()})
	if err := s.Accept(ctxFor(t, 20*time.Second), storetest.NewRecord("before")); err != nil {
		t.Fatal(err)
	}
	dir := srv.StoreDir()
	srv.Shutdown()
	srv.WaitForShutdown()
	eventually(t, "the status says so", func() bool { return !s.Status().OK })
	start := time.Now()
	if err := s.Accept(ctxFor(t, 500*time.Millisecond), storetest.NewRecord("gone")); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Accept without a cluster: %v", err)
	}
	if took := time.Since(start); took > 10*time.Second {
		t.Errorf("it took %v to say so", took)
	}
	newServer(t, dir, port)
	if err := s.Accept(ctxFor(t, 20*time.Second), storetest.NewRecord("back")); err != nil {
		t.Errorf("Accept when the cluster is back: %v", err)
	}
	eventually(t, "the status is well again", func() bool { return s.Status().OK })
	closeStore(t, s) // before the server goes
}

func TestKeep(t *testing.T) {
	dir := t.TempDir()
	var ahead atomic.Int64
	now := func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) }
	o := jetstream.Options{Dir: dir, Now: now, Keep: jetstream.Keep{Callbacks: time.Hour, Deliveries: time.Hour, Quarantine: 2}}
	s := open(t, o)
	ctx := ctxFor(t, time.Minute)
	for i := range 4 {
		if err := s.Accept(ctx, storetest.NewRecord(fmt.Sprint("r", i))); err != nil {
			t.Fatal(err)
		}
		if _, err := s.Append(ctx, nil, &engine.Totals{Callbacks: uint64(i + 1)}); err != nil {
			t.Fatal(err)
		}
		if err := s.Quarantine(ctx, &engine.Quarantined{Query: fmt.Sprint(i)}); err != nil {
			t.Fatal(err)
		}
	}
	for range 2 {
		p, err := s.NextPack(ctx)
		if err != nil {
			t.Fatal(err)
		}
		p.Ack()
	}
	eventually(t, "two of four packs acked", func() bool { st := s.Status(); return st.Packs == 4 && st.Waiting == 2 })
	ahead.Store(int64(2 * time.Hour))
	purge := func() {
		t.Helper()
		if err := s.Purge(ctx); err != nil {
			t.Fatal(err)
		}
	}
	purge()
	eventually(t, "what is handled and old is purged", func() bool { return s.Status().Packs == 2 })
	closeStore(t, s)
	s = open(t, o)
	purge()
	for i := range 2 {
		p, err := s.NextPack(ctx)
		if err != nil {
			t.Fatal(err)
		}
		if p.Seq != uint64(i+3) || p.Ordinal != uint64(i+2) {
			t.Errorf("pack %d begins at %d: what is not handled must stay", p.Seq, p.Ordinal)
		}
		p.Ack()
	}
	eventually(t, "all packs acked", func() bool { return s.Status().Waiting == 0 })
	purge()
	eventually(t, "all but the last purged", func() bool { return s.Status().Packs == 1 })
	closeStore(t, s)
	s = open(t, o)
	own, _, err := s.Totals(ctx)
	if err != nil || own.Callbacks != 4 || s.Status().Callbacks != 4 {
		t.Errorf("after the purge: totals %+v, %v, status %+v", own, err, s.Status())
	}
	n := 0
	for _, err := range s.Events(ctx, 0) {
		if err != nil {
			t.Fatal(err)
		}
		n++
	}
	if n != 1 {
		t.Errorf("%d packs of outcomes are left, want the last", n)
	}
	var queries string
	for q, err := range s.QuarantinedPackets(ctx) {
		if err != nil {
			t.Fatal(err)
		}
		queries += q.Query
	}
	if queries != "23" {
		t.Errorf("the quarantine has %q, want the last two", queries)
	}
}
