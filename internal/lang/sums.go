package lang

import (
	"slices"

	"github.com/expr-lang/expr/ast"

	"github.com/aftermath-rules/aftermath/internal/pairindex"
)

// sum is one of numbers of an event, each times a constant, and of a constant. It wraps around as arithmetic in the VM does, so that
// what is equal there is equal here.
type sum struct {
	terms    []term
	constant int64
}

type term struct {
	field uint8
	times int64
}

// sameSum tests that two sums of at most two numbers are equal.
func sameSum(left, right ast.Node) (pairindex.Formula, bool) {
	a, ok := sumOf(left)
	b, also := sumOf(right)
	if !ok || !also {
		return pairindex.Formula{}, false
	}
	s := a.plus(b, -1)
	s.terms = slices.DeleteFunc(s.terms, func(t term) bool { return t.times == 0 })
	k := -s.constant
	switch t := s.terms; {
	case len(t) == 0:
		return pairindex.Constant(k == 0), true
	case len(t) == 1 && t[0].times == 1:
		return limit(t[0].field, "==", k), true
	case len(t) == 1 && t[0].times == -1:
		return limit(t[0].field, "==", -k), true
	case len(t) == 1:
		return pairindex.Sum(t[0].field, t[0].times, t[0].field, 0, k), true
	case len(t) == 2:
		return pairindex.Sum(t[0].field, t[0].times, t[1].field, t[1].times, k), true
	}
	return pairindex.Formula{}, false
}

// sumOf recognizes what is a sum.
func sumOf(n ast.Node) (s sum, ok bool) {
	if field, ok := numberField(n); ok {
		return sum{terms: []term{{field, 1}}}, true
	}
	switch n := n.(type) {
	case *ast.IntegerNode:
		return sum{constant: int64(n.Value)}, true
	case *ast.UnaryNode:
		s, ok = sumOf(n.Node)
		return sum{}.plus(s, -1), ok && n.Operator == "-"
	case *ast.BinaryNode:
		a, ok := sumOf(n.Left)
		b, also := sumOf(n.Right)
		if !ok || !also {
			return s, false
		}
		switch {
		case n.Operator == "+":
			return a.plus(b, 1), true
		case n.Operator == "-":
			return a.plus(b, -1), true
		case n.Operator == "*" && len(a.terms) == 0:
			return sum{}.plus(b, a.constant), true
		case n.Operator == "*" && len(b.terms) == 0:
			return sum{}.plus(a, b.constant), true
		}
	}
	return s, false
}

// plus is s and so many times o.
func (s sum) plus(o sum, times int64) sum {
	terms := slices.Clone(s.terms)
	for _, t := range o.terms {
		at := slices.IndexFunc(terms, func(other term) bool { return other.field == t.field })
		if at < 0 {
			at = len(terms)
			terms = append(terms, term{field: t.field})
		}
		terms[at].times += t.times * times
	}
	return sum{terms, s.constant + o.constant*times}
}
