package engine

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"go.uber.org/zap"

	"github.com/aftermath-rules/aftermath/callback"
	"github.com/aftermath-rules/aftermath/rules"
)

// muchMatched is about how many bytes of what matched of a callback are recorded as one event; that of one pair is, however much it is.
const muchMatched = 1 << 20

// matcher makes what is recorded of callbacks. It belongs to one goroutine.
type matcher struct {
	e   *Engine
	buf []rules.Match
	cb  callback.Callback // the one that is being matched

	c    Matched // what was made of it
	size int     // about how many bytes that takes as it is stored
}

// match decides one callback by one rule set, from a pair on, and gives what comes of it: where very much does, that of some pairs after that of
// others. What it gives holds until give returns, and has no id where it is empty. Where give gives false, match ends, and so does it.
func (m *matcher) match(rs *rules.RuleSet, p *Pack, index, from int, give func(*Matched) bool) bool {
	r := &p.Records[index]
	begun := Matched{Seq: p.Seq, Index: index, FirstPair: from, Received: r.Received, RuleSet: rs.Hash}
	m.c, m.size = begun, 0
	c := &m.c
	if r.Repeat {
		c.Callback, c.Repeat = r.ID(), true
		return give(c)
	}
	cb := &m.cb
	if err := cb.Reparse(r.Query, r.Body, r.Received.UTC()); err != nil {
		c.Callback, c.Error = r.ID(), m.e.Mask.Text(err.Error())
		m.e.log.Error("a stored callback cannot be read", zap.String("callback", c.Callback), zap.String("error", c.Error))
		return give(c)
	}
	if from > 0 {
		c.Callback = r.ID()
	}
	for i := from; i < len(cb.Pairs); i++ {
		if m.buf = rs.Match(m.buf[:0], cb, i); len(m.buf) == 0 {
			continue
		}
		if c.Callback == "" {
			c.Callback = r.ID()
		}
		m.matchedPair(cb, i, c)
		if next := i + 1; m.size >= muchMatched && next < len(cb.Pairs) {
			c.Pairs, c.More = next-c.FirstPair, true
			if !give(c) {
				return false
			}
			begun.Callback, begun.FirstPair = c.Callback, next
			m.c, m.size = begun, 0
		}
	}
	c.Pairs = len(cb.Pairs) - c.FirstPair
	return give(c)
}

// empty tells whether nothing came of the callback, and nothing went wrong.
func (c *Matched) empty() bool {
	return len(c.Matches) == 0 && c.ConditionErrs == 0 && !c.Repeat && c.Error == "" && c.FirstPair == 0
}

// matchedPair takes down what matched a pair.
func (m *matcher) matchedPair(cb *callback.Callback, pair int, c *Matched) {
	for _, match := range m.buf {
		rule := match.Rule
		if match.Err != nil {
			c.ConditionErrs++
			if line := m.e.log.Check(zap.DebugLevel, "a condition failed"); line != nil {
				line.Write(zap.String("callback", c.Callback), zap.Int("pair", pair), zap.String("rule", rule.Name),
					zap.String("error", m.e.shown(cb.Pairs[pair], match.Err.Error())))
			}
			continue
		}
		c.Matches = append(c.Matches, Hit{Rule: rule.Name, Pair: pair, Shadow: rule.Shadow})
		m.size += 64 + len(rule.Name)
		if rule.Shadow {
			continue
		}
		for i, action := range rule.Actions {
			if !slices.Contains(rule.Actions[:i], action) { // named twice it still is one delivery
				c.Deliveries = append(c.Deliveries, newJob(cb, c, pair, rule, action))
				m.size += c.Deliveries[len(c.Deliveries)-1].size()
			}
		}
	}
}

// refuseTooMuch makes nothing but an error of what matched where that is more than the store can record: it would stand in the way of all that
// is to be recorded, for ever. Reprocessing makes the same deliveries one by one.
func (e *Engine) refuseTooMuch(c *Matched, size int) {
	if size < muchMatched || e.Store.Fits(&Event{Matched: c}) {
		return
	}
	c.Error = fmt.Sprintf("%d deliveries of one callback are more than can be recorded at once: none of them was made; reprocess it", len(c.Deliveries))
	e.log.Error("a callback matches too much", zap.String("callback", c.Callback), zap.Int("pairs", c.Pairs), zap.String("error", c.Error))
	c.Matches, c.Deliveries = nil, nil
}

func newJob(cb *callback.Callback, c *Matched, pair int, rule *rules.Rule, action string) Job {
	j := Job{
		ID: deliveryID(c.Callback, pair, rule.Name, action, ""), Callback: c.Callback,
		Rule: rule.Name, Labels: rule.Labels, Action: action, RuleSet: c.RuleSet,
		From: cb.Pairs[pair].From, To: cb.Pairs[pair].To, SdkAppid: cb.SdkAppid, CallbackCommand: cb.CallbackCommand,
		ClientIP: cb.ClientIP, OptPlatform: cb.OptPlatform, RequestId: cb.RequestId,
		PairCount: len(cb.Pairs), PairIndex: pair, Mutual: cb.Mutual(pair), Time: cb.Received, Created: time.Now().UTC(),
	}
	own(&j.From, &j.To, &j.CallbackCommand, &j.ClientIP, &j.OptPlatform, &j.RequestId)
	return j
}

// size is about how many bytes it takes as it is stored.
func (j *Job) size() int {
	n := 512 + len(j.Rule) + len(j.Action) + len(j.From) + len(j.To) + len(j.ClientIP) + len(j.OptPlatform) + len(j.RequestId)
	for name, value := range j.Labels {
		n += len(name) + len(value)
	}
	return n
}

// own gives texts memory of their own, in one piece. Those of a callback lie in the pack that it was read from, and a single delivery
// that waits would keep all of that, megabytes.
func own(texts ...*string) {
	size := 0
	for _, t := range texts {
		size += len(*t)
	}
	var all strings.Builder
	all.Grow(size)
	for _, t := range texts {
		all.WriteString(*t)
	}
	rest := all.String()
	for _, t := range texts {
		*t, rest = rest[:len(*t)], rest[len(*t):]
	}
}
