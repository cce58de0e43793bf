package actions

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"go.uber.org/zap"
	"gopkg.in/yaml.v3"

	"github.com/aftermath-rules/aftermath/internal/lang"
	"github.com/aftermath-rules/aftermath/internal/nearword"
	"github.com/aftermath-rules/aftermath/internal/secrets"
	"github.com/aftermath-rules/aftermath/internal/strictyaml"
)

// Builder is what Build needs besides the node.
type Builder struct {
	Scope   *lang.Scope
	Secrets *secrets.Resolver
	Env     Env                         // Name and Concurrency are filled in by Build
	Prev    func(name string) *Instance // the running set's action of a name, nil for none: carried over where nothing changed
}

// Build makes the action called name from its mapping node (type, the options, the type's own fields, but not the rules file's
// own key "name"). Problems go to dec; nil is returned where there were any. Where the node, the values of its secrets, the lists
// of its templates and the files that it read are as they were for Prev's action of the name, that very Instance is returned.
func (r *Registry) Build(dec *strictyaml.Decoder, n *yaml.Node, name string, b Builder) *Instance {
	t, ok := r.typeOf(dec, n)
	if !ok {
		return nil
	}
	if b.Scope == nil {
		b.Scope = &lang.Scope{}
	}
	b.Env = b.Env.named(name)
	print := newFingerprint(t.name, name, n)
	if b.Prev != nil {
		if prev := b.Prev(name); prev != nil && prev.inputs.print == print && prev.inputs.same(b) {
			return prev
		}
	}
	return t.build(dec, n, name, b, print)
}

// Keep gives Prev's action of the name where Build would, given a node that says what its node said; else nil.
func Keep(name string, b Builder) *Instance {
	if b.Scope == nil {
		b.Scope = &lang.Scope{}
	}
	if prev := b.Prev(name); prev != nil && prev.inputs.same(b) {
		return prev
	}
	return nil
}

// named gives the environment of one action, with what every action may count on.
func (e Env) named(name string) Env {
	e.Name = name
	if e.Logger == nil {
		e.Logger = zap.NewNop()
	}
	return e
}

// typeOf finds the type that the node names.
func (r *Registry) typeOf(dec *strictyaml.Decoder, n *yaml.Node) (registered, bool) {
	if n.Kind != yaml.MappingNode {
		dec.Problemf(n, "an action is a mapping with a type, such as {type: log, message: …}")
		return registered{}, false
	}
	at, ok := lookup(n, "type")
	if !ok {
		dec.Problemf(n, "the action has no type; %s", r.known())
		return registered{}, false
	}
	t, ok := r.types[at.Value]
	if !ok || at.Kind != yaml.ScalarNode {
		dec.Problemf(at, "there is no action type %q; %s", at.Value, r.known())
		return registered{}, false
	}
	return t, true
}

func (t registered) build(dec *strictyaml.Decoder, n *yaml.Node, name string, b Builder, print fingerprint) *Instance {
	before := dec.Errors()
	sc := newScope(b)
	options, config := t.decode(dec, n, sc)
	if dec.Errors() > before {
		return nil
	}
	reads := newFileLog(b.Env.ReadFile)
	env := b.Env
	env.ReadFile, env.Concurrency = reads.read, options.Concurrency
	action, err := t.impl.make(config, env)
	if err != nil {
		var mask secrets.Mask
		mask.Add(sc.values...)
		reportNew(dec, n, &mask, err)
		return nil
	}
	i := &Instance{
		Name: name, Type: t.name, Options: options,
		action: action, config: reflect.ValueOf(config).Elem(),
		inputs: inputs{print: print, smtp: b.Env.SMTP, secrets: sc.used, files: reads.hashes, lists: sc.lists},
	}
	i.mask.Add(sc.values...)
	return i
}

// decode reads the options and the configuration from the action's node.
func (t registered) decode(dec *strictyaml.Decoder, n *yaml.Node, sc *scope) (Options, any) {
	expand, outer := dec.Expand, dec.Scope
	dec.Expand, dec.Scope = sc.expand, sc
	defer func() { dec.Expand, dec.Scope = expand, outer }()

	common, own := t.divide(dec, n)
	options := decodeOptions(dec, common)
	config := t.impl.config()
	dec.Decode(own, config)
	checkFields(dec, own, reflect.ValueOf(config).Elem(), t.fields, "")
	return options, config
}

// checkFields holds a mapping, and the structs below it, against their tags: required and enum.
func checkFields(dec *strictyaml.Decoder, n *yaml.Node, v reflect.Value, fields []configField, path string) {
	for _, f := range fields {
		at := valueOf(n, f.name)
		value, name := v.FieldByIndex(f.index), dotted(path, f.name)
		switch {
		case at == nil && f.tag.Get("required") == "true":
			dec.Problemf(n, "%s is missing", name)
		case at == nil || dec.Faulty(at):
		case f.tag.Get("enum") != "" && value.Kind() == reflect.String:
			if allowed := strings.Split(f.tag.Get("enum"), ","); !slices.Contains(allowed, value.String()) {
				dec.Problemf(at, "%s must be one of %s", name, strings.Join(allowed, ", "))
			}
		default:
			checkBelow(dec, at, value, name)
		}
	}
}

// checkBelow finds the structs in a field's value and calls checkFields for each.
func checkBelow(dec *strictyaml.Decoder, n *yaml.Node, v reflect.Value, path string) {
	if reflect.PointerTo(v.Type()).Implements(unmarshalerType) {
		return // it has decoded itself
	}
	switch {
	case v.Kind() == reflect.Pointer && !v.IsNil():
		checkBelow(dec, n, v.Elem(), path)
	case v.Kind() == reflect.Struct && n.Kind == yaml.MappingNode:
		if fields, err := fieldsOf(v.Type()); err == nil {
			checkFields(dec, n, v, fields, path)
		}
	case v.Kind() == reflect.Slice && n.Kind == yaml.SequenceNode:
		for i := range min(v.Len(), len(n.Content)) {
			checkBelow(dec, n.Content[i], v.Index(i), dotted(path, strconv.Itoa(i)))
		}
	case v.Kind() == reflect.Map && n.Kind == yaml.MappingNode:
		for key, value := range strictyaml.Pairs(n) {
			if entry := v.MapIndex(reflect.ValueOf(key.Value).Convert(v.Type().Key())); entry.IsValid() {
				checkBelow(dec, value, entry, dotted(path, key.Value))
			}
		}
	}
}

// divide gives the options' part of the node and the type's own, and reports the keys that are neither.
func (t registered) divide(dec *strictyaml.Decoder, n *yaml.Node) (common, own *yaml.Node) {
	common, own = emptyLike(n), emptyLike(n)
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		switch {
		case key.Value == "type":
		case slices.Contains(t.options, key.Value):
			common.Content = append(common.Content, key, value)
		case slices.Contains(t.names, key.Value):
			own.Content = append(own.Content, key, value)
		default:
			all := slices.Sorted(slices.Values(slices.Concat(t.names, t.options)))
			dec.Problemf(key, "unknown key %q%s; an action of type %s has %s", key.Value, nearword.Hint(key.Value, all), t.name, strings.Join(all, ", "))
		}
	}
	return common, own
}

func emptyLike(n *yaml.Node) *yaml.Node {
	return &yaml.Node{Kind: n.Kind, Tag: n.Tag, Style: n.Style, Line: n.Line, Column: n.Column}
}

// reportNew puts the errors of New at their places.
func reportNew(dec *strictyaml.Decoder, n *yaml.Node, mask *secrets.Mask, err error) {
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		for _, e := range joined.Unwrap() {
			reportNew(dec, n, mask, e)
		}
		return
	}
	at := n
	var field *FieldError
	if errors.As(err, &field) {
		at = nodeAt(n, field.Field)
	}
	dec.Problemf(at, "%s", mask.Text(fmt.Sprint(err)))
}
