package actions

import (
	"fmt"
	"reflect"
	"strconv"
	"strings"
	"time"

	"gopkg.in/yaml.v3"

	"github.com/aftermath-rules/aftermath/internal/strictyaml"
)

// configField is a field of a configuration struct, under its yaml name.
type configField struct {
	name  string
	index []int
	typ   reflect.Type
	tag   reflect.StructTag
}

// fieldsOf gives the fields of a struct, those of inlined structs among them. An error says which field cannot be decoded.
func fieldsOf(t reflect.Type) ([]configField, error) {
	var out []configField
	seen := map[string]bool{}
	for i := range t.NumField() {
		f := t.Field(i)
		name, options, _ := strings.Cut(f.Tag.Get("yaml"), ",")
		switch {
		case !f.IsExported() || name == "-":
			continue
		case strings.Contains(options, "inline") && f.Type.Kind() == reflect.Struct:
			inner, err := fieldsOf(f.Type)
			if err != nil {
				return nil, err
			}
			for _, in := range inner {
				in.index = append([]int{i}, in.index...)
				out = append(out, in)
			}
			continue
		case name == "":
			return nil, fmt.Errorf("field %s has no yaml tag", f.Name)
		}
		if err := decodable(f.Type, map[reflect.Type]bool{}); err != nil {
			return nil, fmt.Errorf("field %s: %w", f.Name, err)
		}
		out = append(out, configField{name, []int{i}, f.Type, f.Tag})
	}
	for _, f := range out {
		if seen[f.name] {
			return nil, fmt.Errorf("two fields are called %s", f.name)
		}
		seen[f.name] = true
	}
	return out, nil
}

var (
	unmarshalerType = reflect.TypeFor[strictyaml.Unmarshaler]()
	durationType    = reflect.TypeFor[time.Duration]()
)

// decodable tells why a field of type t cannot be decoded from YAML.
func decodable(t reflect.Type, seen map[reflect.Type]bool) error {
	if reflect.PointerTo(t).Implements(unmarshalerType) || t == durationType || seen[t] {
		return nil
	}
	seen[t] = true
	switch t.Kind() {
	case reflect.String, reflect.Bool, reflect.Float32, reflect.Float64,
		reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64,
		reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return nil
	case reflect.Slice, reflect.Pointer:
		return decodable(t.Elem(), seen)
	case reflect.Map:
		if t.Key().Kind() != reflect.String {
			return fmt.Errorf("a map's keys must be strings, not %s", t.Key())
		}
		return decodable(t.Elem(), seen)
	case reflect.Struct:
		_, err := fieldsOf(t)
		return err
	}
	return fmt.Errorf("a %s cannot be decoded from YAML", t)
}

// lookup finds the node at a dotted path below n; parts of a path that are numbers count the items of a list. Keys may hold
// dots themselves.
func lookup(n *yaml.Node, path string) (*yaml.Node, bool) {
	if n == nil || path == "" {
		return n, n != nil
	}
	switch n.Kind {
	case yaml.MappingNode:
		for i := 0; i+1 < len(n.Content); i += 2 {
			key := n.Content[i].Value
			if key == path {
				return n.Content[i+1], true
			}
			if rest, ok := strings.CutPrefix(path, key+"."); ok {
				return lookup(n.Content[i+1], rest)
			}
		}
	case yaml.SequenceNode:
		number, rest, _ := strings.Cut(path, ".")
		if i, err := strconv.Atoi(number); err == nil && i >= 0 && i < len(n.Content) {
			return lookup(n.Content[i], rest)
		}
	}
	return nil, false
}

// valueOf gives the value of a mapping's key, nil where the key is absent.
func valueOf(n *yaml.Node, name string) *yaml.Node {
	for key, value := range strictyaml.Pairs(n) {
		if key.Value == name {
			return value
		}
	}
	return nil
}

// nodeAt is the node at a dotted path below n, or the nearest one above it that exists.
func nodeAt(n *yaml.Node, path string) *yaml.Node {
	for path != "" {
		if found, ok := lookup(n, path); ok {
			return found
		}
		cut := strings.LastIndexByte(path, '.')
		path = path[:max(cut, 0)]
	}
	return n
}

// template is a field that makes something of a delivery.
type template interface {
	IsZero() bool
	preview(*Delivery) (any, error)
}

// eachTemplate calls f for every template in v, with its dotted yaml name. Lists of templates are one field.
func eachTemplate(v reflect.Value, path string, f func(path string, ts []template, list bool)) {
	if t, ok := asTemplate(v); ok {
		if !t.IsZero() {
			f(path, []template{t}, false)
		}
		return
	}
	switch v.Kind() {
	case reflect.Pointer:
		if !v.IsNil() {
			eachTemplate(v.Elem(), path, f)
		}
	case reflect.Struct:
		eachFieldTemplate(v, path, f)
	case reflect.Map:
		for it := v.MapRange(); it.Next(); {
			eachTemplate(it.Value(), dotted(path, it.Key().String()), f)
		}
	case reflect.Slice:
		eachItemTemplate(v, path, f)
	}
}

func eachFieldTemplate(v reflect.Value, path string, f func(string, []template, bool)) {
	fields, err := fieldsOf(v.Type())
	if err != nil {
		return // a struct that is no configuration: a Secret, a time
	}
	for _, field := range fields {
		eachTemplate(v.FieldByIndex(field.index), dotted(path, field.name), f)
	}
}

func eachItemTemplate(v reflect.Value, path string, f func(string, []template, bool)) {
	var ts []template
	for i := range v.Len() {
		if t, ok := asTemplate(v.Index(i)); ok {
			ts = append(ts, t)
			continue
		}
		eachTemplate(v.Index(i), dotted(path, strconv.Itoa(i)), f)
	}
	if ts != nil {
		f(path, ts, true)
	}
}

func asTemplate(v reflect.Value) (template, bool) {
	if !v.CanInterface() {
		return nil, false
	}
	t, ok := v.Interface().(template)
	return t, ok
}

func dotted(path, name string) string {
	if path == "" {
		return name
	}
	return path + "." + name
}
