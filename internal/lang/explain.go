package lang

import (
	"math"

	"github.com/expr-lang/expr/ast"
	"github.com/expr-lang/expr/compiler"
	"github.com/expr-lang/expr/conf"
	"github.com/expr-lang/expr/parser"
)

// Part is one part of a condition and what it came to.
type Part struct {
	Source  string `json:"source"`
	Value   any    `json:"value"`             // nil where it was not reached or failed
	Error   string `json:"error,omitempty"`   // why it failed
	Depth   int    `json:"depth"`             // in the tree, the whole condition at 0
	Decided bool   `json:"decided,omitempty"` // this part decided its parent
}

// Explain evaluates the condition part by part, the whole first, then depth first in source order. Parts are what && and ||
// join, comparisons, calls, arithmetic and names; what is written out is none. The first part's value and error are Match's.
func (c *Condition) Explain(v *Vars) []Part {
	matched, failed := c.Match(v) // which may compile, and that takes the scope's lock
	c.scope.mu.Lock()
	defer c.scope.mu.Unlock()
	config := c.scope.config(true) // like the condition's, but a part may give anything
	tree, _, errs := parse(c.source, c.scope, config, false)
	if errs != nil { // can't be: it was compiled
		return []Part{{Source: c.source, Error: errs[0].Message}}
	}
	x := &explainer{config: config, source: newSourceMap(c.source), tree: tree, scope: c.scope, env: newEnv(true)}
	x.env.Set(v)
	x.part(tree.Node, 0, true)
	if len(x.parts) == 0 { // true or false, written out
		x.parts = []Part{{}}
	}
	root := &x.parts[0]
	root.Source, root.Value, root.Error = c.source, nil, ""
	if failed != nil {
		root.Error = failed.Error()
	} else {
		root.Value = matched
	}
	return x.parts
}

type explainer struct {
	config *conf.Config
	source *sourceMap
	tree   *parser.Tree
	scope  *Scope
	env    *Env
	parts  []Part
}

// outcome is what a part came to. index is its place among the parts, or -1.
type outcome struct {
	value any
	err   error
	index int
}

// part appends n and the parts within it. What is not reached is shown without a value.
func (x *explainer) part(n ast.Node, depth int, reached bool) outcome {
	if !isPart(n) {
		for _, child := range children(n) {
			x.part(child, depth, reached)
		}
		return x.evaluate(n, reached)
	}
	index := len(x.parts)
	x.parts = append(x.parts, Part{Source: x.source.text(n), Depth: depth})
	var o outcome
	switch n := n.(type) {
	case *ast.BinaryNode:
		if isLogical(n.Operator) {
			o = x.logical(n, depth, reached)
		} else {
			o = x.plain(n, n, depth, reached)
		}
	case *ast.ConditionalNode:
		o = x.ternary(n, depth, reached)
	case *ast.UnaryNode:
		if within, ok := negated(n); ok {
			o = x.plain(n, within, depth, reached)
		} else {
			o = x.plain(n, n, depth, reached)
		}
	default:
		o = x.plain(n, n, depth, reached)
	}
	o.index = index
	x.parts[index].Value = shown(o.value)
	if o.err != nil {
		x.parts[index].Error = o.err.Error()
	}
	return o
}

// isPart tells whether a node is shown: not what is written out, and not the name of a list or function.
func isPart(n ast.Node) bool {
	switch n := n.(type) {
	case *ast.IdentifierNode:
		_, isName := names[n.Value]
		return isName
	case *ast.UnaryNode:
		_, literal := literalNumber(n)
		return !literal
	case *ast.BinaryNode, *ast.ConditionalNode, *ast.SliceNode, *ast.CallNode, *ast.BuiltinNode:
		return true
	}
	return false
}

// logical evaluates && or || from left to right until an operand decides. a && b && c is one part with three within.
func (x *explainer) logical(n *ast.BinaryNode, depth int, reached bool) outcome {
	deciding := n.Operator == "||" || n.Operator == "or"
	var outcomes []outcome
	var decided *outcome
	for _, operand := range sameOperands(n, deciding, nil) {
		o := x.part(operand, depth+1, reached && decided == nil)
		outcomes = append(outcomes, o)
		if decided == nil && (o.err != nil || o.value == deciding) {
			decided = &o
		}
	}
	switch {
	case !reached:
		return outcome{}
	case decided != nil:
		x.decide(*decided)
		return *decided
	}
	for _, o := range outcomes { // none could decide alone, so that all did
		x.decide(o)
	}
	return outcome{value: !deciding}
}

func (x *explainer) ternary(n *ast.ConditionalNode, depth int, reached bool) outcome {
	cond := x.part(n.Cond, depth+1, reached)
	yes := x.part(n.Exp1, depth+1, reached && cond.value == true)
	no := x.part(n.Exp2, depth+1, reached && cond.value == false)
	switch cond.value {
	case true:
		x.decide(yes)
		return yes
	case false:
		x.decide(no)
		return no
	}
	return cond
}

// plain evaluates n as a whole, and shows the parts of within. Sums within a sum are not shown one by one.
func (x *explainer) plain(n, within ast.Node, depth int, reached bool) outcome {
	if b, ok := within.(*ast.BinaryNode); ok && isArithmetic(b.Operator) {
		x.operandsWithin(b, depth+1, reached)
		return x.evaluate(n, reached)
	}
	for _, child := range children(within) {
		x.part(child, depth+1, reached)
	}
	return x.evaluate(n, reached)
}

// operandsWithin shows the operands of arithmetic within arithmetic.
func (x *explainer) operandsWithin(n ast.Node, depth int, reached bool) {
	if b, ok := n.(*ast.BinaryNode); ok && isArithmetic(b.Operator) {
		x.operandsWithin(b.Left, depth, reached)
		x.operandsWithin(b.Right, depth, reached)
		return
	}
	x.part(n, depth, reached)
}

// evaluate runs n alone.
func (x *explainer) evaluate(n ast.Node, reached bool) outcome {
	if !reached {
		return outcome{index: -1}
	}
	switch n.(type) {
	case *ast.ArrayNode, *ast.IdentifierNode:
		if !isPart(n) {
			return outcome{index: -1} // the right side of in, the name of a function: no value of their own
		}
	}
	lowered := parser.Tree{Node: (&lowering{lists: x.scope.Lists}).node(n), Source: x.tree.Source}
	program, err := compiler.Compile(&lowered, x.config)
	if err != nil {
		return outcome{err: err, index: -1}
	}
	value, err := x.env.run(program, x.tree.Source.String())
	return outcome{value: value, err: err, index: -1}
}

func (x *explainer) decide(o outcome) {
	if o.index >= 0 {
		x.parts[o.index].Decided = true
	}
}

// shown is a value as it goes into a Part, which is written as JSON: a float that JSON lacks by its name, a huge string cut.
func shown(value any) any {
	const most = 4 << 10
	switch v := value.(type) {
	case float64:
		if math.IsNaN(v) || math.IsInf(v, 0) {
			return Format(v)
		}
	case string:
		if len(v) > most {
			return v[:most] + "…"
		}
	}
	return value
}
