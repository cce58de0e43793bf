package e2e

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"
)

const editedRules = `rules:
  - name: tells
    condition: From_Account == "alice" && PairCount > 0
    actions: [{type: log, message: hello}]
  - name: quiet
    condition: From_Account == "nobody"
    actions: [{type: log, message: never}]
`

// What an operator sees of an edit before it is saved, and of a rule that runs: backtest, tests, matches over time.
func TestAnEditAndARule(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "aftermath.yaml", config(""))
	write(t, dir, "rules/10-guard.yaml", "rules:\n  - {name: guard, condition: To_Account == \"staff\", stop: true, actions: [{type: log, message: hi}]}\n")
	file := write(t, dir, "rules/20-tells.yaml", editedRules)
	write(t, dir, "rules/tells_test.yaml", `tests:
  - name: alice is told of
    callback: {PairList: [{From_Account: alice, To_Account: bob}]}
    matches: [{rule: tells, actions: [log], render: {log.message: hello}}]
  - name: so is carol
    callback: {PairList: [{From_Account: carol, To_Account: bob}]}
    matches: [{rule: tells}]
  - name: staff is left alone
    callback: {PairList: [{From_Account: alice, To_Account: staff}]}
    matches: [{rule: guard}]
`)
	edited := strings.Replace(editedRules, `"alice"`, `"bob"`, 1)
	write(t, dir, "other/10-guard.yaml", "rules:\n  - {name: guard, condition: To_Account == \"staff\", stop: true, actions: [{type: log, message: hi}]}\n")
	write(t, dir, "other/20-tells.yaml", edited)
	s := start(t, dir)
	for _, pair := range [][2]string{{"alice", "x"}, {"alice", "staff"}, {"bob", "y"}, {"bob", "staff"}, {"alice", "z"}} {
		s.Deliver(pair[0], pair[1])
	}
	s.Counted("all to be done", func(_, done, _, _, _ uint64) bool { return done == 4 })
	var source struct{ Files []string }
	if code, text := s.Call("GET", "source", "", &source); code != 200 || len(source.Files) != 2 || !strings.HasSuffix(file, "20-tells.yaml") {
		t.Fatalf("%d %s", code, text)
	}
	request, err := json.Marshal(map[string]string{"file": source.Files[1], "source": edited, "since": "1h"})
	must(t, err)

	type rule struct {
		Rule                      string
		Before, Now, Gained, Lost uint64
		Examples                  []struct{ Change, To_Account string }
	}
	var got struct {
		Callbacks, Pairs uint64
		Changed, Quiet   int
		Complete         bool
		Rules            []rule
	}
	if code, text := s.Call("POST", "backtest", string(request), &got); code != 200 || !got.Complete || got.Pairs != 5 || got.Changed != 1 || got.Quiet != 1 || len(got.Rules) != 2 {
		t.Fatalf("%d %s", code, text)
	}
	tells := got.Rules[0]
	if tells.Rule != "tells" || tells.Before != 2 || tells.Now != 1 || tells.Gained != 1 || tells.Lost != 2 || len(tells.Examples) != 3 || tells.Examples[0].To_Account != "y" {
		t.Errorf("got %+v: the guard of the other file holds in both sets", tells)
	}
	code, out, errs := aftermath(t, dir, nil, "backtest", "--json", "--admin", s.Admin, "other")
	var command struct{ Rules []rule }
	if err := json.Unmarshal([]byte(out), &command); code != 0 || err != nil {
		t.Fatalf("exit %d %v\n%s%s", code, err, out, errs)
	}
	for _, r := range command.Rules {
		// Its examples are the oldest, and the admin port's the newest.
		if r.Rule == "tells" && (r.Before != tells.Before || r.Now != tells.Now || r.Gained != tells.Gained || r.Lost != tells.Lost || len(r.Examples) != len(tells.Examples)) {
			t.Errorf("the command says %+v, and the admin port %+v", r, tells)
		}
	}

	var tests struct {
		Tests []struct {
			Name, Why string
			Line      int
			Passed    *bool
			Rows      []struct{ Expected, Got string }
		}
		Errors []any
	}
	if code, text := s.Call("GET", "rules/tells/tests", "", &tests); code != 200 || len(tests.Tests) != 2 || tests.Tests[0].Passed != nil || tests.Tests[1].Line != 5 {
		t.Fatalf("the tests of a rule: %d %s", code, text)
	}
	if code, text := s.Call("POST", "rules/tells/tests", "", &tests); code != 200 || !*tests.Tests[0].Passed || *tests.Tests[1].Passed ||
		!strings.Contains(tests.Tests[1].Why, "tells was expected to match") || tests.Tests[1].Rows[0].Expected != "tells" {
		t.Errorf("run: %d %s", code, text)
	}
	if code, text := s.Call("POST", "rules/nobody/tests", "", nil); code != 404 || !strings.Contains(text, "no rule is called") {
		t.Errorf("of no rule: %d %s", code, text)
	}
	write(t, dir, "rules/broken_test.yaml", "tests:\n  - {name: half}\n")
	if code, text := s.Call("GET", "rules/tells/tests", "", &tests); code != 200 || len(tests.Tests) != 2 || len(tests.Errors) == 0 || !strings.Contains(text, "broken_test.yaml") {
		t.Errorf("with a broken test file: %d %s", code, text)
	}

	var series struct {
		At      []int64
		Matches []int
		Since   time.Time
	}
	if code, text := s.Call("GET", "rules/tells/series?span=1h", "", &series); code != 200 || len(series.At) == 0 || len(series.At) != len(series.Matches) {
		t.Fatalf("%d %s", code, text)
	}
	sum := 0
	for _, n := range series.Matches {
		sum += n
	}
	if sum != 2 || time.Since(series.Since) > patience {
		t.Errorf("%d matches since %v", sum, series.Since)
	}
	if code, _ := s.Call("GET", "rules/tells/series?span=soon", "", nil); code != 400 {
		t.Errorf("a span that is none: %d", code)
	}
}

// What the page asks for is guarded like the rest of the admin port.
func TestThePagesEndpointsAreGuarded(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "aftermath.yaml", strings.Replace(config(""), "admin: {listen: 127.0.0.1:0", "admin: {listen: 127.0.0.1:0, token: the-admin-token", 1))
	write(t, dir, "rules/a.yaml", editedRules)
	s := start(t, dir)
	for _, e := range []struct{ method, path string }{
		{"POST", "backtest"}, {"POST", "try"}, {"GET", "rules/tells/tests"}, {"POST", "rules/tells/tests"}, {"GET", "rules/tells/series"},
		{"GET", "source"}, {"GET", "series"},
	} {
		for _, c := range []struct {
			name   string
			header http.Header
			want   int
		}{
			{"no token", nil, 401},
			{"a wrong token", http.Header{"Authorization": {"Bearer another"}}, 401},
			{"another site", http.Header{"Authorization": {"Bearer the-admin-token"}, "Origin": {"https://evil.example.com"}, "Sec-Fetch-Site": {"cross-site"}}, 403},
			{"the token", http.Header{"Authorization": {"Bearer the-admin-token"}}, 0},
		} {
			if c.want == 403 && e.method == "GET" { // it changes nothing
				continue
			}
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			req, err := http.NewRequestWithContext(ctx, e.method, s.Admin+"/api/v1/"+e.path, strings.NewReader(""))
			must(t, err)
			req.Header = c.header
			if req.Header == nil {
				req.Header = http.Header{}
			}
			resp, err := http.DefaultClient.Do(req)
			must(t, err)
			text, err := io.ReadAll(resp.Body)
			must(t, err, resp.Body.Close())
			cancel()
			if c.want == 0 && (resp.StatusCode == 401 || resp.StatusCode == 403 || resp.StatusCode == 404) || c.want != 0 && resp.StatusCode != c.want {
				t.Errorf("%s %s with %s: %d %s", e.method, e.path, c.name, resp.StatusCode, text)
			}
		}
	}
}
