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

// suggestion is "; did you mean …?" for the known word that is closest to a mistyped one, "" where none is close.
func suggestion(word string, known []string) string {
	if len(word) > 64 {
		return ""
	}
	best, least := "", max(1, len(word)/3)+1
	for _, k := range known {
		if n := editDistance(strings.ToLower(word), k); n < least && n < min(len(word), len(k)) {
			best, least = k, n
		}
	}
	if best == "" {
		return ""
	}
	return "; did you mean " + best + "?"
}

// editDistance counts the bytes to insert, remove, change, or swap with the next, that make a into b.
func editDistance(a, b string) int {
	before, last, row := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range last {
		last[j] = j
	}
	for i := 1; i <= len(a); i++ {
		row[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			row[j] = min(last[j]+1, row[j-1]+1, last[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
		}
		before, last, row = last, row, before
	}
	return last[len(b)]
}
