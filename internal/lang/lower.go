package lang

import (
	"reflect"
	"regexp"
	"time"

	"github.com/expr-lang/expr/ast"
)

// lowering copies a checked tree into the one that is made into byte code: lists, patterns, ranges, zones and samples become
// calls of closures that hold them, and what could run away becomes a call that is bounded. The signatures of the closures are
// among those that expr's VM calls without reflection and without allocating.
type lowering struct {
	lists map[string]*List
}

func (l *lowering) node(n ast.Node) ast.Node {
	switch n := n.(type) {
	case *ast.UnaryNode:
		c := *n
		c.Node = l.node(n.Node)
		return &c
	case *ast.BinaryNode:
		return l.binary(n)
	case *ast.ConditionalNode:
		c := *n
		c.Cond, c.Exp1, c.Exp2 = l.node(n.Cond), l.node(n.Exp1), l.node(n.Exp2)
		return &c
	case *ast.MemberNode:
		c := *n
		c.Node, c.Property = l.node(n.Node), l.node(n.Property)
		return &c
	case *ast.SliceNode:
		c := *n
		c.Node = l.node(n.Node)
		if n.From != nil {
			c.From = l.node(n.From)
		}
		if n.To != nil {
			c.To = l.node(n.To)
		}
		return &c
	case *ast.CallNode:
		return l.call(n)
	case *ast.BuiltinNode:
		if n.Name == "trim" && len(n.Arguments) == 2 {
			return closure(n, trimCharacters, l.nodes(n.Arguments)...)
		}
		c := *n
		c.Arguments = l.nodes(n.Arguments)
		return &c
	case *ast.ArrayNode:
		c := *n
		c.Nodes = l.nodes(n.Nodes)
		return &c
	}
	return n // constants and names, which nothing writes to
}

func (l *lowering) nodes(ns []ast.Node) []ast.Node {
	c := make([]ast.Node, len(ns))
	for i, n := range ns {
		c[i] = l.node(n)
	}
	return c
}

func (l *lowering) binary(n *ast.BinaryNode) ast.Node {
	left := l.node(n.Left)
	switch n.Operator {
	case "in":
		if id, ok := n.Right.(*ast.IdentifierNode); ok && l.lists[id.Value] != nil {
			return closure(n, l.lists[id.Value].Has, left)
		}
	case "matches":
		pattern := n.Right.(*ast.StringNode)
		return closure(n, boundedMatch(regexp.MustCompile(pattern.Value)), left)
	case "+":
		if n.Nature().Kind == reflect.String {
			return closure(n, join, left, l.node(n.Right))
		}
	case "/":
		if _, constant := literalNumber(n.Right); !constant {
			return closure(n, divide, left, l.node(n.Right))
		}
	}
	c := *n
	c.Left, c.Right = left, l.node(n.Right)
	return &c
}

func (l *lowering) call(n *ast.CallNode) ast.Node {
	name := n.Callee.(*ast.IdentifierNode).Value
	args := l.nodes(n.Arguments)
	switch name {
	case "cidr":
		prefix, _ := parseRange(constantText(n.Arguments[1])) // checked by allow
		return closure(n, inRange(prefix), args[0])
	case "sample":
		percent, _ := literalNumber(n.Arguments[1])
		return closure(n, inSample(percent), args[0])
	case "inZone":
		zone, _ := parseZone(constantText(n.Arguments[1]))
		return closure(n, func(t any) any { return t.(time.Time).In(zone) }, args[0])
	case "int":
		return closure(n, toInt, args[0])
	case "float":
		return closure(n, toFloat, args[0])
	case "string":
		return closure(n, func(v any) string { return Format(v) }, args[0])
	}
	if method := timeMethod(name); method != nil {
		return closure(n, func(t any) int { return method(t.(time.Time)) }, args[0])
	}
	c := *n
	c.Arguments = args
	return &c
}

func constantText(n ast.Node) string { return n.(*ast.StringNode).Value }

// closure makes the call of f that stands for n.
func closure(n ast.Node, f any, args ...ast.Node) ast.Node {
	callee := &ast.ConstantNode{Value: f}
	callee.SetType(reflect.TypeOf(f))
	callee.SetLocation(n.Location())
	call := &ast.CallNode{Callee: callee, Arguments: args}
	call.SetNature(*n.Nature())
	call.SetLocation(n.Location())
	return call
}
