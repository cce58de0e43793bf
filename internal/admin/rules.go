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
	LastMatch   *time.Time        `json:"last_match"` // null where it has never matched
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

// rules lists the running set in its order.
func (a *api) rules(w http.ResponseWriter, r *http.Request) {
	p := paramsOf(r, "cursor", "limit")
	from, _ := p.numbers("cursor")
	limit := p.limit()
	if p.err != nil {
		Error(w, http.StatusBadRequest, p.err.Error())
		return
	}
	var all []*rules.Rule
	if rs := a.Engine.RuleSet(); rs != nil {
		all = rs.Rules
	}
	start := int(min(from, uint64(len(all))))
	end := min(start+limit, len(all))
	page, next := []shownRule{}, ""
	for _, r := range all[start:end] {
		page = append(page, a.show(r))
	}
	if end < len(all) {
		next = seqCursor(uint64(end), 0)
	}
	JSON(w, http.StatusOK, struct {
		Rules []shownRule `json:"rules"`
		Next  string      `json:"next"`
	}{page, next})
}

func (a *api) rule(w http.ResponseWriter, r *http.Request) {
	name := r.PathValue("name")
	if rs := a.Engine.RuleSet(); rs != nil {
		if rule, ok := rs.Rule(name); ok {
			JSON(w, http.StatusOK, a.show(rule))
			return
		}
	}
	Error(w, http.StatusNotFound, fmt.Sprintf("no rule is called %.140q in the running set", name))
}
