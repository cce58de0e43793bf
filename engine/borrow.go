package engine

import "github.com/aftermath-rules/aftermath/actions"

// Borrow calls use with the action of a name as it is configured now, which stays open meanwhile. It tells whether there is one.
// The action's queue, rate and concurrency are left alone.
func (e *Engine) Borrow(name string, use func(*actions.Instance)) bool {
	inst := e.instances.acquire(&e.set, name)
	if inst == nil {
		return false
	}
	defer e.release(inst)
	use(inst)
	return true
}
