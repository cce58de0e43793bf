package lang

import (
	"fmt"

	"github.com/expr-lang/expr/vm"
)

// Env holds the values of the names while conditions are evaluated: set once for a pair, it serves any number of conditions
// without allocating. It is for one goroutine at a time.
type Env struct {
	values   map[string]any
	machine  vm.VM
	vars     Vars // as last set
	template bool
}

// NewEnv makes an Env whose names have their zero values.
func NewEnv() *Env { return newEnv(false) }

func newEnv(template bool) *Env {
	e := &Env{values: make(map[string]any, len(names)+len(templateNames)), template: template}
	for name, zero := range names {
		e.values[name] = zero
	}
	if template {
		for name, zero := range templateNames {
			e.values[name] = zero
		}
	}
	return e
}

// Set gives the names the values of v. What is as it was before, as most is between the pairs of one callback, costs a
// comparison; a new value costs the allocation that puts it into an interface.
func (e *Env) Set(v *Vars) {
	if v.Pair.From != e.vars.Pair.From {
		e.values["From_Account"] = v.Pair.From
	}
	if v.Pair.To != e.vars.Pair.To {
		e.values["To_Account"] = v.Pair.To
	}
	if v.CallbackCommand != e.vars.CallbackCommand {
		e.values["CallbackCommand"] = v.CallbackCommand
	}
	if v.ClientIP != e.vars.ClientIP {
		e.values["ClientIP"] = v.ClientIP
	}
	if v.OptPlatform != e.vars.OptPlatform {
		e.values["OptPlatform"] = v.OptPlatform
	}
	if v.RequestId != e.vars.RequestId {
		e.values["RequestId"] = v.RequestId
	}
	if v.SdkAppid != e.vars.SdkAppid {
		e.values["SdkAppid"] = int(v.SdkAppid)
	}
	if v.PairCount != e.vars.PairCount {
		e.values["PairCount"] = v.PairCount
	}
	if v.PairIndex != e.vars.PairIndex {
		e.values["PairIndex"] = v.PairIndex
	}
	if v.Mutual != e.vars.Mutual {
		e.values["Mutual"] = v.Mutual
	}
	if v.Time != e.vars.Time {
		e.values["Time"] = v.Time.UTC()
	}
	if e.template {
		e.values["Rule.Name"] = v.RuleName
		e.values["Rule.Labels"] = v.RuleLabels
		e.values["Delivery.ID"] = v.DeliveryID
		e.values["Delivery.Attempt"] = v.DeliveryAttempt
	}
	e.vars = *v
}

// run runs a program. Whatever goes wrong in it is an *Error at its place in src.
func (e *Env) run(p *vm.Program, src string) (value any, err error) {
	defer func() {
		if r := recover(); r != nil {
			value, err = nil, &Error{0, fmt.Sprintf("evaluation failed: %v", r)}
		}
	}()
	value, err = e.machine.Run(p, e.values)
	if err != nil {
		return nil, reword(src, err)
	}
	return value, nil
}
