package storetest

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/aftermath-rules/aftermath/engine"
)

// Opener opens the store under test.
type Opener struct {
	// Open gives a new, empty store. It closes it, and takes away what it kept, when the test ends.
	Open func(t *testing.T) engine.Store
	// Reopen closes the store and opens what it kept.
	Reopen func(t *testing.T, s engine.Store) engine.Store
}

// patience is how long the suite waits for what a store must do soon.
const patience = 20 * time.Second

// Run is the conformance suite: what every engine.Store does, as who uses one sees it.
func Run(t *testing.T, o Opener) {
	for _, c := range []struct {
		name string
		test func(*testing.T, Opener)
	}{
		{"accepted records are read as they were, in order", testRoundTrip},
		{"many at once are all stored once", testConcurrent},
		{"a context that is over stores nothing", testContextOver},
		{"waiting for a pack ends with the context", testWaitEnds},
		{"an accept wakes the reader that waits", testWake},
		{"what was acked is not read again", testAckSurvives},
		{"what was not acked is read again after a restart", testAgain},
		{"ordinals chain over a restart", testOrdinals},
		{"a repeat is marked within its window only", testRepeat},
		{"a repeat is marked over a restart, and the same way again", testRepeatRestart},
		{"parked deliveries come when they are due", testPark},
		{"a delivery whose time has passed comes at once", testParkPast},
		{"deliveries that are parked again after an error are there once", testParkAgain},
		{"parked deliveries outlive a restart until they are acked", testParkRestart},
		{"a great number is parked", testParkMany},
		{"a dead letter replaces the one before it", testDeadLetters},
		{"events come back in order with their totals", testEvents},
		{"totals outlive a restart", testTotals},
		{"settled knows what was recorded", testSettled},
		{"the journal has what is acked too", testJournal},
		{"quarantined packets are kept in order", testQuarantine},
		{"a closed store says so", testClosed},
	} {
		t.Run(c.name, func(t *testing.T) { c.test(t, o) })
	}
}

func ctxFor(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	t.Cleanup(cancel)
	return ctx
}

// must ends the test where a step fails.
func appended(t *testing.T, s engine.Store, events []engine.Event, totals *engine.Totals) uint64 {
	t.Helper()
	seq, err := s.Append(ctxFor(t), events, totals)
	must(t, err)
	return seq
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// NewRecord makes a record whose key and body come from the name.
func NewRecord(name string) *engine.Record {
	r := &engine.Record{
		Window:   10 * time.Minute,
		Received: time.Now().UTC(),
		Query:    "SdkAppid=1400000000&name=" + name,
		Body:     []byte(`{"PairList":[{"From_Account":"` + name + `","To_Account":"b"}]}`),
	}
	copy(r.Key[:], name)
	return r
}

// readRecords reads packs until it has n records, and gives them with the packs.
func readRecords(t *testing.T, s engine.Store, n int) ([]engine.Record, []*engine.Pack) {
	t.Helper()
	ctx := ctxFor(t)
	var records []engine.Record
	var packs []*engine.Pack
	for len(records) < n {
		p, err := s.NextPack(ctx)
		if err != nil {
			t.Fatalf("after %d of %d records: %v", len(records), n, err)
		}
		records = append(records, p.Records...)
		packs = append(packs, p)
	}
	if len(records) > n {
		t.Fatalf("read %d records, want %d", len(records), n)
	}
	return records, packs
}

// onePackEach accepts records and gives their packs. Each is read before the next is accepted: a store may put into one pack what it had to keep
// elsewhere for a while.
func onePackEach(t *testing.T, s engine.Store, names ...string) (packs []*engine.Pack) {
	t.Helper()
	for _, name := range names {
		must(t, s.Accept(ctxFor(t), NewRecord(name)))
		_, read := readRecords(t, s, 1)
		packs = append(packs, read...)
	}
	return packs
}

func noPack(t *testing.T, s engine.Store) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 300*time.Millisecond)
	defer cancel()
	if p, err := s.NextPack(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("got pack %+v, error %v; want none", p, err)
	}
}

func noBundle(t *testing.T, s engine.Store, d time.Duration) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), d)
	defer cancel()
	if b, err := s.NextBundle(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("got bundle %+v, error %v; want none", b, err)
	}
}

func sameRecord(t *testing.T, got, want engine.Record) {
	t.Helper()
	if got.Key != want.Key || got.Window != want.Window || !got.Received.Equal(want.Received) || got.Query != want.Query ||
		string(got.Body) != string(want.Body) || got.Repeat != want.Repeat {
		t.Fatalf("got record\n%+v\nwant\n%+v", got, want)
	}
}

// eventually waits until ok holds.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not within %v: %s", patience, what)
		}
	}
}

func testRoundTrip(t *testing.T, o Opener) {
	s := o.Open(t)
	want := []*engine.Record{
		NewRecord("alice"),
		{Received: time.Unix(1669872112, 123456789).UTC(), Query: "", Body: []byte{0, 0xff, '\n'}},
		{Key: engine.Key{1}, Window: 10 * time.Second, Received: time.Now().UTC(), Query: "a=%00", Body: []byte{}},
	}
	for _, r := range want {
		must(t, s.Accept(ctxFor(t), r))
	}
	got, packs := readRecords(t, s, len(want))
	for i := range want {
		sameRecord(t, got[i], *want[i])
	}
	for i, p := range packs {
		if p.Again {
			t.Errorf("pack %d was never read before, but says so", p.Seq)
		}
		if p.Seq != uint64(i+1) {
			t.Errorf("pack %d has sequence number %d", i+1, p.Seq)
		}
		if d := time.Since(p.Stored).Abs(); d > time.Minute {
			t.Errorf("pack %d was stored %v from now", p.Seq, d)
		}
	}
	if st := s.Status(); !st.OK || st.Callbacks != 3 || st.Error != "" || st.Damage != "" {
		t.Errorf("status %+v", st)
	}
}

func testConcurrent(t *testing.T, o Opener) {
	s := o.Open(t)
	const n = 300
	var wg sync.WaitGroup
	errs := make([]error, n)
	for i := range n {
		wg.Go(func() { errs[i] = s.Accept(ctxFor(t), NewRecord(fmt.Sprintf("c%d", i))) })
	}
	wg.Wait()
	for _, err := range errs {
		must(t, err)
	}
	got, packs := readRecords(t, s, n)
	seen := make(map[engine.Key]bool)
	for _, r := range got {
		if seen[r.Key] || r.Repeat {
			t.Fatalf("%s came twice or as a repeat", r.Key[:])
		}
		seen[r.Key] = true
	}
	chained(t, packs)
	noPack(t, s)
}

// chained wants each pack's ordinal to be how many records came before it.
func chained(t *testing.T, packs []*engine.Pack) {
	t.Helper()
	ordinal := uint64(0)
	for _, p := range packs {
		if p.Ordinal != ordinal {
			t.Fatalf("pack %d has ordinal %d, want %d", p.Seq, p.Ordinal, ordinal)
		}
		ordinal += uint64(len(p.Records))
	}
}

func testContextOver(t *testing.T, o Opener) {
	s := o.Open(t)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	_, appendErr := s.Append(ctx, nil, &engine.Totals{})
	for name, err := range map[string]error{
		"Accept":     s.Accept(ctx, NewRecord("a")),
		"Park":       s.Park(ctx, []engine.Parked{parked("a", time.Now())}),
		"Bury":       s.Bury(ctx, &engine.DeadLetter{Parked: parked("a", time.Now())}),
		"Append":     appendErr,
		"Quarantine": s.Quarantine(ctx, &engine.Quarantined{}),
	} {
		if !errors.Is(err, context.Canceled) {
			t.Errorf("%s: %v", name, err)
		}
	}
	noPack(t, s)
}

func testWaitEnds(t *testing.T, o Opener) {
	s := o.Open(t)
	noPack(t, s)
	noBundle(t, s, 100*time.Millisecond)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := s.NextPack(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("NextPack: %v", err)
	}
	if _, err := s.NextBundle(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("NextBundle: %v", err)
	}
}

func testWake(t *testing.T, o Opener) {
	s := o.Open(t)
	got := make(chan error, 1)
	ctx := ctxFor(t)
	go func() {
		_, err := s.NextPack(ctx)
		got <- err
	}()
	must(t, s.Accept(ctx, NewRecord("a")))
	must(t, <-got)
}

func testAckSurvives(t *testing.T, o Opener) {
	s := o.Open(t)
	for i := range 5 {
		must(t, s.Accept(ctxFor(t), NewRecord(fmt.Sprint("a", i))))
	}
	_, packs := readRecords(t, s, 5)
	for _, p := range packs {
		p.Ack()
	}
	eventually(t, "all packs acked", func() bool { return s.Status().Waiting == 0 })
	s = o.Reopen(t, s)
	noPack(t, s)
	must(t, s.Accept(ctxFor(t), NewRecord("b")))
	got, packs := readRecords(t, s, 1)
	sameKey(t, got[0], "b")
	if packs[0].Again {
		t.Error("a new pack says that it may have been read before")
	}
}

func sameKey(t *testing.T, r engine.Record, name string) {
	t.Helper()
	if want := NewRecord(name); r.Key != want.Key {
		t.Errorf("got the record %q, want %q", r.Key[:], name)
	}
}

func testAgain(t *testing.T, o Opener) {
	s := o.Open(t)
	packs := onePackEach(t, s, "a0", "a1", "a2")
	packs[0].Ack()
	eventually(t, "one pack acked", func() bool { return s.Status().Waiting == 2 })
	start := time.Now()
	s = o.Reopen(t, s)
	_, packs = readRecords(t, s, 2)
	slices.SortFunc(packs, func(a, b *engine.Pack) int { return cmp.Compare(a.Seq, b.Seq) }) // what comes again may be out of order
	sameKey(t, packs[0].Records[0], "a1")
	sameKey(t, packs[1].Records[0], "a2")
	for _, p := range packs {
		if !p.Again {
			t.Errorf("pack %d does not say that it may have been read before", p.Seq)
		}
	}
	if took := time.Since(start); took > 15*time.Second {
		t.Errorf("it took %v until what was not acked came again", took)
	}
}

func testOrdinals(t *testing.T, o Opener) {
	s := o.Open(t)
	for i := range 4 {
		must(t, s.Accept(ctxFor(t), NewRecord(fmt.Sprint("a", i))))
	}
	s = o.Reopen(t, s)
	if n := s.Status().Callbacks; n != 4 {
		t.Errorf("status says %d callbacks, want 4", n)
	}
	must(t, s.Accept(ctxFor(t), NewRecord("b")))
	_, packs := readRecords(t, s, 5)
	chained(t, packs)
}

// repeats stores one record for each offset (from base, with the window) and gives which came out as repeats.
func repeats(t *testing.T, s engine.Store, base time.Time, window time.Duration, offsets ...time.Duration) []bool {
	t.Helper()
	for _, d := range offsets {
		r := NewRecord("same")
		r.Window, r.Received = window, base.Add(d)
		must(t, s.Accept(ctxFor(t), r))
	}
	got, _ := readRecords(t, s, len(offsets))
	var out []bool
	for _, r := range got {
		out = append(out, r.Repeat)
	}
	return out
}

func testRepeat(t *testing.T, o Opener) {
	base := time.Now().UTC().Add(-time.Minute)
	for _, c := range []struct {
		name    string
		window  time.Duration
		offsets []time.Duration
		want    []bool
	}{
		{"within", 10 * time.Second, []time.Duration{0, 0, 9 * time.Second}, []bool{false, true, true}},
		{"at its end", 10 * time.Second, []time.Duration{0, 10 * time.Second}, []bool{false, true}},
		{"after", 10 * time.Second, []time.Duration{0, 11 * time.Second}, []bool{false, false}},
		{"no window", 0, []time.Duration{0, 0}, []bool{false, false}},
		{"the second came a little before the first", 10 * time.Second, []time.Duration{time.Second, 0}, []bool{false, true}},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := repeats(t, o.Open(t), base, c.window, c.offsets...); !slices.Equal(got, c.want) {
				t.Errorf("repeats %v, want %v", got, c.want)
			}
		})
	}
}

func testRepeatRestart(t *testing.T, o Opener) {
	s := o.Open(t)
	base := time.Now().UTC()
	first, second := NewRecord("same"), NewRecord("same")
	first.Received, second.Received = base, base.Add(time.Second)
	must(t, s.Accept(ctxFor(t), first))
	_, packs := readRecords(t, s, 1)
	packs[0].Ack()
	eventually(t, "the pack acked", func() bool { return s.Status().Waiting == 0 })
	for range 2 { // nothing is acked in between: the second restart reads the repeat again
		s = o.Reopen(t, s)
		if n := s.Status().Callbacks; n == 1 {
			must(t, s.Accept(ctxFor(t), second))
		}
		got, _ := readRecords(t, s, 1)
		if !got[0].Repeat {
			t.Error("a repeat of a callback from before the restart is not marked")
		}
	}
}
