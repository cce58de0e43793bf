package config

import (
	"reflect"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"
	"gopkg.in/yaml.v3"

	"github.com/aftermath-rules/aftermath/internal/schema/schematest"
)

// TestSchemaAgreesWithLoad: what an editor marks by the schema is what Load refuses, as far as a schema can tell.
func TestSchemaAgreesWithLoad(t *testing.T) {
	schema := schematest.Compile(t, Schema())
	archive, err := txtar.ParseFile("testdata/problems.txtar")
	if err != nil {
		t.Fatal(err)
	}
	refused := map[string]bool{
		"no callback": true, "unknown keys": true, "sdkappid": true, "tokens": true, "SMTP": true, "NATS without servers": true, "log": true,
		"durations without a unit": true, "networks": true, "listen addresses": true, "no apps": true,
	}
	for i := 0; i+1 < len(archive.Files); i += 2 {
		name := archive.Files[i].Name
		var value any
		if yaml.Unmarshal(archive.Files[i].Data, &value) != nil || value == nil {
			continue // no YAML, or no value: nothing for a schema to see
		}
		if err := schema.Validate(archive.Files[i].Data); (err != nil) != refused[name] {
			t.Errorf("%s: %v", name, err)
		}
	}
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
