package engine

import (
	"context"

	"github.com/aftermath-rules/aftermath/internal/failpoint"
)

// crowd is about how many bytes of what matched of a pack are held before they are recorded and their deliveries sent on their way: a pack may
// have very many pairs, and each of them may match many rules.
const crowd = 8 << 20

// taking is a pack whose callbacks are being decided.
type taking struct {
	e     *Engine
	p     *Pack
	first string // id of its first callback
	pack  *batch
	made  int // deliveries

	// What is yet to be recorded and sent on its way.
	entries []entry
	missed  *Unmatched
	jobs    []Job
	size    int // about, in bytes

	recorded <-chan struct{} // closed once what was sent last is recorded
}

// takePack records what matched of each callback and sends its deliveries on their way. If ctx ends meanwhile the pack stays in the
// store, and is read again at the next start: what was recorded of it stands then. It gives how many deliveries that made.
func (e *Engine) takePack(ctx context.Context, m *matcher, p *Pack) int {
	if p.Again {
		defer e.memory.use()()
		if !e.recall(ctx, p.Since) {
			return 0
		}
	}
	failpoint.Pass(failpoint.Match)
	t := &taking{e: e, p: p, first: p.Records[0].ID(), pack: newBatch(p.Ack, p.Held)}
	for i := range p.Records {
		if !t.take(ctx, m, i) {
			return t.made
		}
	}
	if t.send(ctx) {
		t.pack.settle()
	}
	return t.made
}

// take decides a callback, as far as that is not recorded. It tells whether ctx is still alive.
func (t *taking) take(ctx context.Context, m *matcher, index int) bool {
	from := 0
	if t.p.Again {
		known, next, all := t.e.memory.matched(t.p, index, t.first)
		t.jobs = append(t.jobs, known...)
		if all {
			return true
		}
		from = next
	}
	return m.match(t.e.set.Load(), t.p, index, from, func(c *Matched) bool {
		t.e.refuseTooMuch(c, m.size)
		t.add(c)
		t.size += m.size
		return t.size < crowd || t.send(ctx) && t.await(ctx)
	})
}

// add takes over what was made of a callback, or of some of its pairs.
func (t *taking) add(c *Matched) {
	if !c.empty() {
		kept := *c
		t.jobs = append(t.jobs, kept.Deliveries...)
		t.entries = append(t.entries, entry{event: Event{Matched: &kept}})
		return
	}
	if t.missed == nil || t.missed.RuleSet != c.RuleSet {
		t.missed = &Unmatched{Seq: t.p.Seq, First: t.first, RuleSet: c.RuleSet}
		t.entries = append(t.entries, entry{event: Event{Unmatched: t.missed}})
	}
	t.missed.add(c.Index, c.Pairs)
}

// send has recorded what is yet to be, and sends its deliveries on their way. It tells whether ctx is still alive.
func (t *taking) send(ctx context.Context) bool {
	done := make(chan struct{})
	t.recorded = done
	recorded := newBatch(func() { close(done) }, nil)
	settle := func() {
		recorded.settle()
		t.pack.settle()
	}
	for i := range t.entries {
		t.pack.add(1)
		recorded.add(1)
		t.entries[i].stored, t.entries[i].lost, t.entries[i].of = settle, recorded.settle, t.pack
	}
	recorded.settle()
	t.e.ledger.putIdly(idleLinger, t.entries...)
	failpoint.Pass(failpoint.Matched)
	jobs := t.jobs
	t.made += len(jobs)
	t.entries, t.missed, t.jobs, t.size = nil, nil, nil, 0
	for i := range jobs {
		if !t.e.dispatch(ctx, &delivery{Parked: Parked{Job: jobs[i]}, recorded: done}, t.pack) {
			return false
		}
	}
	return true
}

// await waits until what was sent is recorded, so that no more than that is held. It tells whether ctx is still alive.
func (t *taking) await(ctx context.Context) bool {
	t.e.ledger.hurry()
	select {
	case <-t.recorded:
		return true
	case <-ctx.Done():
		return false
	}
}
