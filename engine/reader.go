package engine

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"go.uber.org/zap"

	"github.com/aftermath-rules/aftermath/callback"
	"github.com/aftermath-rules/aftermath/internal/failpoint"
	"github.com/aftermath-rules/aftermath/rules"
)

// readPacks takes packs from the store until ctx ends, one at a time and in order.
func (e *Engine) readPacks(ctx context.Context) {
	select {
	case <-e.ready:
	case <-ctx.Done():
		return
	}
	m := &matcher{e: e}
	for made := 0; e.pace(ctx, made); {
		var p *Pack
		if !e.read(ctx, "reading callbacks from the store", func() (err error) { p, err = e.Store.NextPack(ctx); return }) {
			return
		}
		made = e.takePack(ctx, m, p)
	}
}

// readBundles takes bundles that have fallen due until ctx ends.
func (e *Engine) readBundles(ctx context.Context) {
	select {
	case <-e.ready:
	case <-ctx.Done():
		return
	}
	for ctx.Err() == nil {
		var b *Bundle
		if !e.read(ctx, "reading parked deliveries from the store", func() (err error) { b, err = e.Store.NextBundle(ctx); return }) {
			return
		}
		e.takeBundle(ctx, b)
	}
}

// read calls next until it gives something; it tells whether it did before ctx ended or the store was closed.
func (e *Engine) read(ctx context.Context, what string, next func() error) bool {
	for pause := 50 * time.Millisecond; ; pause = min(2*pause, 2*time.Second) {
		err := next()
		switch {
		case err == nil:
			return true
		case ctx.Err() != nil:
			return false
		case errors.Is(err, ErrClosed):
			e.log.Error(what, zap.Error(err))
			return false
		}
		e.log.Warn(what, zap.Error(err), zap.Duration("again_in", pause))
		if !sleep(ctx, pause) {
			return false
		}
	}
}

const (
	crowded  = maxQueue * 3 / 4
	paceStep = 2 * time.Millisecond
	paceMost = 10 * time.Millisecond
	paceEach = 100 * time.Microsecond // of the pack before
)

// pace waits before the next pack is read: as long as too many events wait to be recorded, and a moment while many deliveries are
// loose, since a burst for a fast action is better waited for than parked: the longer, the more the pack before has made. What is on its way
// to be parked does not count. It tells whether ctx is still alive.
func (e *Engine) pace(ctx context.Context, made int) bool {
	most := max(paceMost, time.Duration(made)*paceEach)
	for waited := time.Duration(0); ; waited += paceStep {
		if e.ledger.waiting() < maxUnstored && (len(e.loose)-e.parking.held() < crowded || waited >= most) {
			return ctx.Err() == nil
		}
		if !sleep(ctx, paceStep) {
			return false
		}
	}
}

// takePack records what matched of each callback and sends its deliveries on their way. If ctx ends meanwhile the pack stays in the
// store, and is read again at the next start. It gives how many deliveries that made.
func (e *Engine) takePack(ctx context.Context, m *matcher, p *Pack) int {
	if p.Again {
		defer e.memory.use()()
		if !e.recall(ctx, p.Since) {
			return 0
		}
	}
	failpoint.Pass(failpoint.Match)
	pack := newBatch(p.Ack, p.Held)
	done := make(chan struct{})
	recorded := newBatch(func() { close(done) }, nil)
	entries, jobs := e.matchPack(m, p)
	settle := func() {
		recorded.settle()
		pack.settle()
	}
	for i := range entries {
		pack.add(1)
		recorded.add(1)
		entries[i].stored, entries[i].lost, entries[i].of = settle, recorded.settle, pack
	}
	recorded.settle()
	e.ledger.putIdly(idleLinger, entries...)
	failpoint.Pass(failpoint.Matched)
	for i := range jobs {
		d := &delivery{Parked: Parked{Job: jobs[i]}, recorded: done}
		if !e.dispatch(ctx, d, pack) {
			return len(jobs)
		}
	}
	pack.settle()
	return len(jobs)
}

// matchPack decides the callbacks of a pack; what was recorded of one that is read again stands. It gives what is to be recorded, and all
// deliveries.
func (e *Engine) matchPack(m *matcher, p *Pack) (entries []entry, jobs []Job) {
	first := p.Records[0].ID()
	var missed *Unmatched
	for i := range p.Records {
		if p.Again {
			if known, ok := e.memory.matched(p, i, first); ok {
				jobs = append(jobs, known...)
				continue
			}
		}
		c := m.match(e.set.Load(), p, i)
		e.refuseTooMuch(c)
		if !c.empty() {
			kept := *c
			jobs = append(jobs, kept.Deliveries...)
			entries = append(entries, entry{event: Event{Matched: &kept}})
			continue
		}
		if missed == nil || missed.RuleSet != c.RuleSet {
			missed = &Unmatched{Seq: p.Seq, First: first, RuleSet: c.RuleSet}
			entries = append(entries, entry{event: Event{Unmatched: missed}})
		}
		missed.add(i, c.Pairs)
	}
	return entries, jobs
}

// muchMatched is from about how many bytes on what matched of a callback may be more than the store takes as one event.
const muchMatched = 1 << 20

// refuseTooMuch makes nothing but an error of what matched of a callback where that is more than the store can record: it would stand in the way
// of all that is to be recorded, for ever. Reprocessing makes the same deliveries one by one.
func (e *Engine) refuseTooMuch(c *Matched) {
	size := 0
	for i := range c.Deliveries {
		size += c.Deliveries[i].size()
	}
	for i := range c.Matches {
		size += 64 + len(c.Matches[i].Rule)
	}
	if size < muchMatched || e.Store.Fits(&Event{Matched: c}) {
		return
	}
	c.Error = fmt.Sprintf("%d deliveries of one callback are more than can be recorded at once: none was made; reprocess it", len(c.Deliveries))
	e.log.Error("a callback matches too much", zap.String("callback", c.Callback), zap.Int("pairs", c.Pairs), zap.String("error", c.Error))
	c.Matches, c.Deliveries = nil, nil
}

// takeBundle sends the deliveries of a bundle on their way, as takePack does. Of every other bundle those come first that were attempted
// most often: behind an action that keeps failing the first one is the probe, and where each delivery fails a few times before it
// succeeds, that must not always be a new one; nor always the oldest, which may never succeed.
func (e *Engine) takeBundle(ctx context.Context, b *Bundle) {
	if e.bundles++; e.bundles%2 == 1 {
		slices.SortStableFunc(b.Deliveries, func(x, y Parked) int { return cmp.Compare(y.Attempt, x.Attempt) })
	}
	if b.Again {
		defer e.memory.use()()
		if !e.recall(ctx, b.Since) || !e.recallOrders(ctx, b.Deliveries) {
			return
		}
	}
	bundle := newBatch(b.Ack, b.Held)
	for i := range b.Deliveries {
		if !e.dispatch(ctx, &delivery{Parked: b.Deliveries[i], again: b.Again}, bundle) {
			return
		}
	}
	bundle.settle()
}

// recallOrders makes sure that the past is known from when the dead letters were read that copies have orders for: another copy with the same
// order may have been obeyed since, before this one was stored. It tells whether ctx is still alive.
func (e *Engine) recallOrders(ctx context.Context, ps []Parked) bool {
	var from time.Time
	for i := range ps {
		if p := &ps[i]; p.Order != "" && (from.IsZero() || p.Due.Before(from)) {
			from = p.Due // as orderFor set it
		}
	}
	return from.IsZero() || e.recall(ctx, Moment{At: from})
}

// dispatch gives a delivery to its runner, unless another copy of it has taken its place. It waits where too many are loose, and
// tells whether ctx is still alive.
func (e *Engine) dispatch(ctx context.Context, d *delivery, b *batch) bool {
	select {
	case e.loose <- struct{}{}:
	case <-ctx.Done():
		return false
	}
	b.add(1)
	d.batches, d.shared = []*batch{b}, b.held != nil
	ruling, letter := e.memory.arrive(d)
	switch ruling {
	case run:
		e.runners.of(e, d.Job.Action, func(r *runner) bool { return r.put(d) })
	case ordered:
		e.obeying.put(d)
	case inGrave:
		e.recordGrave(d, letter)
	case late:
		e.recordLate(d)
	case drop:
		b.settle()
		<-e.loose
	case attach:
		<-e.loose
	}
	return true
}

// matcher makes what is recorded of callbacks. It belongs to one goroutine.
type matcher struct {
	e   *Engine
	buf []rules.Match
	cb  callback.Callback // the one that is being matched
	c   Matched           // what was made of it
}

// match decides one callback by one rule set. What it gives holds until the next call; it has no id where it is empty.
func (m *matcher) match(rs *rules.RuleSet, p *Pack, index int) *Matched {
	r := &p.Records[index]
	m.c = Matched{Seq: p.Seq, Index: index, Received: r.Received, RuleSet: rs.Hash, Repeat: r.Repeat}
	c := &m.c
	if r.Repeat {
		c.Callback = r.ID()
		return c
	}
	cb := &m.cb
	if err := cb.Reparse(r.Query, r.Body, r.Received.UTC()); err != nil {
		c.Callback, c.Error = r.ID(), m.e.Mask.Text(err.Error())
		m.e.log.Error("a stored callback cannot be read", zap.String("callback", c.Callback), zap.String("error", c.Error))
		return c
	}
	c.Pairs = len(cb.Pairs)
	for i := range cb.Pairs {
		if m.buf = rs.Match(m.buf[:0], cb, i); len(m.buf) == 0 {
			continue
		}
		if c.Callback == "" {
			c.Callback = r.ID()
		}
		m.matchedPair(cb, i, c)
	}
	return c
}

// empty tells whether nothing came of the callback, and nothing went wrong.
func (c *Matched) empty() bool {
	return len(c.Matches) == 0 && c.ConditionErrs == 0 && !c.Repeat && c.Error == ""
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
		if rule.Shadow {
			continue
		}
		for i, action := range rule.Actions {
			if !slices.Contains(rule.Actions[:i], action) { // named twice it still is one delivery
				c.Deliveries = append(c.Deliveries, newJob(cb, c, pair, rule, action))
			}
		}
	}
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
