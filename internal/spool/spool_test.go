package spool_test

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"go.uber.org/goleak"
	"go.uber.org/zap"

	"github.com/aftermath-rules/aftermath/engine"
	"github.com/aftermath-rules/aftermath/engine/storetest"
	"github.com/aftermath-rules/aftermath/internal/e2e/program"
	"github.com/aftermath-rules/aftermath/internal/jetstream"
	"github.com/aftermath-rules/aftermath/internal/spool"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func ctxFor(t testing.TB, d time.Duration) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), d)
	t.Cleanup(cancel)
	return ctx
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); !ok(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("not within a minute: ", what)
		}
	}
}

// cluster is a server with a listener on loopback that can go away and come back.
type cluster struct {
	t    *testing.T
	dir  string
	port int
	srv  *server.Server
}

func newCluster(t *testing.T) *cluster {
	c := &cluster{t: t, dir: t.TempDir(), port: program.Reserved(t).Port}
	t.Cleanup(c.stop)
	return c
}

func (c *cluster) start() *cluster {
	c.t.Helper()
	srv, err := server.NewServer(&server.Options{
		Host: "127.0.0.1", Port: c.port, NoSigs: true, NoLog: true, JetStream: true, StoreDir: c.dir, MaxPayload: 8 << 20, SyncAlways: true,
	})
	must(c.t, err)
	srv.Start()
	c.srv = srv
	if !srv.ReadyForConnections(20 * time.Second) {
		c.t.Fatal("the server does not start")
	}
	return c
}

func (c *cluster) stop() {
	if c.srv != nil {
		c.srv.Shutdown()
		c.srv.WaitForShutdown()
		c.srv = nil
	}
}

func (c *cluster) options(dir string) spool.Options {
	return spool.Options{
		Cluster: jetstream.Options{Dir: dir, URL: fmt.Sprintf("nats://127.0.0.1:%d", c.port), Partitions: 2},
		Dir:     filepath.Join(dir, "spool"), Wait: 2 * time.Second, Logger: zap.NewNop(),
	}
}

func open(t *testing.T, o spool.Options) *spool.Store {
	t.Helper()
	s, err := spool.Open(ctxFor(t, time.Minute), o)
	must(t, err)
	t.Cleanup(func() { shut(t, s) })
	return s
}

func shut(t *testing.T, s *spool.Store) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	s.Close(ctx) // without a cluster it says that acks may not have arrived
}

func TestConform(t *testing.T) {
	used := make(map[engine.Store]spool.Options)
	remember := func(t *testing.T, o spool.Options) engine.Store {
		s := open(t, o)
		used[s] = o
		return s
	}
	storetest.Run(t, storetest.Opener{
		Open: func(t *testing.T) engine.Store {
			o := newCluster(t).start().options(t.TempDir())
			o.Cluster.Partitions = 1
			o.Wait = 30 * time.Second // the cluster is there, and a slow machine takes its time to find it
			return remember(t, o)
		},
		Reopen: func(t *testing.T, s engine.Store) engine.Store {
			shut(t, s.(*spool.Store))
			return remember(t, used[s])
		},
	})
}

// record makes one that goes to either partition, with or without a window.
func record(i int) *engine.Record {
	r := storetest.NewRecord(fmt.Sprint("r", i))
	r.Key[7] = byte(i)
	if i%2 == 0 {
		r.Window = 0 // as without a RequestId
	}
	return r
}

// accept stores records and wants each taken, with the cluster or without.
func accept(t *testing.T, s engine.Store, from, to int) {
	t.Helper()
	for i := from; i < to; i++ {
		start := time.Now()
		if err := s.Accept(ctxFor(t, 15*time.Second), record(i)); err != nil {
			t.Fatalf("record %d, after %v: %v", i, time.Since(start), err)
		}
	}
}

// wantOnce reads until each of n records came, and wants none twice, but for repeats.
func wantOnce(t *testing.T, s engine.Store, n int) {
	t.Helper()
	seen := make(map[engine.Key]int)
	ctx := ctxFor(t, 30*time.Second)
	last := make(map[int]int)
	for len(seen) < n {
		p, err := s.NextPack(ctx)
		if err != nil {
			t.Fatalf("%d of %d records came: %v", len(seen), n, err)
		}
		for i := range p.Records {
			r := &p.Records[i]
			if r.Repeat {
				t.Errorf("%s is a repeat", r.Body)
			}
			if seen[r.Key]++; seen[r.Key] > 1 {
				t.Errorf("%s came %d times", r.Body, seen[r.Key])
			}
			number := 0
			fmt.Sscanf(string(r.Key[:7]), "r%d", &number)
			if part := number % 2; number < last[part] {
				if !p.Again { // what was fetched over a connection that broke comes once more, later
					t.Errorf("%d came after %d", number, last[part])
				}
			} else {
				last[part] = number
			}
		}
		p.Ack()
	}
	wait, cancel := context.WithTimeout(ctx, 300*time.Millisecond)
	defer cancel()
	if p, err := s.NextPack(wait); err == nil {
		t.Errorf("%d records more came: %+v", len(p.Records), p.Records[0])
	}
}

func TestOutage(t *testing.T) {
	c := newCluster(t).start()
	s := open(t, c.options(t.TempDir()))
	accept(t, s, 0, 10)
	eventually(t, "the cluster to have them", func() bool {
		st := s.Status()
		return st.OK && st.Spool != nil && st.Spool.Callbacks == 0 && st.Spool.Away == ""
	})
	c.stop()
	accept(t, s, 10, 30)
	st := s.Status()
	if !st.OK || st.Error != "" || st.Spool.Callbacks < 20 || st.Spool.Bytes == 0 || st.Spool.Oldest.IsZero() || st.Spool.Away == "" {
		t.Errorf("without the cluster: %+v %+v", st, st.Spool)
	}
	c.start()
	eventually(t, "all handed on", func() bool { return s.Status().Spool.Callbacks == 0 })
	accept(t, s, 30, 40)
	wantOnce(t, s, 40)
	eventually(t, "the outage to be over", func() bool { st := s.Status(); return st.Spool.Away == "" && st.Spool.Since.IsZero() })
	if n := s.Status().Callbacks; n != 40 {
		t.Errorf("status says %d callbacks", n)
	}
}

// A node that starts without its cluster takes callbacks, and so does one that held some when it ended.
func TestStartWithoutCluster(t *testing.T) {
	c := newCluster(t)
	o := c.options(t.TempDir())
	for i := range 3 {
		start := time.Now()
		s := open(t, o)
		if took := time.Since(start); took > o.Wait+15*time.Second {
			t.Errorf("it started after %v", took)
		}
		accept(t, s, i*10, i*10+10)
		if st := s.Status(); !st.OK || st.Spool.Callbacks != uint64(i*10+10) || st.Spool.Away == "" {
			t.Errorf("start %d: %+v %+v", i, st, st.Spool)
		}
		if _, err := s.NextPack(ctxFor(t, 50*time.Millisecond)); err == nil {
			t.Error("there is a pack, without a cluster")
		}
		shut(t, s)
	}
	c.start()
	s := open(t, o)
	accept(t, s, 30, 40)
	wantOnce(t, s, 40)
}

// Without a spool a node waits for its cluster too: it says why, takes nothing, and begins when the cluster is there.
func TestNoSpoolWaitsForTheCluster(t *testing.T) {
	c := newCluster(t)
	o := c.options(t.TempDir())
	o.Dir, o.Wait = "", 10*time.Millisecond
	s := open(t, o)
	if st := s.Status(); st.OK || st.Error == "" || st.Spool != nil {
		t.Errorf("without the cluster: %+v", st)
	}
	if err := s.Accept(ctxFor(t, 100*time.Millisecond), storetest.NewRecord("early")); err == nil {
		t.Error("a callback is taken that nobody stores")
	}
	c.start()
	must(t, s.Accept(ctxFor(t, 20*time.Second), storetest.NewRecord("late")))
	eventually(t, "the store says that it is well", func() bool { return s.Status().OK })
	p, err := s.NextPack(ctxFor(t, 20*time.Second))
	must(t, err)
	if len(p.Records) != 1 {
		t.Errorf("%d records, want the one that was answered OK", len(p.Records))
	}
	p.Ack()
}

// Where the cluster is there and cannot place the streams yet, as while its other servers start, it is the same.
func TestNoSpoolWaitsForStreamsToBePlaced(t *testing.T) {
	c := newCluster(t).start()
	o := c.options(t.TempDir())
	o.Dir, o.Cluster.Replicas = "", 3
	o.Wait = 20 * time.Second // it is told sooner that this can't be
	s := open(t, o)
	if st := s.Status(); st.OK || !strings.Contains(st.Error, "replicas") {
		t.Errorf("where three replicas cannot be placed: %+v", st)
	}
}
