package e2e

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"
)

// journalLine is a line of a file of packets.
func journalLine(t testing.TB, id, query, packet, at string) string {
	t.Helper()
	b, err := json.Marshal(map[string]any{"id": id, "query": query, "packet": json.RawMessage(packet), "at": at})
	if err != nil {
		t.Fatal(err)
	}
	return string(b) + "\n"
}

// writeBacktest makes rules, other rules, and a file of packets.
func writeBacktest(t testing.TB) string {
	t.Helper()
	dir := writeVIPs(t)
	other := strings.NewReplacer("> 5", "> 9", `!= "RESTAPI"`, `== "Web"`, "name: off", "name: on", "enabled: false", "enabled: true").Replace(vipRules)
	write(t, dir, "other/vips.yaml", other)
	write(t, dir, "other/vips.txt", "alice\n")
	write(t, dir, "packets.jsonl", journalLine(t, "", "OptPlatform=iOS&RequestId=r1", packet("alice", hostile), "2026-11-22T08:00:00Z")+
		journalLine(t, "", "OptPlatform=Web", packet("alice", "b"), "2026-11-22T08:00:01Z")+
		journalLine(t, "", "", packet("7", "b"), "2026-11-22T08:00:02Z")+
		journalLine(t, "", "", `{"CallbackCommand":"another"}`, "2026-11-22T08:00:02Z"))
	return dir
}

// backtest tells rule by rule what would change, with examples, and is exit code 1 for it where that is asked for.
func TestBacktest(t *testing.T) {
	dir := writeBacktest(t)
	code, out, errs := aftermath(t, dir, nil, "backtest", "--packets", "packets.jsonl", "other")
	if code != 0 || errs != "" {
		t.Errorf("exit %d, %s", code, errs)
	}
	want := `before  4 rules of rules, set HASH
now     4 rules of other, set HASH

RULE               BEFORE  NOW  GAINED  LOST  REMARKS
vip-lost-a-friend  2       1    0       -1
numbers            1       0    0       -1    condition failed on 2, now 2
on                 0       2    +2      0     new
off                0       0    0       0     gone
1 rule fired for no pair, then or now

vip-lost-a-friend
  lost    alice -> e\x1b[2J\x1b[31m\u009b\u202eve\r\n  2026-11-22T08:00:00Z  RequestId r1

numbers
  lost    7 -> b  2026-11-22T08:00:02Z

on
  gained  alice -> e\x1b[2J\x1b[31m\u009b\u202eve\r\n  2026-11-22T08:00:00Z  RequestId r1
  gained  alice -> b  2026-11-22T08:00:01Z

3 callbacks, 3 pairs: 3 rules would change
1 callback left out: no friend-delete packets
`
	same(t, "backtest", want, regexp.MustCompile(`set [0-9a-f]+`).ReplaceAllString(out, "set HASH"))
	if code, _, _ := aftermath(t, dir, nil, "backtest", "--packets", "packets.jsonl", "--fail-on-change", "other"); code != 1 {
		t.Errorf("--fail-on-change: exit %d", code)
	}
	code, out, _ = aftermath(t, dir, nil, "backtest", "--packets", "packets.jsonl", "--fail-on-change", "rules")
	if code != 0 || !strings.Contains(out, "3 callbacks, 3 pairs: nothing would change\n") {
		t.Errorf("the same rules: exit %d\n%s", code, out)
	}
	code, out, _ = aftermath(t, dir, nil, "backtest", "--packets", "packets.jsonl", "--since", "2026-11-22T08:00:02Z", "--json", "other")
	var report struct {
		Callbacks, Pairs uint64
		Changed          int
		Rules            []struct {
			Rule                      string
			Before, Now, Gained, Lost uint64
		}
	}
	if err := json.Unmarshal([]byte(out), &report); code != 0 || err != nil || report.Pairs != 1 || report.Changed != 1 || len(report.Rules) != 5 || report.Rules[2].Lost != 1 {
		t.Errorf("--since and --json: exit %d, %v\n%s", code, err, out)
	}
}

// The journal is read as lines through the admin API, with the token, as far back as is asked for, and compared with what serve says
// that its rules make of it; what of it could not be read is told, and a stream that breaks off is a failure.
func TestBacktestOfLines(t *testing.T) {
	dir := writeBacktest(t)
	const running = `{"rule_set": "abc", "rules": [{"rule": "numbers", "actions": ["old"]}, {"rule": "gone", "actions": ["crm"]}]}` + "\n"
	line := strings.Replace(journalLine(t, "c1", "", packet("7", "b"), "2999-01-01T00:00:00Z"), "{", `{"matches": [{"pair": 0, "rule": "gone"}, {"pair": 0, "rule": "numbers", "shadow": true}],`, 1)
	var lines atomic.Value
	lines.Store(running + line + `{"error":"message 7 is damaged"}` + "\n" + line)
	admin := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.Header.Get("Authorization") != "Bearer the-admin-token":
			http.Error(w, `{"error": "a bearer token is needed"}`, http.StatusUnauthorized)
		case r.URL.Path == "/api/v1/callbacks" && r.FormValue("since") != "" && r.FormValue("matches") == "true" && r.Header.Get("Accept") == "application/x-ndjson":
			fmt.Fprint(w, lines.Load())
		default:
			http.NotFound(w, r)
		}
	}))
	t.Cleanup(admin.Close)
	code, out, errs := aftermath(t, dir, nil, "backtest", "--admin", admin.URL, "--token", "the-admin-token", "other")
	if code != 0 || !strings.Contains(errs, "left out: message 7 is damaged") {
		t.Errorf("exit %d\n%s", code, errs)
	}
	_, out, _ = strings.Cut(out, "other, set ")
	_, out, _ = strings.Cut(out, "\n")
	same(t, "backtest", `
RULE               BEFORE  NOW  GAINED  LOST  REMARKS
vip-lost-a-friend  0       0    0       0     new
both-ways          0       0    0       0     new
numbers            0       0    0       0     actions old, now crm; as a shadow 2, now 0
on                 0       0    0       0     new
gone               2       0    0       -2    gone

gone
  lost    7 -> b  2999-01-01T00:00:00Z  callback c1
  lost    7 -> b  2999-01-01T00:00:00Z  callback c1

2 callbacks, 2 pairs: 1 rule would change
`, out)
	if code, _, errs := aftermath(t, dir, []string{"AFTERMATH_ADMIN_TOKEN=another-token"}, "backtest", "--admin", admin.URL, "other"); code != 1 || !strings.Contains(errs, "refuses the token") {
		t.Errorf("a wrong token: exit %d, %s", code, errs)
	}
	lines.Store(line)
	if code, out, errs := aftermath(t, dir, nil, "backtest", "--admin", admin.URL, "--token", "the-admin-token", "other"); code != 1 || out != "" || !strings.Contains(errs, "it does not say which rules run") {
		t.Errorf("no word of the rules: exit %d, %s%s", code, out, errs)
	}
	lines.Store(running + line + line[:20])
	if code, out, errs := aftermath(t, dir, nil, "backtest", "--admin", admin.URL, "--token", "the-admin-token", "other"); code != 1 || out != "" || !strings.Contains(errs, "ended before it was through") {
		t.Errorf("a broken stream: exit %d, %s%s", code, out, errs)
	}
}

// What cannot be backtested is said in one sentence.
func TestBacktestBadInput(t *testing.T) {
	dir := writeBacktest(t)
	write(t, dir, "broken/a.yaml", "rules:\n  - {name: a, condition: Nope, actions: [x]}\n")
	write(t, dir, "text.jsonl", "hello\n")
	write(t, dir, "time.jsonl", `{"packet":{},"at":"noon"}`+"\n")
	write(t, dir, "none.jsonl", journalLine(t, "", "", `{"a":1}`, "2026-11-22T08:00:02Z"))
	write(t, dir, "growing.jsonl", journalLine(t, "", "", packet("7", "b"), "2026-11-22T08:00:02Z")+`{"query":"`)
	for _, tt := range []struct {
		name string
		args []string
		code int
		want string
	}{
		{"rules that do not load", []string{"--packets", "packets.jsonl", "broken"}, 1, "the rules do not load: mend the errors above"},
		{"no such rules", []string{"--packets", "packets.jsonl", "nowhere"}, 1, "nowhere:1:1: no such file or folder"},
		{"no JSON", []string{"--packets", "text.jsonl", "other"}, 1, "text.jsonl:1: this is no JSON"},
		{"a bad time", []string{"--packets", "time.jsonl", "other"}, 1, `time.jsonl:1: this is neither {query, packet, at} nor a packet: at: "noon"`},
		{"no packets at all", []string{"--packets", "none.jsonl", "other"}, 1, "no line of none.jsonl holds a friend-delete packet"},
		{"no such file", []string{"--packets", "nowhere.jsonl", "other"}, 1, "the file of packets nowhere.jsonl does not exist"},
		{"a file being written", []string{"--packets", "growing.jsonl", "other"}, 0, "the last line of growing.jsonl is half-written and left out"},
		{"an admin port that is down", []string{"--admin", "http://127.0.0.1:1", "other"}, 1, "is serve running"},
		{"a port that only serve knows", []string{"other"}, 1, "name the one that serve printed with --admin"},
		{"no address", []string{"--admin", "localhost", "other"}, 2, "is no address of an admin port"},
		{"a bad duration", []string{"--since", "yesterday", "other"}, 2, "--since"},
		{"no rules", nil, 2, "needs the RULES to try"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			code, out, errs := aftermath(t, dir, nil, append([]string{"backtest"}, tt.args...)...)
			if code != tt.code || !strings.Contains(errs, tt.want) {
				t.Errorf("exit %d\n%s%s", code, out, errs)
			}
		})
	}
}
