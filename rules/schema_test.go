package rules

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"
	"github.com/santhosh-tekuri/jsonschema/v6"
	"gopkg.in/yaml.v3"
)

func compileSchema(t *testing.T) *jsonschema.Schema {
	t.Helper()
	data, err := json.Marshal(Schema(registry(t)))
	must(t, err)
	doc, err := jsonschema.UnmarshalJSON(strings.NewReader(string(data)))
	must(t, err)
	c := jsonschema.NewCompiler()
	must(t, c.AddResource("rules.json", doc))
	s, err := c.Compile("rules.json")
	must(t, err)
	return s
}

func validate(t *testing.T, s *jsonschema.Schema, text string) error {
	t.Helper()
	var v any
	must(t, yaml.Unmarshal([]byte(text), &v))
	data, err := json.Marshal(v)
	must(t, err)
	doc, err := jsonschema.UnmarshalJSON(strings.NewReader(string(data)))
	must(t, err)
	return s.Validate(doc)
}

// What loads is valid for an editor too.
func TestSchemaTakesWhatLoads(t *testing.T) {
	s := compileSchema(t)
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
			if err := validate(t, s, string(f.Data)); err != nil {
				t.Errorf("%s in %s: %v", f.Name, name, err)
			}
		}
	}
}

func TestSchemaRefuses(t *testing.T) {
	s := compileSchema(t)
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
	} {
		if validate(t, s, text) == nil {
			t.Errorf("%s: the schema takes %s", name, text)
		}
	}
	if err := validate(t, s, rule("a")); err != nil {
		t.Errorf("the schema refuses a sound rule: %v", err)
	}
}
