package engine

import (
	"context"
	"testing"
	"testing/synctest"
	"time"
)

func TestArrive(t *testing.T) {
	copyOf := func(n int) *delivery {
		return &delivery{Parked: Parked{Job: Job{ID: "d"}, Parks: n}, batches: []*batch{newBatch(func() {}, nil)}}
	}
	past := func() *Settled {
		return NewSettled()
	}
	tests := []struct {
		name string
		set  func(m *memory)
		copy int
		want ruling
	}{
		{"never seen", func(*memory) {}, 0, run},
		{"nothing recorded", func(m *memory) { m.past = past() }, 0, run},
		{"done before the crash", func(m *memory) { m.past = past(); m.past.Ends["d"] = 1 }, 0, drop},
		{"parked before the crash", func(m *memory) { m.past = past(); m.past.Parks["d"] = 1 }, 0, drop},
		{"the parked copy itself", func(m *memory) { m.past = past(); m.past.Parks["d"] = 1 }, 1, run},
		{"buried, not recorded", func(m *memory) { m.past = past(); m.past.Dead["d"] = &DeadLetter{} }, 0, inGrave},
		{"the same copy is loose", func(m *memory) { m.arrive(copyOf(0)) }, 0, attach},
		{"a higher copy is loose", func(m *memory) { m.arrive(copyOf(2)) }, 1, drop},
		{"a lower copy is loose", func(m *memory) { m.arrive(copyOf(0)) }, 1, attach},
		{"its successor is being stored: the pack is read again", func(m *memory) { d := copyOf(0); m.arrive(d); m.parkingAs(d) }, 0, attach},
		{"its successor is stored and due already", func(m *memory) { d := copyOf(0); m.arrive(d); m.parkingAs(d) }, 1, run},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			m := &memory{loose: map[string]*delivery{}}
			test.set(m)
			if got, _ := m.arrive(copyOf(test.copy)); got != test.want {
				t.Errorf("got %d, want %d", got, test.want)
			}
		})
	}
}

func TestParkingAfterAttachHasAHigherNumber(t *testing.T) {
	m := &memory{loose: map[string]*delivery{}}
	first := &delivery{Parked: Parked{Job: Job{ID: "d"}}}
	m.arrive(first)
	m.arrive(&delivery{Parked: Parked{Job: Job{ID: "d"}, Parks: 4}})
	if n := m.parkingAs(first); n != 5 {
		t.Errorf("parked as %d, want 5: a copy 4 is in the store", n)
	}
}

func TestParkingTriedAgainKeepsItsNumber(t *testing.T) {
	m := &memory{loose: map[string]*delivery{}}
	d := &delivery{Parked: Parked{Job: Job{ID: "d"}}}
	m.arrive(d)
	if first, again := m.parkingAs(d), m.parkingAs(d); first != 1 || again != 1 {
		t.Errorf("parked as %d and %d, want 1: what gave an error may be stored", first, again)
	}
}

// settledStore counts how often it is asked what was recorded.
type settledStore struct {
	Store
	kind  string
	asked int
}

func (s *settledStore) Status() StoreStatus { return StoreStatus{Kind: s.kind} }

func (s *settledStore) Settled(context.Context, Moment) (*Settled, error) {
	s.asked++
	return NewSettled(), nil
}

// What a process records itself it knows: only where other nodes record too is the store asked again, once that may have grown old.
func TestRecallAsksAgainForOthersOnly(t *testing.T) {
	for kind, want := range map[string]int{"embedded": 1, "nats": 2} {
		s := &settledStore{kind: kind}
		e := New(Options{Store: s})
		since := Moment{At: time.Now().Add(-time.Minute)}
		for range 2 {
			if !e.recall(t.Context(), since) {
				t.Fatal("no recall")
			}
			e.memory.upTo = e.memory.upTo.Add(-2 * recallFresh)
		}
		if s.asked != want {
			t.Errorf("%s: asked %d times, want %d", kind, s.asked, want)
		}
		if !e.recall(t.Context(), Moment{At: since.At.Add(-time.Minute)}) || s.asked != want+1 {
			t.Errorf("%s: what came before was not asked for", kind)
		}
	}
}

// A pack that is read again may wait for long until there is room for its deliveries, as when nothing can be stored: what was recorded of them
// still holds then.
func TestPastIsKnownUntilAllIsGivenOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		record := Record{Received: time.Now()}
		past := NewSettled()
		past.Matched[PackIndex{Seq: 1}] = &Matched{Callback: record.ID(), Deliveries: []Job{{ID: "d"}}}
		past.Ends["d"] = 1
		e := New(Options{Store: pastStore{past: past}})
		for range maxLoose {
			e.loose <- struct{}{}
		}
		acked := false
		ctx, cancel := context.WithCancel(context.Background())
		defer cancel()
		go e.takePack(ctx, &matcher{e: e}, &Pack{
			Seq: 1, Records: []Record{record}, Again: true, Since: Moment{At: time.Now()}, Ack: func() { acked = true },
		})
		time.Sleep(recallKept + time.Second)
		e.memory.tidy(time.Now())
		<-e.loose
		synctest.Wait()
		if !acked {
			t.Error("a delivery that has ended holds its pack")
		}
		time.Sleep(recallKept + time.Second)
		if e.memory.tidy(time.Now()); e.memory.past != nil {
			t.Error("the past is never forgotten")
		}
	})
}

// Where a process is alone with its store, what it records while it knows of the past is kept only as far as that can be asked for: of what
// has another copy. While the past is being read nobody knows yet of what.
func TestNotesOfNewDeliveriesAreNotKept(t *testing.T) {
	ended := func(id string) Event { return Event{Ended: &Ended{Delivery: id, Outcome: OutcomeDone}} }
	events := []Event{{Matched: &Matched{Callback: "c", Seq: 7}}, ended("new"), ended("parked"), {Made: &Made{Job: Job{ID: "new"}}}, {Made: &Made{Job: Job{ID: "parked"}}}}
	for _, tc := range []struct {
		name           string
		alone, reading bool
		matched, ends  int
		made           int
	}{
		{"alone", true, false, 0, 1, 1},
		{"alone, while the past is being read", true, true, 1, 2, 2},
		{"one of several nodes", false, false, 1, 2, 2},
	} {
		past := NewSettled()
		past.Parks["parked"] = 0
		m := memory{past: past, alone: tc.alone, reading: tc.reading}
		m.note(events)
		if len(past.Matched) != tc.matched || len(past.Ends) != tc.ends || len(past.Made) != tc.made {
			t.Errorf("%s: %d matched, %d ended, %d made, want %d, %d, %d", tc.name,
				len(past.Matched), len(past.Ends), len(past.Made), tc.matched, tc.ends, tc.made)
		}
	}
}

// pastStore is a store of which nothing is asked but what it knows of the past.
type pastStore struct {
	Store
	past *Settled
}

func (s pastStore) Settled(context.Context, Moment) (*Settled, error) { return s.past, nil }
func (s pastStore) Status() StoreStatus                               { return StoreStatus{Kind: "embedded"} }

// A dead letter is replayed twice, and the second order is stored after the first one was obeyed. After a crash it is read again, and that
// the letter is gone says nothing; what was recorded since the letter was read does, though it is older than the order.
func TestSecondOrderIsNotObeyedAfterACrash(t *testing.T) {
	read := time.Now()
	stored := read.Add(time.Minute)
	past := NewSettled()
	past.Ends["d"] = 2
	e := New(Options{Store: pastSince{at: read, past: past}})
	acked := false
	e.takeBundle(context.Background(), &Bundle{
		Again: true, Since: Moment{At: stored, Exact: true}, Ack: func() { acked = true },
		Deliveries: []Parked{{Job: Job{ID: "d"}, Order: OrderReplay, Parks: 1 << lifeBits, Due: read}},
	})
	if !acked || e.obeying.waiting() > 0 {
		t.Error("the order is obeyed again")
	}
}

// pastSince is a pastStore that recorded what it knows right after the time.
type pastSince struct {
	Store
	at   time.Time
	past *Settled
}

func (s pastSince) Settled(_ context.Context, since Moment) (*Settled, error) {
	if since.At.After(s.at) {
		return NewSettled(), nil
	}
	return s.past, nil
}
func (s pastSince) Status() StoreStatus { return StoreStatus{Kind: "embedded"} }
