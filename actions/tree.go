package actions

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"gopkg.in/yaml.v3"

	"github.com/aftermath-rules/aftermath/internal/lang"
	"github.com/aftermath-rules/aftermath/internal/strictyaml"
)

// Tree is a mapping, list or text whose leaves are templates: a leaf that is exactly one {{ … }} keeps its type. Whoever sends it
// encodes what Render gives by its structure, as JSON; a tree that comes out as a string is a text, to be sent as it is.
type Tree struct{ root *branch }

// branch is one node of a Tree.
type branch struct {
	keys     []string  // of a mapping, in the file's order
	children []*branch // of a mapping or list
	isList   bool
	value    any           // a literal number, bool or null
	typed    *lang.Program // a leaf that is exactly one {{ … }}
	text     Text          // any other leaf
}

// Render gives the tree for d as maps, slices, strings, numbers, bools. Its error is Permanent.
func (t Tree) Render(d *Delivery) (any, error) { return t.render(d, false) }

// Masked is Render with each secret as [secret]: for what is written for people to read.
func (t Tree) Masked(d *Delivery) (any, error) { return t.render(d, true) }

// IsZero tells that the field was absent.
func (t Tree) IsZero() bool { return t.root == nil }

// IsMapping tells that the tree is a mapping: Render gives a map[string]any.
func (t Tree) IsMapping() bool { return t.root != nil && t.root.keys != nil }

// Keys are the keys of a tree that is a mapping, in the order of the file.
func (t Tree) Keys() []string {
	if t.root == nil {
		return nil
	}
	return slices.Clone(t.root.keys)
}

// Format writes what the field is, never its value, whatever the verb: it may hold secrets.
func (t Tree) Format(f fmt.State, _ rune) { fmt.Fprint(f, "[tree]") }

// JSONSchema describes the field in the configuration's schema.
func (Tree) JSONSchema() map[string]any { return map[string]any{} }

// UnmarshalNode compiles the tree. It is called by the decoder.
func (t *Tree) UnmarshalNode(d *strictyaml.Decoder, n *yaml.Node) {
	t.root = compileBranch(d, n)
}

func (t Tree) render(d *Delivery, mask bool) (any, error) {
	if t.root == nil {
		return nil, nil
	}
	return t.root.render(d, mask)
}

func (t Tree) preview(d *Delivery) (any, error) { return t.Masked(d) }

func (b *branch) render(d *Delivery, mask bool) (any, error) {
	switch {
	case b.keys != nil:
		m := make(map[string]any, len(b.keys))
		for i, key := range b.keys {
			v, err := b.children[i].render(d, mask)
			if err != nil {
				return nil, err
			}
			m[key] = v
		}
		return m, nil
	case b.isList:
		list := make([]any, len(b.children))
		for i, child := range b.children {
			v, err := child.render(d, mask)
			if err != nil {
				return nil, err
			}
			list[i] = v
		}
		return list, nil
	case b.typed != nil:
		v, err := b.typed.Eval(d.vars())
		if err != nil {
			return nil, permanentf("{{ %s }}: %w", b.typed.Source(), err)
		}
		return plain(v), nil
	case !b.text.IsZero():
		return b.text.render(d, mask)
	}
	return b.value, nil
}

// plain gives a value of the language as one that JSON knows.
func plain(v any) any {
	switch v := v.(type) {
	case time.Time:
		return lang.Format(v)
	case map[string]string:
		m := make(map[string]any, len(v))
		for key, value := range v {
			m[key] = value
		}
		return m
	}
	return v
}

// compileBranch compiles a node and all below it. What is wrong goes to d.
func compileBranch(d *strictyaml.Decoder, n *yaml.Node) *branch {
	switch n.Kind {
	case yaml.SequenceNode:
		b := &branch{isList: true}
		for _, item := range n.Content {
			b.children = append(b.children, compileBranch(d, item))
		}
		return b
	case yaml.MappingNode:
		return compileMapping(d, n)
	}
	return compileLeaf(d, n)
}

func compileMapping(d *strictyaml.Decoder, n *yaml.Node) *branch {
	b := &branch{keys: make([]string, 0, len(n.Content)/2)}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		switch {
		case key.Kind == yaml.MappingNode:
			d.Problemf(n, "YAML took this for a mapping: put the text in quotes, as in \"{{ … }}\"")
			return b
		case key.Kind != yaml.ScalarNode:
			d.Problemf(key, "a key is a text")
			continue
		case strings.Contains(key.Value, "{{"):
			d.Problemf(key, "a key takes no template: only values do")
			continue
		case strings.Contains(key.Value, "${env:") || strings.Contains(key.Value, "${file:"):
			d.Problemf(key, "a key takes no secret: only values do")
			continue
		}
		b.keys = append(b.keys, key.Value)
		b.children = append(b.children, compileBranch(d, value))
	}
	return b
}

// compileLeaf compiles a scalar: a literal number, bool or null stays one, all else is a text.
func compileLeaf(d *strictyaml.Decoder, n *yaml.Node) *branch {
	if value, ok, err := literal(n); err != nil {
		d.Problemf(n, "%s", err.Error())
		return &branch{}
	} else if ok {
		return &branch{value: value}
	}
	parts, ok := compileParts(d, n, false)
	if !ok {
		return &branch{}
	}
	if len(parts) == 1 && parts[0].program != nil {
		return &branch{typed: parts[0].program}
	}
	return &branch{text: Text{parts}}
}

// literal gives the value of an unquoted number, bool or null.
func literal(n *yaml.Node) (value any, ok bool, err error) {
	if n.Style != 0 {
		return nil, false, nil
	}
	switch n.ShortTag() {
	case "!!null":
		return nil, true, nil
	case "!!bool":
		return strings.EqualFold(n.Value, "true"), true, nil
	case "!!int":
		i, err := strconv.ParseInt(n.Value, 10, 64)
		if err != nil || strconv.FormatInt(i, 10) != n.Value {
			return nil, false, fmt.Errorf("%s is no plain decimal number of 64 bits: put it in quotes if it is a text", n.Value)
		}
		return i, true, nil
	case "!!float":
		f, err := strconv.ParseFloat(n.Value, 64)
		if err != nil || math.IsInf(f, 0) || math.IsNaN(f) {
			return nil, false, fmt.Errorf("%s is no number that JSON can write: put it in quotes if it is a text", n.Value)
		}
		return f, true, nil
	}
	return nil, false, nil
}
