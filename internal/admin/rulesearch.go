package admin

import (
	"cmp"
	"net/http"
	"strconv"
	"strings"

	"github.com/aftermath-rules/aftermath/rules"
)

const (
	ruleLimit    = 100 // rules of one answer, where the request does not say
	maxRuleLimit = 1000
)

// finder answers GET rules and GET rules/{name}.
type finder struct{ Workbench }

// ruleInfo is one rule as the API shows it.
type ruleInfo struct {
	Name        string            `json:"name"`
	Description string            `json:"description,omitempty"`
	File        string            `json:"file"`
	Line        int               `json:"line"`
	Condition   string            `json:"condition"`
	Actions     []string          `json:"actions"`
	Enabled     bool              `json:"enabled"`
	Shadow      bool              `json:"shadow"`
	Stop        bool              `json:"stop"`
	Labels      map[string]string `json:"labels,omitempty"`
	Source      string            `json:"source,omitempty"` // its lines as they are on disk now; of one rule only
}

func infoOf(r *rules.Rule) ruleInfo {
	return ruleInfo{
		Name: r.Name, Description: r.Description, File: r.File, Line: r.Line, Condition: r.Condition, Actions: r.Actions,
		Enabled: r.Enabled, Shadow: r.Shadow, Stop: r.Stop, Labels: r.Labels,
	}
}

// list answers the rules in order that have all words of q somewhere, whatever the case, and that are in the state. cursor is how
// many of these to leave out, so that a list can be scrolled to any place of it.
func (f *finder) list(w http.ResponseWriter, r *http.Request) {
	query := r.URL.Query()
	skip, ok := number(cmp.Or(query.Get("cursor"), query.Get("offset")), 0)
	limit, ok2 := number(query.Get("limit"), ruleLimit)
	state := query.Get("state")
	if !ok || !ok2 || limit < 1 {
		Error(w, http.StatusBadRequest, "cursor and limit must be whole numbers, such as ?limit=100")
		return
	}
	if !knownState(state) {
		Error(w, http.StatusBadRequest, "state must be enabled, disabled or shadow")
		return
	}
	limit = min(limit, maxRuleLimit)
	out := struct {
		Rules []ruleInfo `json:"rules"`
		Total int        `json:"total"` // that the search finds
		Set   string     `json:"rule_set"`
		Next  string     `json:"next"`
	}{Rules: []ruleInfo{}}
	if set := f.RuleSet(); set != nil {
		out.Set = set.Hash
		words := strings.Fields(strings.ToLower(query.Get("q")))
		for _, rule := range set.Rules {
			if !inState(rule, state) || !hasAll(rule, words) {
				continue
			}
			if out.Total >= skip && len(out.Rules) < limit {
				out.Rules = append(out.Rules, infoOf(rule))
			}
			out.Total++
		}
		if end := skip + len(out.Rules); end < out.Total {
			out.Next = strconv.Itoa(end)
		}
	}
	JSON(w, http.StatusOK, out)
}

func (f *finder) one(w http.ResponseWriter, r *http.Request) {
	name := r.PathValue("name")
	set := f.RuleSet()
	if set == nil {
		Error(w, http.StatusServiceUnavailable, "no rule set runs yet")
		return
	}
	rule, ok := set.Rule(name)
	if !ok {
		Error(w, http.StatusNotFound, "there is no rule "+strconv.Quote(name)+set.SuggestRule(name))
		return
	}
	info := infoOf(rule)
	if text, err := f.Source(rule.File); err == nil { // the file may have gone since it was loaded
		_, info.Source, _ = excerpt(text, rule.Line, lastLine(set, rule))
	}
	JSON(w, http.StatusOK, info)
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

func number(s string, otherwise int) (int, bool) {
	if s == "" {
		return otherwise, true
	}
	n, err := strconv.Atoi(s)
	return n, err == nil && n >= 0
}

func knownState(s string) bool { return s == "" || s == "enabled" || s == "disabled" || s == "shadow" }

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
