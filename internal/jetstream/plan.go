package jetstream

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/aftermath-rules/aftermath/engine"
)

// plan says what the new streams hold besides the sound messages of the damaged ones: pending deliveries and dead letters of which
// only the history is left, and totals that balance with what is there.
type plan struct {
	o       *Options
	st      *state
	streams map[string]*carvedStream
	repair  repair
	added   map[string][]*entry // by stream: put behind its last message

	floor   uint64
	packs   map[uint64]bool                // sound packs of callbacks that are read again
	totals  *engine.Totals                 // the last ones that are sound
	last    uint64                         // the last pack of which an outcome is known
	matched map[string]bool                // callbacks of packs that are read again whose match is recorded
	missed  map[uint64][]*engine.Unmatched // the same, of those that nothing matched, by the number of their pack
	jobs    map[string]*known
	letters map[string]*engine.DeadLetter // sound ones
	copies  map[string]int                // by delivery: the highest number of a sound parked copy
	ended   uint64                        // ends that are recorded of deliveries that will be made once more
	again   map[string]bool               // callbacks that will be matched once more
	died    map[string]bool               // deliveries whose death is recorded
	events  []engine.Event                // what is recorded of deliveries whose end is lost, so that the history has it
	skipped engine.Totals                 // what was counted in outcomes that are lost, of what begins with a match
}

// known is what the sound outcomes say of a delivery that has not ended, or ended as a dead letter.
type known struct {
	job   engine.Job
	pack  uint64 // whose callback made it; 0: reprocessing did
	parks int    // of the highest copy that is recorded
	ended *engine.Ended
	dead  bool
}

func (p *plan) make() error {
	p.added = make(map[string][]*entry)
	for _, name := range []string{acceptStream, outcomesStream} {
		reach, ordinal := p.st.reach(name)
		p.repair.Gone = append(p.repair.Gone, p.st.chainGaps(p.streams[name], true, reach, ordinal)...)
	}
	for _, c := range []struct {
		to   *int
		name string
	}{{&p.repair.Parked, laterStream}, {&p.repair.Dead, deadStream}, {&p.repair.Quarantined, quarantineStream}} {
		reach, _ := p.st.reach(c.name)
		*c.to = p.streams[c.name].lost(reach)
	}
	for _, step := range []func() error{p.readAccept, p.readLater, p.readDead, p.readOutcomes, p.addLost, p.restate} {
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}

// lost gives how many messages at most are gone where bytes of the files are damaged: the numbers missing there.
func (s *carvedStream) lost(reach uint64) int {
	deleted := s.deleted()
	n := 0
	var last uint64
	hurt := false
	missing := func(from, to uint64) {
		for seq := from; hurt && seq < to; seq++ {
			if !deleted[seq] {
				n++
			}
		}
	}
	for _, b := range s.blocks {
		hurt = hurt || !b.sound()
		for i := range b.messages {
			if m := &b.messages[i]; m.seq > last {
				missing(last+1, m.seq)
				last = m.seq
			}
		}
		hurt = !b.sound()
	}
	hurt = hurt || s.highest() < reach
	missing(last+1, max(reach, s.highest())+1)
	return n
}

// readAccept finds the packs that will be read again.
func (p *plan) readAccept() error {
	p.packs, p.again = make(map[uint64]bool), make(map[string]bool)
	if p.st.mark.Floor != nil {
		p.floor = *p.st.mark.Floor
	}
	return p.streams[acceptStream].each(func(m *found, e *entry) error {
		if m.seq > p.floor {
			p.packs[m.seq] = true
		}
		return nil
	})
}

func (p *plan) readLater() error {
	p.copies = make(map[string]int)
	return p.streams[laterStream].each(func(m *found, e *entry) error {
		_, parked, err := decodeJSON[engine.Parked](kindParked, e.data)
		if err != nil {
			return nil // whoever reads it says so
		}
		for i := range parked {
			p.copies[parked[i].Job.ID] = max(p.copies[parked[i].Job.ID], parked[i].Parks)
		}
		return nil
	})
}

func (p *plan) readDead() error {
	p.letters = make(map[string]*engine.DeadLetter)
	return p.streams[deadStream].each(func(m *found, e *entry) error {
		if d, err := one[engine.DeadLetter](kindDead, &stored{seq: m.seq, data: e.data}); err == nil {
			p.letters[d.Job.ID] = d // a later one of the same delivery takes its place
		}
		return nil
	})
}

// readOutcomes goes through what is recorded, in order.
func (p *plan) readOutcomes() error {
	p.totals, p.jobs, p.matched = &engine.Totals{}, make(map[string]*known), make(map[string]bool)
	p.missed, p.died = make(map[uint64][]*engine.Unmatched), make(map[string]bool)
	ends := make(map[string]int) // by callback whose match is not recorded
	var before uint64
	err := p.streams[outcomesStream].each(func(m *found, e *entry) error {
		pack, err := decodeOutcomes(&stored{seq: m.seq, data: e.data})
		if err != nil {
			return nil
		}
		if before > 0 && m.seq > before+1 && pack.Totals != nil {
			p.skip(&pack.EventPack)
		}
		before = m.seq
		if pack.Totals != nil {
			if pack.rulesAt > 0 {
				pack.Totals.Rules = p.totals.Rules
				addHits(pack.Totals.Rules, pack.Events)
			}
			p.totals = pack.Totals
		}
		for i := range pack.Events {
			p.event(&pack.Events[i], ends)
		}
		return nil
	})
	if err != nil {
		return err
	}
	err = p.streams[acceptStream].each(func(m *found, e *entry) error {
		if !p.packs[m.seq] {
			return nil
		}
		_, records, err := decodeCallbacks(e.data)
		if err != nil {
			return nil
		}
		first := records[0].ID()
		for i := range records {
			missed := slices.ContainsFunc(p.missed[m.seq], func(u *engine.Unmatched) bool { return u.First == first && u.Has(i) })
			if id := records[i].ID(); !missed && !p.matched[id] {
				p.again[id] = true
			}
		}
		return nil
	})
	for callback := range p.again {
		p.ended += uint64(ends[callback])
	}
	return err
}

// skip takes down what the outcomes counted that are lost before a pack: the difference between its totals and the ones before, but
// for what is in the pack itself.
func (p *plan) skip(pack *engine.EventPack) {
	here := *p.totals
	for i := range pack.Events {
		here.Add(&pack.Events[i])
	}
	for _, c := range []struct {
		to         *uint64
		with, have uint64
	}{
		{&p.skipped.Callbacks, pack.Totals.Callbacks, here.Callbacks}, {&p.skipped.Unmatched, pack.Totals.Unmatched, here.Unmatched},
		{&p.skipped.Pairs, pack.Totals.Pairs, here.Pairs}, {&p.skipped.Matches, pack.Totals.Matches, here.Matches},
		{&p.skipped.ShadowMatches, pack.Totals.ShadowMatches, here.ShadowMatches},
		{&p.skipped.Repeats, pack.Totals.Repeats, here.Repeats},
		{&p.skipped.ConditionErrors, pack.Totals.ConditionErrors, here.ConditionErrors},
	} {
		if c.with > c.have {
			*c.to += c.with - c.have
		}
	}
}

// uncount takes out of the totals what will be counted once more: of what was skipped, the part whose callbacks are matched again.
func (p *plan) uncount(t *engine.Totals) {
	counted := p.skipped.Callbacks + p.skipped.Repeats
	if counted == 0 {
		return
	}
	again := min(uint64(len(p.again)), counted)
	for _, c := range []struct {
		from *uint64
		n    uint64
	}{
		{&t.Callbacks, p.skipped.Callbacks}, {&t.Unmatched, p.skipped.Unmatched}, {&t.Pairs, p.skipped.Pairs},
		{&t.Matches, p.skipped.Matches}, {&t.ShadowMatches, p.skipped.ShadowMatches}, {&t.Repeats, p.skipped.Repeats},
		{&t.ConditionErrors, p.skipped.ConditionErrors},
	} {
		*c.from -= min(*c.from, c.n*again/counted)
	}
}

func (p *plan) event(ev *engine.Event, ends map[string]int) {
	switch {
	case ev.Matched != nil:
		c := ev.Matched
		p.last = max(p.last, c.Seq)
		if p.packs[c.Seq] && c.FirstPair == 0 { // without which the others count for nothing
			p.matched[c.Callback] = true
		}
		for i := range c.Deliveries {
			p.jobs[c.Deliveries[i].ID] = &known{job: c.Deliveries[i], pack: c.Seq}
		}
	case ev.Unmatched != nil:
		u := ev.Unmatched
		p.last = max(p.last, u.Seq)
		if p.packs[u.Seq] {
			p.missed[u.Seq] = append(p.missed[u.Seq], u)
		}
	case ev.Made != nil:
		p.jobs[ev.Made.Job.ID] = &known{job: ev.Made.Job}
	case ev.Ended != nil:
		p.end(ev.Ended, ends)
	}
}

func (p *plan) end(d *engine.Ended, ends map[string]int) {
	k := p.jobs[d.Delivery]
	if letter := p.letters[d.Delivery]; letter != nil && letter.Parks < d.Parks &&
		(d.Outcome == engine.OutcomeReplayed || d.Outcome == engine.OutcomeDiscarded) {
		delete(p.letters, d.Delivery) // its deletion was lost
	}
	over := d.Outcome == engine.OutcomeDone || d.Outcome == engine.OutcomeDiscarded
	if parks, ok := p.copies[d.Delivery]; ok && (over || d.Outcome == engine.OutcomeDead) && engine.Life(parks) <= engine.Life(d.Parks) {
		delete(p.copies, d.Delivery) // its deletion was lost
	}
	if d.Outcome == engine.OutcomeDead {
		p.died[d.Delivery] = true
	}
	if over {
		if k == nil {
			ends[d.Callback]++
		}
		delete(p.jobs, d.Delivery)
		return
	}
	if k != nil {
		k.ended, k.parks, k.dead = d, max(k.parks, d.Parks), d.Outcome == engine.OutcomeDead
	}
}

// addLost makes anew what the outcomes know of, and what is not there.
func (p *plan) addLost() error {
	now := p.repair.At
	var parked []engine.Parked
	for _, id := range slices.Sorted(maps.Keys(p.jobs)) {
		k := p.jobs[id]
		if k.dead {
			if p.letters[id] == nil {
				p.letters[id] = &engine.DeadLetter{Parked: k.parked(now), At: k.ended.At}
				p.letters[id].Due = time.Time{}
				if err := p.add(deadStream, deadToken(id), kindDead, p.letters[id]); err != nil {
					return err
				}
				p.repair.DeadAnew++
				p.repair.Dead = max(p.repair.Dead-1, 0)
			}
			delete(p.jobs, id)
			continue
		}
		if parks, ok := p.copies[id]; ok && parks >= k.parks || k.parks == 0 && p.packs[k.pack] {
			continue // it comes by itself
		}
		if k.parks == 0 && k.pack > 0 && k.pack <= p.floor || p.letters[id] != nil {
			if p.letters[id] == nil {
				p.over(&k.job, engine.Ended{Attempt: 1, Parks: k.parks, At: now, Outcome: engine.OutcomeDone, Detail: "its end was lost to damage of the store"})
			}
			delete(p.jobs, id) // it has ended: its end is what was lost
			continue
		}
		c := k.parked(now)
		c.Parks++
		parked = append(parked, c)
		p.copies[id] = c.Parks
	}
	p.repair.ParkedAnew = len(parked)
	for len(parked) > 0 {
		n, records, err := bundle(parked)
		if err != nil {
			return err
		}
		p.added[laterStream] = append(p.added[laterStream], &entry{
			subject: dueSubject, data: encodePack(kindParked, 0, p.repair.At, records),
		})
		parked = parked[n:]
	}
	return nil
}

// parked makes a copy of what is known.
func (k *known) parked(due time.Time) engine.Parked {
	c := engine.Parked{Job: k.job, Due: due, First: k.job.Created, Parks: k.parks}
	if k.ended != nil {
		c.Attempt, c.Error = k.ended.Attempt, k.ended.Error
	}
	return c
}

// restate puts totals behind the outcomes that balance with what is there: what is not pending, dead or discarded is done.
func (p *plan) restate() error {
	t := *p.totals
	pending := make(map[string]bool)
	for id := range p.jobs {
		pending[id] = true
	}
	counted := make(map[string]bool) // by delivery whose callback is matched once more, and counted then
	if err := p.streams[laterStream].each(func(_ *found, e *entry) error {
		_, parked, err := decodeJSON[engine.Parked](kindParked, e.data)
		if err != nil {
			return nil
		}
		for i := range parked {
			id := parked[i].Job.ID
			if _, live := p.copies[id]; live {
				pending[id] = true
				counted[id] = p.again[parked[i].Job.Callback] && parked[i].Job.Reprocess == ""
			}
		}
		return nil
	}); err != nil {
		return err
	}
	var dead uint64
	for id, letter := range p.letters {
		again := p.again[letter.Job.Callback] && letter.Job.Reprocess == ""
		if pending[id] || again && !p.died[id] {
			continue // its death is yet to be recorded
		}
		dead++
		counted[id] = again
		if !p.died[id] {
			p.over(&letter.Job, engine.Ended{
				Attempt: letter.Attempt, Parks: letter.Parks, At: letter.At, Outcome: engine.OutcomeDead, Error: letter.Error,
			})
		}
	}
	t.Dead = dead
	t.Created = t.Done + t.Discarded + dead + uint64(len(pending))
	later := p.ended
	for id, again := range counted {
		if again && p.jobs[id] == nil {
			later++
		}
	}
	t.Created -= min(t.Created, later)
	p.uncount(&t)
	if err := p.restateCallbacks(&t); err != nil {
		return err
	}
	p.repair.Unseen = p.unseen(&t)
	return p.record(&t)
}

// unseen gives how many callbacks are gone before any rules saw them: all that were ever stored, but for those that are counted and
// those that will be.
func (p *plan) unseen(t *engine.Totals) uint64 {
	_, stored := p.st.reach(acceptStream)
	if all := p.streams[acceptStream].messages(); len(all) > 0 {
		stored = max(stored, all[len(all)-1].end())
	}
	covered := t.Callbacks + t.Repeats + uint64(len(p.again))
	if covered > stored {
		t.Callbacks -= min(t.Callbacks, covered-stored) // none counts twice
		return 0
	}
	return stored - covered
}

// over notes how a delivery has ended.
func (p *plan) over(j *engine.Job, ended engine.Ended) {
	ended.Delivery, ended.Callback, ended.Rule, ended.Action, ended.From, ended.To = j.ID, j.Callback, j.Rule, j.Action, j.From, j.To
	p.events = append(p.events, engine.Event{Ended: &ended})
}

// record puts what was noted, and the totals, behind the outcomes.
func (p *plan) record(t *engine.Totals) error {
	_, ordinal := p.st.reach(outcomesStream)
	if all := p.streams[outcomesStream].messages(); len(all) > 0 {
		ordinal = max(ordinal, all[len(all)-1].end())
	}
	totals, err := encodeJSON(outcome{Totals: t})
	if err != nil {
		return err
	}
	for last := false; !last; {
		var records [][]byte
		for size := 0; len(p.events) > 0 && size < softPack; p.events = p.events[1:] {
			r := appendEvent(nil, &p.events[0])
			records, size = append(records, r), size+len(r)
		}
		last = len(p.events) == 0
		records = append(records, totals)
		p.added[outcomesStream] = append(p.added[outcomesStream], &entry{
			subject: outcomesSubject + p.o.Node, data: encodePack(kindEvents, ordinal, p.repair.At, records),
		})
		ordinal += uint64(len(records))
	}
	return nil
}

// restateCallbacks counts the callbacks whose match is lost from the outcomes and that are not matched again.
func (p *plan) restateCallbacks(t *engine.Totals) error {
	_, ordinal := p.st.reach(outcomesStream)
	all := p.streams[outcomesStream].messages()
	if len(all) > 0 && all[len(all)-1].end() >= ordinal {
		return nil // the last totals are there: they count everything
	}
	return p.streams[acceptStream].each(func(m *found, e *entry) error {
		if m.seq > p.last && m.seq <= p.floor {
			t.Callbacks += m.count
		}
		return nil
	})
}

// add puts a message behind a stream.
func (p *plan) add(stream, subject string, k kind, v any) error {
	r, err := encodeJSON(v)
	if err != nil {
		return err
	}
	p.added[stream] = append(p.added[stream], &entry{subject: subject, data: encodePack(k, 0, p.repair.At, [][]byte{r})})
	return nil
}

// mended gives what fills in the record around a sound pack whose own record is damaged.
func (p *plan) mended(stream string) func(*found, *entry) error {
	return func(m *found, e *entry) error {
		e.seq, e.at, e.header = m.seq, m.at, nil
		switch stream {
		case acceptStream:
			e.subject = acceptSubject + p.o.Node
		case outcomesStream:
			e.subject = outcomesSubject + p.o.Node
		case quarantineStream:
			e.subject = quarantineSubject
		case deadStream:
			d, err := one[engine.DeadLetter](kindDead, &stored{seq: m.seq, data: e.data})
			if err != nil {
				return err
			}
			e.subject = deadToken(d.Job.ID)
		case laterStream:
			_, parked, err := decodeJSON[engine.Parked](kindParked, e.data)
			if err != nil {
				return err
			}
			e.subject = dueSubject
			if len(parked) > 0 && parked[0].Due.After(p.repair.At) {
				e.subject = fmt.Sprintf("%smended%d", scheduleSubject, m.seq)
				e.header = scheduleHeader(parked[0].Due)
			}
		}
		return nil
	}
}

// scheduleHeader is what has the server send a message to dueSubject when it is time.
func scheduleHeader(due time.Time) []byte {
	return fmt.Appendf(nil, "%sNats-Schedule: @at %s\r\nNats-Schedule-Target: %s\r\n\r\n", headerMagic, due.UTC().Format(time.RFC3339Nano), dueSubject)
}
