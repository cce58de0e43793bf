package storetest

import (
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/aftermath-rules/aftermath/engine"
)

func parked(id string, due time.Time) engine.Parked {
	return engine.Parked{
		Job: engine.Job{
			ID: id, Callback: "cb-" + id, Rule: "vip", Labels: map[string]string{"team": "care"}, Action: "crm",
			From: "alice\r\n", To: `"<b>{{ x }}` + "\u2028", SdkAppid: 1400000000, PairCount: 2, PairIndex: 1, Time: time.Unix(1669872112, 0).UTC(),
		},
		Due: due.UTC(), Attempt: 2, First: time.Unix(1669872112, 0).UTC(), Parks: 3, Error: "connection refused", State: []byte{0, 1, 0xff},
	}
}

func nextBundles(t *testing.T, s engine.Store, n int) (all []engine.Parked, bundles []*engine.Bundle) {
	t.Helper()
	ctx := ctxFor(t)
	for len(all) < n {
		b, err := s.NextBundle(ctx)
		if err != nil {
			t.Fatalf("after %d of %d deliveries: %v", len(all), n, err)
		}
		all, bundles = append(all, b.Deliveries...), append(bundles, b)
	}
	if len(all) > n {
		t.Fatalf("got %d deliveries, want %d", len(all), n)
	}
	return all, bundles
}

func testPark(t *testing.T, o Opener) {
	s := o.Open(t)
	soon, later := time.Now().Add(1500*time.Millisecond), time.Now().Add(time.Hour)
	want := parked("a", soon)
	must(t, s.Park(ctxFor(t), []engine.Parked{parked("z", later), want, parked("b", soon)}))
	got, bundles := nextBundles(t, s, 2)
	if time.Now().Before(soon.Add(-50 * time.Millisecond)) {
		t.Errorf("it came %v early", time.Until(soon))
	}
	if !reflect.DeepEqual(got[0], want) {
		t.Errorf("got\n%+v\nwant\n%+v", got[0], want)
	}
	if len(bundles) != 1 || bundles[0].Again {
		t.Errorf("two deliveries due at once came as %d bundles, again %v", len(bundles), bundles[0].Again)
	}
	bundles[0].Ack()
	noBundle(t, s, 300*time.Millisecond)
}

func testParkPast(t *testing.T, o Opener) {
	s := o.Open(t)
	must(t, s.Park(ctxFor(t), []engine.Parked{parked("a", time.Now().Add(-time.Hour))}))
	nextBundles(t, s, 1)
}

func testParkAgain(t *testing.T, o Opener) {
	s := o.Open(t)
	due := time.Now()
	ps := []engine.Parked{parked("a", due), parked("b", due), parked("c", due.Add(time.Second))}
	must(t, s.Park(ctxFor(t), ps))
	must(t, s.Park(ctxFor(t), ps))
	came := map[string]int{}
	until := func(ids ...string) {
		t.Helper()
		for ctx := ctxFor(t); slices.ContainsFunc(ids, func(id string) bool { return came[id] == 0 }); {
			b, err := s.NextBundle(ctx)
			if err != nil {
				t.Fatalf("%v came, want %v: %v", came, ids, err)
			}
			for _, p := range b.Deliveries {
				came[p.Job.ID]++
			}
			b.Ack()
		}
	}
	until("a", "b")                // and c, where it took so long
	must(t, s.Park(ctxFor(t), ps)) // what came and went does not come again either
	must(t, s.Park(ctxFor(t), []engine.Parked{parked("d", due)}))
	until("c", "d")
	noBundle(t, s, 300*time.Millisecond)
	if want := map[string]int{"a": 1, "b": 1, "c": 1, "d": 1}; !maps.Equal(came, want) {
		t.Errorf("got %v, want each once", came)
	}
}

func testParkRestart(t *testing.T, o Opener) {
	s := o.Open(t)
	now := time.Now()
	must(t, s.Park(ctxFor(t), []engine.Parked{parked("acked", now)}))
	_, bundles := nextBundles(t, s, 1)
	bundles[0].Ack()
	must(t, s.Park(ctxFor(t), []engine.Parked{parked("read", now), parked("waiting", now.Add(3*time.Second))}))
	nextBundles(t, s, 1)
	// What is acked is settled soon, not at once.
	eventually(t, "the acked bundle gone", func() bool {
		st, err := s.Settled(ctxFor(t), engine.Moment{At: now.Add(-time.Minute)})
		return err == nil && st.Parks["acked"] == 0 && st.Parks["read"] == 3 && st.Parks["waiting"] == 3
	})
	s = o.Reopen(t, s)
	got, bundles := nextBundles(t, s, 2)
	var ids []string // in any order: what waited may be due by now
	for _, p := range got {
		ids = append(ids, p.Job.ID)
	}
	if slices.Sort(ids); !slices.Equal(ids, []string{"read", "waiting"}) {
		t.Errorf("got %v, want read and waiting", ids)
	}
	for _, b := range bundles {
		if !b.Again && slices.ContainsFunc(b.Deliveries, func(p engine.Parked) bool { return p.Job.ID == "read" }) {
			t.Error("a bundle that was read before the restart does not say so")
		}
		b.Ack()
	}
	noBundle(t, s, 300*time.Millisecond)
}

func testParkMany(t *testing.T, o Opener) {
	s := o.Open(t)
	const n = 2500
	due := time.Now()
	var ps []engine.Parked
	for i := range n {
		p := parked(fmt.Sprint("d", i), due)
		p.State = make([]byte, 4<<10) // more than one message may hold, altogether
		ps = append(ps, p)
	}
	must(t, s.Park(ctxFor(t), ps))
	got, _ := nextBundles(t, s, n)
	seen := make(map[string]bool)
	for _, p := range got {
		seen[p.Job.ID] = true
	}
	if len(seen) != n {
		t.Errorf("%d different deliveries, want %d", len(seen), n)
	}
}

func testDeadLetters(t *testing.T, o Opener) {
	s := o.Open(t)
	ctx := ctxFor(t)
	at := time.Now().UTC()
	letter := func(id, err string) *engine.DeadLetter {
		d := &engine.DeadLetter{Parked: parked(id, at), At: at}
		d.Error = err
		return d
	}
	must(t, s.Bury(ctx, letter("a", "first")))
	must(t, s.Bury(ctx, letter("b", "other")))
	must(t, s.Bury(ctx, letter("a", "second")))
	s = o.Reopen(t, s)
	got := make(map[string]string)
	for d, err := range s.DeadLetters(ctx) {
		must(t, err)
		got[d.Job.ID] += d.Error
	}
	if want := map[string]string{"a": "second", "b": "other"}; !reflect.DeepEqual(got, want) {
		t.Errorf("dead letters %v, want %v", got, want)
	}
	if d, err := s.DeadLetter(ctx, "a"); err != nil || !reflect.DeepEqual(d, letter("a", "second")) {
		t.Errorf("got\n%+v, %v\nwant\n%+v", d, err, letter("a", "second"))
	}
	if err := s.Exhume(ctx, &engine.DeadLetter{Parked: parked("a", at), At: at.Add(-time.Second)}); !errors.Is(err, engine.ErrNotFound) {
		t.Errorf("exhuming a letter that another has replaced: %v", err)
	}
	must(t, s.Exhume(ctx, letter("a", "second")))
	if _, err := s.DeadLetter(ctx, "a"); !errors.Is(err, engine.ErrNotFound) {
		t.Errorf("an exhumed letter: %v", err)
	}
	if err := s.Exhume(ctx, letter("a", "second")); !errors.Is(err, engine.ErrNotFound) {
		t.Errorf("exhuming twice: %v", err)
	}
	if _, err := s.DeadLetter(ctx, "b"); err != nil {
		t.Errorf("the other letter: %v", err)
	}
}

func matched(seq uint64, index int) engine.Event {
	return engine.Event{Matched: &engine.Matched{Callback: fmt.Sprint("cb", seq, index), Seq: seq, Index: index, Pairs: 1, RuleSet: "r",
		Received: time.Unix(1669872112, 0).UTC(), Matches: []engine.Hit{{Rule: "vip", Pair: 0}}}}
}

func ended(id, outcome string, parks int) engine.Event {
	return engine.Event{Ended: &engine.Ended{Delivery: id, Outcome: outcome, Parks: parks, At: time.Unix(1669872112, 0).UTC(), Sent: []byte("x")}}
}

func testEvents(t *testing.T, o Opener) {
	s := o.Open(t)
	ctx := ctxFor(t)
	for range s.Events(ctx, 0) {
		t.Error("an empty store has events")
	}
	first := []engine.Event{matched(1, 0), ended("a", engine.OutcomeDone, 0)}
	second := []engine.Event{ended("b", engine.OutcomeRetry, 1)}
	totals := &engine.Totals{Callbacks: 7, Rules: map[string]engine.RuleTotals{"vip": {Matches: 3, Last: time.Unix(1669872112, 0).UTC()}}}
	one := appended(t, s, first, nil)
	two := appended(t, s, second, totals)
	s = o.Reopen(t, s)
	var packs []*engine.EventPack
	for p, err := range s.Events(ctx, 0) {
		must(t, err)
		packs = append(packs, p)
	}
	if len(packs) != 2 || !reflect.DeepEqual(packs[0].Events, first) || !reflect.DeepEqual(packs[1].Events, second) {
		t.Fatalf("events came back as %+v", packs)
	}
	if one != packs[0].Seq || two != packs[1].Seq {
		t.Errorf("Append gave the numbers %d and %d, the packs have %d and %d", one, two, packs[0].Seq, packs[1].Seq)
	}
	if !reflect.DeepEqual(packs[1].Totals, totals) || packs[0].Totals != nil || packs[0].Node == "" {
		t.Errorf("totals %+v and %+v, node %q", packs[0].Totals, packs[1].Totals, packs[0].Node)
	}
	n := 0
	for p, err := range s.Events(ctx, packs[1].Seq) {
		must(t, err)
		if n++; p.Seq != packs[1].Seq {
			t.Errorf("from %d on came %d", packs[1].Seq, p.Seq)
		}
	}
	if n != 1 {
		t.Errorf("from the last on came %d packs", n)
	}
}

func testTotals(t *testing.T, o Opener) {
	s := o.Open(t)
	ctx := ctxFor(t)
	own, others, err := s.Totals(ctx)
	must(t, err)
	if !reflect.DeepEqual(own, &engine.Totals{}) || !reflect.DeepEqual(others, &engine.Totals{}) {
		t.Errorf("an empty store has totals %+v and %+v", own, others)
	}
	want := &engine.Totals{Callbacks: 5, Done: 4, Dead: 1, Rules: map[string]engine.RuleTotals{"vip": {Matches: 5, Last: time.Unix(1669872112, 0).UTC()}}}
	appended(t, s, []engine.Event{matched(1, 0)}, &engine.Totals{Callbacks: 1})
	appended(t, s, nil, want)
	appended(t, s, []engine.Event{matched(2, 0)}, nil)
	s = o.Reopen(t, s)
	own, others, err = s.Totals(ctx)
	must(t, err)
	if !reflect.DeepEqual(own, want) {
		t.Errorf("totals %+v, want %+v", own, want)
	}
	if !reflect.DeepEqual(others, &engine.Totals{}) {
		t.Errorf("others' totals %+v", others)
	}
}

func testSettled(t *testing.T, o Opener) {
	s := o.Open(t)
	ctx := ctxFor(t)
	since := time.Now().Add(-time.Second)
	missed := &engine.Unmatched{Seq: 3, First: "cb30", RuleSet: "r", Pairs: 4, Runs: [][2]int{{0, 1}, {2, 5}}}
	rest := matched(3, 1) // of the same callback
	rest.Matched.FirstPair = 7
	appended(t, s, []engine.Event{
		matched(3, 1), rest, {Unmatched: missed}, ended("done", engine.OutcomeDone, 0), ended("retried", engine.OutcomeRetry, 2), ended("dead", engine.OutcomeDead, 1),
	}, nil)
	p := parked("retried", time.Now().Add(time.Hour))
	p.Parks = 5
	must(t, s.Park(ctx, []engine.Parked{p, parked("fired", time.Now().Add(-time.Second))}))
	must(t, s.Bury(ctx, &engine.DeadLetter{Parked: parked("buried", time.Now()), At: time.Now().UTC()}))
	nextBundles(t, s, 1)
	s = o.Reopen(t, s)
	got, err := s.Settled(ctx, engine.Moment{At: since})
	must(t, err)
	if m := got.Matched[engine.PackIndex{Seq: 3, Index: 1}]; m == nil || !reflect.DeepEqual(m, matched(3, 1).Matched) {
		t.Errorf("matched: %+v", got.Matched)
	}
	if m := got.Matched[engine.PackIndex{Seq: 3, Index: 1, Pair: 7}]; m == nil || !reflect.DeepEqual(m, rest.Matched) {
		t.Errorf("matched of the pairs behind: %+v", got.Matched)
	}
	if want := map[uint64][]*engine.Unmatched{3: {missed}}; !reflect.DeepEqual(got.Missed, want) {
		t.Errorf("unmatched: %+v", got.Missed)
	}
	if got.Parks["retried"] != 5 || got.Parks["fired"] != 3 || got.Parks["dead"] != 1 {
		t.Errorf("parks: %v", got.Parks)
	}
	if want := map[string]int{"done": 1, "dead": 1}; !reflect.DeepEqual(got.Ends, want) {
		t.Errorf("ended: %v", got.Ends)
	}
	if got.Dead["buried"] == nil || len(got.Dead) != 1 {
		t.Errorf("dead: %v", got.Dead)
	}
	// As after a clock that was put back by an hour.
	later, err := s.Settled(ctx, engine.Moment{At: time.Now().Add(time.Hour)})
	must(t, err)
	if !reflect.DeepEqual(later, got) {
		t.Errorf("since a time that is yet to come: %+v, want all there is: %+v", later, got)
	}
}

func testJournal(t *testing.T, o Opener) {
	s := o.Open(t)
	ctx := ctxFor(t)
	since := time.Now().Add(-time.Second)
	packs := onePackEach(t, s, "a", "b", "a")
	packs[0].Ack()
	packs[2].Ack()
	s = o.Reopen(t, s)
	var records []engine.Record
	for p, err := range s.Journal(ctx, since) {
		must(t, err)
		p.Ack()
		records = append(records, p.Records...)
	}
	if len(records) != 3 || records[0].Repeat || !records[2].Repeat {
		t.Fatalf("the journal has %+v", records)
	}
	sameKey(t, records[1], "b")
	got, _ := readRecords(t, s, 1)
	sameKey(t, got[0], "b")
	for p := range s.Journal(ctx, time.Now().Add(time.Hour)) {
		t.Errorf("the journal has pack %d from the future", p.Seq)
	}
}

func testQuarantine(t *testing.T, o Opener) {
	s := o.Open(t)
	ctx := ctxFor(t)
	want := []*engine.Quarantined{
		{At: time.Unix(1669872112, 0).UTC(), Query: "a=1", Body: []byte("{\xff"), Error: "bad UTF-8"},
		{At: time.Unix(1669872113, 0).UTC(), Query: "a=2", Body: []byte("[]"), Error: "no object"},
	}
	for _, q := range want {
		must(t, s.Quarantine(ctx, q))
	}
	s = o.Reopen(t, s)
	var got []*engine.Quarantined
	for q, err := range s.QuarantinedPackets(ctx) {
		must(t, err)
		got = append(got, q)
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("quarantine %+v, want %+v", got, want)
	}
}

func testClosed(t *testing.T, o Opener) {
	s := o.Open(t)
	ctx := ctxFor(t)
	var wg sync.WaitGroup
	waited := make([]error, 2)
	wg.Go(func() { _, waited[0] = s.NextPack(ctx) })
	wg.Go(func() { _, waited[1] = s.NextBundle(ctx) })
	must(t, s.Close(ctx))
	wg.Wait()
	_, nextErr := s.NextPack(ctx)
	_, appendErr := s.Append(ctx, nil, &engine.Totals{})
	for name, err := range map[string]error{
		"waiting NextPack": waited[0], "waiting NextBundle": waited[1], "NextPack": nextErr, "Accept": s.Accept(ctx, NewRecord("a")),
		"Park": s.Park(ctx, []engine.Parked{parked("a", time.Now())}), "Append": appendErr,
	} {
		if !errors.Is(err, engine.ErrClosed) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if st := s.Status(); st.OK {
		t.Error("a closed store says that callbacks can be stored")
	}
	must(t, s.Close(ctx)) // once more does nothing
}
