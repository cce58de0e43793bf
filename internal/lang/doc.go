// Package lang is the one language of conditions and templates: expr-lang, cut down by an allow-list to a part that can
// exhaust neither memory nor time and gives the same result for the same packet.
package lang

import (
	"time"

	"github.com/aftermath-rules/aftermath/callback"
)

// Error is one thing that is wrong with a source text.
type Error struct {
	Offset  int // in bytes, from 0, into the source (of a template: into the whole template)
	Message string
}

func (e *Error) Error() string { return e.Message }

// Vars are the values of the language's names for one pair. Rule and Delivery are for templates only.
type Vars struct {
	Pair            callback.Pair
	CallbackCommand string
	ClientIP        string
	OptPlatform     string
	RequestId       string
	SdkAppid        int64
	PairCount       int
	PairIndex       int
	Mutual          bool
	Time            time.Time // UTC

	RuleName        string
	RuleLabels      map[string]string
	DeliveryID      string
	DeliveryAttempt int
}

// Scope is what a source text may name beside the language's own names: the lists.
type Scope struct {
	Lists map[string]*List
}

// List is an immutable named set of strings.
type List struct {
	set map[string]struct{}
}

// NewList makes a list of the values.
func NewList(values []string) *List {
	l := &List{set: make(map[string]struct{}, len(values))}
	for _, v := range values {
		l.set[v] = struct{}{}
	}
	return l
}

// Has tells whether s is in the list.
func (l *List) Has(s string) bool { _, ok := l.set[s]; return ok }

// Len is the number of distinct values.
func (l *List) Len() int { return len(l.set) }

// Condition is a compiled condition. It is immutable and safe for concurrent use.
type Condition struct{}

// CompileCondition parses and type-checks src. The errors are all that could be found, each at its offset.
func CompileCondition(src string, s *Scope) (*Condition, []*Error) { return nil, nil }

// Match evaluates the condition. An error (out-of-range index, …) means no match.
func (c *Condition) Match(v *Vars) (bool, error) { return false, nil }

// Part is one part of a condition and what it came to.
type Part struct {
	Source  string `json:"source"`
	Value   any    `json:"value"`             // nil where it was not reached or failed
	Error   string `json:"error,omitempty"`   // why it failed
	Depth   int    `json:"depth"`             // in the tree, the whole condition at 0
	Decided bool   `json:"decided,omitempty"` // this part decided its parent
}

// Explain evaluates the condition part by part, the whole first, then depth first in source order.
func (c *Condition) Explain(v *Vars) []Part { return nil }

// Lists names the lists that the condition uses.
func (c *Condition) Lists() []string { return nil }

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

// Program is the compiled expression of a segment.
type Program struct{}

// Eval gives the value: string, int, int64, float64, bool, time.Time, or, for a whole-leaf expression, also map[string]string
// or a slice of these.
func (p *Program) Eval(v *Vars) (any, error) { return nil, nil }

// CompileTemplate splits src into literals and expressions and compiles these.
func CompileTemplate(src string, s *Scope) (*Template, []*Error) { return nil, nil }

// Format writes a value of Eval as text: strings as they are, numbers and bools as in JSON, times as RFC 3339.
func Format(value any) string { return "" }
