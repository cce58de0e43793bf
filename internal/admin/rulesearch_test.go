package admin

import (
	"fmt"
	"strings"
	"testing"

	"github.com/aftermath-rules/aftermath/rules"
)

func TestRuleFilter(t *testing.T) {
	set := &rules.RuleSet{Rules: []*rules.Rule{
		{Name: "vip-lost", Condition: "From_Account in vips", Description: "A VIP removed somebody", File: "rules/a.yaml", Actions: []string{"crm"}, Enabled: true},
		{Name: "mass", Condition: "PairCount >= 3", File: "rules/sub/b.yaml", Actions: []string{"mass/email"}, Enabled: true, Shadow: true},
		{Name: "off", Condition: "Mutual", File: "rules/a.yaml", Labels: map[string]string{"team": "Care"}, Shadow: true},
	}}
	for _, c := range []struct{ q, state, want string }{
		{"", "", "vip-lost mass off"},
		{"VIPS", "", "vip-lost"},
		{"from_account  crm", "", "vip-lost"},
		{"vips paircount", "", ""},
		{"sub/b", "", "mass"},
		{"mass/email", "", "mass"},
		{"care", "", "off"},
		{"somebody removed", "", "vip-lost"},
		{"", "enabled", "vip-lost"},
		{"", "shadow", "mass"},
		{"", "disabled", "off"},
		{"mass", "disabled", ""},
		{"ſ", "", ""},
	} {
		f := ruleFilter{words: strings.Fields(strings.ToLower(c.q)), state: c.state}
		var names []string
		for _, r := range f.in(set) {
			names = append(names, r.Name)
		}
		if got := strings.Join(names, " "); got != c.want {
			t.Errorf("%q, %q: got %s, want %s", c.q, c.state, got, c.want)
		}
	}
	if found := (ruleFilter{words: []string{"x"}}).in(nil); len(found) != 0 {
		t.Error("no set has rules")
	}
}

func TestExcerpt(t *testing.T) {
	text := []byte("one\ntwo\nthree\nfour")
	for _, c := range []struct {
		from, to int
		want     string
	}{{1, 9, "one\ntwo\nthree\nfour"}, {2, 3, "two\nthree\n"}, {0, 1, "one\n"}, {4, 4, "four"}, {5, 9, ""}, {3, 2, ""}} {
		if first, got, total := excerpt(text, c.from, c.to); got != c.want || total != 4 || first != max(c.from, 1) {
			t.Errorf("%d to %d: %d, %q, %d", c.from, c.to, first, got, total)
		}
	}
}

func many(n int) *rules.RuleSet {
	set := &rules.RuleSet{}
	for i := range n {
		set.Rules = append(set.Rules, &rules.Rule{
			Name: fmt.Sprintf("rule-%d", i), Condition: fmt.Sprintf("From_Account == %q && OptPlatform != \"RESTAPI\"", fmt.Sprint("user_", i)),
			Description: "Tell the team of a friend that was lost", File: "rules/team/a.yaml", Actions: []string{"crm"}, Enabled: true,
		})
	}
	return set
}

// What a search of 100,000 rules costs, beside lowering each text first.
func BenchmarkSearch100k(b *testing.B) {
	set := many(100_000)
	for _, c := range []struct{ name, word string }{{"one rule", "user_99999"}, {"all", "friend"}, {"none", "nothing-like-it"}} {
		b.Run(c.name, func(b *testing.B) {
			f := ruleFilter{words: []string{c.word}}
			for b.Loop() {
				f.in(set)
			}
		})
		b.Run(c.name+"/naive", func(b *testing.B) {
			for b.Loop() {
				n := 0
				for _, r := range set.Rules {
					if strings.Contains(strings.ToLower(strings.Join([]string{r.Name, r.Condition, r.Description, r.File, strings.Join(r.Actions, " ")}, "\x00")), c.word) {
						n++
					}
				}
			}
		})
	}
}
