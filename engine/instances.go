package engine

import (
	"sync"
	"sync/atomic"

	"go.uber.org/zap"

	"github.com/aftermath-rules/aftermath/actions"
	"github.com/aftermath-rules/aftermath/rules"
)

// instances counts the attempts that use each configured action, so that one that no rule set has any more is closed after its
// last attempt and not before.
type instances struct {
	mu      sync.Mutex
	uses    map[*actions.Instance]int
	retired map[*actions.Instance]bool // in no set any more, and in use
}

// swap makes next the current set and gives the actions that are to be closed now. next may be nil: no set.
func (in *instances) swap(current *atomic.Pointer[rules.RuleSet], next *rules.RuleSet) []*actions.Instance {
	in.mu.Lock()
	defer in.mu.Unlock()
	prev := current.Swap(next)
	kept := make(map[*actions.Instance]bool)
	if next != nil {
		for _, inst := range next.Instances() {
			kept[inst] = true
			delete(in.retired, inst)
		}
	}
	if prev == nil {
		return nil
	}
	var unused []*actions.Instance
	for _, inst := range prev.Instances() {
		switch {
		case kept[inst]:
		case in.uses[inst] > 0:
			in.retired[inst] = true
		default:
			unused = append(unused, inst)
		}
	}
	return unused
}

// acquire gives the action as it is configured now, nil where there is none. It stays open until it is released.
func (in *instances) acquire(set *atomic.Pointer[rules.RuleSet], name string) *actions.Instance {
	in.mu.Lock()
	defer in.mu.Unlock()
	rs := set.Load()
	if rs == nil {
		return nil
	}
	inst, ok := rs.Action(name)
	if !ok {
		return nil
	}
	in.uses[inst]++
	return inst
}

// release tells whether inst is to be closed now.
func (in *instances) release(inst *actions.Instance) bool {
	in.mu.Lock()
	defer in.mu.Unlock()
	if in.uses[inst]--; in.uses[inst] > 0 {
		return false
	}
	delete(in.uses, inst)
	unused := in.retired[inst]
	delete(in.retired, inst)
	return unused
}

func (e *Engine) release(inst *actions.Instance) {
	if e.instances.release(inst) {
		e.closeAll([]*actions.Instance{inst})
	}
}

func (e *Engine) closeAll(unused []*actions.Instance) {
	for _, inst := range unused {
		if err := inst.Close(); err != nil {
			e.log.Warn("closing an action", zap.String("action", inst.Name), zap.Error(err))
		}
	}
}
