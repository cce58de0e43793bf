package history

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/aftermath-rules/aftermath/engine"
	"github.com/aftermath-rules/aftermath/engine/storetest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// source is a store in memory that gives one pack too.
type source struct{ *storetest.Memory }

func (s source) EventsAt(ctx context.Context, seq uint64) (*engine.EventPack, error) {
	for p, err := range s.Events(ctx, seq) {
		if err != nil {
			return nil, err
		}
		if p.Seq == seq {
			return p, nil
		}
		break
	}
	return nil, engine.ErrNotFound
}

var epoch = time.Date(2026, 11, 22, 8, 0, 0, 0, time.UTC)

// log records events as the engine does.
type log struct {
	t testing.TB
	source
}

func newLog(t testing.TB) *log { return &log{t, source{storetest.NewMemory()}} }

func (l *log) record(events ...engine.Event) {
	l.t.Helper()
	if _, err := l.Append(context.Background(), events, nil); err != nil {
		l.t.Fatal(err)
	}
}

func job(id, rule, action, from, to string, minute int) engine.Job {
	return engine.Job{
		ID: id, Callback: "cb" + id, Rule: rule, Action: action, From: from, To: to,
		Created: epoch.Add(time.Duration(minute) * time.Minute),
	}
}

func matched(jobs ...engine.Job) engine.Event {
	return engine.Event{Matched: &engine.Matched{Deliveries: jobs}}
}

func ended(j engine.Job, outcome string, parks, attempt int, why string) engine.Event {
	d := &engine.Ended{
		Delivery: j.ID, Callback: j.Callback, Rule: j.Rule, Action: j.Action, Type: "webhook", From: j.From, To: j.To,
		Attempt: attempt, Parks: parks, At: j.Created.Add(time.Second), Took: int64(3 * time.Millisecond), Outcome: outcome, Error: why,
		Sent: []byte("POST " + j.ID), Received: []byte("\xff" + why),
	}
	if outcome == engine.OutcomeRetry {
		d.Next = j.Created.Add(time.Hour)
	}
	return engine.Event{Ended: d}
}

// follow runs a history until the test ends, and waits until it is where the log is.
func follow(t testing.TB, l *log, path string) *History {
	t.Helper()
	h := New(Options{Path: path, Source: l})
	run(t, h)
	caughtUp(t, h, l)
	return h
}

func run(t testing.TB, h *History) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- h.Run(ctx) }()
	stopped := false
	stop = func() {
		if !stopped {
			stopped = true
			cancel()
			if err := <-done; err != nil {
				t.Error(err)
			}
		}
	}
	t.Cleanup(stop)
	return stop
}

func caughtUp(t testing.TB, h *History, l *log) {
	t.Helper()
	var last uint64
	for p, err := range l.Events(context.Background(), 0) {
		if err != nil {
			t.Fatal(err)
		}
		last = p.Seq
	}
	h.Wake()
	eventually(t, "the history to catch up", func() bool { s := h.State(); return s.Seq == last && s.Current })
}

func eventually(t testing.TB, what string, cond func() bool) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); !cond(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain for %s", what)
		}
	}
}

// ids gives the ids that a query finds, page by page.
func ids(t testing.TB, h *History, q Query) string {
	t.Helper()
	if q.Limit == 0 {
		q.Limit = 2
	}
	var all []string
	for {
		page, next, err := h.Search(context.Background(), q)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range page {
			all = append(all, d.ID)
		}
		if next == "" {
			return strings.Join(all, " ")
		}
		if len(page) != q.Limit {
			t.Fatalf("a page of %d with one after it", len(page))
		}
		q.Cursor = next
	}
}

func TestSearch(t *testing.T) {
	l := newLog(t)
	a, b := job("a", "vip", "crm", "alice", "bob", 1), job("b", "vip", "vip/log", "alice", "carol", 2)
	c, d := job("c", "all", "crm", "bob", "alice", 3), job("d", "all", "crm", "alice", "alice", 4)
	e := job("e", "all", "crm", "dora", "bob", 4)
	l.record(matched(a, b), ended(a, engine.OutcomeDone, 0, 1, ""))
	l.record(matched(c, d), ended(b, engine.OutcomeRetry, 1, 1, "503"), ended(c, engine.OutcomeDead, 0, 1, "410"))
	l.record(matched(e), ended(d, engine.OutcomeDead, 0, 1, "410"), ended(d, engine.OutcomeDiscarded, 1<<20, 1, ""))
	h := follow(t, l, filepath.Join(t.TempDir(), "history.db"))
	for _, c := range []struct {
		name string
		q    Query
		want string
	}{
		{"all, newest first", Query{}, "e d c b a"},
		{"pending", Query{Status: Pending}, "e b"},
		{"done", Query{Status: Done}, "a"},
		{"dead", Query{Status: Dead}, "c"},
		{"discarded", Query{Status: Discarded}, "d"},
		{"a rule", Query{Rule: "vip"}, "b a"},
		{"an action", Query{Action: "crm"}, "e d c a"},
		{"a rule and an action", Query{Rule: "vip", Action: "crm"}, "a"},
		{"a rule and a status", Query{Rule: "all", Status: Dead}, "c"},
		{"an account on either side, once where on both", Query{Account: "alice"}, "d c b a"},
		{"an account and a status", Query{Account: "alice", Status: Pending}, "b"},
		{"an account and a rule", Query{Account: "bob", Rule: "all"}, "e c"},
		{"since", Query{Since: epoch.Add(3 * time.Minute)}, "e d c"},
		{"since and until", Query{Since: epoch.Add(2 * time.Minute), Until: epoch.Add(3 * time.Minute)}, "b"},
		{"since with a status", Query{Since: epoch.Add(3 * time.Minute), Status: Dead}, "c"},
		{"no such rule", Query{Rule: "nope"}, ""},
		{"no such account", Query{Account: "nobody"}, ""},
		{"a time that is very early", Query{Since: time.Time{}.Add(1), Status: Done}, "a"},
	} {
		for limit := range 4 {
			c.q.Limit = limit + 1
			if got := ids(t, h, c.q); got != c.want {
				t.Errorf("%s, %d a page: got %q, want %q", c.name, limit+1, got, c.want)
			}
		}
	}
	for _, q := range []Query{{Status: "lost", Limit: 1}, {Cursor: "x", Limit: 1}, {Cursor: "MTsgRFJPUA", Limit: 1}} {
		if _, _, err := h.Search(context.Background(), q); !errors.Is(err, ErrBadQuery) {
			t.Errorf("%+v: %v", q, err)
		}
	}
	page, _, err := h.Search(context.Background(), Query{Account: "carol", Limit: 5})
	if err != nil || len(page) != 1 {
		t.Fatalf("%v, %v", page, err)
	}
	got := page[0]
	if got.NextAttempt == nil || !got.NextAttempt.Equal(b.Created.Add(time.Hour)) {
		t.Errorf("next attempt %v", got.NextAttempt)
	}
	got.NextAttempt = nil
	if want := (Delivery{
		ID: "b", Callback: "cbb", Rule: "vip", Action: "vip/log", Type: "webhook", From: "alice", To: "carol", Status: Pending, Attempts: 1,
		LastError: "503", Created: b.Created,
	}); got != want {
		t.Errorf("got\n%+v, want\n%+v", got, want)
	}
}

func TestHostileAccounts(t *testing.T) {
	accounts := []string{
		"'; DROP TABLE deliveries; --", `"quoted"`, "a%", "a_", "line\r\nbreak", "\x00nul\x00", "\u2028", "😀", "{{ x }}", "../../etc", strings.Repeat("x", 32),
	}
	l := newLog(t)
	for i, account := range accounts {
		l.record(matched(job(fmt.Sprint("d", i), account, account, account, "ax", i)))
	}
	h := follow(t, l, filepath.Join(t.TempDir(), "history.db"))
	for i, account := range accounts {
		for _, q := range []Query{{Account: account}, {Rule: account}, {Action: account}, {Account: account, Rule: account, Status: Pending}} {
			if got, want := ids(t, h, q), fmt.Sprint("d", i); got != want {
				t.Errorf("%q: got %q, want %q", account, got, want)
			}
		}
	}
}

func TestDeliveryHistory(t *testing.T) {
	l := newLog(t)
	a := job("a", "vip", "crm", "alice", "bob", 1)
	l.record(matched(a), ended(a, engine.OutcomeRetry, 1, 1, "503"))
	l.record(ended(a, engine.OutcomeParked, 2, 1, "busy"), ended(a, engine.OutcomeDead, 2, 2, "410"))
	l.record(ended(a, engine.OutcomeReplayed, 1<<20, 0, ""))
	h := follow(t, l, filepath.Join(t.TempDir(), "history.db"))
	check := func(status string, attempts int, want ...string) {
		t.Helper()
		d, history, err := h.Delivery(context.Background(), "a")
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, at := range history {
			got = append(got, at.Outcome+" "+at.Error)
		}
		if d.Status != status || d.Attempts != attempts || fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("%s after %d attempts: %q, want %s after %d: %q", d.Status, d.Attempts, got, status, attempts, want)
		}
		if at := history[0]; at.Sent != "POST a" || at.Received != "\uFFFD503" || at.Took != 3 {
			t.Errorf("%+v", at)
		}
	}
	check(Pending, 0, "retry 503", "dead 410", "replayed ")
	// A record that comes late, of a life that is over, changes nothing.
	l.record(ended(a, engine.OutcomeDead, 2, 2, "late"))
	caughtUp(t, h, l)
	check(Pending, 0, "retry 503", "dead 410", "replayed ", "dead late")
	l.record(ended(a, engine.OutcomeDone, 1<<20, 1, ""))
	caughtUp(t, h, l)
	check(Done, 1, "retry 503", "dead 410", "replayed ", "dead late", "done ")
	if _, _, err := h.Delivery(context.Background(), "nope"); !errors.Is(err, engine.ErrNotFound) {
		t.Errorf("no such delivery: %v", err)
	}
}

// Whatever is wrong with the file, it is built anew and says the same as before.
func TestRebuild(t *testing.T) {
	fill := func(t *testing.T) *log {
		l := newLog(t)
		for i := range 300 {
			j := job(fmt.Sprint("d", i), "vip", "crm", "alice", "bob", i)
			l.record(matched(j), ended(j, engine.OutcomeDone, 0, 1, ""))
		}
		return l
	}
	for _, c := range []struct {
		name    string
		rebuilt bool
		spoil   func(t *testing.T, path string)
	}{
		{"nothing", false, func(*testing.T, string) {}},
		{"deleted", false, func(t *testing.T, path string) { must(t, removeFile(path)) }},
		{"the log deleted, the file not", false, func(t *testing.T, path string) { must(t, os.RemoveAll(path+"-wal")) }},
		{"no database", true, func(t *testing.T, path string) {
			must(t, os.WriteFile(path, []byte(strings.Repeat("garbage", 1000)), 0o600))
		}},
		{"a folder", true, func(t *testing.T, path string) { must(t, removeFile(path)); must(t, os.Mkdir(path, 0o700)) }},
		// What is spoilt must be in the file: a connection that is closed late leaves it in the log.
		{"cut short", true, func(t *testing.T, path string) {
			execute(t, path, "PRAGMA wal_checkpoint(TRUNCATE)")
			must(t, os.Truncate(path, 20_000))
		}},
		{"zeros in the middle", true, func(t *testing.T, path string) {
			execute(t, path, "PRAGMA wal_checkpoint(TRUNCATE)")
			overwrite(t, path, 8192, 40_000)
		}},
		{"another version", true, func(t *testing.T, path string) { execute(t, path, "PRAGMA user_version = 99") }},
		{"a table missing", true, func(t *testing.T, path string) { execute(t, path, "DROP TABLE names") }},
		{"no place", true, func(t *testing.T, path string) { execute(t, path, "DELETE FROM place") }},
		{"of another store", true, func(t *testing.T, path string) { execute(t, path, "UPDATE place SET stored = 1") }},
		{"of a store that came further", true, func(t *testing.T, path string) { execute(t, path, "UPDATE place SET seq = 1000000") }},
	} {
		t.Run(c.name, func(t *testing.T) {
			l := fill(t)
			path := filepath.Join(t.TempDir(), "history.db")
			h := New(Options{Path: path, Source: l})
			stop := run(t, h)
			caughtUp(t, h, l)
			stop()
			c.spoil(t, path)
			h = follow(t, l, path)
			if got := len(strings.Fields(ids(t, h, Query{Status: Done, Limit: 50}))); got != 300 {
				t.Errorf("%d deliveries, want 300", got)
			}
			if s := h.State(); (s.Rebuilt > 0) != c.rebuilt {
				t.Errorf("rebuilt %d times, want it: %t", s.Rebuilt, c.rebuilt)
			}
		})
	}
}

// A file that is spoilt while it is open is noticed by whoever stumbles upon it, and built anew.
func TestSpoiltWhileOpen(t *testing.T) {
	l := newLog(t)
	l.record(matched(job("a", "vip", "crm", "alice", "bob", 1)))
	h := follow(t, l, filepath.Join(t.TempDir(), "history.db"))
	execute(t, h.o.Path, "DROP TABLE deliveries")
	if _, _, err := h.Search(context.Background(), Query{Limit: 1}); err == nil {
		t.Error("a search without a table worked")
	}
	eventually(t, "a search to work again", func() bool {
		page, _, err := h.Search(context.Background(), Query{Limit: 1})
		return err == nil && len(page) == 1
	})
}

// A dead letter, and what is parked, whose outcomes are kept no more or are lost, is found all the same; what outcomes tell goes before it.
func TestOlder(t *testing.T) {
	l := newLog(t)
	due := epoch.Add(time.Hour)
	parked := func(id string, attempt int) engine.Parked {
		return engine.Parked{Job: job(id, "vip", "crm", "alice", "bob", 1), Attempt: attempt, Parks: 2, Due: due, Error: "503"}
	}
	must(t, l.Bury(context.Background(), &engine.DeadLetter{Parked: parked("dead", 7), At: epoch}))
	must(t, l.Park(context.Background(), []engine.Parked{parked("waits", 3), parked("done", 1)}))
	l.record(ended(job("done", "vip", "crm", "alice", "bob", 1), engine.OutcomeDone, 2, 2, ""))
	h := follow(t, l, filepath.Join(t.TempDir(), "history.db"))
	for _, want := range []Delivery{
		{ID: "dead", Status: Dead, Attempts: 7, LastError: "503"},
		{ID: "waits", Status: Pending, Attempts: 3, LastError: "503", NextAttempt: &due},
		{ID: "done", Status: Done, Attempts: 2},
	} {
		page, _, err := h.Search(context.Background(), Query{Status: want.Status, Limit: 5})
		if err != nil || len(page) != 1 {
			t.Errorf("%s: %+v, %v", want.Status, page, err)
			continue
		}
		got := page[0]
		if got.ID != want.ID || got.Attempts != want.Attempts || got.LastError != want.LastError ||
			(want.NextAttempt != nil) != (got.NextAttempt != nil) || want.NextAttempt != nil && !got.NextAttempt.Equal(*want.NextAttempt) {
			t.Errorf("got %+v, want %+v", got, want)
		}
	}
	// What comes of it later is taken in.
	l.record(ended(job("waits", "vip", "crm", "alice", "bob", 1), engine.OutcomeDone, 2, 4, ""))
	caughtUp(t, h, l)
	if got := ids(t, h, Query{Status: Pending}); got != "" {
		t.Errorf("%s still waits", got)
	}
}

func TestPrune(t *testing.T) {
	l := newLog(t)
	for i, outcome := range []string{engine.OutcomeDone, engine.OutcomeDead, engine.OutcomeRetry, engine.OutcomeDiscarded} {
		j := job(outcome, "vip", "crm", "alice", "bob", i)
		l.record(matched(j), ended(j, outcome, 1, 1, ""))
	}
	fresh := job("fresh", "vip", "crm", "alice", "bob", 0)
	fresh.Created = time.Now()
	l.record(matched(fresh), ended(fresh, engine.OutcomeDone, 0, 1, ""))
	h := New(Options{Path: filepath.Join(t.TempDir(), "history.db"), Source: l, Keep: time.Hour})
	run(t, h)
	eventually(t, "what is old to go", func() bool {
		page, _, err := h.Search(context.Background(), Query{Limit: 9})
		var got []string
		for _, d := range page {
			got = append(got, d.ID)
		}
		return err == nil && strings.Join(got, " ") == "fresh retry dead"
	})
}

func overwrite(t *testing.T, path string, at, n int) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	must(t, err)
	defer f.Close()
	_, err = f.WriteAt(make([]byte, n), int64(at))
	must(t, err)
}

func execute(t *testing.T, path, text string) {
	t.Helper()
	db, err := sql.Open("sqlite", dsn(path))
	must(t, err)
	defer db.Close()
	_, err = db.Exec(text)
	must(t, err)
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// A path that is relative, as a configuration in the working directory gives it, names a file and no host.
func TestRelativePath(t *testing.T) {
	t.Chdir(t.TempDir())
	db, err := sql.Open("sqlite", dsn("data.d#1?.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if _, err := db.Exec("CREATE TABLE t (x)"); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat("data.d#1?.db"); err != nil {
		t.Error(err)
	}
}
