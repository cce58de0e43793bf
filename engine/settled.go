package engine

// Settled is what the store knows of deliveries whose pack or bundle is read again. What is added to it twice, or in another
// order, changes nothing.
type Settled struct {
	Matched map[PackIndex]*Matched  // callbacks whose match was recorded
	Missed  map[uint64][]*Unmatched // by the pack's number: callbacks of which it was recorded that nothing matched
	Parks   map[string]int          // by delivery id: the highest Parks of a stored copy, parked or ended
	Dead    map[string]*DeadLetter  // buried, whether its outcome was recorded or not
	Made    map[string]bool         // by delivery id: made by reprocessing, and recorded

	// By delivery id, a number of lives: a delivery begins its first, and each replay of its dead letter begins another.
	Ends   map[string]int // how many are over: done, dead or discarded is recorded
	Deaths map[string]int // how many of them ended as a dead letter
	Left   map[string]int // how many dead letters were replayed or discarded
}

// lifeBits is where the number of a copy's life begins: the copies of a delivery's life after n replays are numbered from n<<20
// on, so that any of them is higher than any of the lives before.
const lifeBits = 20

// Life is how many replays came before the copy of that number.
func Life(parks int) int { return parks >> lifeBits }

// NewSettled makes one that knows nothing.
func NewSettled() *Settled {
	return &Settled{
		Matched: make(map[PackIndex]*Matched), Parks: make(map[string]int), Dead: make(map[string]*DeadLetter),
		Missed: make(map[uint64][]*Unmatched), Made: make(map[string]bool), Ends: make(map[string]int), Deaths: make(map[string]int), Left: make(map[string]int),
	}
}

// Add takes over what an event says.
func (s *Settled) Add(ev *Event) {
	if c := ev.Matched; c != nil {
		s.Matched[PackIndex{c.Seq, c.Index, c.FirstPair}] = c
	}
	if u := ev.Unmatched; u != nil {
		s.miss(u)
	}
	if m := ev.Made; m != nil {
		s.Made[m.Job.ID] = true
	}
	d := ev.Ended
	if d == nil {
		return
	}
	raise(s.Parks, d.Delivery, d.Parks)
	switch d.Outcome {
	case OutcomeDone:
		raise(s.Ends, d.Delivery, Life(d.Parks)+1)
	case OutcomeDead:
		raise(s.Ends, d.Delivery, Life(d.Parks)+1)
		raise(s.Deaths, d.Delivery, Life(d.Parks)+1)
	case OutcomeReplayed:
		raise(s.Left, d.Delivery, Life(d.Parks))
	case OutcomeDiscarded:
		raise(s.Left, d.Delivery, Life(d.Parks))
		raise(s.Ends, d.Delivery, Life(d.Parks)+1)
	}
}

// miss takes over what an event says of callbacks that nothing matched; each callback is in one such event alone.
func (s *Settled) miss(u *Unmatched) {
	for _, have := range s.Missed[u.Seq] {
		if have.First == u.First && have.Runs[0] == u.Runs[0] {
			return
		}
	}
	s.Missed[u.Seq] = append(s.Missed[u.Seq], u)
}

// merge takes over what o knows.
func (s *Settled) merge(o *Settled) {
	for i, c := range o.Matched {
		s.Matched[i] = c
	}
	for _, us := range o.Missed {
		for _, u := range us {
			s.miss(u)
		}
	}
	for id, d := range o.Dead {
		s.Dead[id] = d
	}
	for id := range o.Made {
		s.Made[id] = true
	}
	for _, m := range [][2]map[string]int{{s.Parks, o.Parks}, {s.Ends, o.Ends}, {s.Deaths, o.Deaths}, {s.Left, o.Left}} {
		for id, n := range m[1] {
			raise(m[0], id, n)
		}
	}
}

// knows tells whether an event is of a delivery of which there was a copy.
func (s *Settled) knows(ev *Event) bool {
	id := ""
	switch {
	case ev.Ended != nil:
		id = ev.Ended.Delivery
	case ev.Made != nil:
		id = ev.Made.Job.ID
	}
	_, ok := s.Parks[id]
	return ok
}

// Ended tells whether the end of the copy's life is recorded.
func (s *Settled) Ended(delivery string, parks int) bool { return s.Ends[delivery] > Life(parks) }

// diedUnrecorded tells whether the copy's life has ended as a dead letter that was replayed or discarded since, without a record
// of the death: the process ended between burying and recording.
func (s *Settled) diedUnrecorded(delivery string, parks int) bool {
	return max(s.Left[delivery], Life(s.Parks[delivery])) > Life(parks) && s.Deaths[delivery] <= Life(parks)
}

// obeyed tells whether the order that a copy carries is recorded.
func (s *Settled) obeyed(d *delivery) bool {
	if d.Order == OrderMake {
		return s.Made[d.Job.ID]
	}
	return s.Left[d.Job.ID] >= Life(d.Parks)
}

func raise(m map[string]int, id string, n int) {
	if have, ok := m[id]; !ok || n > have {
		m[id] = n
	}
}
