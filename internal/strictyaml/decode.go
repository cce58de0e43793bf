package strictyaml

import (
	"errors"
	"fmt"
	"iter"
	"reflect"
	"slices"
	"strings"

	"gopkg.in/yaml.v3"

	"github.com/aftermath-rules/aftermath/internal/nearword"
)

// Unmarshaler is a configuration field that decodes itself from its node (a template, a duration, a secret). It reports what is
// wrong to d.
type Unmarshaler interface {
	UnmarshalNode(d *Decoder, n *yaml.Node)
}

// Decoder decodes nodes of one document and collects the problems.
type Decoder struct {
	Doc *Document
	// Expand puts secrets into a plain string field; nil leaves strings as they are. An error is a problem at the string; one
	// that has a method Offset() int (bytes into the string) is reported exactly there, and joined ones each by itself.
	Expand func(s string) (string, error)
	// Section is told by DecodeFile which top-level key comes next; it may set Expand. Nil is told nothing.
	Section func(name string)
	// Scope is for Unmarshalers: whatever the caller wants them to know.
	Scope any

	problems Problems
	errors   int                 // among the problems
	reported map[*yaml.Node]bool // nodes with an error among problems
	structs  map[reflect.Type]*structFields
}

// Decode fills the pointer into from n:
//
//   - structs by their yaml tags (",inline" puts the fields of a struct among those of the one that holds it); an unknown key is
//     a problem, and a field whose key is absent keeps its value, so defaults are set before;
//   - slices and maps with string keys, made anew; pointers; a *yaml.Node takes the node as it is;
//   - strings take any scalar as it is written (010 and yes are texts), and Expand puts in its secrets; a field tagged text:"true"
//     is checked by Text;
//   - numbers in decimal, true and false, time.Duration (ParseDuration), Size (ParseSize);
//   - an empty interface gets map[string]any, []any, string, int64, float64, bool or nil;
//   - an Unmarshaler decodes itself.
//
// An empty value, and null or ~ as the value of a key, is a problem: it is far more often a mistake than a wish for the default.
func (d *Decoder) Decode(n *yaml.Node, into any) {
	v := reflect.ValueOf(into)
	if v.Kind() != reflect.Pointer || v.IsNil() {
		panic(fmt.Sprintf("strictyaml: Decode into %T, which is no pointer to a value", into))
	}
	d.value(n, v.Elem())
}

// DecodeFile fills the struct that into points to from the document. Beside its fields it takes what every kind of file may have
// at the top: version, which must be 1, and keys that begin with x-. A document of comments alone leaves everything as it is.
func (d *Decoder) DecodeFile(into any) {
	root := d.Doc.Root
	if root == nil {
		return
	}
	if root.Kind != yaml.MappingNode {
		d.Problemf(root, "the file must be a mapping of keys to values, not %s", kindName(root))
		return
	}
	top := *root
	top.Content = nil
	for key, value := range Pairs(root) {
		switch {
		case strings.HasPrefix(key.Value, "x-"):
		case key.Value == "version":
			if value.Kind != yaml.ScalarNode || value.Value != "1" {
				d.Problemf(value, "version must be 1")
			}
		default:
			top.Content = append(top.Content, key, value)
		}
	}
	d.structure(&top, reflect.ValueOf(into).Elem(), true)
}

// Problemf reports a problem at n's place.
func (d *Decoder) Problemf(n *yaml.Node, format string, args ...any) {
	d.add(n, n.Line, n.Column, fmt.Sprintf(format, args...), false)
}

// Warnf reports what does not keep the file from being used.
func (d *Decoder) Warnf(n *yaml.Node, format string, args ...any) {
	d.add(n, n.Line, n.Column, fmt.Sprintf(format, args...), true)
}

// ProblemAt reports a problem at the byte offset within the scalar n's decoded value: exact in plain, | and one-line quoted
// scalars, the value's own place in folded and many-line ones.
func (d *Decoder) ProblemAt(n *yaml.Node, offset int, message string) {
	line, column := d.Doc.place(n, offset)
	d.add(n, line, column, message, false)
}

func (d *Decoder) add(n *yaml.Node, line, column int, message string, warning bool) {
	if d.Doc.faulty[n] {
		return // Parse has reported what is wrong with this value
	}
	d.problems = append(d.problems, Problem{File: d.Doc.File, Line: line, Column: column, Message: message, Warning: warning})
	if warning {
		return
	}
	d.errors++
	if d.reported == nil {
		d.reported = map[*yaml.Node]bool{}
	}
	d.reported[n] = true
}

// Faulty tells that an error is reported for n already, so that its value is not worth checking further.
func (d *Decoder) Faulty(n *yaml.Node) bool { return d.reported[n] || d.Doc.faulty[n] }

// Errors is how many errors were reported so far.
func (d *Decoder) Errors() int { return d.errors }

// Problems returns what was reported, warnings among it, ordered by place.
func (d *Decoder) Problems() Problems {
	d.problems = d.problems.Sorted()
	return d.problems
}

// Pairs gives the keys and values of a mapping in their order; nothing for another kind of node.
func Pairs(n *yaml.Node) iter.Seq2[*yaml.Node, *yaml.Node] {
	return func(yield func(key, value *yaml.Node) bool) {
		if n == nil || n.Kind != yaml.MappingNode {
			return
		}
		for i := 0; i+1 < len(n.Content); i += 2 {
			if !yield(n.Content[i], n.Content[i+1]) {
				return
			}
		}
	}
}

// Key gives the key and the value of a name in a mapping, nil where it is absent.
func (d *Decoder) Key(n *yaml.Node, name string) (key, value *yaml.Node) {
	for k, v := range Pairs(n) {
		if k.Value == name {
			return k, v
		}
	}
	return nil, nil
}

// value decodes n into v, which can be set.
func (d *Decoder) value(n *yaml.Node, v reflect.Value) {
	if v.CanAddr() {
		if u, ok := v.Addr().Interface().(Unmarshaler); ok {
			u.UnmarshalNode(d, n)
			return
		}
	}
	switch v.Kind() {
	case reflect.Pointer:
		d.pointer(n, v)
	case reflect.Struct:
		if n.Kind != yaml.MappingNode {
			d.wrongKind(n, "a mapping")
			return
		}
		d.structure(n, v, false)
	case reflect.Slice:
		d.slice(n, v)
	case reflect.Map:
		d.mapping(n, v)
	case reflect.Interface:
		if x := d.any(n); x != nil {
			v.Set(reflect.ValueOf(x))
		} else {
			v.SetZero()
		}
	default:
		d.scalarValue(n, v)
	}
}

func (d *Decoder) pointer(n *yaml.Node, v reflect.Value) {
	if v.Type() == reflect.TypeFor[*yaml.Node]() {
		v.Set(reflect.ValueOf(n))
		return
	}
	if v.IsNil() {
		v.Set(reflect.New(v.Type().Elem()))
	}
	d.value(n, v.Elem())
}

func (d *Decoder) slice(n *yaml.Node, v reflect.Value) {
	if n.Kind != yaml.SequenceNode {
		d.wrongKind(n, "a list")
		return
	}
	s := reflect.MakeSlice(v.Type(), len(n.Content), len(n.Content))
	for i, c := range n.Content {
		if s.Index(i).Kind() == reflect.String && isNull(c) && !isEmpty(c) {
			// In a list of texts null and ~ are texts like any other: somebody's account may be called that.
			s.Index(i).SetString(c.Value)
			continue
		}
		d.value(c, s.Index(i))
	}
	v.Set(s)
}

func (d *Decoder) mapping(n *yaml.Node, v reflect.Value) {
	if v.Type().Key().Kind() != reflect.String {
		panic(fmt.Sprintf("strictyaml: a %s has no string keys", v.Type()))
	}
	if n.Kind != yaml.MappingNode {
		d.wrongKind(n, "a mapping")
		return
	}
	m := reflect.MakeMapWithSize(v.Type(), len(n.Content)/2)
	for key, value := range Pairs(n) {
		elem := reflect.New(v.Type().Elem()).Elem()
		d.value(value, elem)
		m.SetMapIndex(reflect.ValueOf(key.Value).Convert(v.Type().Key()), elem)
	}
	v.Set(m)
}

// structure decodes a mapping into a struct; top tells that it is a file's.
func (d *Decoder) structure(n *yaml.Node, v reflect.Value, top bool) {
	fields := d.fieldsOf(v.Type())
	known := fields.names
	if top {
		known = append(slices.Clone(known), "version")
	}
	for key, value := range Pairs(n) {
		f, ok := fields.byName[key.Value]
		if !ok {
			if !d.Doc.faulty[n] { // a mapping that is none has no keys to speak of
				d.Problemf(key, "unknown key %q%s", key.Value, nearword.Hint(key.Value, known))
			}
			continue
		}
		if top && d.Section != nil {
			d.Section(key.Value)
		}
		target := fieldByIndex(v, f.index)
		if f.text && target.Kind() == reflect.String {
			if s, ok := d.Text(value); ok {
				target.SetString(d.expand(value, s))
			}
			continue
		}
		d.value(value, target)
	}
}

func (d *Decoder) expand(n *yaml.Node, s string) string {
	if d.Expand == nil {
		return s
	}
	expanded, err := d.Expand(s)
	if err != nil {
		d.ExpandProblems(n, 0, err)
		return s
	}
	return expanded
}

// ExpandProblems reports the errors of an Expand, each at its own offset in the string, which begins at a byte of n's decoded value.
func (d *Decoder) ExpandProblems(n *yaml.Node, begin int, err error) {
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		for _, e := range joined.Unwrap() {
			d.ExpandProblems(n, begin, e)
		}
		return
	}
	if at, ok := errors.AsType[interface {
		error
		Offset() int
	}](err); ok {
		begin += at.Offset()
	}
	d.ProblemAt(n, begin, err.Error())
}

func (d *Decoder) wrongKind(n *yaml.Node, want string) {
	switch {
	case isEmpty(n):
		hint := ""
		switch want {
		case "a text":
			hint = `, or "" for an empty one`
		case "a list":
			hint = ", or [] for an empty one"
		case "a mapping":
			hint = ", or {} for an empty one"
		}
		d.Problemf(n, "nothing is written here: write %s%s, or remove it", want, hint)
	case n.Kind == yaml.MappingNode && n.Style&yaml.FlowStyle != 0 && want != "a list":
		d.Problemf(n, "must be %s, not a mapping; quote a text that begins with {", want)
	case n.Kind == yaml.SequenceNode && n.Style&yaml.FlowStyle != 0 && want == "a text":
		d.Problemf(n, "must be a text, not a list; quote a text that begins with [")
	default:
		d.Problemf(n, "must be %s, not %s", want, kindName(n))
	}
}
