package history

import (
	"context"
	"fmt"
	"iter"
	"path/filepath"
	"sync/atomic"
	"testing"

	"github.com/aftermath-rules/aftermath/engine"
)

// watched counts the packs that are read from the stream.
type watched struct {
	source
	read atomic.Int64
}

func (w *watched) Events(ctx context.Context, from uint64) iter.Seq2[*engine.EventPack, error] {
	return func(yield func(*engine.EventPack, error) bool) {
		for p, err := range w.source.Events(ctx, from) {
			w.read.Add(1)
			if !yield(p, err) {
				return
			}
		}
	}
}

// TestTake hands over what is recorded: the history is the same as one that reads the stream, and reads nothing of what it was given.
func TestTake(t *testing.T) {
	l := newLog(t)
	from := &watched{source: l.source}
	h := New(Options{Path: filepath.Join(t.TempDir(), "history.db"), Source: from})
	var packs [][]engine.Event
	for i := range 20 {
		j := job(fmt.Sprint("d", i), "rule", "hook", "alice", fmt.Sprint("friend", i), i)
		packs = append(packs, []engine.Event{matched(j)}, []engine.Event{ended(j, engine.OutcomeRetry, 1, 1, "500"), ended(j, engine.OutcomeDone, 1, 2, "")})
	}
	take := func(events []engine.Event, give bool) {
		t.Helper()
		seq, err := l.Append(context.Background(), events, nil)
		must(t, err)
		if give {
			h.Take(seq, events)
		}
	}
	follow := func(wantRead int64) {
		t.Helper()
		before := from.read.Load()
		must(t, h.follow(context.Background()))
		if read := from.read.Load() - before; read != wantRead {
			t.Errorf("it read %d packs from the stream, want %d", read, wantRead)
		}
	}
	t.Cleanup(h.closeFile)
	for _, p := range packs[:10] {
		take(p, true)
	}
	follow(0)
	take(packs[10], false) // another node's
	for _, p := range packs[11:15] {
		take(p, true)
	}
	follow(5) // behind a gap all is read
	for _, p := range packs[15:] {
		take(p, true)
	}
	follow(0)
	h.Take(0, packs[0])
	follow(0)
	page, _, err := h.Search(context.Background(), Query{Limit: 100})
	must(t, err)
	if len(page) != 20 {
		t.Fatalf("%d deliveries, want 20", len(page))
	}
	for _, d := range page {
		if d.Status != Done || d.Attempts != 2 {
			t.Errorf("%+v", d)
		}
		_, tries, err := h.Delivery(context.Background(), d.ID)
		must(t, err)
		if len(tries) != 2 {
			t.Errorf("delivery %s has %d attempts, want 2", d.ID, len(tries))
		}
	}
}

// TestTakeTooMuch hands over more than is held: the rest comes from the stream, none is lost.
func TestTakeTooMuch(t *testing.T) {
	l := newLog(t)
	h := New(Options{Path: filepath.Join(t.TempDir(), "history.db"), Source: l})
	t.Cleanup(h.closeFile)
	const packs, each = 20, 1000
	for p := range packs {
		var events []engine.Event
		for i := range each {
			events = append(events, matched(job(fmt.Sprintf("%d-%d", p, i), "rule", "hook", "alice", "bob", 0)))
		}
		seq, err := l.Append(context.Background(), events, nil)
		must(t, err)
		h.Take(seq, events)
	}
	if held := h.fresh.events; held > maxFresh {
		t.Errorf("%d events are held, the bound is %d", held, maxFresh)
	}
	must(t, h.follow(context.Background()))
	must(t, h.follow(context.Background()))
	var n int
	must(t, h.file.read.QueryRow("SELECT count(*) FROM deliveries").Scan(&n))
	if n != packs*each {
		t.Errorf("%d deliveries, want %d", n, packs*each)
	}
}

// TestMadeAgain has a delivery recorded as made after it has ended, as another node may that was given its pack too.
func TestMadeAgain(t *testing.T) {
	l := newLog(t)
	h := New(Options{Path: filepath.Join(t.TempDir(), "history.db"), Source: l})
	t.Cleanup(h.closeFile)
	a, b := job("a", "rule", "hook", "alice", "bob", 0), job("b", "rule", "hook", "alice", "carol", 0)
	for _, events := range [][]engine.Event{
		{matched(a, b), ended(a, engine.OutcomeDone, 0, 1, "")},
		{matched(a, b), ended(b, engine.OutcomeRetry, 1, 1, "500")},
		{matched(b), ended(b, engine.OutcomeDead, 1, 2, "410")},
	} {
		l.record(events...)
		must(t, h.follow(context.Background()))
	}
	if got := ids(t, h, Query{Status: Done}); got != "a" {
		t.Errorf("done: %q", got)
	}
	if got := ids(t, h, Query{Status: Dead}); got != "b" {
		t.Errorf("dead: %q", got)
	}
	d, tries, err := h.Delivery(context.Background(), "b")
	must(t, err)
	if d.Attempts != 2 || d.Type != "webhook" || len(tries) != 2 {
		t.Errorf("%+v with %d attempts in its history", d, len(tries))
	}
}
