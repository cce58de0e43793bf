package history

import (
	"context"
	"database/sql"
	"encoding/hex"
	"errors"
	"maps"
)

// writer is the statements that fill the file, prepared on its writing connection.
type writer struct {
	find, insert, update, try, named, name *sql.Stmt
}

func (w *writer) texts() map[**sql.Stmt]string {
	return map[**sql.Stmt]string{
		&w.find: "SELECT " + rowColumns + " WHERE d.id = ?",
		&w.insert: `INSERT INTO deliveries (id, callback, rule, action, type, sender, receiver, status, attempts, parks, error, created, next,
			ended, reprocess, seq, i) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (id) DO NOTHING`,
		&w.update: `UPDATE deliveries SET callback = ?, type = ?, status = ?, attempts = ?, parks = ?, error = ?, created = ?, next = ?,
			ended = ?, reprocess = ?, seq = ?, i = ? WHERE n = ?`,
		&w.try:   "INSERT OR IGNORE INTO attempts (n, seq, i) VALUES (?, ?, ?)",
		&w.named: "SELECT k FROM names WHERE name = ?",
		&w.name:  "INSERT OR IGNORE INTO names (name) VALUES (?)",
	}
}

func (w *writer) prepare(ctx context.Context, db *sql.DB) error {
	for stmt, text := range w.texts() {
		var err error
		if *stmt, err = db.PrepareContext(ctx, text); err != nil {
			return err
		}
	}
	return nil
}

func (w *writer) close() error {
	var errs []error
	for stmt := range w.texts() {
		if *stmt != nil {
			errs = append(errs, (*stmt).Close())
		}
	}
	return errors.Join(errs...)
}

// in gives the statements for a transaction.
func (w *writer) in(ctx context.Context, tx *sql.Tx) *writer {
	return &writer{
		find: tx.StmtContext(ctx, w.find), insert: tx.StmtContext(ctx, w.insert), update: tx.StmtContext(ctx, w.update),
		try: tx.StmtContext(ctx, w.try), named: tx.StmtContext(ctx, w.named), name: tx.StmtContext(ctx, w.name),
	}
}

// store writes the batch, and how far it goes, at once. It is not cut short by ctx: the driver would watch that with a goroutine for
// each statement.
func (b *batch) store(ctx context.Context) error {
	ctx = context.WithoutCancel(ctx)
	tx, err := b.f.write.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback() // nothing once it is committed
	w := b.f.writer.in(ctx, tx)
	for _, r := range b.order {
		if err := b.writeRow(ctx, w, r); err != nil {
			return err
		}
	}
	if b.seq > 0 {
		if _, err := tx.ExecContext(ctx, "UPDATE place SET seq = ?, stored = ?", int64(b.seq), b.stored.UnixNano()); err != nil {
			return err
		}
	}
	if err := tx.Commit(); err != nil {
		return err
	}
	if len(b.f.names) > maxNames {
		clear(b.f.names)
	}
	maps.Copy(b.f.names, b.names)
	return nil
}

// maxNames is how many numbers of names are remembered.
const maxNames = 20_000

// writeRow writes a delivery and its new attempts.
func (b *batch) writeRow(ctx context.Context, w *writer, r *row) error {
	fresh := false
	r.takeFirst()
	if r.n == 0 {
		var err error
		if fresh, err = b.insert(ctx, w, r); err != nil {
			return err
		}
	}
	if !fresh {
		typ, err := b.name(ctx, w, r.typ)
		if err != nil {
			return err
		}
		r.takeFirst() // the file may have none yet
		if _, err := w.update.ExecContext(ctx, packed(r.callback), typ, r.status, r.attempts, r.parks, r.err, r.created, r.next, r.ended,
			r.reprocess, int64(r.first.seq), r.first.i, r.n); err != nil {
			return err
		}
	}
	for _, at := range r.tries {
		if _, err := w.try.ExecContext(ctx, r.n, int64(at.seq), at.i); err != nil {
			return err
		}
	}
	return nil
}

// insert writes a delivery that was taken for new; it tells whether it was. Where the file has it already r goes on from that.
func (b *batch) insert(ctx context.Context, w *writer, r *row) (fresh bool, err error) {
	rule, err := b.name(ctx, w, r.rule)
	if err != nil {
		return false, err
	}
	action, err := b.name(ctx, w, r.action)
	if err != nil {
		return false, err
	}
	typ, err := b.name(ctx, w, r.typ)
	if err != nil {
		return false, err
	}
	res, err := w.insert.ExecContext(ctx, packed(r.id), packed(r.callback), rule, action, typ, []byte(r.from), []byte(r.to), r.status, r.attempts, r.parks,
		r.err, r.created, r.next, r.ended, r.reprocess, int64(r.first.seq), r.first.i)
	if err != nil {
		return false, err
	}
	if n, err := res.RowsAffected(); err != nil || n == 0 {
		have, findErr := foundRow(w.find.QueryRowContext(ctx, packed(r.id)))
		if err := errors.Join(err, findErr); err != nil {
			return false, err
		}
		r.goOnFrom(have)
		return false, nil
	}
	r.n, err = res.LastInsertId()
	return true, err
}

// goOnFrom puts what new events made of a delivery on top of what the file has of it.
func (r *row) goOnFrom(have *row) {
	was := *r
	*r = *have
	r.tries = was.tries
	if was.first.seq > 0 {
		r.tries = append([]place{was.first}, was.tries...)
	}
	if was.moved && !have.outdates(was.parks, was.status == isDone || was.status == isDead) {
		r.parks, r.attempts, r.status, r.err, r.next, r.ended = was.parks, was.attempts, was.status, was.err, was.next, was.ended
		if was.typ != "" {
			r.typ = was.typ
		}
	}
}

// outdates tells whether an event of a copy says nothing new: a later one has taken its place, or it has ended.
func (r *row) outdates(parks int, ends bool) bool {
	return parks < r.parks || parks == r.parks && r.ended > 0 && !ends
}

// name gives the number of a rule's, action's or type's name.
func (b *batch) name(ctx context.Context, w *writer, name string) (k int64, err error) {
	if k, ok := b.names[name]; ok {
		return k, nil
	}
	if k, ok := b.f.names[name]; ok {
		return k, nil
	}
	if _, err := w.name.ExecContext(ctx, []byte(name)); err != nil {
		return 0, err
	}
	if err := w.named.QueryRowContext(ctx, []byte(name)).Scan(&k); err != nil {
		return 0, err
	}
	b.names[name] = k
	return k, nil
}

// takeFirst puts the first of the new attempts into the row, unless that has one.
func (r *row) takeFirst() {
	if r.first.seq == 0 && len(r.tries) > 0 {
		r.first, r.tries = r.tries[0], r.tries[1:]
	}
}

// packed gives an id as the file has it: the bytes that are written in hexadecimal, where it is that of all that are made here.
func packed(id string) any {
	if len(id) == hex.EncodedLen(idBytes) {
		if b, err := hex.DecodeString(id); err == nil && hex.EncodeToString(b) == id {
			return b
		}
	}
	return id
}

// unpacked reverses packed.
func unpacked(v any) string {
	switch v := v.(type) {
	case []byte:
		return hex.EncodeToString(v)
	case string:
		return v
	}
	return ""
}

const idBytes = 16
