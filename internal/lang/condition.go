package lang

import (
	"sync"

	"github.com/expr-lang/expr/ast"
)

// Condition is a compiled condition. It is immutable and safe for concurrent use.
type Condition struct {
	source string
	scope  *Scope
	*compiled
	envs *sync.Pool // of *Env, for Match
}

// CompileCondition parses and type-checks src. The errors are all that could be found, each at its offset.
func CompileCondition(src string, s *Scope) (*Condition, []*Error) {
	if s == nil {
		s = &Scope{}
	}
	compiled, errs := compile(src, s, false)
	if errs != nil {
		return nil, errs
	}
	return &Condition{source: src, scope: s, compiled: compiled, envs: &sync.Pool{New: func() any { return NewEnv() }}}, nil
}

// Eval evaluates the condition over what env was set to. An error (int of what is no number, a division by zero) is an *Error
// at its offset, and means no match.
func (c *Condition) Eval(env *Env) (bool, error) {
	if value, ok := c.Constant(); ok {
		return value, nil
	}
	value, err := env.run(c.program, c.source)
	if err != nil {
		return false, err
	}
	return value.(bool), nil
}

// Match evaluates the condition for one pair, as Eval does. To evaluate many conditions for a pair, set an Env once.
func (c *Condition) Match(v *Vars) (bool, error) {
	env := c.envs.Get().(*Env)
	defer c.envs.Put(env)
	env.Set(v)
	return c.Eval(env)
}

// Constant tells that the condition gives the same value for every pair, and which.
func (c *Condition) Constant() (value, ok bool) {
	b, ok := c.tree.(*ast.BoolNode)
	return ok && b.Value, ok
}

// Lists names the lists that the condition uses, sorted.
func (c *Condition) Lists() []string { return c.lists }

// Node is the checked and optimised tree, for an index to plan on: read it, don't write to it. Lists are identifiers right of
// in, arrays of strings constants of type map[string]struct{}, and the method of a time the call of a function "Time.Hour".
func (c *Condition) Node() ast.Node { return c.tree }
