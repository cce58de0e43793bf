package engine

import (
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/aftermath-rules/aftermath/rules"
)

// runners are the actions that have had something to do. A runner without work is a small struct and nothing else.
type runners struct {
	mu     sync.Mutex
	byName map[string]*runner
	busy   map[*runner]struct{} // those that may have a queue
}

// of calls use with the action's runner, which is made where there is none; use tells false where it was just removed.
func (rs *runners) of(e *Engine, name string, use func(*runner) bool) {
	for {
		rs.mu.Lock()
		r := rs.byName[name]
		if r == nil {
			r = &runner{e: e, name: name}
			rs.byName[name] = r
		}
		rs.busy[r] = struct{}{}
		rs.mu.Unlock()
		if use(r) {
			return
		}
	}
}

func (rs *runners) patrol(now time.Time) {
	rs.mu.Lock()
	busy := slices.Collect(maps.Keys(rs.busy))
	clear(rs.busy)
	rs.mu.Unlock()
	for _, r := range busy {
		if r.patrol(now) {
			rs.mu.Lock()
			rs.busy[r] = struct{}{}
			rs.mu.Unlock()
		}
	}
}

// configured lets the runners see a new rule set: those of actions that are gone are forgotten where they have nothing to do.
func (rs *runners) configured(e *Engine, set *rules.RuleSet) {
	for name, r := range rs.all() {
		inst, ok := set.Action(name)
		if !ok && r.remove() {
			rs.mu.Lock()
			delete(rs.byName, name)
			delete(rs.busy, r)
			rs.mu.Unlock()
			continue
		}
		r.mu.Lock()
		if ok {
			r.gone = time.Time{}
			r.configure(inst)
		}
		r.start(time.Now())
		r.mu.Unlock()
	}
}

func (rs *runners) all() map[string]*runner {
	rs.mu.Lock()
	defer rs.mu.Unlock()
	return maps.Clone(rs.byName)
}
