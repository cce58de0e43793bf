package engine

import (
	"context"
	"sync"
	"time"

	"go.uber.org/zap"
)

// memory tells copies of a delivery apart: those that run here now, and, while packs or bundles are read again, what the store has
// recorded of the others.
type memory struct {
	mu    sync.Mutex
	loose map[string]*delivery // by id: the highest copy that is loose here

	scan   sync.Mutex // one recall at a time
	past   *Settled   // nil unless something was read again lately
	from   Moment     // past covers what was recorded from then; the zero value: nothing
	upTo   time.Time  // to then; what this process records later is added as it is recorded
	needed time.Time  // when past was last asked for
	users  int        // packs and bundles that are read again, and of which not all is given out yet

	alone   bool // nobody else reads the store, which gives each pack and bundle to this process once
	reading bool // past is being read
}

const (
	recallMargin = 2 * time.Second  // for the store's clock, and for events that are stored a little later than they happen
	recallFresh  = time.Second      // how old a recall may be where other nodes record things too
	recallKept   = 30 * time.Second // how long it is kept when nothing is read again
	recallTime   = 2 * time.Minute  // for one reading: it may go through days of outcomes
)

// ruling is what becomes of a copy that was read.
type ruling int

const (
	run     ruling = iota // it is the highest copy: it is loose now
	drop                  // another copy has taken its place, or it has ended: it is settled
	attach                // this very delivery is loose already: it is settled when that one is
	inGrave               // it was buried, but its end is not recorded: it is loose until it is
	ordered               // as run, but its order is to be obeyed first
	late                  // it was buried and exhumed, but its death is not recorded: it is settled when it is
)

// arrive rules on a copy that was read from a pack or bundle, and gives its dead letter with inGrave. What is dropped is acked, so
// a copy is dropped only where a higher one or its end is known to be stored.
func (m *memory) arrive(d *delivery) (ruling, *DeadLetter) {
	m.mu.Lock()
	defer m.mu.Unlock()
	id := d.Job.ID
	if m.past != nil && (m.past.Ended(id, d.Parks) || m.past.Parks[id] > d.Parks) {
		if m.past.diedUnrecorded(id, d.Parks) {
			return late, nil
		}
		return drop, nil
	}
	d.copy = d.Parks
	if cur := m.loose[id]; cur != nil && !cur.lost() {
		switch {
		case Life(d.copy) > Life(cur.copy): // cur has died, and is about to be recorded as dead
		case d.copy < cur.copy:
			return drop, nil
		case cur.next == 0, d.copy < cur.next:
			cur.copy = d.copy // so that a copy parked from now on has a higher number
			cur.batches = append(cur.batches, d.batches...)
			return attach, nil
		}
	}
	m.loose[id] = d
	if m.past != nil {
		if letter := m.past.Dead[id]; letter != nil && Life(letter.Parks) >= Life(d.Parks) {
			return inGrave, letter
		}
		if m.past.obeyed(d) {
			d.Order = ""
		}
	}
	if d.Order != "" {
		return ordered, nil
	}
	return run, nil
}

// lost tells that another process may have been given all that waits for the delivery. It is called with the lock held.
func (d *delivery) lost() bool {
	for _, b := range d.batches {
		if !b.lost() {
			return false
		}
	}
	return len(d.batches) > 0
}

// lost tells whether what becomes of a delivery here must not be stored: another process may have been given it, and does it again.
func (m *memory) lost(d *delivery) bool {
	if !d.shared {
		return false
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	return d.lost()
}

// parkingAs gives the number of the copy that is about to be parked. It keeps it when the store is asked again after an error: the
// copy may be stored already, and another node may have it.
func (m *memory) parkingAs(d *delivery) int {
	m.mu.Lock()
	defer m.mu.Unlock()
	if d.next == 0 {
		d.next = d.copy + 1
	}
	return d.next
}

// parked adds a copy that is stored to what is known of the past, where that is not recorded.
func (m *memory) parked(d *delivery, parks int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.past != nil {
		raise(m.past.Parks, d.Job.ID, parks)
	}
}

// settled forgets a loose delivery whose outcome is recorded, and gives what waited for it.
func (m *memory) settled(d *delivery) []*batch {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.loose[d.Job.ID] == d {
		delete(m.loose, d.Job.ID)
	}
	return d.batches
}

// note adds what this process has recorded to what is known of the past: where it is alone, of deliveries that a copy was known of. Nobody will
// ask for the others, nor for what matched, and while a large backlog is read again they would fill the memory.
func (m *memory) note(events []Event) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.past == nil {
		return
	}
	for i := range events {
		if ev := &events[i]; !m.alone || m.reading || m.past.knows(ev) {
			m.past.Add(ev)
		}
	}
}

// matched gives what is recorded of what the rules made of a record that is read again: the deliveries, and whether that is all, or else the
// pair from which on nothing is. first is the id of the pack's first callback: where damage took a pack's number away, what is recorded may be
// of another.
func (m *memory) matched(p *Pack, index int, first string) (deliveries []Job, next int, all bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.past == nil {
		return nil, 0, false
	}
	for _, u := range m.past.Missed[p.Seq] {
		if u.First == first && u.Has(index) {
			return nil, 0, true
		}
	}
	for {
		c := m.past.Matched[PackIndex{p.Seq, index, next}]
		if c == nil || c.Callback != p.Records[index].ID() {
			return deliveries, next, false
		}
		if deliveries = append(deliveries, c.Deliveries...); !c.More {
			return deliveries, 0, true
		}
		next += c.Pairs
	}
}

// recall makes sure that the past is known from since on. It tells whether ctx is still alive.
func (e *Engine) recall(ctx context.Context, since Moment) bool {
	m := &e.memory
	m.scan.Lock()
	defer m.scan.Unlock()

	now := time.Now()
	m.mu.Lock()
	m.needed = now
	if m.past == nil {
		// From here on note adds to it, so that nothing falls between the reading and what is recorded meanwhile.
		m.past = NewSettled()
		m.from, m.upTo = Moment{}, time.Time{}
	}
	covered := m.from != Moment{} && !since.Before(m.from)
	if covered && (now.Sub(m.upTo) < recallFresh || !e.shared()) {
		m.mu.Unlock()
		return true
	}
	from := since
	if covered {
		from = Moment{At: m.upTo} // what this process has recorded since is known: others' clocks tell the rest
	}
	m.reading = true
	m.mu.Unlock()

	from.At = from.At.Add(-recallMargin)
	var s *Settled
	ok := persist(ctx, recallTime, func(ctx context.Context) (err error) {
		s, err = e.Store.Settled(ctx, from)
		return err
	}, func(err error) { e.log.Warn("reading what was recorded of a pack that is read again", zap.Error(err)) })
	if ok {
		m.learn(s, since, now, covered)
	}
	return ok
}

// shared tells whether other nodes record things in the same store.
func (e *Engine) shared() bool { return e.Store.Status().Kind == "nats" }

func (m *memory) learn(s *Settled, since Moment, now time.Time, covered bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.past.merge(s)
	m.reading = false
	if !covered {
		m.from = since
	}
	m.upTo, m.needed = now, now
}

// use keeps what is known of the past until the function that it gives is called: to give out all of a pack may take long, while nothing can
// be stored.
func (m *memory) use() (done func()) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.users++
	return func() {
		m.mu.Lock()
		defer m.mu.Unlock()
		m.users--
		m.needed = time.Now()
	}
}

// tidy forgets what is not needed any more.
func (m *memory) tidy(now time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.past != nil && m.users == 0 && now.Sub(m.needed) > recallKept {
		if m.scan.TryLock() { // not while it is being read
			m.past, m.from = nil, Moment{}
			m.scan.Unlock()
		}
	}
}
