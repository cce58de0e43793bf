package lang

import (
	"fmt"
	"maps"
	"math"
	"reflect"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/expr-lang/expr/vm"
)

// Template is a text with {{ expressions }}: compiled, type-checked and immutable.
type Template struct {
	Segments []Segment
}

// Segment is a literal or one {{ expression }}.
type Segment struct {
	Offset  int    // in bytes, of the literal or of the expression within the template's source
	Literal string // where Program is nil
	Program *Program
}

// Kind is the type of what an expression gives, known when it is compiled.
type Kind int

// The types that an expression of a template can have. Map is for whole leaves of a tree only.
const (
	String Kind = iota + 1 // string
	Int                    // int
	Float                  // float64
	Bool                   // bool
	Time                   // time.Time
	Map                    // map[string]string
)

// String names the kind with its article, for messages.
func (k Kind) String() string {
	return [...]string{"nothing", "a string", "an int", "a float", "true or false", "a time", "a map"}[k]
}

// Program is the checked expression of a segment. It is immutable and safe for concurrent use. Its byte code is made when it is
// first needed: of many thousand actions most are not.
type Program struct {
	source  string
	kind    Kind
	lists   map[string]*List // that it uses
	envs    *sync.Pool       // of *Env
	program atomic.Pointer[vm.Program]
}

// Kind is the type of what Eval gives.
func (p *Program) Kind() Kind { return p.kind }

// Source is the expression's text.
func (p *Program) Source() string { return p.source }

// Eval gives the value: string, int, float64, bool, time.Time, or, for Rule.Labels as a whole, map[string]string. Its error is
// an *Error whose offset is into the expression's source.
func (p *Program) Eval(v *Vars) (any, error) {
	program := p.program.Load()
	if program == nil {
		var wrong *Error
		if program, wrong = p.compile(); wrong != nil {
			return nil, wrong
		}
	}
	env := p.envs.Get().(*Env)
	defer p.envs.Put(env)
	env.Set(v)
	value, err := env.run(program, p.source)
	if err != nil {
		return nil, err
	}
	if f, ok := value.(float64); ok && (math.IsNaN(f) || math.IsInf(f, 0)) {
		return nil, &Error{0, "the result is not a finite number"}
	}
	return value, nil
}

// CompileTemplate splits src into literals and expressions and compiles these. The errors are all that could be found.
func CompileTemplate(src string, s *Scope) (*Template, []*Error) {
	if len(src) > MaxTemplate {
		return nil, []*Error{{MaxTemplate, fmt.Sprintf("too long: %d bytes, the most is %d", len(src), MaxTemplate)}}
	}
	if s == nil {
		s = &Scope{}
	}
	if !strings.Contains(src, "{{") {
		return fixedTemplate(src), nil
	}
	pieces, errs := split(src)
	t := &Template{}
	envs := &sync.Pool{New: func() any { return newEnv(true) }}
	for _, piece := range pieces {
		if !piece.expression {
			t.Segments = append(t.Segments, Segment{Offset: piece.offset, Literal: piece.text})
			continue
		}
		program, programErrs := compileProgram(piece.text, s)
		for _, e := range programErrs {
			errs = append(errs, &Error{piece.offset + e.Offset, e.Message})
		}
		if program != nil {
			program.envs = envs
			t.Segments = append(t.Segments, Segment{Offset: piece.offset, Program: program})
		}
	}
	if errs != nil {
		return nil, tidy(errs)
	}
	return t, nil
}

func fixedTemplate(src string) *Template {
	if src == "" {
		return &Template{}
	}
	return &Template{Segments: []Segment{{Literal: src}}}
}

func compileProgram(src string, s *Scope) (*Program, []*Error) {
	if _, isText := textNames[src]; isText { // most are just a name
		return &Program{source: src, kind: String}, nil
	}
	c, errs := check(src, s, true)
	if errs != nil {
		return nil, errs
	}
	kind := kindOf(c.Node.Type())
	if kind == 0 {
		return nil, []*Error{{firstWord(src), fmt.Sprintf("this gives %s; a template gives a string, number, bool or time", typeOf(c.Node.Type()))}}
	}
	p := &Program{source: src, kind: kind}
	for _, name := range c.lists {
		if p.lists == nil {
			p.lists = map[string]*List{}
		}
		p.lists[name] = s.Lists[name]
	}
	return p, nil
}

// compile makes the byte code, in a scope of its own: an action outlives the rule set that it was made for.
func (p *Program) compile() (*vm.Program, *Error) {
	s := &Scope{Lists: p.lists}
	c, errs := check(p.source, s, true)
	if errs != nil {
		return nil, errs[0]
	}
	program, wrong := c.program(p.source, s, true)
	if wrong != nil {
		return nil, wrong
	}
	p.program.Store(program)
	return program, nil
}

func kindOf(t reflect.Type) Kind {
	switch t {
	case nil:
		return 0
	case timeType:
		return Time
	}
	switch t.Kind() {
	case reflect.String:
		return String
	case reflect.Int:
		return Int
	case reflect.Float64:
		return Float
	case reflect.Bool:
		return Bool
	case reflect.Map:
		if t == reflect.TypeFor[map[string]string]() {
			return Map
		}
	}
	return 0
}

// Lists names the lists that the template uses, sorted.
func (t *Template) Lists() []string {
	var lists []string
	for _, s := range t.Segments {
		if s.Program != nil {
			lists = slices.AppendSeq(lists, maps.Keys(s.Program.lists))
		}
	}
	slices.Sort(lists)
	return slices.Compact(lists)
}

// piece is a literal or an expression of a template's source.
type piece struct {
	offset     int
	text       string
	expression bool
}

// split cuts a template at its {{ and }}. A }} alone is text.
func split(src string) (pieces []piece, errs []*Error) {
	expressions := 0
	for at := 0; at < len(src); {
		open := strings.Index(src[at:], "{{")
		if open < 0 {
			return append(pieces, piece{at, src[at:], false}), errs
		}
		if open > 0 {
			pieces = append(pieces, piece{at, src[at : at+open], false})
		}
		open += at
		length, err := expressionLength(src[open+2:])
		if err != nil {
			err.Offset += open + 2
			if err.Message == unclosed {
				err.Offset = open
			}
			return pieces, append(errs, err)
		}
		text := src[open+2 : open+2+length]
		trimmed := strings.TrimLeft(text, " \t\r\n")
		begin := open + 2 + len(text) - len(trimmed)
		at = open + 2 + length + 2
		if expressions++; expressions > MaxExpressions {
			return pieces, append(errs, &Error{open, fmt.Sprintf("too many expressions; the most in one text is %d", MaxExpressions)})
		}
		if trimmed = strings.TrimRight(trimmed, " \t\r\n"); trimmed == "" {
			errs = append(errs, &Error{open, "empty {{ }}; to write {{ itself put {{ \"{{\" }}"})
			continue
		}
		pieces = append(pieces, piece{begin, trimmed, true})
	}
	return pieces, errs
}

const unclosed = "{{ is not closed; to write {{ itself put {{ \"{{\" }}"

// expressionLength finds the }} that ends an expression: outside strings, and not the end of a map in it.
func expressionLength(src string) (int, *Error) {
	braces := 0
	for i := 0; i < len(src); i++ {
		switch src[i] {
		case '"', '\'', '`':
			end := stringEnd(src, i)
			if end < 0 {
				return 0, &Error{i, "a string is opened and not closed"}
			}
			i = end
		case '{':
			braces++
		case '}':
			if braces > 0 {
				braces--
			} else if strings.HasPrefix(src[i:], "}}") {
				return i, nil
			}
		}
	}
	return 0, &Error{0, unclosed}
}

// stringEnd gives the index of the quote that ends the string that begins at i, or -1. A backslash escapes the next character
// but between backticks, where a backtick is written twice, and so looks like two strings.
func stringEnd(src string, i int) int {
	quote := src[i]
	for i++; i < len(src); i++ {
		switch {
		case src[i] == quote:
			return i
		case src[i] == '\\' && quote != '`':
			i++
		}
	}
	return -1
}
