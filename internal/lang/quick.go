package lang

import (
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/aftermath-rules/aftermath/internal/pairindex"
)

// quick reads the conditions that most rules have straight into formulas, some twenty times as fast as expr's parser and checkers do:
// comparisons of one name with what is written out, a name in a list, Mutual; joined by && and ||, negated, in brackets. Whatever it
// does not know, and whatever may be wrong, it leaves to them. What it takes is well-typed by its form.
type quick struct {
	src   string
	at    int
	scope *Scope
	lists []string
}

// quickLevels bounds the brackets inside each other, far below MaxLevels.
const quickLevels = 16

// readQuickly gives what a condition's tree would have come to, and false where the tree must be made.
func readQuickly(src string, s *Scope) (f pairindex.Formula, lists []string, ok bool) {
	if len(src) > MaxSource || !utf8.ValidString(src) {
		return f, nil, false
	}
	q := &quick{src: src, scope: s}
	if f, ok = q.or(0); !ok || q.peek() != 0 || q.at < len(src) {
		return f, nil, false
	}
	slices.Sort(q.lists)
	return f, slices.Compact(q.lists), true
}

// peek skips white space and gives the byte behind it, 0 at the end.
func (q *quick) peek() byte {
	for ; q.at < len(q.src); q.at++ {
		switch c := q.src[q.at]; c {
		case ' ', '\t', '\n', '\r':
		default:
			return c
		}
	}
	return 0
}

// take skips white space and the symbol, if that is what follows.
func (q *quick) take(symbol string) bool {
	if q.peek(); !strings.HasPrefix(q.src[q.at:], symbol) {
		return false
	}
	q.at += len(symbol)
	return true
}

// word gives the name or keyword that follows, "" for none.
func (q *quick) word() string {
	q.peek()
	end := q.at
	for end < len(q.src) && isWordByte(q.src[end], end > q.at) {
		end++
	}
	word := q.src[q.at:end]
	q.at = end
	return word
}

func isWordByte(c byte, digits bool) bool {
	return c|0x20 >= 'a' && c|0x20 <= 'z' || c == '_' || digits && c >= '0' && c <= '9'
}

// takeWord is take of a keyword.
func (q *quick) takeWord(keyword string) bool {
	before := q.at
	if q.word() == keyword {
		return true
	}
	q.at = before
	return false
}

func (q *quick) or(level int) (pairindex.Formula, bool) {
	f, ok := q.and(level)
	for ok && (q.take("||") || q.takeWord("or")) {
		var right pairindex.Formula
		right, ok = q.and(level)
		if ok {
			f = pairindex.Or(f, right)
		}
	}
	return f, ok
}

func (q *quick) and(level int) (pairindex.Formula, bool) {
	f, ok := q.operand(level)
	for ok && (q.take("&&") || q.takeWord("and")) {
		var right pairindex.Formula
		right, ok = q.operand(level)
		if ok {
			f = pairindex.And(f, right)
		}
	}
	return f, ok
}

// operand is what && and || join.
func (q *quick) operand(level int) (f pairindex.Formula, ok bool) {
	switch c := q.peek(); {
	case level == quickLevels:
		return f, false
	case c == '(':
		q.at++
		f, ok = q.or(level + 1)
		return f, ok && q.take(")")
	case c == '!':
		q.at++
		return q.negated(level)
	}
	name := q.word()
	if field, isText := textNames[name]; isText {
		return q.textTest(field)
	}
	if kind := caseFunctions[name]; kind != 0 {
		return q.caseTest(kind)
	}
	if field, isNumber := numberNames[name]; isNumber {
		return q.numberTest(field)
	}
	switch name {
	case "Mutual":
		return pairindex.Number(pairindex.NumberIs, mutual, 1), true
	case "not":
		return q.negated(level)
	}
	return f, false
}

// negated is what stands right of ! and not: here only what cannot be taken for more than is negated.
func (q *quick) negated(level int) (f pairindex.Formula, ok bool) {
	if c := q.peek(); c != '(' && !strings.HasPrefix(q.src[q.at:], "Mutual") {
		return f, false
	}
	return not(q.operand(level + 1))
}

// not negates what was read.
func not(f pairindex.Formula, ok bool) (pairindex.Formula, bool) {
	if !ok {
		return f, false
	}
	return pairindex.Not(f), true
}

// caseTest reads what follows lower or upper.
func (q *quick) caseTest(kind uint8) (f pairindex.Formula, ok bool) {
	if !q.take("(") {
		return f, false
	}
	field, ok := textNames[q.word()]
	if !ok || !q.take(")") {
		return f, false
	}
	return q.textTest(field + kind)
}

// textTest reads what follows the name of a text, or lower or upper of one.
func (q *quick) textTest(field uint8) (f pairindex.Formula, ok bool) {
	kind := pairindex.Equal
	switch {
	case q.take("=="):
	case q.take("!="):
		text, ok := q.text()
		return not(textTest(kind, field, text), ok)
	case strings.HasPrefix(q.src[q.at:], "<"), strings.HasPrefix(q.src[q.at:], ">"):
		return q.order(field)
	default:
		switch q.word() {
		case "startsWith":
			kind = pairindex.Prefix
		case "endsWith":
			kind = pairindex.Suffix
		case "contains":
			kind = pairindex.Contains
		case "in":
			return q.membership(field)
		case "not":
			if !q.takeWord("in") {
				return f, false
			}
			return not(q.membership(field))
		default:
			return f, false
		}
	}
	text, ok := q.text()
	return textTest(kind, field, text), ok
}

// order reads what follows the name of a text that is compared for its order.
func (q *quick) order(field uint8) (f pairindex.Formula, ok bool) {
	for _, op := range []string{">=", "<=", ">", "<"} {
		if q.take(op) {
			text, ok := q.text()
			if !ok {
				return f, false
			}
			return textBefore(field, op, text)
		}
	}
	return f, false
}

// text reads a string without escapes.
func (q *quick) text() (string, bool) {
	quote := q.peek()
	if quote != '"' && quote != '\'' && quote != '`' {
		return "", false
	}
	text := q.src[q.at+1:]
	end := strings.IndexByte(text, quote)
	if end < 0 || quote != '`' && strings.ContainsAny(text[:end], "\\\n\r") || quote == '`' && strings.HasPrefix(text[end+1:], "`") {
		return "", false
	}
	q.at += end + 2
	return text[:end], true
}

// membership reads the list, or the array of strings, right of in.
func (q *quick) membership(field uint8) (f pairindex.Formula, ok bool) {
	if !q.take("[") {
		name := q.word()
		list := q.scope.Lists[name]
		if list == nil || ValidListName(name) != nil {
			return f, false
		}
		q.lists = append(q.lists, name)
		return pairindex.In(field, list), true
	}
	var texts []string
	for {
		text, ok := q.text()
		if !ok {
			return f, false
		}
		texts = append(texts, text)
		if q.take("]") {
			break
		}
		if !q.take(",") {
			return f, false
		}
	}
	return isOneOf(field, texts), true
}

// numberTest reads what follows the name of a number.
func (q *quick) numberTest(field uint8) (f pairindex.Formula, ok bool) {
	for _, op := range []string{"==", ">=", "<=", "!=", ">", "<"} {
		if !q.take(op) {
			continue
		}
		k, ok := q.number()
		if op == "!=" {
			return pairindex.Not(limit(field, "==", k)), ok
		}
		return limit(field, op, k), ok
	}
	return f, false
}

// number reads a whole number that is written in decimal.
func (q *quick) number() (int64, bool) {
	q.peek()
	end := q.at
	for end < len(q.src) && q.src[end] >= '0' && q.src[end] <= '9' {
		end++
	}
	digits := q.src[q.at:end]
	const most = 15
	if digits == "" || len(digits) > most || digits[0] == '0' && len(digits) > 1 || end < len(q.src) && (q.src[end] == '.' || isWordByte(q.src[end], true)) {
		return 0, false
	}
	q.at = end
	k, err := strconv.ParseInt(digits, 10, 64)
	return k, err == nil
}
