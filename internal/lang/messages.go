package lang

import (
	"errors"
	"fmt"
	"reflect"
	"regexp"
	"strings"
	"time"

	"github.com/expr-lang/expr/file"
)

var (
	timeType     = reflect.TypeFor[time.Time]()
	durationType = reflect.TypeFor[time.Duration]()
)

// reword makes an error of expr into one of ours: at its byte offset, in our words, without expr's drawing of the source.
func reword(src string, err error) *Error {
	var placed *file.Error
	if !errors.As(err, &placed) {
		return &Error{0, err.Error()}
	}
	at := byteOffset(src, placed.From)
	if strings.Contains(placed.Message, "literal: ") || strings.Contains(placed.Message, "literal is too large") {
		at = numberBefore(src, at) // expr points behind it
	}
	return &Error{at, message(placed.Message)}
}

// numberBefore is where the number begins that ends before the offset, or in it where it ends the source.
func numberBefore(src string, at int) int {
	isDigit := func(c byte) bool {
		return c >= '0' && c <= '9' || c|0x20 >= 'a' && c|0x20 <= 'z' || c == '.' || c == '_'
	}
	if strings.TrimRight(src[at:], " \t\r\n") == "" || !isDigit(src[at]) || at > 0 && !isDigit(src[at-1]) {
		at = len(strings.TrimRight(src[:at], " \t\r\n"))
	}
	for at > 0 && isDigit(src[at-1]) {
		at--
	}
	return at
}

// wordings turn expr's messages into ours; the first that fits is used.
var wordings = []struct {
	pattern *regexp.Regexp
	text    func(m []string) string
}{
	{regexp.MustCompile(`^unexpected token EOF`), fixed("this ends too early")},
	{regexp.MustCompile(`^unexpected end of expression`), fixed("this ends too early")},
	{regexp.MustCompile(`^unexpected token Operator\("="\)`), fixed("unexpected =; compare with ==")},
	{regexp.MustCompile(`^unexpected token Operator\("&"\)`), fixed("unexpected &; and is written &&")},
	{regexp.MustCompile(`^unexpected token Operator\("\."\)`), fixed("unexpected .; names are written without a dot before them")},
	{regexp.MustCompile(`^unexpected token Operator\("([#;])"\)`), func(m []string) string { return m[1] + " is not part of the language" }},
	{regexp.MustCompile(`(?s)^unexpected token \w+\("(.*)"\)`), func(m []string) string { return "unexpected " + short(m[1]) }},
	{regexp.MustCompile(`(?s)unexpected token (\w+)\("(.*)"\)`), func(m []string) string { return "unexpected " + short(m[2]) }},
	{regexp.MustCompile(`^literal not terminated`), fixed("a string is opened and not closed")},
	{regexp.MustCompile(`^unclosed comment`), fixed("a comment is opened and not closed")},
	{regexp.MustCompile("^invalid char escape|^unable to unescape"),
		fixed("unknown escape in a string; write \\\\ for a backslash, or put the string between backticks")},
	{regexp.MustCompile(`^unrecognized character: (U\+[0-9A-F]+)`), func(m []string) string { return "unexpected character " + m[1] }},
	{regexp.MustCompile(`^bad number syntax: (.*)$`), func(m []string) string { return m[1] + " is no number" }},
	{regexp.MustCompile(`^invalid (\w+) literal: .*range`), func(m []string) string { return "this number is too large" }},
	{regexp.MustCompile(`^invalid (\w+) literal`), func(m []string) string { return "this is no number" }},
	{regexp.MustCompile(`^(integer|float) literal is too large`), fixed("this number is too large")},
	{regexp.MustCompile(`^compilation failed: expression exceeds`), fixed("too many parts")},
	{regexp.MustCompile(`^expected name`), fixed("a name must follow the dot")},
	{regexp.MustCompile(`^invalid operation: (\S+) \(mismatched types (.+) and (.+)\)$`), mismatch},
	{regexp.MustCompile(`^invalid operation: (\S+) \(mismatched type (.+)\)$`), func(m []string) string {
		if m[1] == "!" || m[1] == "not" {
			return fmt.Sprintf("%s needs true or false, this is %s", m[1], typeName(m[2]))
		}
		return fmt.Sprintf("%s needs a number, this is %s", m[1], typeName(m[2]))
	}},
	{regexp.MustCompile(`^cannot use (.+) as argument \(type (.+)\) to call (?:Time\.)(\w+) ?$`), func(m []string) string {
		return fmt.Sprintf(".%s() is of a time, this is %s", m[3], typeName(m[1]))
	}},
	{regexp.MustCompile(`^cannot use (.+) as argument \(type (.+)\) to call (\w+) ?$`), argument},
	{regexp.MustCompile(`^cannot use (.+) as type (.+) in (?:array|map key)$`), func(m []string) string {
		return fmt.Sprintf("left of in is %s, but right of it there is only %s", typeName(m[1]), typeName(m[2]))
	}},
	{regexp.MustCompile(`coalesce expressions`), fixed(`?? is not part of the language: nothing is ever nil, what is absent is ""`)},
	{regexp.MustCompile(`^(not enough|too many) arguments to call (?:Time\.)?(\w+)`), func(m []string) string {
		return m[1] + " arguments for " + m[2]
	}},
	{regexp.MustCompile(`^invalid number of arguments .*\(expected (.+), got (\d+)\)`), func(m []string) string {
		return fmt.Sprintf("this function takes %s argument, not %s", m[1], m[2])
	}},
	{regexp.MustCompile(`^invalid argument for (\w+) \(type (.+)\)`), func(m []string) string {
		what := "a number"
		if m[1] == "len" {
			what = "a string"
		}
		return fmt.Sprintf("%s takes %s, not %s", m[1], what, typeName(m[2]))
	}},
	{regexp.MustCompile(`^non-bool expression \(type (.+)\) used as condition`), func(m []string) string {
		return "left of ? goes true or false, this is " + typeName(m[1])
	}},
	{regexp.MustCompile(`^non-integer slice index (.+)`), func(m []string) string {
		return "the bounds of a slice are ints, this is " + typeName(m[1])
	}},
	{regexp.MustCompile(`^cannot slice (.+)`), func(m []string) string { return "only strings have slices, this is " + typeName(m[1]) }},
	{regexp.MustCompile(`^cannot use (.+) to get an element from`), func(m []string) string {
		return "the name of a label is a string, this is " + typeName(m[1])
	}},
	{regexp.MustCompile(`integer divide by zero`), fixed("division by zero")},
	{regexp.MustCompile(`^runtime error: (.*)`), func(m []string) string { return m[1] }},
}

func fixed(text string) func([]string) string { return func([]string) string { return text } }

// message gives our wording of an error of expr, or its own first line.
func message(text string) string {
	for _, w := range wordings {
		if m := w.pattern.FindStringSubmatch(text); m != nil {
			return w.text(m)
		}
	}
	text, _, _ = strings.Cut(text, "\n")
	return text
}

func mismatch(m []string) string {
	switch op := m[1]; op {
	case "contains", "startsWith", "endsWith", "matches":
		return fmt.Sprintf("%s is between strings, these are %s and %s", op, typeName(m[2]), typeName(m[3]))
	case "&&", "||", "and", "or":
		return fmt.Sprintf("%s is between conditions, these are %s and %s", op, typeName(m[2]), typeName(m[3]))
	case "==", "!=", "<", ">", "<=", ">=":
		return fmt.Sprintf("%s cannot compare %s with %s", op, typeName(m[2]), typeName(m[3]))
	default:
		return fmt.Sprintf("%s cannot join %s and %s; string(x) makes a string, int(x) or float(x) a number", op, typeName(m[2]), typeName(m[3]))
	}
}

func argument(m []string) string {
	given, wanted, function := typeName(m[1]), typeName(m[2]), m[3]
	switch function {
	case "min", "max":
		wanted = "numbers"
	case "int", "float":
		wanted = "a string or a number"
	case "string":
		wanted = "a string, number, bool or time"
	}
	return fmt.Sprintf("%s takes %s here, not %s", function, wanted, given)
}

// typeName says a Go type in the language's words, with an article.
func typeName(goType string) string {
	switch goType {
	case "string":
		return "a string"
	case "int":
		return "an int"
	case "float64":
		return "a float"
	case "bool":
		return "true or false"
	case "time.Time":
		return "a time"
	case "time.Duration":
		return "a duration"
	case "map[string]struct {}":
		return "a list"
	case "nil", "unknown", "interface {}":
		return "a value of no one type"
	}
	switch {
	case strings.HasPrefix(goType, "map["):
		return "a map"
	case strings.HasPrefix(goType, "[]"):
		return "an array"
	case strings.HasPrefix(goType, "func("):
		return "a function"
	}
	return goType
}

// typeOf says the first of the types that is known.
func typeOf(types ...reflect.Type) string {
	for _, t := range types {
		if t != nil {
			return typeName(t.String())
		}
	}
	return typeName("unknown")
}

// short is a piece of source for a message.
func short(s string) string {
	if s == "" {
		return "character"
	}
	return strings.ToValidUTF8(s[:min(len(s), 40)], "")
}
