package admin

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"iter"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"go.uber.org/zap"

	"github.com/aftermath-rules/aftermath/actions"
	"github.com/aftermath-rules/aftermath/actions/logentry"
	"github.com/aftermath-rules/aftermath/engine"
	"github.com/aftermath-rules/aftermath/rules"
)

// journal gives packs of one callback each, a second apart, back from now; packs below 0 are endless.
type journal struct {
	packs int
	now   time.Time
}

func (j *journal) JournalBack(ctx context.Context, _ uint64) iter.Seq2[*engine.Pack, error] {
	return func(yield func(*engine.Pack, error) bool) {
		for i := 0; i != j.packs; i++ {
			at := j.now.Add(-time.Duration(i) * time.Second)
			body := fmt.Sprintf(`{"CallbackCommand":"Sns.CallbackFriendDelete","PairList":[{"From_Account":"u%d","To_Account":"b"}]}`, i%10)
			record := engine.Record{Received: at, Query: "SdkAppid=1400000000&CallbackCommand=Sns.CallbackFriendDelete", Body: []byte(body)}
			if !yield(&engine.Pack{Seq: uint64(i), Stored: at, Records: []engine.Record{record}}, nil) {
				return
			}
		}
	}
}

func (j *journal) QuarantinedPackets(context.Context) iter.Seq2[*engine.Quarantined, error] {
	return func(func(*engine.Quarantined, error) bool) {}
}

func compiled(t *testing.T, text string) (*rules.RuleSet, error) {
	t.Helper()
	reg, err := actions.NewRegistry(logentry.Type())
	if err != nil {
		t.Fatal(err)
	}
	f, err := rules.Parse("a.yaml", []byte(text))
	if f == nil {
		return nil, err
	}
	return rules.Compile([]*rules.File{f}, rules.Options{Registry: reg, Env: actions.Env{Logger: zap.NewNop()}})
}

func ruleOn(account string) string {
	return "rules:\n  - {name: one, condition: From_Account == \"" + account + "\", actions: [{type: log, message: hi}]}\n"
}

// backtestPort answers backtests of a journal; the rule one fires for u1.
func backtestPort(t *testing.T, j *journal, limit time.Duration) string {
	t.Helper()
	running, err := compiled(t, ruleOn("u1"))
	if err != nil {
		t.Fatal(err)
	}
	b := &backtests{limit: limit, api: &api{Options: Options{
		Journal: j, Workbench: Workbench{RuleSet: func() *rules.RuleSet { return running }},
		Page: Page{Try: func(_ context.Context, _ string, text []byte) (*rules.Trial, error) {
			set, err := compiled(t, string(text))
			return &rules.Trial{Set: set}, err
		}},
	}}}
	server := httptest.NewServer(http.HandlerFunc(b.answer))
	t.Cleanup(server.Close)
	return server.URL
}

func ask(t *testing.T, ctx context.Context, url, body string) *http.Response {
	t.Helper()
	req, err := http.NewRequestWithContext(ctx, "POST", url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Accept", jsonLines)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = resp.Body.Close() })
	return resp
}

func body(t *testing.T, source, since string) string {
	t.Helper()
	b, err := json.Marshal(map[string]string{"source": source, "since": since})
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func lastAnswer(t *testing.T, resp *http.Response) (a backtestAnswer) {
	t.Helper()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(string(text)), "\n")
	if err := json.Unmarshal([]byte(lines[len(lines)-1]), &a); err != nil || !strings.Contains(lines[0], `"progress"`) {
		t.Fatalf("%d: %v\n%s", resp.StatusCode, err, text)
	}
	return a
}

func TestBacktestComparesWithWhatRuns(t *testing.T) {
	now := time.Now()
	url := backtestPort(t, &journal{packs: 100, now: now}, time.Minute)
	a := lastAnswer(t, ask(t, t.Context(), url, body(t, ruleOn("u2"), now.Add(-50*time.Second).Format(time.RFC3339Nano))))
	if !a.Complete || a.Callbacks != a.Pairs || a.Callbacks != 51 || a.Changed != 1 || a.Oldest == nil || now.Sub(*a.Oldest) < 48*time.Second {
		t.Errorf("got %+v", a)
	}
	if r := a.Rules[0]; r.Rule != "one" || r.Before != 5 || r.Now != 5 || r.Gained != 5 || r.Lost != 5 || len(r.Examples) != 6 || r.Examples[0].From != "u2" {
		t.Errorf("got %+v", r)
	}
	if a := lastAnswer(t, ask(t, t.Context(), url, body(t, ruleOn("u1"), ""))); a.Changed != 0 || a.Callbacks != 100 {
		t.Errorf("no change: %+v", a)
	}
}

func TestBacktestAnswersWhatItHasWhenItsTimeEnds(t *testing.T) {
	url := backtestPort(t, &journal{packs: -1, now: time.Now()}, time.Second)
	if a := lastAnswer(t, ask(t, t.Context(), url, body(t, ruleOn("u2"), "9000d"))); a.Complete || a.Callbacks == 0 || a.Changed != 1 {
		t.Errorf("got %+v", a)
	}
}

func TestBacktestRunsOneAtATimeAndEndsWithItsClient(t *testing.T) {
	url := backtestPort(t, &journal{packs: -1, now: time.Now()}, time.Minute)
	ctx, leave := context.WithCancel(t.Context())
	first := ask(t, ctx, url, body(t, ruleOn("u2"), "9000d"))
	lines := bufio.NewScanner(first.Body)
	for range 2 { // it says how far it is
		if !lines.Scan() || !strings.Contains(lines.Text(), `"progress"`) {
			t.Fatalf("got %q, %v", lines.Text(), lines.Err())
		}
	}
	second := ask(t, t.Context(), url, body(t, ruleOn("u2"), "1h"))
	if text, err := io.ReadAll(second.Body); err != nil || second.StatusCode != 409 || !strings.Contains(string(text), "another backtest runs") {
		t.Errorf("a second one: %d %s %v", second.StatusCode, text, err)
	}
	leave()
	for until := time.Now().Add(time.Minute); ; time.Sleep(10 * time.Millisecond) {
		resp := ask(t, t.Context(), url, body(t, ruleOn("u2"), "1s"))
		if resp.StatusCode == 200 {
			break
		}
		if time.Now().After(until) {
			t.Fatal("it runs on though its client left")
		}
	}
}

func TestBacktestBadInput(t *testing.T) {
	url := backtestPort(t, &journal{packs: 1, now: time.Now()}, time.Minute)
	for _, c := range []struct {
		name, body string
		code       int
		want       string
	}{
		{"no JSON", "{", 400, "the body must be JSON, {file, source, since}"},
		{"no time", body(t, ruleOn("u2"), "yesterday"), 400, "is no time"},
		{"rules with an error", body(t, strings.Replace(ruleOn("u2"), "From_Account", "From", 1), "1h"), 422, `a.yaml:2:`},
		{"no YAML", body(t, "rules: [", "1h"), 422, `"errors":[`},
	} {
		t.Run(c.name, func(t *testing.T) {
			resp := ask(t, t.Context(), url, c.body)
			text, err := io.ReadAll(resp.Body)
			if err != nil || resp.StatusCode != c.code || !strings.Contains(string(text), c.want) {
				t.Errorf("%d %s, %v", resp.StatusCode, text, err)
			}
		})
	}
	if a := lastAnswer(t, ask(t, t.Context(), url, body(t, ruleOn("u2"), "1h"))); !a.Complete {
		t.Errorf("what was refused holds the slot: %+v", a)
	}
}
