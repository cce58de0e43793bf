package lang

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/expr-lang/expr/ast"

	"github.com/aftermath-rules/aftermath/internal/nearword"
)

// allow holds a syntax tree against the allow-list: what is not named here is refused. On its way it brings methods of times
// and the names with a field into the form that the type checker knows.
type allow struct {
	src      string
	scope    *Scope
	template bool
	lists    []string
	errs     []*Error
	pattern  int // instructions of the patterns so far
}

// check gives every violation in the tree.
func (a *allow) check(root *ast.Node) []*Error {
	// a < b < c holds b twice; nested, such a tree doubles with each level, and every walk over it with it.
	if left := 2 * MaxSource; !countNodes(*root, &left) {
		return []*Error{{firstWord(a.src), "comparisons such as a < b < c are nested too deeply"}}
	}
	a.node(root)
	slices.Sort(a.lists)
	a.lists = slices.Compact(a.lists)
	return tidy(a.errs)
}

// refuse notes an error at n. A name of any length may stand in the source, and a message has to be read.
func (a *allow) refuse(n ast.Node, format string, args ...any) {
	const most = 200
	for i, arg := range args {
		if s, ok := arg.(string); ok && len(s) > most {
			args[i] = strings.ToValidUTF8(s[:most], "") + "…"
		}
	}
	a.errs = append(a.errs, &Error{byteOffset(a.src, n.Location().From), fmt.Sprintf(format, args...)})
}

func (a *allow) node(p *ast.Node) {
	switch n := (*p).(type) {
	case *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode, *ast.StringNode:
	case *ast.IdentifierNode:
		a.identifier(n)
	case *ast.UnaryNode:
		a.node(&n.Node)
	case *ast.BinaryNode:
		a.binary(n)
	case *ast.ConditionalNode:
		if !n.Ternary {
			a.errs = append(a.errs, &Error{start(a.src, n.Cond), "if is not part of the language; write condition ? a : b"})
			return
		}
		a.node(&n.Cond)
		a.node(&n.Exp1)
		a.node(&n.Exp2)
	case *ast.MemberNode:
		a.member(p, n)
	case *ast.SliceNode:
		a.node(&n.Node)
		if n.From != nil {
			a.node(&n.From)
		}
		if n.To != nil {
			a.node(&n.To)
		}
	case *ast.CallNode:
		a.call(p, n)
	case *ast.BuiltinNode:
		if !functions[n.Name] {
			a.unknownFunction(n, n.Name)
			return
		}
		a.arguments(n.Arguments)
	default:
		a.refuse(n, "%s", a.kindOf(n))
	}
}

// kindOf says what is wrong with a node that has no place in the language.
func (a *allow) kindOf(n ast.Node) string {
	switch n.(type) {
	case *ast.NilNode:
		return `there is no nil: what is absent is ""`
	case *ast.BytesNode:
		return "bytes are not part of the language"
	case *ast.ChainNode:
		return "?. is not part of the language: nothing is ever nil"
	case *ast.ArrayNode:
		return "an array goes only right of in or not in"
	case *ast.MapNode:
		return "a map is not part of the language; right of in goes a list or an array such as [\"a\", \"b\"]"
	case *ast.VariableDeclaratorNode:
		return "let is not part of the language"
	case *ast.SequenceNode:
		return "; is not part of the language"
	case *ast.PredicateNode, *ast.PointerNode:
		return "predicates are not part of the language"
	}
	return fmt.Sprintf("this is not part of the language (%T)", n)
}

func (a *allow) identifier(n *ast.IdentifierNode) {
	_, isName := names[n.Value]
	_, isList := a.scope.Lists[n.Value]
	switch {
	case isName:
	case isList:
		a.refuse(n, "list %s goes only right of in or not in", n.Value)
	case functions[n.Value]:
		a.refuse(n, "%s is a function: write %s(…)", n.Value, n.Value)
	case n.Value == "$env":
		a.refuse(n, "$env is not part of the language")
	case n.Value == "null":
		a.refuse(n, `there is no null: what is absent is ""`)
	case n.Value == "Rule" || n.Value == "Delivery":
		if a.template {
			a.refuse(n, "%s is not a value: write %s", n.Value, fieldsOf(n.Value))
		} else {
			a.refuse(n, "%s is known to templates only", n.Value)
		}
	default:
		a.refuse(n, "unknown name %s%s", n.Value, nearword.Hint(n.Value, a.words()))
	}
}

func fieldsOf(name string) string {
	if name == "Rule" {
		return "Rule.Name or Rule.Labels"
	}
	return "Delivery.ID or Delivery.Attempt"
}

// words are all that a misspelt name may have meant.
func (a *allow) words() []string {
	words := slices.Collect(maps.Keys(names))
	words = slices.AppendSeq(words, maps.Keys(a.scope.Lists))
	if a.template {
		words = slices.AppendSeq(words, maps.Keys(templateNames))
	}
	return words
}

func (a *allow) binary(n *ast.BinaryNode) {
	a.node(&n.Left)
	switch n.Operator {
	case "==", "!=", "<", ">", "<=", ">=", "&&", "||", "and", "or", "+", "-", "*", "**", "^", "contains", "startsWith", "endsWith":
		a.node(&n.Right)
	case "/", "%":
		if isZero(n.Right) {
			a.refuse(n.Right, "division by zero")
		}
		a.node(&n.Right)
	case "in":
		a.set(&n.Right)
	case "matches":
		a.matches(n)
	case "..":
		a.refuse(n, "ranges are not part of the language; compare with >= and <=")
	case "??":
		a.refuse(n, `?? is not part of the language: nothing is ever nil, what is absent is ""`)
	default:
		a.refuse(n, "%s is not part of the language", n.Operator)
	}
}

func (a *allow) matches(n *ast.BinaryNode) {
	pattern, ok := n.Right.(*ast.StringNode)
	if !ok {
		a.refuse(n.Right, "the pattern right of matches must be a string written out")
		return
	}
	size, err := patternSize(pattern.Value)
	a.pattern += size
	switch {
	case err != nil:
		a.refuse(pattern, "%v", err)
	case a.pattern > MaxPattern:
		a.refuse(pattern, "patterns too large: %d steps in all, the most is %d; a repetition such as {1000} counts as often", a.pattern, MaxPattern)
	}
}

// set is the right side of in: a list, an array written out, or a template's Rule.Labels.
func (a *allow) set(p *ast.Node) {
	switch n := (*p).(type) {
	case *ast.IdentifierNode:
		if _, ok := a.scope.Lists[n.Value]; ok {
			a.lists = append(a.lists, n.Value)
		} else if _, isName := names[n.Value]; !isName && !functions[n.Value] && n.Value != "$env" {
			lists := slices.Collect(maps.Keys(a.scope.Lists))
			a.refuse(n, "unknown list %s%s", n.Value, nearword.Hint(n.Value, lists))
		} else {
			a.refuse(n, "right of in goes a list or an array such as [\"a\", \"b\"]; to look into a string use contains")
		}
	case *ast.ArrayNode:
		for i := range n.Nodes {
			a.node(&n.Nodes[i])
		}
	case *ast.MapNode:
		a.node(p)
	case *ast.MemberNode:
		a.node(p)
		if id, ok := (*p).(*ast.IdentifierNode); len(a.errs) == 0 && (!ok || id.Value != "Rule.Labels") {
			a.refuse(n, "right of in goes a list or an array such as [\"a\", \"b\"]")
		}
	default:
		a.refuse(n, "right of in goes a list or an array such as [\"a\", \"b\"]; to look into a string use contains")
	}
}

// member allows Rule.Name and its like, which become one name, and the entries of Rule.Labels.
func (a *allow) member(p *ast.Node, n *ast.MemberNode) {
	property, isWord := n.Property.(*ast.StringNode)
	if id, ok := n.Node.(*ast.IdentifierNode); ok && isWord && !n.Optional && (id.Value == "Rule" || id.Value == "Delivery") {
		name := id.Value + "." + property.Value
		if !a.template {
			a.refuse(id, "%s is known to templates only", id.Value)
		} else if _, ok := templateNames[name]; !ok {
			a.refuse(property, "unknown name %s; there is %s", name, fieldsOf(id.Value))
		} else {
			ast.Patch(p, &ast.IdentifierNode{Value: name})
		}
		return
	}
	if isWord && timeMethods[property.Value] != nil {
		a.refuse(property, "%s is a method: write .%s()", property.Value, property.Value)
		return
	}
	known := len(a.errs)
	a.node(&n.Node)
	if len(a.errs) > known {
		return
	}
	if id, ok := n.Node.(*ast.IdentifierNode); ok && id.Value == "Rule.Labels" {
		a.node(&n.Property)
		return
	}
	if n.Optional || !isWord {
		a.refuse(n, "there are no elements here; a part of a string is a slice such as From_Account[0:3]")
		return
	}
	a.refuse(property, "there is no .%s here; times have .Hour() .Minute() .Weekday() .Day() .Month() .Year() and .Unix()", property.Value)
}

func (a *allow) call(p *ast.Node, n *ast.CallNode) {
	switch callee := n.Callee.(type) {
	case *ast.IdentifierNode:
		if !functions[callee.Value] {
			a.unknownFunction(callee, callee.Value)
			return
		}
		a.constants(callee.Value, n)
		a.arguments(n.Arguments)
	case *ast.MemberNode:
		method, ok := callee.Property.(*ast.StringNode)
		if !ok || timeMethods[method.Value] == nil {
			name := "this"
			if ok {
				name = method.Value
			}
			a.refuse(callee, "%s is no method of the language; times have .Hour() .Minute() .Weekday() .Day() .Month() .Year() and .Unix()", name)
			return
		}
		if len(n.Arguments) > 0 {
			a.refuse(n, "%s takes no arguments", method.Value)
			return
		}
		a.node(&callee.Node)
		function := &ast.IdentifierNode{Value: "Time." + method.Value}
		function.SetLocation(callee.Location())
		ast.Patch(p, &ast.CallNode{Callee: function, Arguments: []ast.Node{callee.Node}})
	default:
		a.refuse(n, "only functions can be called")
	}
}

func (a *allow) arguments(args []ast.Node) {
	for i := range args {
		a.node(&args[i])
	}
}

// constants checks the arguments that must be written out, since they are read once, when the file is loaded.
func (a *allow) constants(function string, n *ast.CallNode) {
	if len(n.Arguments) != 2 {
		return // the type checker says how many there must be
	}
	arg := n.Arguments[1]
	text, isText := arg.(*ast.StringNode)
	var err error
	switch function {
	case "cidr":
		if !isText {
			a.refuse(arg, `the range of cidr must be a string written out, such as "10.0.0.0/8"`)
			return
		}
		_, err = parseRange(text.Value)
	case "inZone":
		if !isText {
			a.refuse(arg, `the zone of inZone must be a string written out, such as "Asia/Shanghai"`)
			return
		}
		_, err = parseZone(text.Value)
	case "sample":
		percent, ok := literalNumber(arg)
		if !ok {
			a.refuse(arg, "the percentage of sample must be a number written out, from 0 to 100")
		} else if percent < 0 || percent > 100 {
			a.refuse(arg, "the percentage of sample must be from 0 to 100, not %s", Format(percent))
		}
	}
	if err != nil {
		a.refuse(arg, "%v", err)
	}
}

func (a *allow) unknownFunction(n ast.Node, name string) {
	if _, isName := names[name]; isName {
		a.refuse(n, "%s is a value and can't be called", name)
		return
	}
	instead := map[string]string{
		"hasPrefix": "; write x startsWith y",
		"hasSuffix": "; write x endsWith y",
		"now":       "; Time is when the callback arrived",
	}
	hint, ok := instead[name]
	if !ok {
		hint = nearword.Hint(name, slices.Collect(maps.Keys(functions)))
	}
	a.refuse(n, "there is no function %s%s", name, hint)
}
