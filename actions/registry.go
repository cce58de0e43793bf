package actions

import (
	"fmt"
	"maps"
	"reflect"
	"regexp"
	"slices"
	"strings"

	"github.com/aftermath-rules/aftermath/internal/schema"
)

// Registry is the action types that a program knows. It is a value: nothing registers itself.
type Registry struct {
	types map[string]registered
}

// registered is a type with what was found out about its configuration.
type registered struct {
	Type
	fields  []configField
	names   []string // of the fields
	options []string // the names of what every action has
}

var typeName = regexp.MustCompile(`^[a-z0-9_-]+$`)

func optionNames() []string {
	fields, _ := fieldsOf(reflect.TypeFor[Options]())
	return namesOf(fields)
}

func namesOf(fields []configField) []string {
	names := make([]string, len(fields))
	for i, f := range fields {
		names[i] = f.name
	}
	return names
}

// NewRegistry makes a registry. A name given twice, an empty name, a configuration struct that cannot be decoded or a field that
// hides one of Options is an error.
func NewRegistry(types ...Type) (*Registry, error) {
	r := &Registry{types: make(map[string]registered, len(types))}
	options := optionNames()
	reserved := append([]string{"type", "name"}, options...)
	for _, t := range types {
		if !typeName.MatchString(t.name) || t.impl == nil {
			return nil, fmt.Errorf("action type %q: a name is made of a-z, 0-9, _ and -", t.name)
		}
		if _, taken := r.types[t.name]; taken {
			return nil, fmt.Errorf("action type %s: there are two of that name", t.name)
		}
		fields, err := t.impl.check()
		if err != nil {
			return nil, fmt.Errorf("action type %s: %w", t.name, err)
		}
		names := namesOf(fields)
		for _, name := range names {
			if slices.Contains(reserved, name) {
				return nil, fmt.Errorf("action type %s: the field %s hides one that every action has", t.name, name)
			}
		}
		r.types[t.name] = registered{t, fields, names, options}
	}
	return r, nil
}

// Types are the registered types, by name.
func (r *Registry) Types() []Type {
	types := make([]Type, 0, len(r.types))
	for _, name := range r.names() {
		types = append(types, r.types[name].Type)
	}
	return types
}

func (r *Registry) names() []string { return slices.Sorted(maps.Keys(r.types)) }

// known lists the types for an error message.
func (r *Registry) known() string {
	if len(r.types) == 0 {
		return "this program has none"
	}
	return "the types are " + strings.Join(r.names(), ", ")
}

// Schema is the JSON Schema (draft 2020-12) of an action of any registered type, inline or named. Which fields an action may have
// hangs on its type alone, so that an editor completes and checks the right ones.
func (r *Registry) Schema() map[string]any {
	options := schema.Of(ptr(DefaultOptions()))
	var byType []any
	kinds := make([]any, 0, len(r.types))
	for _, name := range r.names() {
		kinds = append(kinds, map[string]any{"const": name, "description": r.types[name].Summary()})
		byType = append(byType, map[string]any{
			"if":   map[string]any{"properties": map[string]any{"type": map[string]any{"const": name}}, "required": []string{"type"}},
			"then": r.typeSchema(name, options),
		})
	}
	return map[string]any{
		"type":       "object",
		"properties": map[string]any{"type": map[string]any{"oneOf": kinds, "description": "What kind of action it is."}},
		"required":   []string{"type"},
		"allOf":      byType,
	}
}

// typeSchema is the schema of an action of one type.
func (r *Registry) typeSchema(name string, options map[string]any) map[string]any {
	own := r.types[name].impl.schema()
	properties := map[string]any{
		"type": map[string]any{"const": name},
		"name": map[string]any{"type": "string", "pattern": "^[a-z0-9_.-]+$", "description": "An inline action's name; it is then called RULE/NAME."},
	}
	maps.Copy(properties, options["properties"].(map[string]any))
	maps.Copy(properties, own["properties"].(map[string]any))
	own["properties"] = properties
	own["description"] = r.types[name].Summary()
	return own
}

func ptr[T any](v T) *T { return &v }
