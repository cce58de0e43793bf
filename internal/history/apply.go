package history

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
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

// row is a delivery as the file has it.
type row struct {
	n                       int64 // 0: not in the file yet
	id, callback            string
	rule, action, typ       string
	from, to                string
	status, attempts, parks int
	err                     string
	created, next, ended    int64 // Unix nanoseconds; 0: none
	reprocess               string
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
	b := newBatch(f)
	for p, err := range h.o.Source.Events(ctx, seq+1) {
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
		}
	}
	if err := h.store(ctx, b); err != nil || letters {
		return err
	}
	return h.takeLetters(ctx, f)
}

func (h *History) store(ctx context.Context, b *batch) error {
	if b.seq == 0 {
		return nil
	}
	if err := b.store(ctx); err != nil {
		return err
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.state.Seq = b.seq
	return nil
}

// place gives the last pack that is in the file, and whether the dead letters were taken in.
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
	stored int64
}

func newBatch(f *file) *batch {
	return &batch{f: f, rows: make(map[string]*row), names: make(map[string]int64)}
}

func (b *batch) take(ctx context.Context, p *engine.EventPack) error {
	b.seq, b.stored = p.Seq, p.Stored.UnixNano()
	for i := range p.Events {
		b.events++
		ev := &p.Events[i]
		if c := ev.Matched; c != nil {
			for j := range c.Deliveries {
				if err := b.made(ctx, &c.Deliveries[j]); err != nil {
					return err
				}
			}
		}
		if ev.Made != nil {
			if err := b.made(ctx, &ev.Made.Job); err != nil {
				return err
			}
		}
		if ev.Ended != nil {
			if err := b.ended(ctx, ev.Ended, place{p.Seq, i}); err != nil {
				return err
			}
		}
	}
	return nil
}

// row gives a delivery's row, from the file where it is there; new is what it is otherwise.
func (b *batch) row(ctx context.Context, id string, fresh func() *row) (*row, error) {
	if r := b.rows[id]; r != nil {
		return r, nil
	}
	r, err := foundRow(b.f.lookup.QueryRowContext(ctx, id))
	if errors.Is(err, engine.ErrNotFound) {
		r, err = fresh(), nil
	}
	if err != nil {
		return nil, err
	}
	b.rows[id] = r
	b.order = append(b.order, r)
	return r, nil
}

func (b *batch) made(ctx context.Context, j *engine.Job) error {
	r, err := b.row(ctx, j.ID, func() *row { return rowOfJob(j) })
	if err == nil && r.callback == "" { // its end came before it
		fresh := rowOfJob(j)
		r.callback, r.created, r.reprocess = fresh.callback, fresh.created, fresh.reprocess
	}
	return err
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
	if d.Parks < r.parks || d.Parks == r.parks && r.ended > 0 && d.Outcome != engine.OutcomeDone && d.Outcome != engine.OutcomeDead {
		return nil
	}
	r.parks, r.attempts = d.Parks, d.Attempt
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

// takeLetters takes in the dead letters whose outcomes are kept no more. It is done once for each file.
func (h *History) takeLetters(ctx context.Context, f *file) error {
	b := newBatch(f)
	for letter, err := range h.o.Source.DeadLetters(ctx) {
		if err != nil {
			return err
		}
		r, err := b.row(ctx, letter.Job.ID, func() *row { return rowOfJob(&letter.Job) })
		if err != nil {
			return err
		}
		if r.n == 0 {
			r.status, r.attempts, r.parks, r.err = isDead, letter.Attempt, letter.Parks, letter.Error
		}
		if len(b.rows) >= maxEvents {
			if err := b.store(ctx); err != nil {
				return err
			}
			b = newBatch(f)
		}
	}
	if err := b.store(ctx); err != nil {
		return err
	}
	_, err := f.write.ExecContext(ctx, "UPDATE place SET letters = 1")
	return err
}

// store writes the batch, and how far it goes, at once.
func (b *batch) store(ctx context.Context) error {
	tx, err := b.f.write.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback() // nothing once it is committed
	if err := b.write(ctx, tx); err != nil {
		return err
	}
	if b.seq > 0 {
		if _, err := tx.ExecContext(ctx, "UPDATE place SET seq = ?, stored = ?", int64(b.seq), b.stored); err != nil {
			return err
		}
	}
	return tx.Commit()
}

const (
	insertRow = `INSERT INTO deliveries (id, callback, rule, action, type, sender, receiver, status, attempts, parks, error, created, next, ended,
	reprocess) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`
	updateRow = `UPDATE deliveries SET callback = ?, type = ?, status = ?, attempts = ?, parks = ?, error = ?, created = ?, next = ?, ended = ?, reprocess = ? WHERE n = ?`
	insertTry = `INSERT OR IGNORE INTO attempts (n, seq, i) VALUES (?, ?, ?)`
)

func (b *batch) write(ctx context.Context, tx *sql.Tx) error {
	var stmts [3]*sql.Stmt
	for i, text := range []string{insertRow, updateRow, insertTry} {
		s, err := tx.PrepareContext(ctx, text)
		if err != nil {
			return err
		}
		defer s.Close()
		stmts[i] = s
	}
	for _, r := range b.order {
		typ, err := b.name(ctx, tx, r.typ)
		if err != nil {
			return err
		}
		if r.n != 0 {
			_, err = stmts[1].ExecContext(ctx, r.callback, typ, r.status, r.attempts, r.parks, r.err, r.created, r.next, r.ended, r.reprocess, r.n)
		} else {
			err = b.insert(ctx, tx, stmts[0], r, typ)
		}
		if err != nil {
			return err
		}
		for _, at := range r.tries {
			if _, err := stmts[2].ExecContext(ctx, r.n, int64(at.seq), at.i); err != nil {
				return err
			}
		}
	}
	return nil
}

func (b *batch) insert(ctx context.Context, tx *sql.Tx, stmt *sql.Stmt, r *row, typ int64) error {
	rule, err := b.name(ctx, tx, r.rule)
	if err != nil {
		return err
	}
	action, err := b.name(ctx, tx, r.action)
	if err != nil {
		return err
	}
	res, err := stmt.ExecContext(ctx, r.id, r.callback, rule, action, typ, []byte(r.from), []byte(r.to), r.status, r.attempts, r.parks,
		r.err, r.created, r.next, r.ended, r.reprocess)
	if err != nil {
		return err
	}
	r.n, err = res.LastInsertId()
	return err
}

// name gives the number of a rule's, action's or type's name.
func (b *batch) name(ctx context.Context, tx *sql.Tx, name string) (k int64, err error) {
	if k, ok := b.names[name]; ok {
		return k, nil
	}
	if _, err := tx.ExecContext(ctx, "INSERT OR IGNORE INTO names (name) VALUES (?)", []byte(name)); err != nil {
		return 0, err
	}
	if err := tx.QueryRowContext(ctx, "SELECT k FROM names WHERE name = ?", []byte(name)).Scan(&k); err != nil {
		return 0, err
	}
	b.names[name] = k
	return k, nil
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
	for {
		const old = "(SELECT n FROM deliveries WHERE ended > 0 AND ended < ? ORDER BY ended LIMIT ?)"
		tx, err := f.write.BeginTx(ctx, nil)
		if err != nil {
			return err
		}
		if _, err := tx.ExecContext(ctx, "DELETE FROM attempts WHERE n IN "+old, before, pruned); err != nil {
			return errors.Join(err, tx.Rollback())
		}
		res, err := tx.ExecContext(ctx, "DELETE FROM deliveries WHERE n IN "+old, before, pruned)
		if err != nil {
			return errors.Join(err, tx.Rollback())
		}
		if err := tx.Commit(); err != nil {
			return err
		}
		if n, err := res.RowsAffected(); err != nil || n < pruned {
			return err
		}
	}
}
