package history

import (
	"cmp"
	"context"
	"database/sql"
	"encoding/base64"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/aftermath-rules/aftermath/engine"
)

// Delivery is one as people see it.
type Delivery struct {
	ID          string     `json:"id"`
	Callback    string     `json:"callback_id"`
	Rule        string     `json:"rule"`
	Action      string     `json:"action"`
	Type        string     `json:"type"`
	From        string     `json:"From_Account"`
	To          string     `json:"To_Account"`
	Status      string     `json:"status"`
	Attempts    int        `json:"attempts"` // since it was made or last replayed
	LastError   string     `json:"last_error"`
	Created     time.Time  `json:"created"`
	NextAttempt *time.Time `json:"next_attempt"` // null where none is planned
	Ended       *time.Time `json:"ended,omitempty"`
	Reprocess   string     `json:"reprocess,omitempty"`
}

// Attempt is one attempt at a delivery, or what people did with its dead letter.
type Attempt struct {
	At       time.Time `json:"at"`
	Took     float64   `json:"took_ms"`
	Attempt  int       `json:"attempt"`
	Outcome  string    `json:"outcome"`
	Detail   string    `json:"detail,omitempty"`
	Error    string    `json:"error"`
	Sent     string    `json:"sent"` // its beginning, secrets masked
	Received string    `json:"received"`
	DryRun   bool      `json:"dry_run,omitempty"`
}

// Query says which deliveries are asked for. Zero fields ask for nothing.
type Query struct {
	Status  string
	Rule    string
	Action  string
	Account string // on either side
	Since   time.Time
	Until   time.Time
	Cursor  string // of the page before
	Limit   int
}

// ErrBadQuery says that a query makes no sense.
var ErrBadQuery = errors.New("bad query")

const rowColumns = `d.n, d.id, d.callback, r.name, a.name, t.name, d.sender, d.receiver, d.status, d.attempts, d.parks, d.error,
	d.created, d.next, d.ended, d.reprocess, d.seq, d.i
	FROM deliveries d JOIN names r ON r.k = d.rule JOIN names a ON a.k = d.action JOIN names t ON t.k = d.type`

func scanRow(scan func(...any) error) (*row, error) {
	var r row
	var rule, action, typ, from, to []byte
	var id, callback any
	var seq int64
	err := scan(&r.n, &id, &callback, &rule, &action, &typ, &from, &to, &r.status, &r.attempts, &r.parks, &r.err,
		&r.created, &r.next, &r.ended, &r.reprocess, &seq, &r.first.i)
	r.id, r.callback, r.first.seq = unpacked(id), unpacked(callback), uint64(seq)
	r.rule, r.action, r.typ, r.from, r.to = string(rule), string(action), string(typ), string(from), string(to)
	return &r, err
}

func foundRow(found *sql.Row) (*row, error) {
	r, err := scanRow(found.Scan)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, engine.ErrNotFound
	}
	return r, err
}

// delivery gives the row as people see it.
func (r *row) delivery() Delivery {
	d := Delivery{
		ID: r.id, Callback: r.callback, Rule: r.rule, Action: r.action, Type: r.typ, From: r.from, To: r.to,
		Attempts: r.attempts, LastError: r.err, Created: time.Unix(0, r.created).UTC(), Reprocess: r.reprocess, Status: Pending,
	}
	if r.status >= 0 && r.status < len(statuses) {
		d.Status = statuses[r.status]
	}
	if r.next > 0 {
		at := time.Unix(0, r.next).UTC()
		d.NextAttempt = &at
	}
	if r.ended > 0 {
		at := time.Unix(0, r.ended).UTC()
		d.Ended = &at
	}
	return d
}

// Search gives a page of what fits, newest first, and the cursor of the next page, "" where there is none. The error wraps ErrBadQuery
// where the query is at fault, and is ErrNotReady where the history takes long to open.
func (h *History) Search(ctx context.Context, q Query) (page []Delivery, next string, err error) {
	defer func() { h.blame(err) }()
	h.awaitFile(ctx)
	h.mu.RLock()
	defer h.mu.RUnlock()
	if h.file == nil {
		return nil, "", ErrNotReady
	}
	branches, err := h.file.branches(ctx, &q)
	if err != nil || len(branches) == 0 {
		return nil, "", err
	}
	var found []key
	for _, b := range branches {
		keys, err := b.run(ctx, h.file.read, q.Limit+1)
		if err != nil {
			return nil, "", err
		}
		found = append(found, keys...)
	}
	slices.SortFunc(found, func(x, y key) int { return cmp.Or(cmp.Compare(y.created, x.created), cmp.Compare(y.n, x.n)) })
	found = slices.Compact(found) // an account on both sides
	if len(found) > q.Limit {
		found = found[:q.Limit]
		last := found[q.Limit-1]
		next = cursor(last.created, last.n)
	}
	page, err = h.file.fetch(ctx, found)
	return page, next, err
}

// key is where a delivery stands in the order of time.
type key struct{ created, n int64 }

// fetch reads the deliveries of some keys, in their order. One that was taken away meanwhile is left out.
func (f *file) fetch(ctx context.Context, keys []key) ([]Delivery, error) {
	stmt, err := f.read.PrepareContext(ctx, "SELECT "+rowColumns+" WHERE d.n = ?")
	if err != nil {
		return nil, err
	}
	defer stmt.Close()
	var page []Delivery
	for _, k := range keys {
		r, err := foundRow(stmt.QueryRowContext(ctx, k.n))
		if errors.Is(err, engine.ErrNotFound) {
			continue
		}
		if err != nil {
			return nil, err
		}
		page = append(page, r.delivery())
	}
	return page, nil
}

// branch is a search that one index serves from its newest entry on.
type branch struct {
	index string
	where []string
	args  []any
}

func (b branch) and(where string, args ...any) branch {
	b.where = append(slices.Clip(b.where), where)
	b.args = append(slices.Clip(b.args), args...)
	return b
}

// run gives the newest keys, mostly from the index alone.
func (b branch) run(ctx context.Context, db *sql.DB, limit int) ([]key, error) {
	text := "SELECT created, n FROM deliveries INDEXED BY " + b.index + " WHERE " + strings.Join(b.where, " AND ") +
		" ORDER BY created DESC, n DESC LIMIT ?"
	rows, err := db.QueryContext(ctx, text, append(slices.Clip(b.args), limit)...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var all []key
	for rows.Next() {
		var k key
		if err := rows.Scan(&k.created, &k.n); err != nil {
			return nil, err
		}
		all = append(all, k)
	}
	return all, rows.Err()
}

// branches takes a query apart so that each part is served by one index in the order of time.
func (f *file) branches(ctx context.Context, q *Query) ([]branch, error) {
	all, ok, err := f.filters(ctx, q)
	if err != nil || !ok {
		return nil, err
	}
	statuses := []int{isPending, isDead, isDone, isDiscarded}
	if q.Status != "" {
		n, ok := statusNumber(q.Status)
		if !ok {
			return nil, fmt.Errorf("%w: status is pending, dead, done or discarded, not %.40q", ErrBadQuery, q.Status)
		}
		statuses = []int{n}
	}
	var out []branch
	switch {
	case q.Account != "":
		if q.Status != "" {
			all = all.and("status = ?", statuses[0])
		}
		for _, side := range []string{"sender", "receiver"} {
			b := all.and(side+" = ?", []byte(q.Account))
			b.index = "by_" + side
			out = append(out, b)
		}
	case q.Rule != "" || q.Action != "":
		all.index = "by_rule"
		if q.Rule == "" {
			all.index = "by_action"
		}
		for _, n := range statuses {
			out = append(out, all.and("status = ?", n))
		}
	default:
		all.index = "by_status"
		for _, n := range statuses {
			out = append(out, all.and("status = ?", n))
		}
	}
	return out, nil
}

// filters gives what all branches have in common; false where nothing can fit.
func (f *file) filters(ctx context.Context, q *Query) (b branch, ok bool, err error) {
	before, n := int64(math.MaxInt64), int64(math.MaxInt64)
	if q.Cursor != "" {
		if before, n, err = parseCursor(q.Cursor); err != nil {
			return b, false, err
		}
	}
	if until := nanos(q.Until); !q.Until.IsZero() && until <= before { // one bound, so that the index begins there
		before, n = until, math.MinInt64
	}
	b = b.and("created >= ? AND (created, n) < (?, ?)", nanos(q.Since), before, n)
	for column, name := range map[string]string{"rule": q.Rule, "action": q.Action} {
		if name == "" {
			continue
		}
		var k int64
		err := f.read.QueryRowContext(ctx, "SELECT k FROM names WHERE name = ?", []byte(name)).Scan(&k)
		if errors.Is(err, sql.ErrNoRows) {
			return b, false, nil
		}
		if err != nil {
			return b, false, err
		}
		b = b.and(column+" = ?", k)
	}
	return b, true, nil
}

// nanos is a time as the file has it; those that do not fit are as early or late as can be.
func nanos(t time.Time) int64 {
	switch {
	case t.Year() < 1678:
		return math.MinInt64
	case t.Year() > 2261:
		return math.MaxInt64
	}
	return t.UnixNano()
}

func cursor(created, n int64) string {
	return base64.RawURLEncoding.EncodeToString(fmt.Appendf(nil, "%d.%d", created, n))
}

func parseCursor(text string) (created, n int64, err error) {
	b, err := base64.RawURLEncoding.DecodeString(text)
	if err == nil {
		_, err = fmt.Sscanf(string(b), "%d.%d", &created, &n)
	}
	if err != nil || cursor(created, n) != text {
		return 0, 0, fmt.Errorf("%w: the cursor is not one that a page gave", ErrBadQuery)
	}
	return created, n, nil
}

// Delivery gives one, with all its attempts that are still kept, oldest first; engine.ErrNotFound where there is none.
func (h *History) Delivery(ctx context.Context, id string) (*Delivery, []Attempt, error) {
	r, places, err := h.find(ctx, id)
	if err != nil {
		return nil, nil, err
	}
	d := r.delivery()
	attempts := []Attempt{}
	var pack *engine.EventPack
	for _, at := range places {
		if pack == nil || pack.Seq != at.seq {
			pack, err = h.o.Source.EventsAt(ctx, at.seq)
			if errors.Is(err, engine.ErrNotFound) {
				pack = nil
				continue
			}
			if err != nil {
				return nil, nil, err
			}
		}
		if at.i < len(pack.Events) && pack.Events[at.i].Ended != nil && pack.Events[at.i].Ended.Delivery == id {
			attempts = append(attempts, attemptOf(pack.Events[at.i].Ended))
		}
	}
	return &d, attempts, nil
}

func (h *History) find(ctx context.Context, id string) (_ *row, _ []place, err error) {
	defer func() { h.blame(err) }()
	h.awaitFile(ctx)
	h.mu.RLock()
	defer h.mu.RUnlock()
	if h.file == nil {
		return nil, nil, ErrNotReady
	}
	r, err := foundRow(h.file.read.QueryRowContext(ctx, "SELECT "+rowColumns+" WHERE d.id = ?", packed(id)))
	if err != nil {
		return nil, nil, err
	}
	rows, err := h.file.read.QueryContext(ctx, "SELECT seq, i FROM attempts WHERE n = ? ORDER BY seq, i", r.n)
	if err != nil {
		return nil, nil, err
	}
	defer rows.Close()
	var places []place
	if r.first.seq > 0 {
		places = append(places, r.first)
	}
	for rows.Next() {
		var at place
		if err := rows.Scan(&at.seq, &at.i); err != nil {
			return nil, nil, err
		}
		places = append(places, at)
	}
	return r, places, rows.Err()
}

func attemptOf(d *engine.Ended) Attempt {
	return Attempt{
		At: d.At, Took: float64(d.Took) / 1e6, Attempt: d.Attempt, Outcome: d.Outcome, Detail: d.Detail, Error: d.Error,
		Sent: text(d.Sent), Received: text(d.Received), DryRun: d.DryRun,
	}
}

// text gives bytes as JSON can hold them.
func text(b []byte) string { return strings.ToValidUTF8(string(b), "\uFFFD") }
