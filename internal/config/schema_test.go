package config

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"
	"github.com/santhosh-tekuri/jsonschema/v6"
	"gopkg.in/yaml.v3"
)

// TestSchemaAgreesWithLoad: what an editor marks by the schema is what Load refuses, as far as a schema can tell.
func TestSchemaAgreesWithLoad(t *testing.T) {
	text, err := json.Marshal(Schema())
	if err != nil {
		t.Fatal(err)
	}
	doc, err := jsonschema.UnmarshalJSON(strings.NewReader(string(text)))
	if err != nil {
		t.Fatal(err)
	}
	compiler := jsonschema.NewCompiler()
	if err := compiler.AddResource("config.json", doc); err != nil {
		t.Fatal(err)
	}
	compiled, err := compiler.Compile("config.json")
	if err != nil {
		t.Fatal(err)
	}
	archive, err := txtar.ParseFile("testdata/problems.txtar")
	if err != nil {
		t.Fatal(err)
	}
	refused := map[string]bool{
		"no callback": true, "unknown keys": true, "sdkappid": true, "tokens": true, "SMTP": true, "NATS without servers": true, "log": true,
		"durations without a unit": true, "networks": true, "listen addresses": true,
	}
	for i := 0; i+1 < len(archive.Files); i += 2 {
		name := archive.Files[i].Name
		var value any
		if yaml.Unmarshal(archive.Files[i].Data, &value) != nil || value == nil {
			continue // no YAML, or no value: nothing for a schema to see
		}
		if err := compiled.Validate(jsonValue(t, value)); (err != nil) != refused[name] {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func jsonValue(t *testing.T, v any) any {
	t.Helper()
	text, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	out, err := jsonschema.UnmarshalJSON(strings.NewReader(string(text)))
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestEveryKeyIsDocumented(t *testing.T) {
	var walk func(prefix string, typ reflect.Type)
	walk = func(prefix string, typ reflect.Type) {
		for i := range typ.NumField() {
			f := typ.Field(i)
			name := f.Tag.Get("yaml")
			if name == "" || name == "-" {
				continue
			}
			if f.Tag.Get("doc") == "" {
				t.Errorf("%s%s has no doc", prefix, name)
			}
			inner := f.Type
			if inner.Kind() == reflect.Slice {
				inner = inner.Elem()
			}
			if inner.Kind() == reflect.Struct {
				walk(prefix+name+".", inner)
			}
		}
	}
	walk("", reflect.TypeFor[Config]())
}
