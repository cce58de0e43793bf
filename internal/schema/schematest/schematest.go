// Package schematest asks of a JSON Schema what an editor would ask of it.
package schematest

import (
	"bytes"
	"encoding/json"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"gopkg.in/yaml.v3"
)

// Schema is a compiled schema.
type Schema struct{ compiled *jsonschema.Schema }

// Compile compiles a schema, which goes through JSON as it does on its way to an editor. One that is JSON already is a json.RawMessage.
func Compile(t testing.TB, schema any) Schema {
	t.Helper()
	doc, err := overJSON(schema)
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	if err := c.AddResource("mem:///schema.json", doc); err != nil {
		t.Fatal(err)
	}
	compiled, err := c.Compile("mem:///schema.json")
	if err != nil {
		t.Fatal(err)
	}
	return Schema{compiled}
}

// Validate gives what the schema finds wrong with a YAML text, or why it is none.
func (s Schema) Validate(text []byte) error {
	var value any
	if err := yaml.Unmarshal(text, &value); err != nil {
		return err
	}
	doc, err := overJSON(value)
	if err != nil {
		return err
	}
	return s.compiled.Validate(doc)
}

func overJSON(v any) (any, error) {
	text, err := json.Marshal(v)
	if err != nil {
		return nil, err
	}
	return jsonschema.UnmarshalJSON(bytes.NewReader(text))
}
