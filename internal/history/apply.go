package history

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"iter"
	"time"

	"github.com/aftermath-rules/aftermath/engine"
)

// Statuses of a delivery, and their numbers in the file.
const (
	Pending   = "pending"
	Dead      = "dead"
	Done      = "done"
	Discarded = "discarded"
)

// Statuses are all there are, in the order of their numbers.
var statuses = [...]string{Pending, Dead, Done, Discarded}

func statusNumber(name string) (int, bool) {
	for i, s := range statuses {
		if s == name {
			return i, true
		}
	}
	return 0, false
}

const (
	isPending = iota
	isDead
	isDone
	isDiscarded
)

// maxEvents is about how many events one transaction takes in.
const maxEvents = 8192

// placeEvery is how often it is written down how far the file goes, while nothing comes that changes its rows: what most callbacks come
// to. A start goes through that once more.
const placeEvery = 2 * time.Second

// row is a delivery as the file has it.
type row struct {
	n                       int64 // 0: not in the file yet
	moved                   bool  // an event has said how an attempt ended
	id, callback            string
	rule, action, typ       string
	from, to                string
	status, attempts, parks int
	err                     string
	created, next, ended    int64 // Unix nanoseconds; 0: none
	reprocess               string
	first                   place   // the first attempt's; zero: none
	tries                   []place // attempts that are new
}

// place is where an event is in the stream.
type place struct {
	seq uint64
	i   int
}

// follow takes in all that the stream has beyond what is in the file.
func (h *History) follow(ctx context.Context) error {
	f, err := h.open(ctx)
	if err != nil {
		return err
	}
	seq, _, letters, err := f.place(ctx)
	if err != nil {
		return err
	}
	seq = max(seq, f.ahead)
	b := newBatch(f)
	for p, err := range h.newPacks(ctx, seq) {
		if err != nil {
			return errors.Join(err, h.store(ctx, b))
		}
		if err := b.take(ctx, p); err != nil {
			return err
		}
		if b.events >= maxEvents {
			if err := h.store(ctx, b); err != nil {
				return err
			}
			b = newBatch(f)
			if h.o.Busy() {
				h.rest(ctx)
			}
		}
	}
	if err := h.store(ctx, b); err != nil || letters {
		return err
	}
	return h.takeOlder(ctx, f)
}

// newPacks gives what was recorded after the pack of the number: what this process has handed over where that is the next, and what
// the stream has where it is not.
func (h *History) newPacks(ctx context.Context, after uint64) iter.Seq2[*engine.EventPack, error] {
	packs := h.fresh.take(after)
	if len(packs) == 0 {
		return h.o.Source.Events(ctx, after+1)
	}
	return func(yield func(*engine.EventPack, error) bool) {
		for i := range packs {
			if !yield(&packs[i], nil) {
				return
			}
		}
	}
}

func (h *History) store(ctx context.Context, b *batch) error {
	if b.seq == 0 {
		return nil
	}
	if len(b.order) == 0 && time.Since(b.f.written) < placeEvery {
		b.f.ahead = b.seq
		h.at(b.seq)
		return nil
	}
	if b.stored.IsZero() { // it was handed over, and only the stream knows when it was stored
		p, err := h.o.Source.EventsAt(ctx, b.seq)
		if err != nil {
			return err
		}
		b.stored = p.Stored
	}
	if err := b.store(ctx); err != nil {
		return err
	}
	b.f.ahead, b.f.written = b.seq, time.Now()
	h.at(b.seq)
	return nil
}

// at takes down how far it is.
func (h *History) at(seq uint64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.state.Seq = seq
}

// place gives the last pack that is in the file, and whether the dead letters and what is parked were taken in.
func (f *file) place(ctx context.Context) (seq uint64, stored int64, letters bool, err error) {
	err = f.write.QueryRowContext(ctx, "SELECT seq, stored, letters FROM place").Scan(&seq, &stored, &letters)
	if errors.Is(err, sql.ErrNoRows) {
		err = fmt.Errorf("%w: it does not say how far it is", errUnfit)
	}
	return seq, stored, letters, err
}

// batch is a run of events that are stored in one transaction.
type batch struct {
	f      *file
	rows   map[string]*row
	order  []*row // of rows, as they came
	names  map[string]int64
	events int
	seq    uint64
	stored time.Time
}

func newBatch(f *file) *batch {
	return &batch{f: f, rows: make(map[string]*row), names: make(map[string]int64)}
}

func (b *batch) take(ctx context.Context, p *engine.EventPack) error {
	b.seq, b.stored = p.Seq, p.Stored
	for i := range p.Events {
		b.events++
		ev := &p.Events[i]
		if c := ev.Matched; c != nil {
			for j := range c.Deliveries {
				b.made(&c.Deliveries[j])
			}
		}
		if ev.Made != nil {
			b.made(&ev.Made.Job)
		}
		if ev.Ended != nil {
			if err := b.ended(ctx, ev.Ended, place{p.Seq, i}); err != nil {
				return err
			}
		}
	}
	return nil
}

// row gives a delivery's row, from the file where it is there; fresh is what it is otherwise.
func (b *batch) row(ctx context.Context, id string, fresh func() *row) (*row, error) {
	if r := b.rows[id]; r != nil {
		return r, nil
	}
	r, err := foundRow(b.f.writer.find.QueryRowContext(context.WithoutCancel(ctx), packed(id)))
	if errors.Is(err, engine.ErrNotFound) {
		r, err = fresh(), nil
	}
	if err != nil {
		return nil, err
	}
	b.add(r)
	return r, nil
}

func (b *batch) add(r *row) {
	b.rows[r.id] = r
	b.order = append(b.order, r)
}

// made takes in a new delivery. It nearly always is one: so it is not looked up, and writing it finds out.
func (b *batch) made(j *engine.Job) {
	fresh := rowOfJob(j)
	r := b.rows[j.ID]
	if r == nil {
		b.add(fresh)
	} else if r.callback == "" { // its end came before it
		r.callback, r.created, r.reprocess = fresh.callback, fresh.created, fresh.reprocess
	}
}

func rowOfJob(j *engine.Job) *row {
	return &row{
		id: j.ID, callback: j.Callback, rule: j.Rule, action: j.Action, from: j.From, to: j.To,
		created: j.Created.UnixNano(), reprocess: j.Reprocess,
	}
}

// ended takes in how an attempt ended. An event of a copy that was overtaken changes nothing but the list of attempts.
func (b *batch) ended(ctx context.Context, d *engine.Ended, at place) error {
	r, err := b.row(ctx, d.Delivery, func() *row {
		return &row{
			id: d.Delivery, callback: d.Callback, rule: d.Rule, action: d.Action, from: d.From, to: d.To, created: d.At.UnixNano(),
		}
	})
	if err != nil {
		return err
	}
	if d.Outcome != engine.OutcomeParked {
		r.tries = append(r.tries, at)
	}
	if r.outdates(d.Parks, d.Outcome == engine.OutcomeDone || d.Outcome == engine.OutcomeDead) {
		return nil
	}
	r.parks, r.attempts, r.moved = d.Parks, d.Attempt, true
	if d.Type != "" {
		r.typ = d.Type
	}
	r.status, r.next, r.ended = isPending, 0, 0
	switch d.Outcome {
	case engine.OutcomeRetry, engine.OutcomeParked:
		r.err, r.next = d.Error, d.Next.UnixNano()
	case engine.OutcomeDead:
		r.status, r.err = isDead, d.Error
	case engine.OutcomeDone:
		r.status, r.err, r.ended = isDone, "", d.At.UnixNano()
	case engine.OutcomeDiscarded:
		r.status, r.ended = isDiscarded, d.At.UnixNano()
	}
	return nil
}

// takeOlder takes in the dead letters and what is parked, where their outcomes are kept no more or are lost. It is done once for each file.
func (h *History) takeOlder(ctx context.Context, f *file) error {
	b := newBatch(f)
	for letter, err := range h.o.Source.DeadLetters(ctx) {
		if err != nil {
			return err
		}
		if b, err = b.older(ctx, &letter.Parked, isDead); err != nil {
			return err
		}
	}
	for p, err := range h.o.Source.ParkedDeliveries(ctx) {
		if err != nil {
			return err
		}
		if b, err = b.older(ctx, p, isPending); err != nil {
			return err
		}
	}
	if err := b.store(ctx); err != nil {
		return err
	}
	_, err := f.write.ExecContext(ctx, "UPDATE place SET letters = 1")
	return err
}

// older takes in a delivery as the store has it, unless outcomes have told of it. It gives the batch to go on with.
func (b *batch) older(ctx context.Context, p *engine.Parked, status int) (*batch, error) {
	known := true
	r, err := b.row(ctx, p.Job.ID, func() *row {
		known = false
		return rowOfJob(&p.Job)
	})
	if err != nil {
		return nil, err
	}
	if !known {
		r.status, r.attempts, r.parks, r.err = status, p.Attempt, p.Parks, p.Error
		if status == isPending {
			r.next = p.Due.UnixNano()
		}
	}
	if len(b.rows) < maxEvents {
		return b, nil
	}
	return newBatch(b.f), b.store(ctx)
}

// pruned is how many deliveries one transaction takes away.
const pruned = 5000

// prune takes away what was done or discarded longer ago than is kept.
func (h *History) prune(ctx context.Context, now time.Time) error {
	f := h.file
	if h.o.Keep <= 0 || f == nil {
		return nil
	}
	before := now.Add(-h.o.Keep).UnixNano()
	for _, status := range []int{isDone, isDiscarded} {
		for more := true; more; {
			var err error
			if more, err = f.pruneSome(ctx, status, before); err != nil {
				return err
			}
		}
	}
	return nil
}

// pruneSome takes away some that ended before the time with the status; it tells whether there may be more. What ended then was made
// before.
func (f *file) pruneSome(ctx context.Context, status int, before int64) (more bool, err error) {
	const old = "(SELECT n FROM deliveries INDEXED BY by_status WHERE status = ? AND created < ? AND ended < ? LIMIT ?)"
	tx, err := f.write.BeginTx(ctx, nil)
	if err != nil {
		return false, err
	}
	defer tx.Rollback() // nothing once it is committed
	if _, err := tx.ExecContext(ctx, "DELETE FROM attempts WHERE n IN "+old, status, before, before, pruned); err != nil {
		return false, err
	}
	res, err := tx.ExecContext(ctx, "DELETE FROM deliveries WHERE n IN "+old, status, before, before, pruned)
	if err != nil {
		return false, err
	}
	if err := tx.Commit(); err != nil {
		return false, err
	}
	n, err := res.RowsAffected()
	return n == pruned, err
}
