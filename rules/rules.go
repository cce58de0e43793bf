// Package rules makes rules files into a RuleSet: it parses and compiles them, reports every problem at its place, matches pairs,
// and loads and watches the folder they are in.
//
// The way of a change: Live sees that something below the rules folder (or a list or secret that it names) is not what it was and
// waits until it stands still; its Loader reads everything into a snapshot, Parse and Compile make a whole new RuleSet of it beside
// the running one, and only then is it swapped in. What cannot be compiled leaves the running set alone and is reported.
//
// What did not change is taken over: files as they were, and in a file that changed the rules whose text did not. As soon as anything
// is wrong all is read anew, so that every problem stands at its place.
package rules

import (
	"sync"
	"time"

	"github.com/aftermath-rules/aftermath/actions"
	"github.com/aftermath-rules/aftermath/internal/lang"
	"github.com/aftermath-rules/aftermath/internal/pairindex"
	"github.com/aftermath-rules/aftermath/internal/strictyaml"
)

// Problem is one thing wrong at one place; Problems is all of them, as an error.
type (
	Problem  = strictyaml.Problem
	Problems = strictyaml.Problems
)

// RuleSet is an immutable set of compiled rules. It is safe for concurrent use.
type RuleSet struct {
	Hash     string // of the contents of the rules and list files it was made of: the same on every node
	LoadedAt time.Time
	Rules    []*Rule // in order
	Warnings Problems

	all       []Rule           // what Rules point to: side by side, so that a match looks up no pointer
	index     *pairindex.Index // of all rules
	byName    map[string]*Rule
	instances []*actions.Instance // in the order of the files
	actions   map[string]*actions.Instance
	lists     map[string]*list
	carried   map[string]*carried // what the next set may take over, by path
	inputs    []string            // absolute paths of list files, secrets and files that actions read
	searches  sync.Pool           // of *search, so that matching allocates nothing
}

// Rule is one compiled rule.
type Rule struct {
	Name        string
	Description string
	Condition   string // its source
	File        string // as problems name it
	Line        int
	Actions     []string // names, in order
	Stop        bool
	Enabled     bool
	Shadow      bool
	Labels      map[string]string
	FoundBy     string // how the index finds it, such as "equality on From_Account"

	condition *lang.Condition
	at        place // of the condition's value
}

// add puts a copy of a rule at the end of the set, which was made with room for it: those before it must not move.
func (rs *RuleSet) add(r *Rule) *Rule {
	rs.all = append(rs.all, *r)
	kept := &rs.all[len(rs.all)-1]
	rs.Rules = append(rs.Rules, kept)
	return kept
}

// Action gives a configured action by name.
func (rs *RuleSet) Action(name string) (*actions.Instance, bool) {
	a, ok := rs.actions[name]
	return a, ok
}

// Instances are all configured actions, each once.
func (rs *RuleSet) Instances() []*actions.Instance { return rs.instances }

// Rule gives a rule by name.
func (rs *RuleSet) Rule(name string) (*Rule, bool) {
	r, ok := rs.byName[name]
	return r, ok
}
