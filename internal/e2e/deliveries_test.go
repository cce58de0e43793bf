package e2e

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// ledger is a receiver that writes down what it was sent, by delivery, and that a test can break and mend.
type ledger struct {
	*httptest.Server
	mu     sync.Mutex
	status int            // what it answers
	taken  map[string]int // by webhook-id: how often it was taken with 200
	data   map[string]map[string]any
	slow   time.Duration
}

func newLedger(t testing.TB, status int) *ledger {
	l := &ledger{status: status, taken: map[string]int{}, data: map[string]map[string]any{}}
	l.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var event struct{ Data map[string]any }
		if err := json.NewDecoder(r.Body).Decode(&event); err != nil {
			t.Errorf("a webhook that is no JSON: %v", err)
		}
		l.mu.Lock()
		status, slow := l.status, l.slow
		if status == 200 {
			l.taken[r.Header.Get("webhook-id")]++
			l.data[r.Header.Get("webhook-id")] = event.Data
		}
		l.mu.Unlock()
		time.Sleep(slow)
		w.WriteHeader(status)
		_, _ = io.WriteString(w, "answered by the ledger")
	}))
	t.Cleanup(l.Close)
	return l
}

func (l *ledger) set(status int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.status = status
}

func (l *ledger) unique() (n, repeats int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, times := range l.taken {
		repeats += times - 1
	}
	return len(l.taken), repeats
}

func hookRules(url string) string {
	return `
actions:
  crm: {type: webhook, url: ` + url + `}
rules:
  - {name: all, condition: PairCount > 0, actions: [crm]}
`
}

// What an operator does after a receiver was broken: look, mend, replay, discard; by the API and by the command.
func TestDeadLetters(t *testing.T) {
	receiver := newLedger(t, 410)
	dir := t.TempDir()
	write(t, dir, "aftermath.yaml", config(""))
	write(t, dir, "rules/all.yaml", hookRules(receiver.URL))
	s := start(t, dir)
	for i := range 6 {
		s.Deliver(fmt.Sprintf("user%d", i), "friend")
	}
	s.Counted("all to be dead", func(_, _, _, dead, _ uint64) bool { return dead == 6 })
	eventually(t, "the history to show them", func() bool { return len(s.Deliveries("status=dead")) == 6 })

	list := s.Deliveries("account=user3&rule=all&action=crm&status=dead&since=1h")
	if len(list) != 1 || list[0]["From_Account"] != "user3" || list[0]["type"] != "webhook" || list[0]["attempts"] != 1.0 || list[0]["next_attempt"] != nil {
		t.Fatalf("%v", list)
	}
	id := list[0]["id"].(string)
	var one struct {
		Status  string
		History []struct {
			Took               float64 `json:"took_ms"`
			Outcome, Error     string
			Sent, Received, At string
		}
	}
	if code, text := s.Call("GET", "deliveries/"+id, "", &one); code != 200 || one.Status != "dead" || len(one.History) != 1 {
		t.Fatalf("%d %s", code, text)
	}
	if h := one.History[0]; h.Outcome != "dead" || h.Took <= 0 || !strings.Contains(h.Sent, "user3") || !strings.Contains(h.Received, "answered by the ledger") || h.At == "" {
		t.Errorf("%+v", h)
	}

	// Still broken: it dies again, under the same id.
	if code, text := s.Call("POST", "deliveries/"+id+"/replay", "", nil); code != 200 || !strings.Contains(text, `"pending"`) {
		t.Errorf("replay: %d %s", code, text)
	}
	eventually(t, "it to die again", func() bool {
		s.Call("GET", "deliveries/"+id, "", &one)
		return one.Status == "dead" && len(one.History) == 3
	})
	receiver.set(200)
	if code, out, errs := aftermath(t, dir, nil, "deliveries", "replay", id, "--admin", s.Admin); code != 0 || out != id+" replayed\n" {
		t.Errorf("exit %d, %s%s", code, out, errs)
	}
	s.Counted("the replayed one to be done", func(c, done, _, dead, _ uint64) bool { return c == 6 && done == 1 && dead == 5 })
	receiver.mu.Lock()
	if receiver.taken[id] != 1 {
		t.Errorf("the receiver took it %d times under its id", receiver.taken[id])
	}
	receiver.mu.Unlock()

	other := s.Deliveries("account=user1")[0]["id"].(string)
	if code, text := s.Call("DELETE", "deliveries/"+other, "", nil); code != 200 || !strings.Contains(text, `"discarded"`) {
		t.Errorf("discard: %d %s", code, text)
	}
	eventually(t, "the history to show it as discarded", func() bool {
		got := s.Deliveries("status=discarded")
		return len(got) == 1 && got[0]["id"] == other
	})
	for _, everything := range []string{"--all", "--status=dead", "--since=1h"} {
		code, out, errs := aftermath(t, dir, nil, "deliveries", "discard", everything, "--admin", s.Admin)
		if code != 1 || out != "" || !strings.Contains(errs, "4 dead letters, and nothing was discarded: add --yes") {
			t.Errorf("%s without --yes and a terminal: exit %d, %s%s", everything, code, out, errs)
		}
	}
	code, out, errs := 0, "", ""
	if code, out, errs = aftermath(t, dir, nil, "deliveries", "discard", "--account", "user2", "--admin", s.Admin); code != 0 || out != "1 of 1 dead letter discarded\n" {
		t.Errorf("exit %d, %s%s", code, out, errs)
	}
	if code, out, errs = aftermath(t, dir, nil, "deliveries", "replay", "--all", "--yes", "--admin", s.Admin, "--json"); code != 0 || !strings.Contains(out, `"replayed": 3`) || errs != "" {
		t.Errorf("exit %d, %s%s", code, out, errs)
	}
	s.Counted("all to end", func(c, done, pending, dead, discarded uint64) bool {
		return c == 6 && done == 4 && pending == 0 && dead == 0 && discarded == 2
	})
	eventually(t, "the history to show how they ended", func() bool {
		return len(s.Deliveries("status=done")) == 4 && len(s.Deliveries("status=discarded")) == 2
	})
	code, out, errs = aftermath(t, dir, nil, "deliveries", "list", "--status", "done", "--admin", s.Admin)
	if code != 0 || strings.Count(out, "\n") != 5 || !strings.HasPrefix(out, "ID ") || !strings.Contains(out, "user3") {
		t.Errorf("exit %d, %s%s", code, out, errs)
	}
	if code, out, errs = aftermath(t, dir, nil, "deliveries", "show", id, "--admin", s.Admin); code != 0 || !strings.Contains(out, "answered by the ledger") {
		t.Errorf("exit %d, %s%s", code, out, errs)
	}
	if code, _, errs = aftermath(t, dir, nil, "deliveries", "show", "nosuch", "--admin", s.Admin); code != 1 || !strings.Contains(errs, `there is no delivery "nosuch"`) {
		t.Errorf("exit %d, %s", code, errs)
	}

	// All of it is there after a restart, and once more after the read model was deleted, and after it was spoilt.
	want := fmt.Sprint(s.Deliveries(""))
	for _, spoil := range []func(string){
		func(string) {},
		func(file string) { must(t, os.Remove(file)) },
		func(file string) { must(t, os.WriteFile(file, bytes.Repeat([]byte("garbage!"), 5000), 0o600)) },
		func(file string) { must(t, os.Truncate(file, 12_000)) },
	} {
		s.Stop()
		spoil(filepath.Join(dir, "data", "history.db"))
		s = start(t, dir)
		eventually(t, "the history to be as it was", func() bool {
			var page struct{ Deliveries []map[string]any }
			code, _ := s.Call("GET", "deliveries?limit=500", "", &page)
			return code == 200 && fmt.Sprint(page.Deliveries) == want
		})
	}
}

func TestDeliveriesRefusals(t *testing.T) {
	receiver := newLedger(t, 200)
	dir := t.TempDir()
	write(t, dir, "aftermath.yaml", config(""))
	write(t, dir, "rules/all.yaml", hookRules(receiver.URL))
	s := start(t, dir)
	s.Deliver("alice", "bob")
	s.Counted("it to be done", func(_, done, _, _, _ uint64) bool { return done == 1 })
	eventually(t, "the history to show it", func() bool { return len(s.Deliveries("status=done")) == 1 })
	id := s.Deliveries("")[0]["id"].(string)
	for _, c := range []struct {
		method, path, body string
		want               int
	}{
		{"GET", "deliveries?status=lost", "", 400},
		{"GET", "deliveries?acount=alice", "", 400},
		{"GET", "deliveries?account=a&account=b", "", 400},
		{"GET", "deliveries?limit=0", "", 400},
		{"GET", "deliveries?limit=1001", "", 400},
		{"GET", "deliveries?since=yesterday", "", 400},
		{"GET", "deliveries?cursor=%27%20OR%201", "", 400},
		{"POST", "deliveries", "", 405},
		{"GET", "deliveries/nosuch", "", 404},
		{"GET", "deliveries/%2e%2e%2fstatus", "", 404},
		{"GET", "deliveries/%27%3B%20DROP%20TABLE%20deliveries", "", 404},
		{"GET", "deliveries/" + strings.Repeat("a", 5000), "", 404},
		{"GET", "deliveries/%00", "", 404},
		{"POST", "deliveries/nosuch/replay", "", 404},
		{"POST", "deliveries/" + id + "/replay", "", 409},
		{"DELETE", "deliveries/" + id, "", 409},
		{"DELETE", "deliveries/UPPER", "", 404},
		{"POST", "deliveries/replay", `{"status":"done"}`, 400},
		{"POST", "deliveries/replay", `{}`, 400},
		{"POST", "deliveries/discard", ``, 400},
		{"POST", "deliveries/discard", `{"rule":"","ids":[]}`, 400},
		{"POST", "deliveries/replay", `{"rul":"all"}`, 400},
		{"POST", "deliveries/replay", `{"rule":"all"} more`, 400},
		{"POST", "deliveries/discard", `[1]`, 400},
		{"POST", "deliveries/discard", `{"since":"soon"}`, 400},
		{"POST", "deliveries/discard?rul=all", ``, 400},
		{"GET", "deliveries/replay", "", 405},
		{"GET", "callbacks?status=lost", "", 400},
		{"GET", "callbacks?cursor=x", "", 400},
		{"GET", "callbacks/nosuch", "", 404},
		{"POST", "callbacks/reprocess", `{"status":"lost"}`, 400},
		{"POST", "callbacks/reprocess", `{"force":"yes"}`, 400},
		{"GET", "rules/nosuch", "", 404},
		{"GET", "rules?limit=x", "", 400},
		{"GET", "nothing", "", 404},
	} {
		var e struct{ Error string }
		if code, text := s.Call(c.method, c.path, c.body, &e); code != c.want || e.Error == "" {
			t.Errorf("%s %s %s: %d %s, want %d", c.method, c.path, c.body, code, text, c.want)
		}
	}
	if d := s.Status().Counts.Deliveries; d.Done != 1 || d.Created != 1 {
		t.Errorf("%+v", d)
	}
}

// The history outlives the store: of a dead letter that only it knows it is said that there is none to replay.
func TestDeadLetterThatTheStoreHasLost(t *testing.T) {
	receiver := newLedger(t, 410)
	dir := t.TempDir()
	write(t, dir, "aftermath.yaml", config(""))
	write(t, dir, "rules/all.yaml", hookRules(receiver.URL))
	s := start(t, dir)
	s.Deliver("alice", "bob")
	eventually(t, "the history to show it", func() bool { return len(s.Deliveries("status=dead")) == 1 })
	s.Stop()
	must(t, os.RemoveAll(filepath.Join(dir, "data", "jetstream")))
	s = start(t, dir)
	id, _ := s.Deliveries("status=dead")[0]["id"].(string)
	for _, r := range [][2]string{{"POST", "/replay"}, {"DELETE", ""}} {
		if code, answer := s.Request(r[0], "/api/v1/deliveries/"+id+r[1]); code != 409 || !bytes.Contains(answer, []byte("the store has no dead letter of delivery "+id)) {
			t.Errorf("%s %s: %d %s", r[0], r[1], code, answer)
		}
	}
}

// Hostile accounts are found by themselves and by nothing else.
func TestHostileAccountsInFilters(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "aftermath.yaml", config(""))
	write(t, dir, "rules/all.yaml", "rules:\n  - {name: all, condition: PairCount > 0, actions: [{type: log, message: x}]}\n")
	s := start(t, dir)
	accounts := []string{"'; DROP TABLE x; --", `"`, "%", "_", "\r\n", "\x00", "<b>", "{{ x }}", "../..", "%2e%2e", "😀", "\u2028", "a&b=c", "a+b", "a b"}
	for _, account := range accounts {
		s.Deliver(account, "friend")
	}
	eventually(t, "all to be shown", func() bool { return len(s.Deliveries("status=done")) == len(accounts) })
	for _, account := range accounts {
		got := s.Deliveries("account=" + url.QueryEscape(account))
		if len(got) != 1 || got[0]["From_Account"] != account {
			t.Errorf("%q: %v", account, got)
		}
		var page struct {
			Callbacks []struct{ Pairs []map[string]string }
		}
		s.Call("GET", "callbacks?account="+url.QueryEscape(account), "", &page)
		if len(page.Callbacks) != 1 || page.Callbacks[0].Pairs[0]["From_Account"] != account {
			t.Errorf("callbacks of %q: %v", account, page)
		}
		code, out, errs := aftermath(t, dir, nil, "deliveries", "list", "--account="+strings.ReplaceAll(account, "\x00", "%"), "--admin", s.Admin)
		if code != 0 || strings.Count(out, "\n") != 2 {
			t.Errorf("list of %q: exit %d, %q%s", account, code, out, errs)
		}
	}
}

// Callbacks are listed and shown, and a bad edit is mended by running them through the rules again.
func TestCallbacksAndReprocess(t *testing.T) {
	receiver := newLedger(t, 200)
	dir := t.TempDir()
	write(t, dir, "aftermath.yaml", config(""))
	write(t, dir, "rules/all.yaml", strings.Replace(hookRules(receiver.URL), "PairCount > 0", `From_Account == "nobody"`, 1))
	s := start(t, dir)
	for i := range 5 {
		s.Deliver(fmt.Sprintf("user%d", i), "friend")
	}
	torn := `{"CallbackCommand":"Sns.CallbackFriendDelete","PairList":[{"From_Account":"torn","To_Account":"friend"},{"From_Account":"x"`
	if code, answer, err := s.Post("", torn); code != 400 || err != nil {
		t.Fatalf("%d %s %v", code, answer, err)
	}
	type shown struct {
		ID, At, Query, Status, Error string
		Packet                       any
		Pairs                        []map[string]string
	}
	type page struct {
		Callbacks []shown
		Next      string
	}
	var accounts []string
	for cursor := ""; ; {
		var p page
		if code, text := s.Call("GET", "callbacks?limit=2&status=stored&since=1h&cursor="+cursor, "", &p); code != 200 {
			t.Fatalf("%d %s", code, text)
		}
		for _, c := range p.Callbacks {
			accounts = append(accounts, c.Pairs[0]["From_Account"])
		}
		if cursor = p.Next; cursor == "" {
			break
		}
	}
	if got := strings.Join(accounts, " "); got != "user4 user3 user2 user1 user0" {
		t.Errorf("newest first: %s", got)
	}
	var p page
	s.Call("GET", "callbacks?status=quarantined", "", &p)
	if len(p.Callbacks) != 1 || p.Callbacks[0].Packet != torn || len(p.Callbacks[0].Pairs) != 1 || p.Callbacks[0].Error == "" || p.Callbacks[0].Status != "quarantined" {
		t.Fatalf("%+v", p)
	}
	var one shown
	if code, text := s.Call("GET", "callbacks/"+p.Callbacks[0].ID, "", &one); code != 200 || one.Packet != torn {
		t.Errorf("%d %s", code, text)
	}
	s.Call("GET", "callbacks?account=user2", "", &p)
	if code, text := s.Call("GET", "callbacks/"+p.Callbacks[0].ID, "", &one); code != 200 || one.Pairs[0]["From_Account"] != "user2" || one.Status != "stored" {
		t.Errorf("%d %s", code, text)
	}

	write(t, dir, "rules/all.yaml", hookRules(receiver.URL))
	if code, body := s.Request("POST", "/api/v1/reload"); code != 200 {
		t.Fatalf("%d %s", code, body)
	}
	type reprocessed struct {
		Run                       string
		Callbacks, Made, Existing int
	}
	run := func(body string, made, existing int, taken int) reprocessed {
		t.Helper()
		var r reprocessed
		if code, text := s.Call("POST", "callbacks/reprocess", body, &r); code != 200 || r.Made != made || r.Existing != existing || r.Run == "" {
			t.Errorf("%s: %d %s, want %d made", body, code, text, made)
		}
		eventually(t, "what was made to be delivered", func() bool { n, _ := receiver.unique(); return n == taken })
		return r
	}
	eventually(t, "all callbacks to be handled", func() bool { return s.Status().Counts.Callbacks == 5 })
	run(`{"since":"1h"}`, 5, 0, 5)
	run(`{"since":"1h"}`, 0, 5, 5)
	run(`{"status":"quarantined"}`, 1, 0, 6)
	run(`{"status":"quarantined"}`, 0, 1, 6)
	run(`{"until":"1h","force":true}`, 0, 0, 6)
	forced := run(`{"force":true}`, 5, 0, 11)
	n := 0
	receiver.mu.Lock()
	for id, data := range receiver.data {
		if data["reprocess"] == forced.Run {
			n++
		} else if data["reprocess"] != nil && data["reprocess"] != "" {
			t.Errorf("%s says it is of run %v", id, data["reprocess"])
		}
	}
	receiver.mu.Unlock()
	if n != 5 {
		t.Errorf("%d deliveries say that they were made anew, want 5", n)
	}
	s.Counted("all to be done", func(c, done, pending, _, _ uint64) bool { return c == 11 && done == 11 && pending == 0 })
	if got := s.Status().Counts.Callbacks; got != 5 {
		t.Errorf("%d callbacks counted: reprocessing counts none", got)
	}
	var rules struct{ Rules []map[string]any }
	if s.Call("GET", "rules", "", &rules); len(rules.Rules) != 1 || rules.Rules[0]["name"] != "all" || rules.Rules[0]["line"] != 5.0 || rules.Rules[0]["last_match"] != nil {
		t.Errorf("%v", rules)
	}
	if code, text := s.Call("GET", "rules/all", "", nil); code != 200 || !strings.Contains(text, `"condition":"PairCount \u003e 0"`) {
		t.Errorf("%d %s", code, text)
	}
}

// A kill -9 in the middle of bulk replays loses nothing and counts nothing twice: every dead letter ends as taken by the receiver
// once, or more often under the same id, and the counts say what the receiver's own ledger says.
func TestKillDuringBulkReplay(t *testing.T) {
	receiver := newLedger(t, 410)
	dir := t.TempDir()
	write(t, dir, "aftermath.yaml", config(""))
	write(t, dir, "rules/all.yaml", hookRules(receiver.URL))
	s := start(t, dir)
	const letters = 1500
	var wg sync.WaitGroup
	for p := range 15 {
		wg.Go(func() {
			for i := range letters / 15 {
				if err := s.PostOK(packet(fmt.Sprintf("p%d-%d", p, i), "friend")); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	s.Counted("all to be dead", func(_, _, _, dead, _ uint64) bool { return dead == letters })
	receiver.set(200)
	receiver.mu.Lock()
	receiver.slow = 2 * time.Millisecond
	receiver.mu.Unlock()
	const rounds = 6
	for round := range rounds {
		done := make(chan struct{})
		go func() {
			defer close(done)
			req, err := http.NewRequest(http.MethodPost, s.Admin+"/api/v1/deliveries/replay", strings.NewReader(`{"rule":"all"}`))
			if err != nil {
				return
			}
			if resp, err := http.DefaultClient.Do(req); err == nil {
				_, _ = io.Copy(io.Discard, resp.Body) // it is cut off
				resp.Body.Close()
			}
		}()
		before, _ := receiver.unique()
		eventually(t, "some replays to arrive", func() bool { n, _ := receiver.unique(); return n >= min(before+20, letters) })
		time.Sleep(time.Duration(round*37) * time.Millisecond) // so that the kills fall at different steps
		s.Kill()
		<-done
		s = start(t, dir)
		s.Status() // whatever the moment, the counts balance
	}
	var result map[string]any
	if code, text := s.Call("POST", "deliveries/replay", `{"status":"dead"}`, &result); code != 200 {
		t.Fatalf("%d %s", code, text)
	}
	s.Counted("all to be done", func(c, d, pending, dead, _ uint64) bool {
		return c == letters && d == letters && pending == 0 && dead == 0
	})
	n, repeats := receiver.unique()
	if n != letters {
		t.Errorf("the receiver took %d of %d", n, letters)
	}
	eventually(t, "the history to show all as done", func() bool { return len(s.Deliveries("status=done")) == letters })
	if left := len(s.Deliveries("status=dead")) + len(s.Deliveries("status=pending")); left != 0 {
		t.Errorf("%d are shown as not done", left)
	}
	t.Logf("%d kills, %d dead letters replayed, 0 lost, %d repeated", rounds, letters, repeats)
}

// GET events tells outcomes and reloads as they happen, and ends with the process.
func TestEvents(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "aftermath.yaml", config(""))
	write(t, dir, "rules/all.yaml", "rules:\n  - {name: all, condition: PairCount > 0, actions: [{type: log, message: x}]}\n")
	s := start(t, dir)
	resp, err := http.Get(s.Admin + "/api/v1/events")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var mu sync.Mutex
	var text []byte
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		buf := make([]byte, 4096)
		for {
			n, err := resp.Body.Read(buf)
			mu.Lock()
			text = append(text, buf[:n]...)
			mu.Unlock()
			if err != nil {
				return
			}
		}
	}()
	told := func(what string) func() bool {
		return func() bool { mu.Lock(); defer mu.Unlock(); return bytes.Contains(text, []byte(what)) }
	}
	eventually(t, "the stream to begin", told(": hello"))
	s.Deliver("alice\r\n\r\nevent: forged", "bob")
	eventually(t, "the outcome", told(`"outcome":"done"`))
	if told("\nevent: forged")() {
		t.Errorf("an account broke out: %s", text)
	}
	write(t, dir, "rules/more.yaml", "rules:\n  - {name: more, condition: PairCount > 5, actions: [{type: log, message: x}]}\n")
	s.Request("POST", "/api/v1/reload")
	eventually(t, "the reload", told("event: reload"))
	begin := time.Now()
	if code := s.Stop(); code != 0 {
		t.Errorf("exit %d", code)
	}
	if took := time.Since(begin); took > 8*time.Second {
		t.Errorf("a client that watches held the process for %s", took)
	}
	<-ended
}

func TestDeliveriesUsage(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "aftermath.yaml", `
callback: {listen: 127.0.0.1:0, apps: [{sdkappid: 1, tokens: ["${env:NOT_SET_HERE}"]}]}
admin: {listen: 127.0.0.1:1, token: "${env:ADMIN_TOKEN}"}
`)
	for _, c := range []struct {
		name string
		args []string
		code int
		says string
	}{
		{"nothing to do", nil, 2, ""},
		{"no serve; only the admin's secrets are needed", []string{"list", "-c", "aftermath.yaml"}, 1, "is serve running"},
		{"no configuration", []string{"list", "-c", "nosuch.yaml"}, 1, "nosuch.yaml"},
		{"a bad URL", []string{"list", "--admin", "localhost:9090"}, 2, "no address of an admin port"},
		{"replay of nothing", []string{"replay", "-c", "aftermath.yaml"}, 2, "--all"},
		{"ids and filters", []string{"replay", "abc", "--rule", "x"}, 2, "not both"},
		{"a bad limit", []string{"list", "--limit", "0"}, 2, "--limit"},
		{"a status that is none", []string{"list", "--status", "dea"}, 2, `--status is pending or dead or done or discarded, not "dea"`},
		{"only dead letters are replayed", []string{"replay", "--status", "done"}, 2, `--status is dead, not "done"`},
		{"a time that is none", []string{"list", "--since", "yesterday"}, 2, "--since"},
		{"an unknown flag", []string{"list", "--stauts", "dead"}, 2, "stauts"},
		{"show without an id", []string{"show"}, 2, "needs the id"},
		{"an empty id to show", []string{"show", ""}, 2, "the id is empty"},
		{"an empty id among others", []string{"discard", "abc", ""}, 2, "an id is empty"},
		{"a filter of a variable that is not set", []string{"discard", "--account", "x", "--rule", "", "--yes"}, 2, "--rule is empty"},
	} {
		code, out, errs := aftermath(t, dir, []string{"ADMIN_TOKEN=secret-admin-token"}, append([]string{"deliveries"}, c.args...)...)
		if code != c.code || !strings.Contains(errs, c.says) || strings.Contains(out+errs, "secret-admin-token") {
			t.Errorf("%s: exit %d, %s%s, want %d and %q", c.name, code, out, errs, c.code, c.says)
		}
	}
}
