package strictyaml

import (
	"reflect"
	"slices"
	"strings"
)

// structFields are the keys that a struct takes.
type structFields struct {
	byName map[string]field
	names  []string // in the order of the fields
}

type field struct {
	index []int
	text  bool // tagged text:"true"
}

func (d *Decoder) fieldsOf(t reflect.Type) *structFields {
	if f, ok := d.structs[t]; ok {
		return f
	}
	f := &structFields{byName: map[string]field{}}
	f.collect(t, nil)
	if d.structs == nil {
		d.structs = map[reflect.Type]*structFields{}
	}
	d.structs[t] = f
	return f
}

func (s *structFields) collect(t reflect.Type, index []int) {
	for i := range t.NumField() {
		f := t.Field(i)
		name, options, _ := strings.Cut(f.Tag.Get("yaml"), ",")
		if name == "-" || !f.IsExported() {
			continue
		}
		at := append(slices.Clone(index), i)
		if slices.Contains(strings.Split(options, ","), "inline") {
			inner := f.Type
			if inner.Kind() == reflect.Pointer {
				inner = inner.Elem()
			}
			s.collect(inner, at)
			continue
		}
		if name == "" {
			name = strings.ToLower(f.Name)
		}
		s.byName[name] = field{index: at, text: f.Tag.Get("text") == "true"}
		s.names = append(s.names, name)
	}
}

// fieldByIndex is reflect's, but makes the structs that nil pointers on the way stand for.
func fieldByIndex(v reflect.Value, index []int) reflect.Value {
	for _, i := range index {
		if v.Kind() == reflect.Pointer {
			if v.IsNil() {
				v.Set(reflect.New(v.Type().Elem()))
			}
			v = v.Elem()
		}
		v = v.Field(i)
	}
	return v
}
