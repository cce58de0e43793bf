// Package rulestest makes rule sets for the tests of what works with them.
package rulestest

import (
	"testing"

	"github.com/aftermath-rules/aftermath/actions"
	"github.com/aftermath-rules/aftermath/actions/logentry"
	"github.com/aftermath-rules/aftermath/rules"
)

// Compile makes the rule set of one rules file, whose actions are logs.
func Compile(t testing.TB, text string) *rules.RuleSet {
	t.Helper()
	reg, err := actions.NewRegistry(logentry.Type())
	if err != nil {
		t.Fatal(err)
	}
	f, err := rules.Parse("rules.yaml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	rs, err := rules.Compile([]*rules.File{f}, rules.Options{Registry: reg})
	if err != nil {
		t.Fatal(err)
	}
	return rs
}
