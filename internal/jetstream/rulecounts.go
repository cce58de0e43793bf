package jetstream

import (
	"context"
	"errors"
	"maps"

	"github.com/aftermath-rules/aftermath/engine"
)

const (
	fewRules  = 16 // whose counts are written with every pack of outcomes
	countsFor = 64 // packs of outcomes that may go without, where there are more
)

// ruleCounts is where this node's outcomes have the counts of all rules. Hundreds of them would take most of each pack, and longer to write
// than all else in it: so the packs that follow say only where they are, and what matched since is in their events.
type ruleCounts struct {
	at    uint64                       // the pack that has them; 0: none yet
	since int                          // packs after it
	rules map[string]engine.RuleTotals // as they were there
}

// outcomeOf gives the record of the totals.
func (c *ruleCounts) outcomeOf(t *engine.Totals) outcome {
	if c.at == 0 || c.since >= countsFor || len(t.Rules) <= fewRules || !sameNames(t.Rules, c.rules) {
		return outcome{Totals: t}
	}
	without := *t
	without.Rules = nil
	return outcome{Totals: &without, RulesAt: c.at}
}

func sameNames(a, b map[string]engine.RuleTotals) bool {
	if len(a) != len(b) {
		return false
	}
	for name := range a {
		if _, ok := b[name]; !ok {
			return false
		}
	}
	return true
}

// stored takes down that the record is stored, in the pack of the number.
func (c *ruleCounts) stored(o *outcome, seq uint64) {
	if c.since++; o.RulesAt == 0 {
		*c = ruleCounts{at: seq, rules: o.Totals.Rules}
	}
}

// withRules gives the totals of a node's last pack with the counts of its rules.
func (s *session) withRules(ctx context.Context, last *stored, p *outcomes) (*engine.Totals, error) {
	if p.Totals == nil || p.rulesAt == 0 {
		return p.Totals, nil
	}
	var rules map[string]engine.RuleTotals
	err := s.scan(ctx, s.outcomes, scanFrom{seq: p.rulesAt, subject: last.subject}, func(m *stored) error {
		if m.seq > last.seq {
			return errScanEnd
		}
		q, err := decodeOutcomes(m)
		if err != nil {
			return err
		}
		if m.seq == p.rulesAt && q.Totals != nil {
			rules = maps.Clone(q.Totals.Rules)
			return nil
		}
		addHits(rules, q.Events)
		return nil
	})
	var bad *badMessage
	if err != nil && !errors.As(err, &bad) { // of what can't be read the counts are not worth a start
		return nil, err
	}
	p.Totals.Rules = rules
	return p.Totals, nil
}

// addHits adds what matched to the counts of the rules that are in them.
func addHits(rules map[string]engine.RuleTotals, events []engine.Event) {
	for i := range events {
		c := events[i].Matched
		if c == nil {
			continue
		}
		for _, hit := range c.Matches {
			if have, ok := rules[hit.Rule]; ok {
				have.Matches++
				if at := c.Received.UTC(); at.After(have.Last) {
					have.Last = at
				}
				rules[hit.Rule] = have
			}
		}
	}
}

// withoutHits gives the counts of the rules before some events. When a rule matched last may be of one of those: they are yet to be recorded.
func withoutHits(rules map[string]engine.RuleTotals, events []engine.Event) map[string]engine.RuleTotals {
	rules = maps.Clone(rules)
	for i := range events {
		c := events[i].Matched
		if c == nil {
			continue
		}
		for _, hit := range c.Matches {
			switch have, ok := rules[hit.Rule]; {
			case !ok: // it is one too many
			case have.Matches > 1:
				have.Matches--
				rules[hit.Rule] = have
			default:
				delete(rules, hit.Rule)
			}
		}
	}
	return rules
}
