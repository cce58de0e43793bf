package jetstream_test

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aftermath-rules/aftermath/engine"
	"github.com/aftermath-rules/aftermath/engine/storetest"
	"github.com/aftermath-rules/aftermath/internal/jetstream"
)

func ctxFor(t testing.TB, d time.Duration) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), d)
	t.Cleanup(cancel)
	return ctx
}

// filled makes a folder with a store that was closed: n callbacks, a pack each, of which the first half is handled; what was
// recorded of those; a parked delivery, a dead letter and a quarantined packet.
func filled(t *testing.T, n int) string {
	t.Helper()
	dir := t.TempDir()
	s, err := tryOpen(t, jetstream.Options{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	ctx := ctxFor(t, time.Minute)
	check := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	for i := range n {
		check(s.Accept(ctx, storetest.NewRecord(fmt.Sprintf("callback-%d", i))))
	}
	totals := &engine.Totals{}
	for i := range n / 2 {
		p, err := s.NextPack(ctx)
		check(err)
		id, job := p.Records[0].ID(), goldenJob(fmt.Sprintf("d%d", i))
		job.Callback = id
		ended := &engine.Ended{Delivery: job.ID, Callback: id, Outcome: engine.OutcomeDone}
		totals.Callbacks++
		totals.Created++
		switch i {
		case 0:
			parked := engine.Parked{Job: job, Due: time.Now().Add(time.Hour), Parks: 1, Attempt: 1}
			check(s.Park(ctx, []engine.Parked{parked}))
			ended.Outcome, ended.Parks, ended.Attempt = engine.OutcomeRetry, 1, 1
		case 1:
			check(s.Bury(ctx, &engine.DeadLetter{Parked: engine.Parked{Job: job, Attempt: 1}, At: goldenTime}))
			ended.Outcome, ended.Attempt = engine.OutcomeDead, 1
			totals.Dead++
		default:
			totals.Done++
		}
		_, err = s.Append(ctx, []engine.Event{
			{Matched: &engine.Matched{Callback: id, Seq: p.Seq, Deliveries: []engine.Job{job}}}, {Ended: ended},
		}, totals)
		check(err)
		p.Ack()
	}
	check(s.Quarantine(ctx, &engine.Quarantined{Query: "quarantined"}))
	closeStore(t, s)
	return dir
}

func edit(t *testing.T, path string, f func([]byte) []byte) {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, f(b), 0o600); err != nil {
		t.Fatal(err)
	}
}

func blockOf(t *testing.T, dir, stream string) string {
	t.Helper()
	return filepath.Join(jetstream.StreamDir(dir, stream), "msgs", "1.blk")
}

// TestDamage damages a store of ten callbacks in one place, and opens it twice. It cannot show more than one fault at a time.
func TestDamage(t *testing.T) {
	const n = 10
	for _, c := range []struct {
		name   string
		damage func(t *testing.T, dir string)
		gone   []int  // callbacks
		says   string // in the status; empty: it is no loss, and nothing is set aside
		done   uint64 // deliveries that count as done
		rare   bool   // the quarantined packet is gone
	}{
		{name: "nothing", damage: func(*testing.T, string) {}, done: 3},
		{name: "the stream's meta.inf is corrupt", damage: func(t *testing.T, dir string) {
			edit(t, filepath.Join(jetstream.StreamDir(dir, "accept"), "meta.inf"), func([]byte) []byte { return []byte("{") })
		}, says: "Gone: nothing.", done: 3},
		{name: "the outcomes' meta.sum is gone", damage: func(t *testing.T, dir string) {
			remove(t, filepath.Join(jetstream.StreamDir(dir, "outcomes"), "meta.sum"))
		}, says: "Gone: nothing.", done: 3},
		{name: "the stream's folder is gone", damage: func(t *testing.T, dir string) {
			remove(t, jetstream.StreamDir(dir, "accept"))
		}, gone: []int{0, 1, 2, 3, 4, 5, 6, 7, 8, 9}, says: "10 callbacks (numbers 0 to 9), stored before", done: 3},
		{name: "everything is gone", damage: func(t *testing.T, dir string) { remove(t, filepath.Join(dir, "jetstream")) },
			gone: []int{0, 1, 2, 3, 4, 5, 6, 7, 8, 9}, says: "10 callbacks (numbers 0 to 9), stored before", rare: true},
		{name: "the end of the block is cut off", damage: func(t *testing.T, dir string) {
			edit(t, blockOf(t, dir, "accept"), func(b []byte) []byte { return b[:len(b)-100] })
		}, gone: []int{9}, says: "1 callbacks (numbers 9 to 9), stored between", done: 3},
		{name: "a byte in the last pack is flipped", damage: func(t *testing.T, dir string) {
			edit(t, blockOf(t, dir, "accept"), flip("name=callback-9"))
		}, gone: []int{9}, says: "1 callbacks (numbers 9 to 9), stored between", done: 3},
		{name: "a byte in a pack in between is flipped", damage: func(t *testing.T, dir string) {
			edit(t, blockOf(t, dir, "accept"), flip("name=callback-4"))
		}, gone: []int{4}, says: "1 callbacks (numbers 4 to 4), stored between", done: 3},
		{name: "a byte of a record around a sound pack is flipped", damage: func(t *testing.T, dir string) {
			edit(t, blockOf(t, dir, "accept"), func(b []byte) []byte {
				at := bytes.LastIndex(b, []byte("aftermath.accept."))
				b[at] ^= 1
				return b
			})
		}, says: "Gone: nothing.", done: 3},
		{name: "a stretch is zero", damage: func(t *testing.T, dir string) {
			edit(t, blockOf(t, dir, "accept"), func(b []byte) []byte {
				from, to := bytes.Index(b, []byte("name=callback-2")), bytes.Index(b, []byte("name=callback-6"))
				clear(b[from:to])
				return b
			})
		}, gone: []int{2, 3, 4, 5, 6}, says: "5 callbacks (numbers 2 to 6), stored between", done: 3},
		{name: "a pack is gone, and of the next one the record's head", damage: func(t *testing.T, dir string) {
			edit(t, blockOf(t, dir, "accept"), func(b []byte) []byte {
				from, to := bytes.Index(b, []byte("name=callback-6")), bytes.Index(b, []byte("name=callback-7"))
				clear(b[from : from+bytes.LastIndex(b[from:to], []byte("AMPK"))])
				return b
			})
		}, gone: []int{6}, says: "1 callbacks (numbers 6 to 6), stored between", done: 3},
		{name: "the last outcomes are damaged", damage: func(t *testing.T, dir string) {
			edit(t, blockOf(t, dir, "outcomes"), func(b []byte) []byte { b[bytes.LastIndex(b, []byte("AMPK"))+50] ^= 1; return b })
		}, says: "1 packs of outcomes", done: 2},
		{name: "the parked delivery is damaged", damage: func(t *testing.T, dir string) {
			edit(t, blockOf(t, dir, "later"), flip(`"id":"d0"`))
		}, says: "Made anew from the history: 1 pending deliveries", done: 3},
		{name: "the dead letter is damaged", damage: func(t *testing.T, dir string) {
			edit(t, blockOf(t, dir, "dead"), flip(`"id":"d1"`))
		}, says: "1 dead letters.", done: 3},
		{name: "the quarantine is damaged", damage: func(t *testing.T, dir string) {
			edit(t, blockOf(t, dir, "quarantine"), flip("quarantined"))
		}, says: "1 quarantined packets", done: 3, rare: true},
		{name: "index.db is damaged", damage: func(t *testing.T, dir string) {
			edit(t, filepath.Join(jetstream.StreamDir(dir, "accept"), "msgs", "index.db"), func(b []byte) []byte { b[20] ^= 4; return b })
		}, done: 3},
		{name: "the reader's state is damaged", damage: func(t *testing.T, dir string) {
			edit(t, filepath.Join(jetstream.StreamDir(dir, "accept"), "obs", "reader", "o.dat"), func(b []byte) []byte { b[2] ^= 4; return b })
		}, done: 3},
		{name: "mark.json is damaged", damage: func(t *testing.T, dir string) {
			edit(t, filepath.Join(dir, "mark.json"), func(b []byte) []byte { return bytes.Replace(b, []byte(`"seq":10`), []byte(`"seq":90`), 1) })
		}, done: 3},
		{name: "the tail is damaged", damage: func(t *testing.T, dir string) {
			edit(t, filepath.Join(dir, "tail"), func(b []byte) []byte { clear(b); return b })
		}, done: 3},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			dir := filled(t, n)
			c.damage(t, dir)
			s := open(t, jetstream.Options{Dir: dir, Logger: quiet()})
			wantKept(t, s, n, c.gone)
			wantReadOnce(t, s, n, c.gone)
			wantRest(t, s, c.done, c.rare)
			said := s.Status().Damage
			if c.says == "" && said != "" || !strings.Contains(said, c.says) {
				t.Errorf("the status says %q, want %q in it", said, c.says)
			}
			ctx := ctxFor(t, time.Minute)
			if err := s.Accept(ctx, storetest.NewRecord("later")); err != nil {
				t.Fatal(err)
			}
			if p, err := s.NextPack(ctx); err != nil || p.Seq != n+1 || p.Ordinal != n {
				t.Errorf("what came later is pack %+v, %v", p, err)
			}
			closeStore(t, s)

			s = open(t, jetstream.Options{Dir: dir})
			wantKept(t, s, n+1, c.gone)
			aside, err := filepath.Glob(filepath.Join(dir, "jetstream.damaged-*"))
			if err != nil || len(aside) > 1 || (len(aside) == 1) != (c.says != "") {
				t.Errorf("set aside are %v, %v", aside, err)
			}
			if again := s.Status().Damage; again != said {
				t.Errorf("after another start the status says %q", again)
			}
			closeStore(t, s)
			for _, folder := range aside {
				remove(t, folder)
			}
			s = open(t, jetstream.Options{Dir: dir})
			if st := s.Status(); !st.OK || st.Damage != "" {
				t.Errorf("with the folder taken away, status %+v", st)
			}
		})
	}
}

// wantKept looks for the callbacks in the journal: all but those that are gone, in order.
func wantKept(t *testing.T, s *jetstream.Store, n int, gone []int) {
	t.Helper()
	var ordinals, want []uint64
	for i := range n {
		if !slices.Contains(gone, i) {
			want = append(want, uint64(i))
		}
	}
	for p, err := range s.Journal(ctxFor(t, time.Minute), time.Time{}) {
		if err != nil {
			t.Fatal(err)
		}
		if p.Seq != p.Ordinal+1 {
			t.Errorf("pack %d begins at callback %d", p.Seq, p.Ordinal)
		}
		ordinals = append(ordinals, p.Ordinal)
	}
	if !slices.Equal(ordinals, want) {
		t.Errorf("the journal has %v, want %v", ordinals, want)
	}
}

// wantReadOnce wants the callbacks that were not handled to be read, and no other.
func wantReadOnce(t *testing.T, s *jetstream.Store, n int, gone []int) {
	t.Helper()
	for i := n / 2; i < n; i++ {
		if slices.Contains(gone, i) {
			continue
		}
		p, err := s.NextPack(ctxFor(t, 10*time.Second))
		if err != nil {
			t.Fatalf("callback %d: %v", i, err)
		}
		if p.Ordinal != uint64(i) || !p.Again {
			t.Errorf("read callback %d, want %d", p.Ordinal, i)
		}
		p.Ack()
	}
}

// wantRest looks for the parked delivery, the dead letter, the quarantined packet and the counts.
func wantRest(t *testing.T, s *jetstream.Store, done uint64, rare bool) {
	t.Helper()
	ctx := ctxFor(t, time.Minute)
	own, _, err := s.Totals(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if own.Done != done || own.Created != own.Done+own.Pending()+own.Dead+own.Discarded {
		t.Errorf("totals %+v", own)
	}
	var pending, dead, quarantined uint64
	settled, err := s.Settled(ctx, engine.Moment{})
	if err != nil {
		t.Fatal(err)
	}
	for id := range settled.Parks {
		if !settled.Ended(id, settled.Parks[id]) {
			pending++
		}
	}
	for _, err := range s.DeadLetters(ctx) {
		if err != nil {
			t.Fatal(err)
		}
		dead++
	}
	for _, err := range s.QuarantinedPackets(ctx) {
		if err != nil {
			t.Fatal(err)
		}
		quarantined++
	}
	if pending != own.Pending() || dead != own.Dead || own.Done > 0 && (pending != 1 || dead != 1) {
		t.Errorf("%d deliveries are parked and %d dead, and the totals say %+v", pending, dead, own)
	}
	if want := map[bool]uint64{false: 1, true: 0}[rare]; quarantined != want {
		t.Errorf("%d packets are quarantined, want %d", quarantined, want)
	}
}

func remove(t *testing.T, path string) {
	t.Helper()
	if err := os.RemoveAll(path); err != nil {
		t.Fatal(err)
	}
}

func flip(what string) func([]byte) []byte {
	return func(b []byte) []byte {
		b[bytes.Index(b, []byte(what))+len(what)-1] ^= 0x20
		return b
	}
}

func TestMarkOfALaterRelease(t *testing.T) {
	dir := filled(t, 1)
	edit(t, filepath.Join(dir, "mark.json"), func(b []byte) []byte {
		b, _, _ = bytes.Cut(bytes.Replace(b, []byte(`"version":1`), []byte(`"version":2`), 1), []byte(`,"sum"`))
		return append(b, '}')
	})
	if _, err := tryOpen(t, jetstream.Options{Dir: dir}); err == nil || !strings.Contains(err.Error(), "version 2: a newer release") {
		t.Errorf("got %v", err)
	}
}

// A mark says where the reader stands from the first moment, or a store that is killed and damaged then would be counted wrong.
func TestFirstMark(t *testing.T) {
	dir := t.TempDir()
	open(t, jetstream.Options{Dir: dir})
	b, err := os.ReadFile(filepath.Join(dir, "mark.json"))
	if err != nil || !bytes.Contains(b, []byte(`"floor":0`)) {
		t.Errorf("the first mark is %s, %v", b, err)
	}
}
