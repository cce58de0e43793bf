package jetstream_test

import (
	"bytes"
	"fmt"
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/aftermath-rules/aftermath/engine"
	"github.com/aftermath-rules/aftermath/internal/jetstream"
)

// Outcomes of more than a message take several, and whichever of them is the last that is stored, its totals are those of the events up to it.
func TestTotalsOfParts(t *testing.T) {
	s := open(t, jetstream.Options{Dir: t.TempDir()})
	ctx := ctxFor(t, time.Minute)
	at := time.Unix(1669872112, 0).UTC()
	var totals engine.Totals
	add := func(events []engine.Event) {
		rules := maps.Clone(totals.Rules) // the store may keep it
		if rules == nil {
			rules = map[string]engine.RuleTotals{}
		}
		for i := range events {
			totals.Add(&events[i])
			if c := events[i].Matched; c != nil {
				name := c.Matches[0].Rule
				rules[name] = engine.RuleTotals{Matches: rules[name].Matches + 1, Last: c.Received}
			}
		}
		totals.Rules = rules
	}
	const packs, each = 3, 2500
	for pack := range packs {
		var events []engine.Event
		for i := range each {
			id, rule := fmt.Sprint(pack, "-", i), fmt.Sprint("rule", pack+i/1000) // some match for the first time
			events = append(events,
				engine.Event{Matched: &engine.Matched{
					Callback: id, Seq: uint64(pack + 1), Index: i, Received: at, Pairs: 1, Matches: []engine.Hit{{Rule: rule}}, Deliveries: []engine.Job{{ID: id}},
				}},
				engine.Event{Ended: &engine.Ended{Delivery: id, Outcome: engine.OutcomeDone, At: at, Sent: bytes.Repeat([]byte("s"), 4096)}})
		}
		add(events)
		if _, err := s.Append(ctx, events, &totals); err != nil {
			t.Fatal(err)
		}
	}
	totals = engine.Totals{}
	messages := 0
	for p, err := range s.Events(ctx, 0) {
		if err != nil {
			t.Fatal(err)
		}
		messages++
		add(p.Events)
		if diff := cmp.Diff(&totals, p.Totals); diff != "" {
			t.Fatalf("message %d (-want +got):\n%s", messages, diff)
		}
	}
	if messages <= packs || totals.Done != packs*each {
		t.Errorf("%d messages, %d deliveries", messages, totals.Done)
	}
	closeStore(t, s)
}

// An event that is too long for a message of its own fits as long as compression makes it so, and comes back as it was.
func TestEventOfManyDeliveries(t *testing.T) {
	s := open(t, jetstream.Options{Dir: t.TempDir()})
	ctx := ctxFor(t, time.Minute)
	matched := func(deliveries int) engine.Event {
		m := &engine.Matched{Callback: "c", Seq: 1, Received: time.Unix(1669872112, 0).UTC(), Pairs: deliveries}
		for i := range deliveries {
			m.Deliveries = append(m.Deliveries, engine.Job{ID: fmt.Sprint(i), Labels: map[string]string{"note": strings.Repeat("x", 1000)}})
		}
		return engine.Event{Matched: m}
	}
	if ev := matched(30_000); s.Fits(&ev) {
		t.Error("30 MB fit")
	}
	ev := matched(12_000)
	if !s.Fits(&ev) {
		t.Fatal("12 MB don't fit")
	}
	events := []engine.Event{matched(1), ev, matched(2)}
	if _, err := s.Append(ctx, events, &engine.Totals{Callbacks: 3}); err != nil {
		t.Fatal(err)
	}
	var got []engine.Event
	for p, err := range s.Events(ctx, 0) {
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, p.Events...)
	}
	if diff := cmp.Diff(events, got); diff != "" {
		t.Error(diff)
	}
	closeStore(t, s)
}

// Where the store fails between two of the messages that outcomes take, what is stored already is not stored again with the rest.
func TestPartsAreStoredOnce(t *testing.T) {
	s := open(t, jetstream.Options{Dir: t.TempDir()})
	ctx := ctxFor(t, time.Minute)
	var events []engine.Event
	ended := func(id int, sent string) engine.Event {
		return engine.Event{Ended: &engine.Ended{Delivery: fmt.Sprint(id), Outcome: engine.OutcomeDone, Sent: []byte(sent)}}
	}
	for i := range 3000 {
		events = append(events, ended(i, strings.Repeat("s", 4096)))
	}
	totals := engine.Totals{Done: uint64(len(events))}
	last := &events[len(events)-1]
	*last = ended(len(events)-1, strings.Repeat("s", 30<<20))
	if _, err := s.Append(ctx, events, &totals); err == nil {
		t.Fatal("an event of 30 MB is stored")
	}
	*last = ended(len(events)-1, "fine")
	for range 2 { // the second call is of other events, though it is the same slice
		if _, err := s.Append(ctx, events, &totals); err != nil {
			t.Fatal(err)
		}
		totals.Done += uint64(len(events))
	}
	stored, done := make(map[string]int), uint64(0)
	for p, err := range s.Events(ctx, 0) {
		if err != nil {
			t.Fatal(err)
		}
		for _, ev := range p.Events {
			stored[ev.Ended.Delivery]++
		}
		if done += uint64(len(p.Events)); p.Totals == nil || p.Totals.Done != done {
			t.Errorf("message %d has the totals %+v, want %d done", p.Seq, p.Totals, done)
		}
	}
	for i := range events {
		if n := stored[fmt.Sprint(i)]; n != 2 {
			t.Fatalf("event %d is stored %d times by two calls", i, n)
		}
	}
	closeStore(t, s)
}
