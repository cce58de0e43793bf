package rules

import (
	"crypto/sha256"
	"errors"
	"strings"

	"gopkg.in/yaml.v3"

	"github.com/aftermath-rules/aftermath/internal/lang"
	"github.com/aftermath-rules/aftermath/internal/strictyaml"
)

// errStale says that a carried file cannot be compiled without its text.
var errStale = errors.New("a file that did not change must be parsed again")

// place is where something stands in a file.
type place struct{ line, column int32 }

func placeOf(n *yaml.Node) place { return place{int32(n.Line), int32(n.Column)} }

// node is an empty node at the place, to report something at.
func (p place) node() *yaml.Node {
	return &yaml.Node{Kind: yaml.ScalarNode, Line: int(p.line), Column: int(p.column)}
}

// carried is what a set keeps of one of its files, so that the next set can be made without parsing the file again.
type carried struct {
	name, rel string
	sum       [sha256.Size]byte
	lists     []listDef
	actions   []actionDef
	rules     []*Rule
	texts     []ruleText // of the rules; nil where they cannot be told
	odd       Problems   // warnings that parsing gave
}

// carry gives the file as it was for the set, nil where it is another.
func (rs *RuleSet) carry(src source) *File {
	k := rs.before(src)
	if k == nil || k.sum != src.sum {
		return nil
	}
	return k.file(src.path)
}

// file is the file again, without its text.
func (k *carried) file(path string) *File {
	return &File{
		Name: k.name, Path: path, rel: k.rel, sum: k.sum, lists: k.lists, actions: k.actions, carried: k,
		dec: &strictyaml.Decoder{Doc: &strictyaml.Document{File: k.name}},
	}
}

// before gives what the set has of the file, whatever it holds now; nil where that is nothing.
func (rs *RuleSet) before(src source) *carried {
	k := rs.carried[src.path]
	if k == nil || k.name != src.name || k.rel != src.rel {
		return nil
	}
	return k
}

// known gives the rules that the set has of the file, by the first line of their text: those whose text is in the file still need
// not be read again.
func (rs *RuleSet) known(src source) map[string]strictyaml.Entry {
	k := rs.before(src)
	if k == nil || len(k.texts) == 0 || len(k.odd) > 0 {
		return nil
	}
	known := make(map[string]strictyaml.Entry, len(k.texts))
	for i, t := range k.texts {
		known[strictyaml.FirstLine(t.text)] = strictyaml.Entry{Text: t.text, Line: int(t.line), Value: k.rules[i]}
	}
	return known
}

// count is the number of rules in the file.
func (f *File) count() int {
	if f.carried != nil {
		return len(f.carried.rules)
	}
	return len(f.rules)
}

// compileRules compiles a file's rules, or moves them over, and keeps what the next set needs.
func (c *compiler) compileRules(f *File) {
	first := len(c.set.Rules)
	if f.carried != nil {
		c.warnings = append(c.warnings, f.carried.odd...)
		for _, r := range f.carried.rules {
			c.move(f, r, 0)
		}
	}
	for i := range f.rules {
		if def := &f.rules[i]; def.before != nil {
			c.move(f, def.before, def.moved)
		} else {
			c.rule(f, def)
		}
	}
	k := &carried{name: f.Name, rel: f.rel, sum: f.sum, rules: c.set.Rules[first:len(c.set.Rules):len(c.set.Rules)]}
	if f.carried != nil {
		k.odd, k.texts = f.carried.odd, f.carried.texts
	} else {
		_, k.odd = f.problems()
		k.texts = f.texts
	}
	for _, l := range f.lists {
		l.key, l.at = bare(l.key), bare(l.at)
		k.lists = append(k.lists, l)
	}
	for _, a := range f.actions {
		k.actions = append(k.actions, actionDef{name: a.name, key: bare(a.key)})
	}
	c.set.carried[f.Path] = k
}

// bare is a node without what is below it.
func bare(n *yaml.Node) *yaml.Node {
	if n == nil {
		return nil
	}
	return &yaml.Node{Kind: n.Kind, Style: n.Style, Tag: n.Tag, Value: n.Value, Line: n.Line, Column: n.Column}
}

// move takes over a rule whose text did not change, but may have moved by some lines. It is another Rule, since the set before runs
// on.
func (c *compiler) move(f *File, before *Rule, lines int) {
	r := *before
	r.Line, r.at.line = r.Line+lines, r.at.line+int32(lines)
	if !c.claimRule(f, place{line: int32(r.Line)}, r.Name) {
		return
	}
	cond, ok := before.condition.In(c.scope)
	if !ok { // one of its lists changed
		var errs []*lang.Error
		if cond, errs = lang.CompileCondition(r.Condition, c.scope); len(errs) > 0 {
			c.stale = true
			return
		}
	}
	r.condition = cond
	c.useLists(cond)
	for _, action := range r.Actions {
		switch {
		case strings.HasPrefix(action, r.Name+"/"):
			c.keep(f, action)
		case c.places[name{"action", action}].file == nil:
			c.stale = true
		default:
			c.used[name{"action", action}] = true
		}
	}
	c.add(&r)
}
