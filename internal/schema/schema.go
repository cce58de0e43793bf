// Package schema describes configuration structs as JSON Schema (draft 2020-12), so that an editor completes and checks what
// people write. It reads what the decoder reads: the yaml tags, and the tags doc, enum and required.
package schema

import (
	"fmt"
	"reflect"
	"strconv"
	"strings"
	"time"
)

// Describer is a field type that describes itself: one that decodes itself from more than one kind of value.
type Describer interface {
	JSONSchema() map[string]any
}

var (
	describerType = reflect.TypeFor[Describer]()
	durationType  = reflect.TypeFor[time.Duration]()
)

// DurationPattern is what a duration looks like: 300ms, 1m30s, 7d.
const DurationPattern = `^([0-9]+(\.[0-9]+)?(ns|us|µs|ms|s|m|h|d|w))+$|^0$`

// Of gives the schema of v, a struct or a pointer to one. Fields of v that are not zero are the defaults.
func Of(v any) map[string]any {
	rv := reflect.ValueOf(v)
	for rv.Kind() == reflect.Pointer {
		rv = rv.Elem()
	}
	return of(rv.Type(), rv)
}

// of describes a type; def is a value whose content is the default, or the zero Value.
func of(t reflect.Type, def reflect.Value) map[string]any {
	if s, ok := described(t); ok {
		return withText(s, def)
	}
	if t == durationType {
		return withDefault(map[string]any{"type": "string", "pattern": DurationPattern}, def)
	}
	switch t.Kind() {
	case reflect.Pointer:
		return of(t.Elem(), reflect.Value{})
	case reflect.Struct:
		return ofStruct(t, def)
	case reflect.Slice:
		return map[string]any{"type": "array", "items": of(t.Elem(), reflect.Value{})}
	case reflect.Map:
		return map[string]any{"type": "object", "additionalProperties": of(t.Elem(), reflect.Value{})}
	case reflect.String:
		return withDefault(map[string]any{"type": "string"}, def)
	case reflect.Bool:
		return withDefault(map[string]any{"type": "boolean"}, def)
	case reflect.Float32, reflect.Float64:
		return withDefault(map[string]any{"type": "number"}, def)
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return withDefault(map[string]any{"type": "integer", "minimum": 0}, def)
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		return withDefault(map[string]any{"type": "integer"}, def)
	}
	return map[string]any{}
}

// described asks a type that describes itself.
func described(t reflect.Type) (map[string]any, bool) {
	switch {
	case t.Implements(describerType) && t.Kind() != reflect.Interface && t.Kind() != reflect.Pointer:
		return reflect.Zero(t).Interface().(Describer).JSONSchema(), true
	case reflect.PointerTo(t).Implements(describerType):
		return reflect.New(t).Interface().(Describer).JSONSchema(), true
	}
	return nil, false
}

func ofStruct(t reflect.Type, def reflect.Value) map[string]any {
	properties := map[string]any{}
	var required []string
	addFields(t, def, properties, &required)
	s := map[string]any{"type": "object", "properties": properties, "additionalProperties": false}
	if required != nil {
		s["required"] = required
	}
	return s
}

func addFields(t reflect.Type, def reflect.Value, properties map[string]any, required *[]string) {
	for i := range t.NumField() {
		f := t.Field(i)
		name, options, _ := strings.Cut(f.Tag.Get("yaml"), ",")
		var value reflect.Value
		if def.IsValid() {
			value = def.Field(i)
		}
		switch {
		case !f.IsExported() || name == "-":
		case strings.Contains(options, "inline") && f.Type.Kind() == reflect.Struct:
			addFields(f.Type, value, properties, required)
		case name != "":
			properties[name] = ofField(f, value)
			if f.Tag.Get("required") == "true" {
				*required = append(*required, name)
			}
		}
	}
}

func ofField(f reflect.StructField, def reflect.Value) map[string]any {
	s := of(f.Type, def)
	if doc := f.Tag.Get("doc"); doc != "" {
		s["description"] = doc
	}
	if enum := f.Tag.Get("enum"); enum != "" {
		s["enum"] = strings.Split(enum, ",")
	}
	return s
}

// withDefault puts in the default, where there is one.
func withDefault(s map[string]any, def reflect.Value) map[string]any {
	switch {
	case !def.IsValid() || def.IsZero():
	case def.Type() == durationType:
		s["default"] = duration(time.Duration(def.Int()))
	default:
		s["default"] = def.Interface()
	}
	return s
}

// withText puts in the default of a type that describes itself, where that is a number which can be written as text, such as a
// size.
func withText(s map[string]any, def reflect.Value) map[string]any {
	if !def.IsValid() || !def.CanInt() || def.IsZero() {
		return s
	}
	if text, ok := def.Interface().(fmt.Stringer); ok {
		s["default"] = text.String()
	}
	return s
}

// duration writes d as people do: 72h, not 72h0m0s.
func duration(d time.Duration) string {
	for _, unit := range []struct {
		size time.Duration
		name string
	}{{time.Hour, "h"}, {time.Minute, "m"}, {time.Second, "s"}} {
		if d%unit.size == 0 {
			return strconv.FormatInt(int64(d/unit.size), 10) + unit.name
		}
	}
	return d.String()
}
