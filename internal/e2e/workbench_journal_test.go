package e2e

import (
	"encoding/json"
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
