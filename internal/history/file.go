package history

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	sqlite "modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"
)

// version is of the schema. A file of another one is thrown away.
const version = 2

// Each index serves one way of asking, newest first. A rule's or an action's deliveries are asked for by status too, so that a few
// dead letters among a million done ones are found at once; what else may be asked for beside them stands in the index too, so that
// what does not fit costs no look at its row. Each costs every delivery some microseconds: what is asked for without more is looked up
// in by_status, status by status, and what has ended long ago is found there too. Nearly every delivery has one attempt, whose place
// stands in its row (seq is 0 where there is none); attempts has the further ones.
const schema = `
CREATE TABLE place (one INTEGER PRIMARY KEY CHECK (one = 1), seq INTEGER NOT NULL, stored INTEGER NOT NULL, letters INTEGER NOT NULL);
INSERT INTO place VALUES (1, 0, 0, 0);
CREATE TABLE names (k INTEGER PRIMARY KEY, name BLOB NOT NULL UNIQUE);
CREATE TABLE deliveries (
	n INTEGER PRIMARY KEY, id NOT NULL UNIQUE, callback NOT NULL, rule INTEGER NOT NULL, action INTEGER NOT NULL,
	type INTEGER NOT NULL, sender BLOB NOT NULL, receiver BLOB NOT NULL, status INTEGER NOT NULL, attempts INTEGER NOT NULL,
	parks INTEGER NOT NULL, error TEXT NOT NULL, created INTEGER NOT NULL, next INTEGER NOT NULL, ended INTEGER NOT NULL,
	reprocess TEXT NOT NULL, seq INTEGER NOT NULL, i INTEGER NOT NULL);
CREATE INDEX by_status ON deliveries (status, created, ended);
CREATE INDEX by_rule ON deliveries (rule, status, created, action);
CREATE INDEX by_action ON deliveries (action, status, created);
CREATE INDEX by_sender ON deliveries (sender, created, status, rule, action);
CREATE INDEX by_receiver ON deliveries (receiver, created, status, rule, action);
CREATE TABLE attempts (n INTEGER NOT NULL, seq INTEGER NOT NULL, i INTEGER NOT NULL, PRIMARY KEY (n, seq, i)) WITHOUT ROWID;
`

// file is the open SQLite file: one connection writes, others read beside it.
type file struct {
	write, read *sql.DB
	writer      writer
	names       map[string]int64 // the numbers of some names, which are never taken back

	// Run's own: how far it is, which may not be written down yet, and when that was last written down.
	ahead   uint64
	written time.Time
}

// errUnfit says that a file is not one to go on with.
var errUnfit = errors.New("not a history that can be gone on with")

// openFile opens the file at path, or makes it. The error wraps errUnfit where the file is of no use.
func openFile(ctx context.Context, path string) (*file, error) {
	f := &file{names: make(map[string]int64)}
	var err error
	// Accounts come in no order: so there is room for many pages, 16 MB, and what is written often goes into the file once in 32 MB.
	if f.write, err = sql.Open("sqlite", dsn(path)+"&_pragma=cache_size(-16000)&_pragma=wal_autocheckpoint(8000)"); err != nil {
		return nil, err
	}
	f.write.SetMaxOpenConns(1)
	if f.read, err = sql.Open("sqlite", dsn(path)+"&_pragma=query_only(true)"); err != nil {
		return nil, errors.Join(err, f.write.Close())
	}
	f.read.SetMaxOpenConns(4)
	if err := f.prepare(ctx); err != nil {
		return nil, errors.Join(err, f.close())
	}
	if err := f.writer.prepare(ctx, f.write); err != nil {
		return nil, errors.Join(f.unfit(err), f.close())
	}
	return f, nil
}

// dsn gives the driver's name of a file, whose path may be a relative one: as file://data/… it would name a host. What is written last may be
// lost with the machine's power, never by halves.
func dsn(path string) string {
	u := url.URL{Scheme: "file", OmitHost: true, Path: filepath.ToSlash(path)}
	return u.String() + "?_pragma=journal_mode(WAL)&_pragma=synchronous(NORMAL)&_pragma=busy_timeout(10000)"
}

func (f *file) prepare(ctx context.Context) error {
	var have, tables int
	if err := f.write.QueryRowContext(ctx, "PRAGMA user_version").Scan(&have); err != nil {
		return f.unfit(err)
	}
	if err := f.write.QueryRowContext(ctx, "SELECT count(*) FROM sqlite_master").Scan(&tables); err != nil {
		return f.unfit(err)
	}
	if tables == 0 {
		_, err := f.write.ExecContext(ctx, "BEGIN;"+schema+fmt.Sprintf("PRAGMA user_version = %d; COMMIT;", version))
		return err
	}
	if have != version {
		return fmt.Errorf("%w: version %d", errUnfit, have)
	}
	const named = "SELECT count(*) FROM sqlite_master WHERE name IN ('place', 'names', 'deliveries', 'attempts') OR name LIKE 'by\\_%' ESCAPE '\\'"
	if err := f.write.QueryRowContext(ctx, named).Scan(&tables); err != nil {
		return f.unfit(err)
	}
	if want := strings.Count(schema, "CREATE"); tables != want {
		return fmt.Errorf("%w: %d tables and indexes of %d", errUnfit, tables, want)
	}
	var verdict string
	if err := f.write.QueryRowContext(ctx, "PRAGMA quick_check(1)").Scan(&verdict); err != nil {
		return f.unfit(err)
	}
	if verdict != "ok" {
		return fmt.Errorf("%w: %s", errUnfit, verdict)
	}
	return nil
}

// unfit marks errors that come of a damaged file.
func (f *file) unfit(err error) error {
	if damaged(err) {
		return fmt.Errorf("%w: %w", errUnfit, err)
	}
	return err
}

// damaged tells whether an error says that the file itself is at fault.
func damaged(err error) bool {
	var e *sqlite.Error
	if !errors.As(err, &e) {
		return false
	}
	switch e.Code() & 0xff {
	case sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_ERROR, sqlite3.SQLITE_MISMATCH, sqlite3.SQLITE_CONSTRAINT,
		sqlite3.SQLITE_CANTOPEN:
		return true // a table or column is not what it should be, or something else stands where the file should
	}
	return false
}

func (f *file) close() error {
	return errors.Join(f.writer.close(), f.read.Close(), f.write.Close())
}

// removeFile takes the file away, with what SQLite keeps beside it.
func removeFile(path string) error {
	var errs []error
	for _, name := range []string{path, path + "-wal", path + "-shm", path + "-journal"} {
		if err := os.RemoveAll(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}
