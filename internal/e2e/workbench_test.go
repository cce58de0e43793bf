package e2e

import (
	"encoding/json"
	"encoding/xml"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// vipRules are the rules that the workbench's tests try.
const vipRules = `lists:
  vips: {file: vips.txt}
actions:
  crm:
    type: webhook
    url: https://crm.example.com/hooks/friend-deleted
    secrets: ["${env:E2E_NO_SUCH_SECRET}"]
rules:
  - name: vip-lost-a-friend
    condition: From_Account in vips && OptPlatform != "RESTAPI"
    actions:
      - crm
      - type: log
        message: VIP {{ From_Account }} removed {{ To_Account }}
    labels: {team: care}
  - name: both-ways
    condition: Mutual
    shadow: true
    actions: [crm]
  - name: numbers
    condition: int(From_Account) > 5
    actions: [crm]
  - name: off
    enabled: false
    condition: From_Account == "alice"
    actions: [crm]
`

// hostile is an account id that would clear a terminal, colour it and turn its direction of writing.
const hostile = "e\x1b[2J\x1b[31m\u009b\u202eve\r\n"

func writeVIPs(t testing.TB) string {
	t.Helper()
	dir := t.TempDir()
	write(t, dir, "aftermath.yaml", config(""))
	write(t, dir, "rules/vips.yaml", vipRules)
	write(t, dir, "rules/vips.txt", "alice\n")
	return dir
}

// same compares what a command printed with what it should have.
func same(t *testing.T, what, want, got string) {
	t.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", what, diff)
	}
}

// Rule tests pass and fail with a summary; a failure stands at the first line of its test, with expected and got side by side.
func TestRuleTests(t *testing.T) {
	dir := writeVIPs(t)
	write(t, dir, "rules/care/vips_test.yaml", `tests:
  - name: a VIP in the app
    callback: {OptPlatform: iOS, Time: 2026-11-22T08:00:00Z, PairList: [{From_Account: vip_1, To_Account: bob}]}
    lists: {vips: [vip_1]}
    matches:
      - rule: vip-lost-a-friend
        pair: 0
        actions: [crm, log]
        render:
          log.message: VIP vip_1 removed bob
          crm.body.data.labels.team: care
          crm.body.data.SdkAppid: 1400000000
          crm.body.data.delivery_id: test
  - name: nobody
    callback: {PairList: [{From_Account: bob, To_Account: "6"}]}
    matches: []
`)
	code, out, errs := aftermath(t, dir, nil, "test", "rules")
	if code != 0 || errs != "" {
		t.Errorf("exit %d, %s", code, errs)
	}
	same(t, "passing", `2 tests: 2 passed, 0 failed
3 rules: 1 matched by a test, 2 by none: both-ways, numbers
`, out)

	for _, args := range [][]string{{"test", "rules/care/vips_test.yaml"}, {"test", "./rules/care/vips_test.yaml", filepath.Join(dir, "rules/care/vips_test.yaml")}} {
		if code, out, errs := aftermath(t, dir, nil, args...); code != 0 || !strings.Contains(out, "3 rules: ") {
			t.Errorf("%v, a test file among the configuration's rules: exit %d, %s%s", args, code, out, errs)
		}
	}

	write(t, dir, "rules/wrong_test.yml", `tests:

  - name: "wrong \e[31m"
    callback:
      OptPlatform: iOS
      PairList:
        - {From_Account: alice, To_Account: "7"}
        - {From_Account: "7", To_Account: alice}
    matches:
      - {rule: numbers, pair: 0}
      - {rule: both-ways, pair: 0, actions: [log]}
      - rule: both-ways
        pair: 1
        render: {crm.method: PUT, crm.colour: red, log.message: x, crm.body.type: friend.deleted}
      - {rule: off, pair: 1}
      - {rule: numbers, pair: 1}
  - name: no such rule
    callback: {PairList: [{From_Account: a, To_Account: b}]}
    lists: {vipz: []}
    matches: [{rule: number}]
`)
	code, out, errs = aftermath(t, dir, nil, "test", "rules")
	if code != 1 || errs != "" {
		t.Errorf("exit %d, %s", code, errs)
	}
	same(t, "failing", `rules/wrong_test.yml:3:5: wrong \x1b[31m: pair 0: numbers was expected to match here, and did not
      expected             got
    ! pair 0: numbers      pair 0: vip-lost-a-friend
      pair 0: both-ways    pair 0: both-ways
    !   actions [log]        actions [crm]
      pair 1: both-ways    pair 1: both-ways
    !   crm.method: "PUT"    crm.method: "POST"
    !   crm.colour: "red"    crm.colour: the action has no field "colour"; it has body, method, url
    !   log.message          there is no such action among [crm]
    ! pair 1: off          -
      pair 1: numbers      pair 1: numbers
    note: the condition of numbers failed on pair 0: int: "alice" is no whole number
    note: the rule off is not enabled
rules/wrong_test.yml:17:5: no such rule: there is no rule "number", which line 20 expects; did you mean numbers?; there is no list "vipz"; did you mean vips?
4 tests: 2 passed, 2 failed
3 rules: 3 matched by a test
`, out)

	code, out, _ = aftermath(t, dir, nil, "test", "--run", "VIP|nobody", "rules")
	if code != 0 || !strings.HasPrefix(out, "2 tests: 2 passed, 0 failed, 2 left out\n") {
		t.Errorf("--run: exit %d\n%s", code, out)
	}
	code, out, _ = aftermath(t, dir, nil, "test", "rules/care/vips_test.yaml", "rules/vips.yaml")
	if code != 0 || !strings.HasPrefix(out, "2 tests: 2 passed") {
		t.Errorf("files one by one: exit %d\n%s", code, out)
	}
	code, out, _ = aftermath(t, dir, nil, "test", "-c", "aftermath.yaml", "rules/care/vips_test.yaml")
	if code != 0 || !strings.HasPrefix(out, "2 tests: 2 passed") {
		t.Errorf("a test file with the configuration's rules: exit %d\n%s", code, out)
	}
	code, out, _ = aftermath(t, dir, nil, "test", "rules/wrong_test.yml")
	if code != 1 || !strings.HasPrefix(out, "rules/wrong_test.yml:3:5: ") {
		t.Errorf("a test file with the rules beside it: exit %d\n%s", code, out)
	}
}

// The reports for programs have the same in them.
func TestRuleTestFormats(t *testing.T) {
	dir := writeVIPs(t)
	write(t, dir, "rules/a_test.yaml", `tests:
  - {name: right, callback: {PairList: [{From_Account: "6", To_Account: b}]}, matches: [{rule: numbers}]}
  - {name: "wrong \e <x>", callback: {PairList: [{From_Account: "5", To_Account: b}]}, matches: [{rule: numbers}]}
`)
	write(t, dir, "rules/broken_test.yaml", "tests: [{name: x, calback: {}}]\n")
	code, out, _ := aftermath(t, dir, nil, "test", "--format", "json", "rules")
	var report struct {
		Tests []struct {
			File, Name, Why string
			Line, Column    int
			Passed          bool
			Rows            []struct{ Expected, Got string }
		}
		Errors []struct {
			File, Message string
			Line, Column  int
		}
		Passed, Failed, Rules int
		Untested              []string
	}
	if err := json.Unmarshal([]byte(out), &report); code != 1 || err != nil {
		t.Fatalf("exit %d, %v\n%s", code, err, out)
	}
	if report.Passed != 1 || report.Failed != 1 || report.Rules != 3 || len(report.Untested) != 2 || len(report.Tests) != 2 {
		t.Errorf("got %+v", report)
	}
	if f := report.Tests[1]; f.Line != 3 || f.Column != 5 || f.Name != "wrong \x1b <x>" || len(f.Rows) != 1 || f.Rows[0].Expected != "numbers" {
		t.Errorf("got %+v", f)
	}
	var places []string
	for _, e := range report.Errors {
		places = append(places, strings.Join([]string{e.File, e.Message}, " "))
		if e.Line != 1 || e.Column < 9 {
			t.Errorf("at %d:%d", e.Line, e.Column)
		}
	}
	same(t, "errors", strings.Join([]string{
		"rules/broken_test.yaml this test has no callback, such as {PairList: [{From_Account: alice, To_Account: bob}]}",
		"rules/broken_test.yaml this test has no matches: list the rules that match, or write [] for none",
		`rules/broken_test.yaml unknown key "calback"; did you mean callback?`,
	}, "\n"), strings.Join(places, "\n"))

	code, out, _ = aftermath(t, dir, nil, "test", "--format", "junit", "rules")
	var junit struct {
		Tests    int `xml:"tests,attr"`
		Failures int `xml:"failures,attr"`
		Errors   int `xml:"errors,attr"`
		Suites   []struct {
			Name  string `xml:"name,attr"`
			Cases []struct {
				Name    string `xml:"name,attr"`
				Line    int    `xml:"line,attr"`
				Failure string `xml:"failure"`
			} `xml:"testcase"`
		} `xml:"testsuite"`
	}
	if err := xml.Unmarshal([]byte(out), &junit); code != 1 || err != nil {
		t.Fatalf("exit %d, %v\n%s", code, err, out)
	}
	if junit.Tests != 5 || junit.Failures != 1 || junit.Errors != 3 || len(junit.Suites) != 2 ||
		!strings.Contains(junit.Suites[1].Cases[1].Failure, "rules/a_test.yaml:3:5: numbers was expected to match here") {
		t.Errorf("got %+v", junit)
	}
}

// What keeps tests from being run is said in one sentence each, and is exit code 1; a wrong command line is 2.
func TestRuleTestsBadInput(t *testing.T) {
	dir := writeVIPs(t)
	write(t, dir, "broken/a.yaml", "rules:\n  - {name: a, condition: Nope, actions: [x]}\n")
	write(t, dir, "broken/a_test.yaml", "tests: []\n")
	write(t, dir, "empty/a.yaml", "rules: []\n")
	write(t, dir, "empty/a_test.yaml", "")
	write(t, dir, "ok/a.yaml", "rules: []\n")
	write(t, dir, "ok/a_test.yaml", "tests: [{name: x, callback: {PairList: []}, matches: []}]\n")
	for _, tt := range []struct {
		name string
		args []string
		code int
		want string
	}{
		{"rules that do not load", []string{"broken"}, 1, "broken/a.yaml:2:26: "},
		{"an empty test file", []string{"empty"}, 1, "empty/a_test.yaml:1:1: the file is empty"},
		{"no tests", []string{"rules"}, 1, "there are no rule tests (*_test.yaml or *_test.yml) in rules"},
		{"nothing to run", []string{"--run", "zzz", "ok"}, 1, "no test's name matches --run zzz: 1 test left out"},
		{"no such folder", []string{"nowhere"}, 1, "nowhere:1:1: no such file or folder"},
		{"no path", nil, 2, "needs the PATH of a rules folder"},
		{"a bad pattern", []string{"--run", "(", "rules"}, 2, "--run: "},
		{"a bad format", []string{"--format", "xml", "rules"}, 2, "--format is text, json or junit"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			code, out, errs := aftermath(t, dir, nil, append([]string{"test"}, tt.args...)...)
			if code != tt.code || strings.Count(out+errs, tt.want) != 1 {
				t.Errorf("exit %d\n%s%s", code, out, errs)
			}
		})
	}
}

// explain shows each rule's verdict and each part's value, and nothing that an account id could do to a terminal.
func TestExplain(t *testing.T) {
	dir := writeVIPs(t)
	write(t, dir, "packet.json", packet("alice", hostile))
	code, out, errs := aftermath(t, dir, nil, "explain", "--query", "OptPlatform=iOS&ClientIP=::1", "packet.json")
	if code != 0 || errs != "" {
		t.Errorf("exit %d, %s", code, errs)
	}
	same(t, "explain", `pair 0: alice -> e\x1b[2J\x1b[31m\u009b\u202eve\r\n
  vip-lost-a-friend matches, runs crm, vip-lost-a-friend/log  rules/vips.yaml:9
      From_Account in vips && OptPlatform != "RESTAPI"  true
        From_Account in vips                            true  <- decides
          From_Account                                  "alice"
        OptPlatform != "RESTAPI"                        true  <- decides
          OptPlatform                                   "iOS"
  both-ways does not match  rules/vips.yaml:16
      Mutual  false
  numbers fails, which is no match: int: "alice" is no whole number  rules/vips.yaml:20
      int(From_Account) > 5  fails: int: "alice" is no whole number
        int(From_Account)    fails: int: "alice" is no whole number
          From_Account       "alice"
  off is not enabled  rules/vips.yaml:23
      From_Account == "alice"  true
        From_Account           "alice"
`, out)

	code, out, _ = aftermath(t, dir, nil, "explain", "--rule", "both-ways", "packet.json")
	same(t, "--rule", `pair 0: alice -> e\x1b[2J\x1b[31m\u009b\u202eve\r\n
  both-ways does not match  rules/vips.yaml:16
      Mutual  false
`, out)
	if code != 0 {
		t.Errorf("--rule: exit %d", code)
	}

	s := start(t, dir, "E2E_NO_SUCH_SECRET=whsec_c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0")
	_, fromCLI, _ := aftermath(t, dir, nil, "explain", "--json", "--query", "SdkAppid=7&OptPlatform=iOS", "packet.json")
	for name, body := range map[string]string{
		"a packet":              `{"packet": ` + packet("alice", hostile) + `, "query": "SdkAppid=7&OptPlatform=iOS"}`,
		"its text":              `{"packet": ` + quoted(t, packet("alice", hostile)) + `, "query": "SdkAppid=7&OptPlatform=iOS"}`,
		"parameters one by one": `{"packet": ` + packet("alice", hostile) + `, "query": {"SdkAppid": 7, "OptPlatform": "iOS"}}`,
	} {
		code, fromAPI := s.Send(http.MethodPost, "/api/v1/explain", body)
		var a, b any
		if err := json.Unmarshal([]byte(fromCLI), &a); err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(fromAPI, &b); err != nil || code != 200 {
			t.Fatalf("%s: %d %s %v", name, code, fromAPI, err)
		}
		for _, x := range []any{a, b} { // one names the file as seen from the other folder
			for _, r := range x.(map[string]any)["pairs"].([]any)[0].(map[string]any)["rules"].([]any) {
				delete(r.(map[string]any), "file")
			}
		}
		if diff := cmp.Diff(a, b); diff != "" {
			t.Errorf("%s: the command and the API differ (-command +API):\n%s", name, diff)
		}
	}
	for body, want := range map[string]int{
		"{": 400, `{}`: 400, `{"packet": {"PairList": 7}}`: 400, `{"packet": "x"}`: 400, `{"packet": {"CallbackCommand": "other"}}`: 400,
		`{"packet": ` + packet("a", "b") + `, "rule": "nope"}`: 404,
	} {
		code, answer := s.Send(http.MethodPost, "/api/v1/explain", body)
		var said struct{ Error string }
		if err := json.Unmarshal(answer, &said); code != want || err != nil || said.Error == "" {
			t.Errorf("%s: %d %s", body, code, answer)
		}
	}
}

func quoted(t *testing.T, s string) string {
	t.Helper()
	b, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// What explain cannot explain is said in one sentence.
func TestExplainBadInput(t *testing.T) {
	dir := writeVIPs(t)
	write(t, dir, "good.json", packet("a", "b"))
	write(t, dir, "other.json", `{"CallbackCommand":"Sns.CallbackFriendAdd","PairList":[]}`)
	write(t, dir, "bad.json", `{"CallbackCommand":"Sns.CallbackFriendDelete"}`)
	write(t, dir, "broken/aftermath.yaml", config(""))
	write(t, dir, "broken/rules/a.yaml", "rules:\n  - {name: a, condition: Nope, actions: [x]}\n")
	for _, tt := range []struct {
		name string
		args []string
		code int
		want string
	}{
		{"no packet", []string{"bad.json"}, 1, "this is no friend-delete packet: PairList"},
		{"another callback's packet", []string{"other.json"}, 1, "this is the packet of another callback"},
		{"no such file", []string{"nowhere.json"}, 1, "the packet nowhere.json does not exist"},
		{"no such rule", []string{"--rule", "both-way", "good.json"}, 1, `there is no rule "both-way"; did you mean both-ways?`},
		{"rules that do not load", []string{"-c", "broken/aftermath.yaml", "good.json"}, 1, "the rules do not load: mend the errors above"},
		{"no configuration", []string{"-c", "nowhere.yaml", "good.json"}, 1, "the configuration file does not exist"},
		{"an admin port that is down", []string{"--callback", "x", "--admin", "http://127.0.0.1:1"}, 1, "is serve running"},
		{"no argument", nil, 2, "needs a packet"},
		{"two packets", []string{"good.json", "good.json"}, 2, "takes one packet"},
		{"a bad query", []string{"--query", "x", "good.json"}, 2, "not of the form k=v"},
		{"a bad time", []string{"--at", "noon", "good.json"}, 2, "--at"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			code, out, errs := aftermath(t, dir, nil, append([]string{"explain"}, tt.args...)...)
			if code != tt.code || !strings.Contains(errs, tt.want) || out != "" {
				t.Errorf("exit %d\n%s%s", code, out, errs)
			}
		})
	}
}

// actions test sends one delivery as it is configured, shows both sides, and masks secrets.
func TestActionsTest(t *testing.T) {
	const secret = "whsec_c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0"
	hooks := startHookServer(t, secret)
	echo := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.Error(w, "no: "+r.Header.Get("Authorization")+" \x1b[31m", http.StatusUnprocessableEntity)
	}))
	t.Cleanup(echo.Close)
	dir := t.TempDir()
	write(t, dir, "aftermath.yaml", config(""))
	write(t, dir, "rules/a.yaml", `actions:
  good: {type: webhook, url: "`+hooks.url+`/x", secrets: ["${env:E2E_SECRET}"]}
  bad: {type: webhook, url: "`+echo.URL+`", headers: {Authorization: "Bearer ${env:E2E_OTHER}"}}
  metadata: {type: webhook, url: "http://169.254.169.254/latest"}
  missing: {type: webhook, url: "`+hooks.url+`", secrets: ["${env:E2E_NO_SUCH_SECRET}"]}
rules:
  - {name: all, condition: Mutual, actions: [good, bad, metadata, missing, {type: log, message: "{{ From_Account }} left", file: l.jsonl}]}
`)
	env := []string{"E2E_SECRET=" + secret, "E2E_OTHER=hunter2hunter2"}
	code, out, errs := aftermath(t, dir, env, "actions", "test", "good")
	if code != 0 || !strings.Contains(out, `"From_Account":"alice"`) || !strings.Contains(out, "204 No Content") || len(hooks.bodies()) != 1 || len(hooks.bad) != 0 {
		t.Errorf("good: exit %d, %d webhooks, refused %v\n%s%s", code, len(hooks.bodies()), hooks.bad, out, errs)
	}
	code, out, errs = aftermath(t, dir, nil, "actions", "test", "good", "--dry-run")
	if code != 0 || !strings.Contains(out, "dry run: nothing was sent") || len(hooks.bodies()) != 1 {
		t.Errorf("--dry-run without secrets: exit %d, %d webhooks\n%s%s", code, len(hooks.bodies()), out, errs)
	}
	code, out, errs = aftermath(t, dir, env, "actions", "test", "bad")
	if code != 1 || !strings.Contains(out, `no: Bearer [secret] \x1b[31m`) || !strings.Contains(out, "dead letter") || strings.Contains(out+errs, "hunter2") {
		t.Errorf("bad: exit %d\n%s%s", code, out, errs)
	}
	if code, out, errs = aftermath(t, dir, env, "actions", "test", "metadata"); code != 1 || !strings.Contains(out, "169.254.169.254") || !strings.Contains(out, "failed") {
		t.Errorf("metadata: exit %d\n%s%s", code, out, errs)
	}
	if code, out, errs = aftermath(t, dir, nil, "actions", "test", "missing"); code != 1 || !strings.Contains(errs, "E2E_NO_SUCH_SECRET") || strings.Contains(errs, "E2E_OTHER") {
		t.Errorf("missing: exit %d\n%s%s", code, out, errs)
	}
	if code, out, errs = aftermath(t, dir, nil, "actions", "test", "all/log"); code != 0 {
		t.Errorf("log: exit %d\n%s%s", code, out, errs)
	}
	if lines := jsonLines(t, filepath.Join(dir, "l.jsonl")); len(lines) != 1 || lines[0]["message"] != "alice left" {
		t.Errorf("the log has %v", lines)
	}
	if code, _, errs = aftermath(t, dir, nil, "actions", "test", "god"); code != 1 || !strings.Contains(errs, `there is no action "god"; did you mean good?`) {
		t.Errorf("an action that there is not: exit %d, %s", code, errs)
	}

	s := start(t, dir, append(env, "E2E_NO_SUCH_SECRET="+secret)...)
	status, body := s.Send(http.MethodPost, "/api/v1/actions/good/test", "")
	var report struct {
		OK             bool
		DryRun         bool `json:"dry_run"`
		Sent, Received string
		Error, Detail  string
		Rendered       map[string]any
	}
	if err := json.Unmarshal(body, &report); status != 200 || err != nil || !report.OK || !strings.Contains(report.Sent, "alice") || len(hooks.bodies()) != 2 {
		t.Errorf("API: %d %s", status, body)
	}
	if code, out, errs = aftermath(t, dir, nil, "actions", "test", "good", "--admin", s.Admin); code != 0 || !strings.Contains(out, "done after") || len(hooks.bodies()) != 3 {
		t.Errorf("through the serve, without a secret: exit %d, %d webhooks\n%s%s", code, len(hooks.bodies()), out, errs)
	}
	if code, out, errs = aftermath(t, dir, nil, "actions", "test", "bad", "--admin", s.Admin); code != 1 || !strings.Contains(out, "failed after") || strings.Contains(out, "hunter2") {
		t.Errorf("a failure through the serve: exit %d\n%s%s", code, out, errs)
	}
	if code, out, errs = aftermath(t, dir, nil, "actions", "test", "nope", "--admin", s.Admin); code != 1 || out != "" || !strings.Contains(errs, "there is no action nope") {
		t.Errorf("no such action through the serve: exit %d\n%s%s", code, out, errs)
	}
	if status, body = s.Send(http.MethodPost, "/api/v1/actions/all/log/test", `{"dry_run": true}`); status != 200 || !strings.Contains(string(body), `"dry_run":true`) {
		t.Errorf("API, an inline action: %d %s", status, body)
	}
	if status, body = s.Send(http.MethodPost, "/api/v1/actions/bad/test", ""); status != 200 || !strings.Contains(string(body), `"ok":false`) || strings.Contains(string(body), "hunter2") {
		t.Errorf("API, a failure: %d %s", status, body)
	}
	if status, body = s.Send(http.MethodPost, "/api/v1/actions/nope/test", ""); status != 404 || !strings.Contains(string(body), "nope") {
		t.Errorf("API, no such action: %d %s", status, body)
	}
	sent := len(hooks.bodies())
	if status, body = s.Send(http.MethodPost, "/api/v1/actions/good/test", `{"dryrun": true}`); status != 400 || len(hooks.bodies()) != sent {
		t.Errorf("API, dry_run misspelt: %d %s, %d webhooks", status, body, len(hooks.bodies())-sent)
	}
	if status, _ = s.Send(http.MethodGet, "/api/v1/actions/good/test", ""); status != 405 {
		t.Errorf("API, GET: %d", status)
	}
	if d := s.Status().Counts.Deliveries; d.Created != 0 {
		t.Errorf("tests of actions were counted as deliveries: %+v", d)
	}
}

// A shell completes the names of rules and actions from the configuration that -c names.
func TestCompletion(t *testing.T) {
	dir := writeVIPs(t)
	for _, tt := range []struct {
		args []string
		want string
	}{
		{[]string{"actions", "test", ""}, "crm\twebhook\nvip-lost-a-friend/log\tlog\n:4\n"},
		{[]string{"explain", "--rule", ""}, "vip-lost-a-friend\nboth-ways\nnumbers\noff\n:4\n"},
		{[]string{"explain", "-c", "nowhere.yaml", "--rule", ""}, ":4\n"},
		{[]string{"schema", ""}, "rules\nconfig\ntests\n:4\n"},
	} {
		code, out, _ := aftermath(t, dir, nil, append([]string{"__complete"}, tt.args...)...)
		if code != 0 || out != tt.want {
			t.Errorf("%q: exit %d, got %q, want %q", tt.args, code, out, tt.want)
		}
	}
}
