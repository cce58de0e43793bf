package lang

import (
	"github.com/expr-lang/expr/ast"
)

// Distance tells how far the condition is from being true: how many of the comparisons (or other bools) that && || ! and ?: join
// would have to come out otherwise, and how many come out as they should. All are evaluated, whether Match would reach them or not;
// one that fails counts as one that would have to come out otherwise.
func (c *Condition) Distance(v *Vars) (away, held int) {
	c.scope.mu.Lock()
	defer c.scope.mu.Unlock()
	config := c.scope.config(true)
	tree, _, errs := parse(c.source, c.scope, config, false)
	if errs != nil { // can't be: it was compiled
		return 1, 0
	}
	x := &explainer{config: config, source: newSourceMap(c.source), tree: tree, scope: c.scope, env: newEnv(true)}
	x.env.Set(v)
	d := x.distance(tree.Node)
	return d.toTrue, d.held
}

// distance is how many comparisons within a part would have to come out otherwise for it to be true, or false, and how many are
// as its being true wants them.
type distance struct{ toTrue, toFalse, held, heldFalse int }

func (x *explainer) distance(n ast.Node) distance {
	switch n := n.(type) {
	case *ast.BinaryNode:
		if isLogical(n.Operator) {
			a, b := x.distance(n.Left), x.distance(n.Right)
			if n.Operator == "||" || n.Operator == "or" {
				a, b = a.not(), b.not()
				return a.and(b).not()
			}
			return a.and(b)
		}
	case *ast.UnaryNode:
		if _, not := negated(n); !not && (n.Operator == "!" || n.Operator == "not") {
			return x.distance(n.Node).not()
		}
	case *ast.ConditionalNode:
		cond, yes, no := x.distance(n.Cond), x.distance(n.Exp1), x.distance(n.Exp2)
		return nearer(cond.and(yes), cond.not().and(no))
	}
	switch o := x.evaluate(n, true); {
	case o.err != nil:
		return distance{toTrue: 1, toFalse: 1}
	case o.value == true:
		return distance{toFalse: 1, held: 1}
	default:
		return distance{toTrue: 1, heldFalse: 1}
	}
}

func (d distance) not() distance { return distance{d.toFalse, d.toTrue, d.heldFalse, d.held} }

func (d distance) and(o distance) distance {
	return distance{d.toTrue + o.toTrue, min(d.toFalse, o.toFalse), d.held + o.held, d.heldFalse + o.heldFalse}
}

func nearer(a, b distance) distance {
	if a.toTrue <= b.toTrue {
		return a
	}
	return b
}
