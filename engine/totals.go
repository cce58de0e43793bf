package engine

import (
	"maps"

	"github.com/aftermath-rules/aftermath/rules"
)

// maxRuleTotals is how many rules' counts are stored: they are written with packs of outcomes. Rules that match for the first
// time when that many have are counted in memory, from the start of the process on.
const maxRuleTotals = 500

// Pending is how many deliveries have neither ended nor been discarded.
func (t *Totals) Pending() uint64 {
	over := t.Done + t.Dead + t.Discarded
	if over >= t.Created { // a node that ends what another one made, seen alone
		return 0
	}
	return t.Created - over
}

// Add counts an event, but for its rules.
func (t *Totals) Add(ev *Event) {
	if c := ev.Matched; c != nil {
		t.addMatched(c)
	}
	if u := ev.Unmatched; u != nil {
		n := uint64(u.Callbacks())
		t.Callbacks += n
		t.Unmatched += n
		t.Pairs += uint64(u.Pairs)
	}
	if d := ev.Ended; d != nil {
		switch d.Outcome {
		case OutcomeDone:
			t.Done++
		case OutcomeDead:
			t.Dead++
		case OutcomeReplayed:
			t.Dead--
		case OutcomeDiscarded:
			t.Dead--
			t.Discarded++
		}
	}
	if ev.Made != nil {
		t.Created++
	}
}

func (t *Totals) addMatched(c *Matched) {
	if c.Repeat {
		t.Repeats++
		return
	}
	if c.FirstPair == 0 {
		t.Callbacks++
	}
	t.Pairs += uint64(c.Pairs)
	t.ConditionErrors += uint64(c.ConditionErrs)
	t.Created += uint64(len(c.Deliveries))
	if len(c.Matches) == 0 && c.FirstPair == 0 && !c.More { // there are several only where much matched
		t.Unmatched++
	}
	for _, hit := range c.Matches {
		if hit.Shadow {
			t.ShadowMatches++
		} else {
			t.Matches++
		}
	}
}

// plus gives the sum of two nodes' totals, without the rules'.
func (t Totals) plus(o *Totals) Totals {
	t.Callbacks += o.Callbacks
	t.Unmatched += o.Unmatched
	t.Pairs += o.Pairs
	t.Matches += o.Matches
	t.ShadowMatches += o.ShadowMatches
	t.Refused += o.Refused
	t.Quarantined += o.Quarantined
	t.Created += o.Created
	t.Done += o.Done
	t.Dead += o.Dead
	t.Discarded += o.Discarded
	t.Repeats += o.Repeats
	t.ConditionErrors += o.ConditionErrors
	t.Rules = nil
	return t
}

// whole makes up for what other nodes have done since their totals were read: what has ended was made, and what was taken from the dead
// letters was one.
func (t Totals) whole() Totals {
	if int64(t.Dead) < 0 {
		t.Dead = 0
	}
	t.Created = max(t.Created, t.Done+t.Dead+t.Discarded)
	return t
}

func (t RuleTotals) plus(o RuleTotals) RuleTotals {
	t.Matches += o.Matches
	if o.Last.After(t.Last) {
		t.Last = o.Last
	}
	return t
}

// ruleCounts counts the matches of each rule.
type ruleCounts struct {
	stored map[string]RuleTotals // never changed in place: a store may be writing it
	others map[string]RuleTotals // beyond maxRuleTotals
}

// add counts the matches of events.
func (c *ruleCounts) add(events []Event, set *rules.RuleSet) {
	var changed map[string]RuleTotals
	for i := range events {
		m := events[i].Matched
		if m == nil || len(m.Matches) == 0 {
			continue
		}
		if changed == nil {
			changed = c.room(set)
		}
		for _, hit := range m.Matches {
			one := RuleTotals{Matches: 1, Last: m.Received.UTC()}
			if old, ok := changed[hit.Rule]; ok || len(changed) < maxRuleTotals {
				changed[hit.Rule] = old.plus(one)
			} else {
				c.others[hit.Rule] = c.others[hit.Rule].plus(one)
			}
		}
	}
	if changed != nil {
		c.stored = changed
	}
}

// room gives a copy of the stored counts; where they are full, without rules that there are no more.
func (c *ruleCounts) room(set *rules.RuleSet) map[string]RuleTotals {
	changed := make(map[string]RuleTotals, len(c.stored)+1)
	maps.Copy(changed, c.stored)
	if c.others == nil {
		c.others = make(map[string]RuleTotals)
	}
	if len(changed) < maxRuleTotals || set == nil {
		return changed
	}
	gone := func(name string, _ RuleTotals) bool {
		_, ok := set.Rule(name)
		return !ok
	}
	maps.DeleteFunc(changed, gone)
	if len(c.others) > 2*len(set.Rules)+maxRuleTotals {
		maps.DeleteFunc(c.others, gone)
	}
	return changed
}

func (c *ruleCounts) of(name string) RuleTotals { return c.stored[name].plus(c.others[name]) }
