package rules

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"

	"github.com/aftermath-rules/aftermath/internal/schema/schematest"
)

// What loads is valid for an editor too.
func TestSchemaTakesWhatLoads(t *testing.T) {
	s := schematest.Compile(t, Schema(registry(t)))
	for _, name := range []string{"match", "warnings", "norules"} {
		data, err := os.ReadFile(filepath.Join("testdata", name+".txtar"))
		must(t, err)
		for _, f := range txtar.Parse(data).Files {
			if !strings.HasPrefix(f.Name, "rules/") || !isRulesFile(filepath.Base(f.Name)) || strings.Contains(f.Name, "/.") {
				continue
			}
			if strings.TrimSpace(string(f.Data)) == "# nothing here yet" {
				continue
			}
			if err := s.Validate(f.Data); err != nil {
				t.Errorf("%s in %s: %v", f.Name, name, err)
			}
		}
	}
}

func TestSchemaRefuses(t *testing.T) {
	s := schematest.Compile(t, Schema(registry(t)))
	for name, text := range map[string]string{
		"a key that is none":        "rulez: []",
		"a rule without a name":     "rules: [{condition: Mutual, actions: [a]}]",
		"a rule without actions":    "rules: [{name: a, condition: Mutual, actions: []}]",
		"a name in capitals":        "rules: [{name: A, condition: Mutual, actions: [a]}]",
		"an action of no type":      "actions: {a: {message: hi}}",
		"an action of a wrong type": "actions: {a: {type: pager, message: hi}}",
		"an action's unknown key":   "actions: {a: {type: note, message: hi, mesage: hi}}",
		"a list that is a text":     "lists: {a: alice}",
		"a list's name":             "lists: {A: [alice]}",
		"a list called as a word":   "lists: {in: [alice]}",
		"a list called as function": "lists: {cidr: [alice]}",
		"a named action's name":     "actions: {a: {type: note, message: hi, name: b}}",
	} {
		if s.Validate([]byte(text)) == nil {
			t.Errorf("%s: the schema takes %s", name, text)
		}
	}
	if err := s.Validate([]byte(rule("a"))); err != nil {
		t.Errorf("the schema refuses a sound rule: %v", err)
	}
}
