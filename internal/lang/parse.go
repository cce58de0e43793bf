package lang

import (
	"cmp"
	"errors"
	"fmt"
	"reflect"
	"slices"

	"github.com/expr-lang/expr/ast"
	"github.com/expr-lang/expr/checker"
	"github.com/expr-lang/expr/compiler"
	"github.com/expr-lang/expr/conf"
	"github.com/expr-lang/expr/file"
	"github.com/expr-lang/expr/optimizer"
	"github.com/expr-lang/expr/parser"
	"github.com/expr-lang/expr/vm"
)

// checked is what a source text becomes before it is byte code.
type checked struct {
	*parser.Tree // optimised; lists are still names, and matches, cidr and the like still calls
	lists        []string
}

// check takes a source text through limits, syntax, allow-list, types and optimiser.
func check(src string, s *Scope, template bool) (c *checked, errs []*Error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	defer func() {
		if r := recover(); r != nil {
			c, errs = nil, []*Error{{0, fmt.Sprintf("this cannot be compiled: %v", r)}}
		}
	}()
	config := s.config(template)
	tree, lists, errs := parse(src, s, config, template)
	if errs != nil {
		return nil, errs
	}
	if err := optimize(src, tree, s, config); err != nil {
		return nil, []*Error{err}
	}
	return &checked{tree, lists}, nil
}

// program makes the byte code of what was checked.
func (c *checked) program(src string, s *Scope, template bool) (p *vm.Program, wrong *Error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	defer func() {
		if r := recover(); r != nil {
			p, wrong = nil, &Error{0, fmt.Sprintf("this cannot be compiled: %v", r)}
		}
	}()
	lowered := *c.Tree
	lowered.Node = (&lowering{lists: s.Lists}).node(c.Node)
	p, err := compiler.Compile(&lowered, s.config(template))
	if err != nil {
		return nil, reword(src, err)
	}
	return p, nil
}

// optimize folds what does not depend on a pair. The caller holds the scope's lock.
func optimize(src string, tree *parser.Tree, s *Scope, config *conf.Config) *Error {
	if err := optimizer.Optimize(&tree.Node, config); err != nil {
		return reword(src, err)
	}
	f := &folding{config: s.config(true), tree: tree, lists: s.Lists}
	if f.node(&tree.Node) {
		f.fold(&tree.Node)
	}
	if f.err != nil || !f.folded {
		return f.err
	}
	if err := optimizer.Optimize(&tree.Node, config); err != nil {
		return reword(src, err)
	}
	return nil
}

// parse gives the checked tree of a source text and the lists that it names. The caller holds the scope's lock.
func parse(src string, s *Scope, config *conf.Config, template bool) (*parser.Tree, []string, []*Error) {
	if err := checkSource(src); err != nil {
		return nil, nil, []*Error{err}
	}
	tree, err := parser.ParseWithConfig(src, config)
	if err != nil {
		return nil, nil, []*Error{reword(src, err)}
	}
	a := allow{src: src, scope: s, template: template}
	if errs := a.check(&tree.Node); errs != nil {
		return nil, nil, errs
	}
	if errs := checkTypes(src, tree, config); errs != nil {
		return nil, nil, errs
	}
	return tree, a.lists, nil
}

// checkTypes runs expr's type checker. It stops at its first error, so the operands of && and || are checked one by one
// where there is one.
func checkTypes(src string, tree *parser.Tree, config *conf.Config) []*Error {
	result, err := checker.Check(tree, config)
	if err == nil {
		return looseTypes(src, tree.Node)
	}
	var placed *file.Error
	if !errors.As(err, &placed) { // the only one without a place: the wrong type of the whole
		return []*Error{{start(src, tree.Node), fmt.Sprintf("a condition must give true or false, this gives %s",
			typeOf(tree.Node.Nature().Type, result))}}
	}
	var errs []*Error
	for _, operand := range operands(tree.Node, nil) {
		part := &parser.Tree{Node: operand, Source: tree.Source}
		if _, err := checker.Check(part, config); errors.As(err, &placed) {
			errs = append(errs, reword(src, err))
		}
	}
	if errs == nil {
		errs = []*Error{reword(src, err)}
	}
	return tidy(errs)
}

// looseTypes refuses what expr's checker lets pass as "any" or with a meaning that is not the language's.
func looseTypes(src string, root ast.Node) []*Error {
	var errs []*Error
	report := func(n ast.Node, format string, args ...any) {
		errs = append(errs, &Error{byteOffset(src, n.Location().From), fmt.Sprintf(format, args...)})
	}
	each(root, func(n ast.Node) {
		switch n := n.(type) {
		case *ast.ConditionalNode:
			if n.Nature().Type == nil || n.Nature().Kind == reflect.Interface {
				report(n.Exp2, "the two sides of : must be of one type; these are %s and %s", typeOf(n.Exp1.Type()), typeOf(n.Exp2.Type()))
			}
		case *ast.BinaryNode:
			if t := n.Nature().Type; t == timeType || t == durationType {
				report(n, "there is no arithmetic on times; use .Unix(), which is in seconds")
			}
		case *ast.BuiltinNode:
			if n.Name == "len" && n.Arguments[0].Nature().Kind != reflect.String {
				report(n.Arguments[0], "len is of a string, this is %s", typeOf(n.Arguments[0].Type()))
			}
		}
	})
	return tidy(errs)
}

// tidy orders errors by place and drops repetitions.
func tidy(errs []*Error) []*Error {
	slices.SortStableFunc(errs, func(a, b *Error) int { return cmp.Compare(a.Offset, b.Offset) })
	return slices.CompactFunc(errs, func(a, b *Error) bool { return *a == *b })
}
