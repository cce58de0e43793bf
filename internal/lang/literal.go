package lang

import (
	"regexp"
	"regexp/syntax"
	"sync"
	"unicode"
	"unicode/utf8"

	"github.com/expr-lang/expr/ast"

	"github.com/aftermath-rules/aftermath/internal/pairindex"
)

// pattern is a regular expression that was checked, and is compiled when it is first needed.
type pattern struct {
	source string
	once   sync.Once
	re     *regexp.Regexp
}

// Match implements pairindex.Matcher.
func (p *pattern) Match(text string) bool {
	p.once.Do(func() { p.re = regexp.MustCompile(p.source) })
	return p.re.MatchString(text)
}

// matches is a field matches "…". What every match must have in it comes first, so that an index can look for that: the text
// must be too long, which makes the pattern fail, or have the literals.
func (p *planner) matches(n *ast.BinaryNode) pairindex.Formula {
	field, ok := textField(n.Left)
	source, constant := n.Right.(*ast.StringNode)
	if !ok || !constant {
		return pairindex.Opaque()
	}
	re, err := syntax.Parse(source.Value, syntax.Perl)
	if err != nil {
		return pairindex.Opaque()
	}
	match := pairindex.Pattern(field, MaxSubject, &pattern{source: source.Value})
	literals := literalsOf(field).within(re.Simplify())
	if value, ok := literals.Constant(); ok && value {
		return match
	}
	return pairindex.And(pairindex.Or(pairindex.Longer(field, MaxSubject), literals), match)
}

// literals finds what a text must have in it for a pattern to match: true where nothing is known.
type literals struct {
	field  uint8
	folded uint8 // the same text where case does not matter; 0 for none
}

func literalsOf(field uint8) literals {
	if field < kinds {
		return literals{field, field + folded}
	}
	return literals{field: field}
}

var unknown = pairindex.Constant(true)

// within is what a text must have that holds a match.
func (l literals) within(re *syntax.Regexp) pairindex.Formula {
	return l.required(re, pairindex.Contains)
}

// required is what a text must have that holds a match, or that begins with one, ends with one or is one, as the kind says.
func (l literals) required(re *syntax.Regexp, kind pairindex.Kind) pairindex.Formula {
	switch re.Op {
	case syntax.OpNoMatch:
		return pairindex.Constant(false)
	case syntax.OpLiteral:
		text, ok := literalText(re)
		switch {
		case ok && re.Flags&syntax.FoldCase == 0:
			return textTest(kind, l.field, text)
		case ok && l.folded != 0:
			return pairindex.Text(kind, l.folded, foldText(text))
		case ok:
			return l.concat(l.inCase(re.Rune), kind)
		}
	case syntax.OpCapture:
		return l.required(re.Sub[0], kind)
	case syntax.OpPlus: // one of them at least
		if kind == pairindex.Equal {
			kind = pairindex.Prefix
		}
		return l.required(re.Sub[0], kind)
	case syntax.OpConcat:
		return l.concat(re.Sub, kind)
	case syntax.OpAlternate:
		any := make([]pairindex.Formula, len(re.Sub))
		for i, sub := range re.Sub {
			any[i] = l.required(sub, kind)
			if value, ok := any[i].Constant(); ok && value {
				return unknown
			}
		}
		return pairindex.Or(any...)
	}
	return unknown
}

// concat is of parts that follow each other. Only \A, and ^ without (?m), are the beginning of a text; \z and $ likewise its end.
func (l literals) concat(parts []*syntax.Regexp, kind pairindex.Kind) pairindex.Formula {
	whole := kind == pairindex.Equal
	first, last := whole || kind == pairindex.Prefix, whole || kind == pairindex.Suffix
	if len(parts) > 0 && parts[0].Op == syntax.OpBeginText {
		first, parts = true, parts[1:]
	}
	if n := len(parts); n > 0 && parts[n-1].Op == syntax.OpEndText {
		last, parts = true, parts[:n-1]
	}
	all := make([]pairindex.Formula, len(parts))
	for i, part := range parts {
		switch {
		case first && last && len(parts) == 1:
			all[i] = l.required(part, pairindex.Equal)
		case first && i == 0:
			all[i] = l.required(part, pairindex.Prefix)
		case last && i == len(parts)-1:
			all[i] = l.required(part, pairindex.Suffix)
		default:
			all[i] = l.required(part, pairindex.Contains)
		}
	}
	return pairindex.And(all...)
}

// inCase gives what a text of one case has where a literal that ignores case matches: the one form of each character that is in that
// case, and anything where there are several, such as s and ſ, which both are lower.
func (l literals) inCase(runes []rune) (parts []*syntax.Regexp) {
	to := unicode.ToLower
	if l.field >= raised {
		to = unicode.ToUpper
	}
	for _, r := range runes {
		form, forms := r, 0
		for f := unicode.SimpleFold(r); ; f = unicode.SimpleFold(f) {
			if to(f) == f {
				form, forms = f, forms+1
			}
			if f == r {
				break
			}
		}
		switch last := len(parts) - 1; {
		case forms != 1:
			parts = append(parts, &syntax.Regexp{Op: syntax.OpAnyChar})
		case last >= 0 && parts[last].Op == syntax.OpLiteral:
			parts[last].Rune = append(parts[last].Rune, form)
		default:
			parts = append(parts, &syntax.Regexp{Op: syntax.OpLiteral, Rune: []rune{form}})
		}
	}
	return parts
}

// literalText gives the bytes that a literal is written as. None stand for U+FFFD, which matches any byte that is no UTF-8, and for
// what is no character, which matches nothing.
func literalText(re *syntax.Regexp) (string, bool) {
	for _, r := range re.Rune {
		if r == utf8.RuneError || !utf8.ValidRune(r) {
			return "", false
		}
	}
	return string(re.Rune), true
}
