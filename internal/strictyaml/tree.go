package strictyaml

import (
	"fmt"
	"slices"

	"gopkg.in/yaml.v3"
)

// tree checks a document's nodes and takes aliases and merge keys out of them.
type tree struct {
	doc      *Document
	problems Problems
	size     map[*yaml.Node]int // nodes below and including it, aliases followed
	written  int                // nodes in the file
}

func (t *tree) check() {
	root := t.doc.Root
	if root == nil {
		return
	}
	if !t.shallow(root, 1) {
		t.doc.Root = nil
		return
	}
	t.size = map[*yaml.Node]int{}
	if !t.resolvable(root) {
		t.doc.Root = nil
		return
	}
	t.doc.Root = t.resolve(root, map[*yaml.Node]bool{})
}

func (t *tree) report(n *yaml.Node, format string, args ...any) {
	t.doc.faulty[n] = true
	t.problems = append(t.problems, Problem{File: t.doc.File, Line: n.Line, Column: n.Column, Message: fmt.Sprintf(format, args...)})
}

// shallow tells that no mapping or list as written is nested too deep, so that what follows may recurse, and counts the nodes.
func (t *tree) shallow(n *yaml.Node, depth int) bool {
	t.written++
	if depth > maxDepth {
		t.report(n, "mappings and lists are nested more than %d deep", maxDepth)
		return false
	}
	for _, c := range n.Content {
		if !t.shallow(c, depth+1) {
			return false
		}
	}
	return true
}

// resolvable tells that following the aliases comes to an end, and to one in proportion to the file: at most ten times as many
// nodes as are written, which no honest file needs and no bomb fits in. An alias names what stands before it, so that a chain of
// them is followed from its end, and this recurses no deeper than the file is nested.
func (t *tree) resolvable(n *yaml.Node) bool {
	const open = -1
	target := n
	for target.Kind == yaml.AliasNode {
		target = target.Alias
	}
	switch size := t.size[target]; {
	case size == open:
		t.report(n, "the alias *%s stands inside of what it names", n.Value)
		return false
	case size > 0:
		return true
	}
	t.size[target] = open
	size := 1
	for _, c := range target.Content {
		if !t.resolvable(c) {
			return false
		}
		for c.Kind == yaml.AliasNode {
			c = c.Alias
		}
		size += t.size[c]
		if size > 10*t.written+1000 {
			t.report(n, "aliases (*name) make this file more than ten times larger than it is written")
			return false
		}
	}
	t.size[target] = size
	return true
}

// resolve gives n without aliases, its mappings checked and merged. A node that several aliases name is shared.
func (t *tree) resolve(n *yaml.Node, done map[*yaml.Node]bool) *yaml.Node {
	for n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	if done[n] {
		return n
	}
	done[n] = true
	t.checkTag(n)
	for i, c := range n.Content {
		n.Content[i] = t.resolve(c, done)
	}
	if n.Kind == yaml.MappingNode && !t.doc.faulty[n] {
		t.checkKeys(n)
		t.merge(n)
	}
	return n
}

// checkTag reports tags other than YAML's own. The lone ! is one that the parser swallows: condition: ! Mutual would say the
// opposite of what it seems to.
func (t *tree) checkTag(n *yaml.Node) {
	switch n.Tag {
	case "", "!!str", "!!int", "!!float", "!!bool", "!!null", "!!map", "!!seq", "!!timestamp", "!!merge":
		if n.Kind != yaml.ScalarNode {
			return
		}
		if _, properties := t.doc.content(n); !slices.Contains(properties, "!") {
			return
		}
		t.report(n, "the tag ! has no meaning here; quote the value if the ! belongs to it")
	default:
		t.report(n, "unknown tag %s; quote the value if the ! belongs to it", n.Tag)
	}
}

func (t *tree) checkKeys(n *yaml.Node) {
	if n.Style&yaml.FlowStyle != 0 && len(n.Content) > 0 && n.Content[0].Kind == yaml.MappingNode {
		t.report(n, "YAML takes {{ for the beginning of a mapping; quote the value")
		t.doc.faulty[n.Content[0]] = true
		return
	}
	first := make(map[string]*yaml.Node, len(n.Content)/2)
	for key := range Pairs(n) {
		if key.Kind != yaml.ScalarNode || isEmpty(key) {
			t.report(key, "a key must be a text")
			t.doc.faulty[n] = true
			continue
		}
		if before, ok := first[key.Value]; ok {
			t.report(key, "the key %q is written twice: first on line %d", key.Value, before.Line)
			continue
		}
		first[key.Value] = key
	}
}

// merge replaces << by the keys of the mappings that it names; keys written beside it come first, then earlier mappings.
func (t *tree) merge(n *yaml.Node) {
	var content, sources []*yaml.Node
	for key, value := range Pairs(n) {
		switch {
		case key.Tag != "!!merge":
			content = append(content, key, value)
		case value.Kind == yaml.MappingNode:
			sources = append(sources, value)
		case value.Kind == yaml.SequenceNode && !slices.ContainsFunc(value.Content, notMapping):
			sources = append(sources, value.Content...)
		default:
			t.report(value, "<< must be followed by an alias of a mapping, or by a list of them")
		}
	}
	if len(content) == len(n.Content) {
		return
	}
	has := make(map[string]bool)
	for i := 0; i < len(content); i += 2 {
		has[content[i].Value] = true
	}
	for _, source := range sources {
		for key, value := range Pairs(source) {
			if key.Kind == yaml.ScalarNode && !has[key.Value] {
				has[key.Value] = true
				content = append(content, key, value)
			}
		}
	}
	n.Content = content
}

func notMapping(n *yaml.Node) bool { return n.Kind != yaml.MappingNode }

// kindName says what a node is, in plain words.
func kindName(n *yaml.Node) string {
	switch {
	case n.Kind == yaml.MappingNode:
		return "a mapping"
	case n.Kind == yaml.SequenceNode:
		return "a list"
	case isEmpty(n):
		return "empty"
	case !isPlain(n):
		return "a text"
	case n.Tag == "!!int" || n.Tag == "!!float":
		return "a number"
	case n.Tag == "!!bool":
		return n.Value
	case n.Tag == "!!null":
		return "null"
	}
	return "a text"
}
