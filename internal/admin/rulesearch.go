package admin

import (
	"strconv"
	"strings"

	"github.com/aftermath-rules/aftermath/rules"
)

// ruleFilter says which rules are listed.
type ruleFilter struct {
	words []string // that all are somewhere in what names or describes the rule, in lower case
	state string   // enabled, disabled or shadow; "" for any
}

func ruleFilterOf(p *params) ruleFilter {
	f := ruleFilter{words: strings.Fields(strings.ToLower(p.text("q"))), state: p.text("state")}
	switch f.state {
	case "", "enabled", "disabled", "shadow":
	default:
		p.fail("state is enabled, disabled or shadow, not %.40q", f.state)
	}
	return f
}

// in gives the rules of the set that fit, in its order.
func (f ruleFilter) in(set *rules.RuleSet) []*rules.Rule {
	if set == nil {
		return nil
	}
	if len(f.words) == 0 && f.state == "" {
		return set.Rules
	}
	var found []*rules.Rule
	for _, r := range set.Rules {
		if inState(r, f.state) && hasAll(r, f.words) {
			found = append(found, r)
		}
	}
	return found
}

// whole reads a whole number from 0.
func (p *params) whole(name string, otherwise int) int {
	text := p.text(name)
	if text == "" {
		return otherwise
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 0 {
		p.fail("%s is a whole number, not %.40q", name, text)
	}
	return n
}

const maxExcerpt = 400 // lines of a rule

// lastLine is the line before the rule that follows in the same file.
func lastLine(set *rules.RuleSet, rule *rules.Rule) int {
	last := rule.Line + maxExcerpt
	for _, r := range set.Rules {
		if r.File == rule.File && r.Line > rule.Line {
			last = min(last, r.Line-1)
		}
	}
	return last
}

// excerpt gives the lines from one to another, both included, as far as they are there; the first one's number; and how many lines
// the text has.
func excerpt(text []byte, from, to int) (first int, lines string, total int) {
	from = max(from, 1)
	var out strings.Builder
	for line := range strings.Lines(string(text)) {
		total++
		if total >= from && total <= to {
			out.WriteString(line)
		}
	}
	return from, out.String(), total
}

func inState(r *rules.Rule, state string) bool {
	switch state {
	case "enabled":
		return r.Enabled && !r.Shadow
	case "disabled":
		return !r.Enabled
	case "shadow":
		return r.Enabled && r.Shadow
	}
	return true
}

// hasAll tells whether each word, in lower case, is somewhere in what names or describes the rule.
func hasAll(r *rules.Rule, words []string) bool {
	for _, word := range words {
		if !containsFold(r.Name, word) && !containsFold(r.Condition, word) && !containsFold(r.Description, word) && !containsFold(r.File, word) && !anyContains(r, word) {
			return false
		}
	}
	return true
}

func anyContains(r *rules.Rule, word string) bool {
	for _, a := range r.Actions {
		if containsFold(a, word) {
			return true
		}
	}
	for k, v := range r.Labels {
		if containsFold(k, word) || containsFold(v, word) {
			return true
		}
	}
	return false
}

// containsFold tells whether s has the word, which is in lower case; only the case of ASCII letters is folded. It allocates nothing:
// a search reads all of 100,000 rules.
func containsFold(s, word string) bool {
	if len(word) == 0 {
		return true
	}
	first := word[0]
	upper := first
	if 'a' <= first && first <= 'z' {
		upper -= 'a' - 'A'
	}
	for i := 0; i+len(word) <= len(s); i++ {
		if c := s[i]; (c == first || c == upper) && equalFold(s[i:i+len(word)], word) {
			return true
		}
	}
	return false
}

func equalFold(s, word string) bool {
	for i := range len(word) {
		c := s[i]
		if 'A' <= c && c <= 'Z' {
			c += 'a' - 'A'
		}
		if c != word[i] {
			return false
		}
	}
	return true
}
