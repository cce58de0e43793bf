// Package rules makes rule files into a RuleSet: it parses and compiles them, reports every problem at its place, matches pairs,
// and loads and watches the folder they are in.
package rules

import (
	"time"

	"github.com/aftermath-rules/aftermath/actions"
	"github.com/aftermath-rules/aftermath/callback"
	"github.com/aftermath-rules/aftermath/internal/strictyaml"
)

// Problem is one thing wrong at one place; Problems is all of them, as an error.
type (
	Problem  = strictyaml.Problem
	Problems = strictyaml.Problems
)

// File is one parsed rules file, its positions kept.
type File struct {
	Name string // as problems name it
}

// Parse reads one rules file. The error is Problems.
func Parse(name string, data []byte) (*File, error) { return nil, nil }

// RuleSet is an immutable set of compiled rules. It is safe for concurrent use.
type RuleSet struct {
	Hash     string // of the files it was made of
	LoadedAt time.Time
	Rules    []*Rule // in order
	Warnings Problems
}

// Rule is one compiled rule.
type Rule struct {
	Name        string
	Description string
	Condition   string // its source
	File        string
	Line        int
	Actions     []string // names, in order
	Stop        bool
	Enabled     bool
	Shadow      bool
	Labels      map[string]string
}

// Match is one rule that matched one pair.
type Match struct {
	Rule *Rule
	Err  error // the condition failed at run time: no match, but counted
}

// Match appends to dst the rules that match the pair, in order, honouring enabled and stop; shadow rules are included and stop
// nothing. It allocates nothing when nothing matches.
func (rs *RuleSet) Match(dst []Match, cb *callback.Callback, pair int) []Match { return dst }

// Action gives a configured action by name.
func (rs *RuleSet) Action(name string) (*actions.Instance, bool) { return nil, false }

// Instances are all configured actions, each once.
func (rs *RuleSet) Instances() []*actions.Instance { return nil }

// Rule gives a rule by name.
func (rs *RuleSet) Rule(name string) (*Rule, bool) { return nil, false }
