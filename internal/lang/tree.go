package lang

import (
	"strings"

	"github.com/expr-lang/expr/ast"
)

// countNodes takes the nodes of a tree, those that two parents share twice, from what is left; false when nothing is.
func countNodes(n ast.Node, left *int) bool {
	if *left--; *left < 0 {
		return false
	}
	for _, child := range children(n) {
		if !countNodes(child, left) {
			return false
		}
	}
	return true
}

// children are the parts of a node in the order of the source.
func children(n ast.Node) []ast.Node {
	var c []ast.Node
	add := func(nodes ...ast.Node) {
		for _, n := range nodes {
			if n != nil {
				c = append(c, n)
			}
		}
	}
	switch n := n.(type) {
	case *ast.UnaryNode:
		add(n.Node)
	case *ast.BinaryNode:
		add(n.Left, n.Right)
	case *ast.ChainNode:
		add(n.Node)
	case *ast.MemberNode:
		add(n.Node, n.Property)
	case *ast.SliceNode:
		add(n.Node, n.From, n.To)
	case *ast.CallNode:
		add(n.Callee)
		add(n.Arguments...)
	case *ast.BuiltinNode:
		add(n.Arguments...)
	case *ast.PredicateNode:
		add(n.Node)
	case *ast.ConditionalNode:
		add(n.Cond, n.Exp1, n.Exp2)
	case *ast.VariableDeclaratorNode:
		add(n.Value, n.Expr)
	case *ast.SequenceNode:
		add(n.Nodes...)
	case *ast.ArrayNode:
		add(n.Nodes...)
	case *ast.MapNode:
		add(n.Pairs...)
	case *ast.PairNode:
		add(n.Key, n.Value)
	}
	return c
}

// each calls f for every node of a tree, parents last.
func each(n ast.Node, f func(ast.Node)) {
	ast.Walk(&n, visitor(f))
}

type visitor func(ast.Node)

func (v visitor) Visit(n *ast.Node) { v(*n) }

// start is where the text of a node begins, brackets around it aside.
func start(src string, n ast.Node) int {
	first := n.Location().From
	each(n, func(n ast.Node) { first = min(first, n.Location().From) })
	return byteOffset(src, first)
}

// firstWord is where a source begins, white space aside.
func firstWord(src string) int { return len(src) - len(strings.TrimLeft(src, " \t\r\n")) }

// operands are the parts of a condition that && and || join.
func operands(n ast.Node, to []ast.Node) []ast.Node {
	if b, ok := n.(*ast.BinaryNode); ok && isLogical(b.Operator) {
		return operands(b.Right, operands(b.Left, to))
	}
	return append(to, n)
}

func isLogical(op string) bool { return op == "&&" || op == "||" || op == "and" || op == "or" }

// sameOperands are the operands of a run of && or of ||.
func sameOperands(n ast.Node, or bool, to []ast.Node) []ast.Node {
	b, ok := n.(*ast.BinaryNode)
	if ok && isLogical(b.Operator) && (b.Operator == "||" || b.Operator == "or") == or {
		return sameOperands(b.Right, or, sameOperands(b.Left, or, to))
	}
	return append(to, n)
}

// negated gives the x in y of an x not in y, which is parsed as not (x in y).
func negated(n *ast.UnaryNode) (*ast.BinaryNode, bool) {
	b, ok := n.Node.(*ast.BinaryNode)
	return b, ok && n.Operator == "not" && n.Location() == b.Location()
}

func isArithmetic(op string) bool {
	switch op {
	case "+", "-", "*", "/", "%", "**", "^":
		return true
	}
	return false
}

// literalNumber gives the value of a number that is written out.
func literalNumber(n ast.Node) (float64, bool) {
	switch n := n.(type) {
	case *ast.IntegerNode:
		return float64(n.Value), true
	case *ast.FloatNode:
		return n.Value, true
	case *ast.UnaryNode:
		v, ok := literalNumber(n.Node)
		if n.Operator == "-" {
			v = -v
		}
		return v, ok && (n.Operator == "-" || n.Operator == "+")
	}
	return 0, false
}

func isZero(n ast.Node) bool {
	switch n := n.(type) {
	case *ast.IntegerNode:
		return n.Value == 0
	case *ast.FloatNode:
		return n.Value == 0
	}
	return false
}
