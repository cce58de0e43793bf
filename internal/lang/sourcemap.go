package lang

import (
	"github.com/expr-lang/expr/ast"
	"github.com/expr-lang/expr/file"
	"github.com/expr-lang/expr/parser/lexer"
)

// sourceMap finds the text of a node: a node knows only the place of its operator.
type sourceMap struct {
	src    string
	tokens []lexer.Token
	at     map[int]int // the token that begins at a rune
	match  map[int]int // the closing bracket of an opening one, as indices of tokens
	bytes  []int       // the byte at which each rune begins, and the end
}

func newSourceMap(src string) *sourceMap {
	m := &sourceMap{src: src, at: map[int]int{}, match: map[int]int{}}
	m.tokens, _ = lexer.Lex(file.NewSource(src)) // it was parsed before
	var open []int
	for i, t := range m.tokens {
		if t.Kind == lexer.EOF {
			continue // it stands where the last token ends
		}
		m.at[t.From] = i
		if t.Kind != lexer.Bracket {
			continue
		}
		if t.Value == "(" || t.Value == "[" || t.Value == "{" {
			open = append(open, i)
		} else if len(open) > 0 {
			m.match[open[len(open)-1]] = i
			open = open[:len(open)-1]
		}
	}
	for i := range src {
		m.bytes = append(m.bytes, i)
	}
	m.bytes = append(m.bytes, len(src))
	return m
}

// text is the source of a node, without brackets around it.
func (m *sourceMap) text(n ast.Node) string {
	from, to := m.span(n)
	return m.src[m.bytes[m.tokens[from].From]:m.bytes[m.tokens[to].To]]
}

// span gives the first and last token of a node.
func (m *sourceMap) span(n ast.Node) (from, to int) {
	at := m.at[n.Location().From]
	switch n := n.(type) {
	case *ast.UnaryNode:
		if within, ok := negated(n); ok {
			return m.span(within)
		}
		_, to = m.operand(n.Node)
		return at, to
	case *ast.BinaryNode:
		from, _ = m.operand(n.Left)
		_, to = m.operand(n.Right)
		return from, to
	case *ast.ConditionalNode:
		from, _ = m.operand(n.Cond)
		_, to = m.operand(n.Exp2)
		return from, to
	case *ast.SliceNode:
		from, _ = m.operand(n.Node)
		return from, m.match[at]
	case *ast.CallNode:
		if callee := n.Callee.(*ast.IdentifierNode); timeMethod(callee.Value) != nil {
			from, _ = m.operand(n.Arguments[0])
			return from, m.match[at+1]
		}
		return at, m.match[at+1]
	case *ast.BuiltinNode:
		return at, m.match[at+1]
	case *ast.ArrayNode:
		return at, m.match[at]
	}
	return at, at
}

// operand is the span of an operand with the brackets around it. (An argument's brackets would be the call's.)
func (m *sourceMap) operand(n ast.Node) (from, to int) {
	from, to = m.span(n)
	for from > 0 && m.tokens[from-1].Is(lexer.Bracket, "(") && m.match[from-1] == to+1 {
		from, to = from-1, to+1
	}
	return from, to
}
