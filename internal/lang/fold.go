package lang

import (
	"reflect"

	"github.com/expr-lang/expr/ast"
	"github.com/expr-lang/expr/compiler"
	"github.com/expr-lang/expr/conf"
	"github.com/expr-lang/expr/parser"
)

// folding replaces what depends on no name and gives true or false by what it gives. expr's optimiser folds arithmetic and
// equality; this does the rest, so that a condition that is always or never true is known when it is loaded.
type folding struct {
	config *conf.Config // one that expects any type
	tree   *parser.Tree
	lists  map[string]*List
	folded bool
	err    *Error // of a part that can only fail
}

// node tells whether the tree at p depends on no name. Where its parent does, the caller folds it.
func (f *folding) node(p *ast.Node) bool {
	constant := true
	var within []*ast.Node
	switch n := (*p).(type) {
	case *ast.IdentifierNode:
		list := f.lists[n.Value]
		return list != nil && !list.open
	case *ast.UnaryNode:
		within = []*ast.Node{&n.Node}
	case *ast.BinaryNode:
		within = []*ast.Node{&n.Left, &n.Right}
	case *ast.ConditionalNode:
		within = []*ast.Node{&n.Cond, &n.Exp1, &n.Exp2}
	case *ast.MemberNode:
		within = []*ast.Node{&n.Node, &n.Property}
	case *ast.SliceNode:
		within = []*ast.Node{&n.Node}
		if n.From != nil {
			within = append(within, &n.From)
		}
		if n.To != nil {
			within = append(within, &n.To)
		}
	case *ast.CallNode:
		within = pointers(n.Arguments)
	case *ast.BuiltinNode:
		within = pointers(n.Arguments)
	case *ast.ArrayNode:
		within = pointers(n.Nodes)
	}
	constants := make([]bool, len(within))
	for i, child := range within {
		constants[i] = f.node(child)
		constant = constant && constants[i]
	}
	if !constant {
		for i, child := range within {
			if constants[i] {
				f.fold(child)
			}
		}
	}
	return constant
}

func pointers(nodes []ast.Node) []*ast.Node {
	p := make([]*ast.Node, len(nodes))
	for i := range nodes {
		p[i] = &nodes[i]
	}
	return p
}

// fold evaluates a part that depends on no name.
func (f *folding) fold(p *ast.Node) {
	n := *p
	if _, isBool := n.(*ast.BoolNode); isBool || f.err != nil {
		return
	}
	switch n.(type) {
	case *ast.UnaryNode, *ast.BinaryNode, *ast.ConditionalNode, *ast.CallNode, *ast.BuiltinNode:
	default:
		return // written out, or the right side of in
	}
	lowered := parser.Tree{Node: (&lowering{lists: f.lists}).node(n), Source: f.tree.Source}
	program, err := compiler.Compile(&lowered, f.config)
	if err != nil {
		return
	}
	value, err := newEnv(true).run(program, f.tree.Source.String())
	if err != nil {
		f.err = err.(*Error)
		return
	}
	if b, ok := value.(bool); ok {
		folded := &ast.BoolNode{Value: b}
		folded.SetType(reflect.TypeOf(b))
		ast.Patch(p, folded)
		f.folded = true
	}
}
