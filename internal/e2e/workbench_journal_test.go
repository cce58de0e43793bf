package e2e

import (
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"
)

// What a serve has stored is explained by its id and backtested, with hostile accounts and all.
func TestJournal(t *testing.T) {
	dir := writeVIPs(t)
	other := strings.NewReplacer("> 5", "> 9", `!= "RESTAPI"`, `== "Web"`).Replace(vipRules)
	write(t, dir, "other/vips.yaml", other)
	write(t, dir, "other/vips.txt", "alice\n")
	s := start(t, dir, "E2E_NO_SUCH_SECRET=whsec_c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0")
	s.Deliver("alice", hostile)
	s.Deliver("7", "b")
	s.Deliver("9", "b")
	eventually(t, "all callbacks to be seen", func() bool { return s.Status().Counts.Callbacks == 3 })

	code, out, errs := aftermath(t, dir, nil, "backtest", "--admin", s.Admin, "other")
	if code != 0 || errs != "" || !strings.Contains(out, "3 callbacks, 3 pairs: 2 rules would change") || !strings.Contains(out, `lost    alice -> e\x1b[2J`) {
		t.Errorf("backtest: exit %d\n%s%s", code, out, errs)
	}
	// Before is what runs, whatever became of the files.
	good := strings.Replace(vipRules, "> 5", "> 7", 1)
	write(t, dir, "rules/vips.yaml", strings.Replace(vipRules, "Mutual", "Mutal", 1))
	eventually(t, "the broken rules to be seen", func() bool { return !s.Status().Rules.Disk.OK })
	write(t, dir, "other/vips.yaml", good)
	code, out, errs = aftermath(t, dir, nil, "backtest", "--admin", s.Admin, "other")
	if code != 0 || errs != "" || !strings.HasPrefix(out, "before  4 rules that serve runs, set "+s.Status().Rules.Running.Hash+"\n") || !strings.Contains(out, "3 callbacks, 3 pairs: 1 rule would change") {
		t.Errorf("backtest beside broken rules: exit %d\n%s%s", code, out, errs)
	}
	write(t, dir, "rules/vips.yaml", vipRules)
	write(t, dir, "other/vips.yaml", other)
	// Its lines, oldest first and without repeats, are a file for backtest.
	const query = "SdkAppid=1400000000&CallbackCommand=Sns.CallbackFriendDelete&RequestId=once"
	for range 2 {
		if code, answer, err := s.Post(query, packet("again", "b")); code != 200 {
			t.Fatal(code, answer, err)
		}
	}
	s.Post("SdkAppid=1400000000&CallbackCommand=Sns.CallbackFriendDelete", strings.ReplaceAll(packet("last", "b"), ",", ",\r\n "))
	lines := func(more string) string {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.Admin+"/api/v1/callbacks"+more, nil)
		must(t, err)
		req.Header.Set("Accept", "application/x-ndjson")
		resp, err := http.DefaultClient.Do(req)
		must(t, err)
		defer resp.Body.Close()
		text, err := io.ReadAll(resp.Body)
		must(t, err)
		if resp.StatusCode != 200 {
			return resp.Status + " " + string(text)
		}
		return string(text)
	}
	all := lines("")
	write(t, dir, "journal.jsonl", all)
	var order []string
	for line := range strings.Lines(all) {
		var stored struct {
			Packet struct {
				PairList []struct{ From_Account string }
			}
		}
		must(t, json.Unmarshal([]byte(line), &stored))
		order = append(order, stored.Packet.PairList[0].From_Account)
	}
	if got := strings.Join(order, " "); got != "alice 7 9 again last" {
		t.Errorf("the journal's lines are of %s", got)
	}
	if got := lines("?account=9"); strings.Count(got, "\n") != 1 || !strings.Contains(got, `"9"`) {
		t.Errorf("of one account: %s", got)
	}
	if got := lines("?since=2999-01-01T00:00:00Z"); got != "" {
		t.Errorf("since later: %s", got)
	}
	if got := lines("?limit=1"); !strings.HasPrefix(got, "400 ") {
		t.Errorf("a limit: %s", got)
	}
	if got := lines("?account=9&matches=true"); !strings.Contains(got, `"rules":[{"rule":"vip-lost-a-friend","actions":["crm","vip-lost-a-friend/log"]}`) || !strings.Contains(got, `,"matches":[{"pair":0,"rule":"numbers"}],"packet":`) {
		t.Errorf("with matches: %s", got)
	}
	if got := lines("?account=alice&matches=true"); !strings.Contains(got, `,"matches":[{"pair":0,"rule":"vip-lost-a-friend"},{"pair":0,"rule":"numbers","failed":true}],"packet":`) {
		t.Errorf("with matches, one of which failed: %s", got)
	}
	if code, body := s.Request("GET", "/api/v1/callbacks?matches=true"); code != 400 || !strings.Contains(string(body), "ask with Accept: application/x-ndjson") {
		t.Errorf("matches of a page: %d %s", code, body)
	}
	code, out, errs = aftermath(t, dir, nil, "backtest", "--packets", "journal.jsonl", "other")
	if code != 0 || !strings.Contains(out, "5 callbacks, 5 pairs") {
		t.Errorf("backtest of the lines: exit %d\n%s%s", code, out, errs)
	}

	_, body := s.Request("GET", "/api/v1/callbacks?account=9")
	var page struct{ Callbacks []struct{ ID string } }
	if err := json.Unmarshal(body, &page); err != nil || len(page.Callbacks) != 1 {
		t.Fatalf("callbacks: %v\n%s", err, body)
	}
	code, out, errs = aftermath(t, dir, nil, "explain", "--admin", s.Admin, "--callback", page.Callbacks[0].ID)
	if code != 0 || !strings.HasPrefix(out, "pair 0: 9 -> b\n") || !strings.Contains(out, "  numbers matches, runs crm") || !strings.Contains(out, `OptPlatform                                   not reached`) {
		t.Errorf("explain: exit %d\n%s%s", code, out, errs)
	}
	code, _, errs = aftermath(t, dir, nil, "explain", "--admin", s.Admin, "--callback", "0123456789abcdef")
	if code != 1 || !strings.Contains(errs, `the journal has no callback "0123456789abcdef"`) {
		t.Errorf("an unknown id: exit %d, %s", code, errs)
	}
}
