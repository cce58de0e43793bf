package admin

import (
	"fmt"
	"net/http"
	"time"

	"github.com/aftermath-rules/aftermath/rules"
)

// shownRule is a rule of the running set.
type shownRule struct {
	Name        string            `json:"name"`
	Description string            `json:"description,omitempty"`
	File        string            `json:"file"`
	Line        int               `json:"line"`
	Condition   string            `json:"condition"`
	Actions     []string          `json:"actions"`
	Stop        bool              `json:"stop"`
	Enabled     bool              `json:"enabled"`
	Shadow      bool              `json:"shadow"`
	Labels      map[string]string `json:"labels,omitempty"`
	FoundBy     string            `json:"found_by"`
	Matches     uint64            `json:"matches"`
	LastMatch   *time.Time        `json:"last_match"`       // null where it has never matched
	Source      string            `json:"source,omitempty"` // its lines, as they are on disk now; of one rule only
}

func (a *api) show(r *rules.Rule) shownRule {
	totals := a.Engine.RuleTotals(r.Name)
	s := shownRule{
		Name: r.Name, Description: r.Description, File: r.File, Line: r.Line, Condition: r.Condition, Actions: orEmpty(r.Actions),
		Stop: r.Stop, Enabled: r.Enabled, Shadow: r.Shadow, Labels: r.Labels, FoundBy: r.FoundBy, Matches: totals.Matches,
	}
	if !totals.Last.IsZero() {
		s.LastMatch = &totals.Last
	}
	return s
}

// rules lists those of the running set that fit, in its order: ?q has words that a rule's name, condition, description, file, actions
// or labels hold, whatever their case; ?state is enabled, disabled or shadow; ?offset leaves out as many, for a list that is scrolled
// to any place.
func (a *api) rules(w http.ResponseWriter, r *http.Request) {
	p := paramsOf(r, "q", "state", "cursor", "offset", "limit")
	filter := ruleFilterOf(p)
	from, _ := p.numbers("cursor")
	from += uint64(p.whole("offset", 0))
	limit := p.limit()
	if p.err != nil {
		Error(w, http.StatusBadRequest, p.err.Error())
		return
	}
	set := a.Engine.RuleSet()
	found := filter.in(set)
	start := int(min(from, uint64(len(found))))
	end := min(start+limit, len(found))
	page, next, hash := []shownRule{}, "", ""
	for _, r := range found[start:end] {
		page = append(page, a.show(r))
	}
	if end < len(found) {
		next = seqCursor(uint64(end), 0)
	}
	if set != nil {
		hash = set.Hash
	}
	JSON(w, http.StatusOK, struct {
		Rules   []shownRule `json:"rules"`
		Next    string      `json:"next"`
		Total   int         `json:"total"` // that fit
		RuleSet string      `json:"rule_set"`
	}{page, next, len(found), hash})
}

// named gives the running set and its rule of a name, nil where it has none.
func (a *api) named(name string) (*rules.RuleSet, *rules.Rule) {
	set := a.Engine.RuleSet()
	if set == nil {
		return nil, nil
	}
	rule, _ := set.Rule(name)
	return set, rule
}

func noRule(name string) string {
	return fmt.Sprintf("no rule is called %.140q in the running set", name)
}

func (a *api) rule(w http.ResponseWriter, r *http.Request) {
	set, rule := a.named(r.PathValue("name"))
	if rule == nil {
		Error(w, http.StatusNotFound, noRule(r.PathValue("name")))
		return
	}
	shown := a.show(rule)
	if a.Page.Source != nil {
		if text, err := a.Page.Source(rule.File); err == nil { // the file may have gone since it was loaded
			_, shown.Source, _ = excerpt(text, rule.Line, lastLine(set, rule))
		}
	}
	JSON(w, http.StatusOK, shown)
}
