package lang

import (
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/expr-lang/expr/file"
	"github.com/expr-lang/expr/parser/lexer"
)

// checkSource refuses what expr's parser must not see: it recurses without a limit, and a stack that overflows kills the
// process. It also refuses the few words that leave no trace in the tree. An error of the lexer is left to the parser.
func checkSource(src string) *Error {
	switch {
	case len(src) > MaxSource:
		return &Error{MaxSource, fmt.Sprintf("too long: %d bytes, the most is %d", len(src), MaxSource)}
	case !utf8.ValidString(src):
		return &Error{invalidUTF8(src), "this is no UTF-8"}
	case strings.TrimSpace(src) == "":
		return &Error{0, "this is empty"}
	case !suspicious(src):
		return nil
	}
	tokens, err := lexer.Lex(file.NewSource(src))
	if err != nil {
		return nil
	}
	return checkTokens(src, tokens)
}

func invalidUTF8(s string) int {
	for i, r := range s {
		if r == utf8.RuneError {
			if _, size := utf8.DecodeRuneInString(s[i:]); size == 1 {
				return i
			}
		}
	}
	return 0
}

// suspicious tells whether src could be nested too deeply or hold a word that only its tokens show. It is a quick scan that
// clears nearly every source, so that nearly none is split into tokens twice.
func suspicious(src string) bool {
	levels := 0
	for i := 0; i < len(src); i++ {
		switch src[i] {
		case '(', '[', '{', '?', '!', '-', '+', '^', '*':
			levels++
		case 'n': // of not
			if i+2 < len(src) && src[i+1] == 'o' && src[i+2] == 't' {
				levels++
			}
		case ';', ':':
			return true
		case '|':
			if i+1 < len(src) && src[i+1] == '|' {
				i++
				continue
			}
			return true
		}
	}
	return levels > MaxLevels
}

// checkTokens counts how deep the parser would recurse.
func checkTokens(src string, tokens []lexer.Token) *Error {
	var outer []int // the levels at each bracket that is open
	levels := 0
	operand := false // whether the token before ends an operand
	for _, t := range tokens {
		at := byteOffset(src, t.From)
		switch {
		case t.Is(lexer.Operator, "let"), t.Is(lexer.Operator, ";"), t.Is(lexer.Operator, "::"):
			return &Error{at, t.Value + " is not part of the language"}
		case t.Is(lexer.Operator, "|"):
			return &Error{at, "pipes are not part of the language; write lower(x) for x | lower(), and || for or"}
		case t.Is(lexer.Bracket, "("), t.Is(lexer.Bracket, "["), t.Is(lexer.Bracket, "{"):
			outer = append(outer, levels)
			levels++
		case t.Kind == lexer.Bracket:
			if len(outer) > 0 {
				levels, outer = outer[len(outer)-1], outer[:len(outer)-1]
			}
		case t.Is(lexer.Operator, ","), t.Is(lexer.Operator, "and"), t.Is(lexer.Operator, "&&"), t.Is(lexer.Operator, "or"),
			t.Is(lexer.Operator, "||"): // what was nested without brackets ends here
			if len(outer) > 0 {
				levels = outer[len(outer)-1] + 1
			} else {
				levels = 0
			}
		case t.Is(lexer.Operator, "?"), t.Is(lexer.Operator, "**"), t.Is(lexer.Operator, "^"):
			levels++
		case !operand && (t.Is(lexer.Operator, "!") || t.Is(lexer.Operator, "not") || t.Is(lexer.Operator, "-") ||
			t.Is(lexer.Operator, "+")):
			levels++
		}
		if levels > MaxLevels {
			return &Error{at, fmt.Sprintf("nested too deeply; the most is %d levels", MaxLevels)}
		}
		operand = t.Kind == lexer.Identifier || t.Kind == lexer.Number || t.Kind == lexer.String || t.Kind == lexer.Bytes ||
			t.Is(lexer.Bracket, ")") || t.Is(lexer.Bracket, "]") || t.Is(lexer.Bracket, "}")
	}
	return nil
}

// byteOffset turns expr's offset in runes into one in bytes.
func byteOffset(src string, runes int) int {
	for i := range src {
		if runes == 0 {
			return i
		}
		runes--
	}
	return len(src)
}
