package lang

import (
	"sync/atomic"

	"github.com/expr-lang/expr/vm"

	"github.com/aftermath-rules/aftermath/internal/pairindex"
)

// Condition is a checked condition. It is immutable and safe for concurrent use. Its byte code is made when it is first needed:
// of a hundred thousand conditions that an index serves, most never are.
type Condition struct {
	source  string
	scope   *Scope
	lists   []string
	formula pairindex.Formula
	program atomic.Pointer[vm.Program]
}

// CompileCondition parses and type-checks src. The errors are all that could be found, each at its offset.
func CompileCondition(src string, s *Scope) (*Condition, []*Error) {
	if s == nil {
		s = &Scope{}
	}
	if formula, lists, ok := readQuickly(src, s); ok {
		return &Condition{source: src, scope: s, lists: lists, formula: formula}, nil
	}
	return compileCondition(src, s)
}

// compileCondition makes a condition of its tree.
func compileCondition(src string, s *Scope) (*Condition, []*Error) {
	checked, errs := check(src, s, false)
	if errs != nil {
		return nil, errs
	}
	c := &Condition{source: src, scope: s, lists: checked.lists}
	c.formula = (&planner{lists: s.Lists}).formula(checked.Node)
	return c, nil
}

// In gives the condition as compiled in another scope, and false where one of its lists is not the same there. What was compiled
// already is not compiled again, and nothing of the first scope is held on to.
func (c *Condition) In(s *Scope) (*Condition, bool) {
	for _, name := range c.lists {
		if list := s.Lists[name]; list == nil || list != c.scope.Lists[name] {
			return nil, false
		}
	}
	moved := &Condition{source: c.source, scope: s, lists: c.lists, formula: c.formula}
	moved.program.Store(c.program.Load())
	return moved, true
}

// Eval evaluates the condition over what env was set to. An error (int of what is no number, a division by zero) is an *Error
// at its offset, and means no match.
func (c *Condition) Eval(env *Env) (bool, error) {
	if value, ok := c.Constant(); ok {
		return value, nil
	}
	program := c.program.Load()
	if program == nil {
		var err *Error
		if program, err = c.compile(); err != nil {
			return false, err
		}
	}
	value, err := env.run(program, c.source)
	if err != nil {
		return false, err
	}
	return value.(bool), nil
}

// compile makes the byte code. The source is read again for it, since its tree takes some twenty times as much memory.
func (c *Condition) compile() (*vm.Program, *Error) {
	checked, errs := check(c.source, c.scope, false)
	if errs != nil {
		return nil, errs[0]
	}
	program, err := checked.program(c.source, c.scope, false)
	if err != nil {
		return nil, err
	}
	c.program.Store(program)
	return program, nil
}

// Match evaluates the condition for one pair, as Eval does. To evaluate many conditions for a pair, set an Env once.
func (c *Condition) Match(v *Vars) (bool, error) {
	env, _ := c.scope.envs.Get().(*Env)
	if env == nil {
		env = NewEnv()
	}
	defer c.scope.envs.Put(env)
	env.Set(v)
	return c.Eval(env)
}

// Constant tells that the condition gives the same value for every pair, and which.
func (c *Condition) Constant() (value, ok bool) { return c.formula.Constant() }

// Lists names the lists that the condition uses, sorted.
func (c *Condition) Lists() []string { return c.lists }
