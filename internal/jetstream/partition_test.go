package jetstream_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"

	"github.com/aftermath-rules/aftermath/engine"
	"github.com/aftermath-rules/aftermath/engine/storetest"
	"github.com/aftermath-rules/aftermath/internal/jetstream"
)

// keyed makes a record whose key is spread over the partitions, as the hashes are that keys are made of.
func keyed(name string) *engine.Record {
	r := storetest.NewRecord(name)
	r.Key = engine.Key{}
	var h uint32 = 2166136261
	for i := range 16 {
		for _, c := range []byte(name) {
			h = (h ^ uint32(c) ^ uint32(i)) * 16777619
		}
		r.Key[i] = byte(h >> 11)
	}
	return r
}

func acceptAll(t *testing.T, s *jetstream.Store, prefix string, n int) (names []string) {
	t.Helper()
	for i := range n {
		name := fmt.Sprint(prefix, i)
		if err := s.Accept(ctxFor(t, 20*time.Second), keyed(name)); err != nil {
			t.Fatal(err)
		}
		names = append(names, name)
	}
	return names
}

// readAll reads n records and acks their packs; it gives how often each came that is no repeat, and how many are.
func readAll(t *testing.T, s *jetstream.Store, n int) (seen map[engine.Key]int, repeats int) {
	t.Helper()
	seen = make(map[engine.Key]int)
	for read := 0; read < n; {
		p, err := s.NextPack(ctxFor(t, 20*time.Second))
		if err != nil {
			t.Fatalf("after %d of %d records: %v", read, n, err)
		}
		for _, r := range p.Records {
			read++
			if r.Repeat {
				repeats++
			} else {
				seen[r.Key]++
			}
		}
		p.Ack()
	}
	return seen, repeats
}

func wantOnce(t *testing.T, seen map[engine.Key]int, names []string) {
	t.Helper()
	for _, name := range names {
		if n := seen[keyed(name).Key]; n != 1 {
			t.Errorf("%s came %d times", name, n)
		}
	}
}

func TestPartitions(t *testing.T) {
	url := newServer(t, t.TempDir(), server.RANDOM_PORT).ClientURL()
	o := jetstream.Options{Dir: t.TempDir(), URL: url, Partitions: 4}
	s := open(t, o)
	names := acceptAll(t, s, "a", 60)
	acceptAll(t, s, "a", 60) // each has a repeat
	seen, repeats := readAll(t, s, 120)
	wantOnce(t, seen, names)
	if repeats != 60 {
		t.Errorf("%d repeats, want 60", repeats)
	}
	used := make(map[uint64]bool)
	var forth, back []uint64
	for p, err := range s.Journal(ctxFor(t, 20*time.Second), time.Time{}) {
		if err != nil {
			t.Fatal(err)
		}
		forth, used[p.Seq>>47] = append(forth, p.Seq), true
		if got, err := s.PackAt(ctxFor(t, 20*time.Second), p.Seq); err != nil || got.Seq != p.Seq || len(got.Records) != len(p.Records) {
			t.Errorf("the pack of number %d: %+v, %v", p.Seq, got, err)
		}
	}
	if len(used) != 4 {
		t.Errorf("the callbacks went to %d partitions", len(used))
	}
	for p, err := range s.JournalBack(ctxFor(t, 20*time.Second), 0) {
		if err != nil {
			t.Fatal(err)
		}
		back = append(back, p.Seq)
	}
	slices.Reverse(back)
	if !slices.Equal(forth, back) {
		t.Errorf("forth %v\nback %v", forth, back)
	}
	for i := range forth { // from any pack on
		n := 0
		for p, err := range s.JournalBack(ctxFor(t, 20*time.Second), forth[i]+1) {
			if err != nil || p.Seq != forth[i-n] {
				t.Fatalf("back from %d, pack %d: %+v, %v", forth[i], n, p, err)
			}
			n++
		}
		if n != i+1 {
			t.Errorf("back from pack %d there are %d", i, n)
		}
	}
	eventually(t, "all acked", func() bool { return s.Status().Waiting == 0 })
	if n := s.Status().Callbacks; n != 120 {
		t.Errorf("status says %d callbacks", n)
	}
	closeStore(t, s)
	if s = open(t, o); s.Status().Callbacks != 120 {
		t.Errorf("after a restart the status says %d callbacks", s.Status().Callbacks)
	}
}

// What is in streams beyond a smaller number is read, and a repeat of it is known although it goes elsewhere.
func TestFewerAndMorePartitions(t *testing.T) {
	url := newServer(t, t.TempDir(), server.RANDOM_PORT).ClientURL()
	o := jetstream.Options{Dir: t.TempDir(), URL: url, Partitions: 5, Logger: quiet()}
	s := open(t, o)
	names := acceptAll(t, s, "a", 40)
	for _, partitions := range []int{2, 7} {
		closeStore(t, s)
		o.Partitions = partitions
		s = open(t, o)
		if n := s.Partitions(); n != partitions {
			t.Fatalf("%d partitions, want %d", n, partitions)
		}
		acceptAll(t, s, "a", 40)
	}
	seen, repeats := readAll(t, s, 120)
	wantOnce(t, seen, names)
	if repeats != 80 {
		t.Errorf("%d repeats, want 80", repeats)
	}
}

// Two numbers at once would send a callback and its repeat to different partitions.
func TestNodesThatDifferInPartitions(t *testing.T) {
	url := newServer(t, t.TempDir(), server.RANDOM_PORT).ClientURL()
	first := open(t, jetstream.Options{Dir: t.TempDir(), URL: url, Partitions: 3})
	second := open(t, jetstream.Options{Dir: t.TempDir(), URL: url, Partitions: 2, Logger: quiet()})
	if n := second.Partitions(); n != 3 {
		t.Fatalf("the second node has %d partitions, and the cluster 3", n)
	}
	acceptAll(t, first, "a", 30)
	acceptAll(t, second, "a", 30)
	closeStore(t, second)
	seen, repeats := readAll(t, first, 60)
	if len(seen) != 30 || repeats != 30 {
		t.Errorf("%d callbacks and %d repeats, want 30 each", len(seen), repeats)
	}
	closeStore(t, first)
	if n := open(t, jetstream.Options{Dir: t.TempDir(), URL: url, Partitions: 2, Logger: quiet()}).Partitions(); n != 2 {
		t.Errorf("once no other is at work there are %d partitions, want 2", n)
	}
}

func TestPartitionsConform(t *testing.T) {
	t.Parallel()
	o := opener(func(t *testing.T) jetstream.Options {
		return jetstream.Options{Dir: t.TempDir(), URL: newServer(t, t.TempDir(), server.RANDOM_PORT).ClientURL(), Partitions: 4}
	})
	storetest.Run(t, o)
}
