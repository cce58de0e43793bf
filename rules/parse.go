package rules

import (
	"crypto/sha256"
	"errors"
	"slices"
	"strings"

	"gopkg.in/yaml.v3"

	"github.com/aftermath-rules/aftermath/internal/strictyaml"
)

// File is one parsed rules file, its positions kept. It is used up by Compile.
type File struct {
	Name string // as problems name it
	Path string // absolute: what relative paths in it are relative to; "" for a text that is no file

	rel     string // slash path below the rules folder
	sum     [sha256.Size]byte
	syntax  Problems // what the document itself has wrong
	dec     *strictyaml.Decoder
	lists   []listDef
	actions []actionDef
	rules   []ruleDef
	texts   []ruleText // of the rules; nil where they cannot be told
	carried *carried   // instead of all that the text would give
	raw     rawRule    // the rule that is being parsed
	expect  int        // how many rules there may be
	detach  bool       // what is made of the text must not hold on to it
}

// listDef is a list as it is written: values, or the file that holds them.
type listDef struct {
	name   string
	key    *yaml.Node
	values []string
	file   string
	at     *yaml.Node // the file's name
	faulty bool       // it was reported already
}

// actionDef is a named action as it is written.
type actionDef struct {
	name      string
	key, node *yaml.Node
}

// ruleDef is a rule as it is written.
type ruleDef struct {
	name, description     string
	condition             string
	at, nameAt            place // of the rule; of its name, zero where it has none
	conditionAt           place // zero where there is none to compile
	style                 yaml.Style
	actions               []actionRef
	stop, enabled, shadow bool
	labels                map[string]string

	before *Rule // what it was compiled to already: then nothing else is set
	moved  int   // by how many lines since then
}

// conditionNode is the condition's value, to report something within it.
func (def *ruleDef) conditionNode() *yaml.Node {
	n := def.conditionAt.node()
	n.Style, n.Value = def.style, def.condition
	return n
}

// ruleText is the text of a rule.
type ruleText struct {
	text string
	line int32 // on which it begins
}

// actionRef is an entry of a rule's actions: a name or an action written there.
type actionRef struct {
	at     place
	name   string     // of a named action, or the name of an inline one; "" where it has none
	inline *yaml.Node // nil for a named action
	faulty bool       // its name was reported already
}

// rawRule is a rule before it is known to be sound.
type rawRule struct {
	Name        *yaml.Node        `yaml:"name"`
	Description string            `yaml:"description"`
	Condition   *yaml.Node        `yaml:"condition"`
	Actions     *yaml.Node        `yaml:"actions"`
	Stop        bool              `yaml:"stop"`
	Enabled     bool              `yaml:"enabled"`
	Shadow      bool              `yaml:"shadow"`
	Labels      map[string]string `yaml:"labels"`
	Callbacks   *yaml.Node        `yaml:"callbacks"`
}

// Parse reads one rules file. The error is Problems. The File is returned beside it where the text is sound YAML, so that Compile can
// report what else is wrong.
func Parse(name string, data []byte) (*File, error) {
	return parse(newSource(name, "", "", data), nil, nil)
}

// parse is Parse of a file of which prev (which may be nil) had an earlier text: rules that are known, by the first line of their
// text, are not looked into.
func parse(src source, prev *RuleSet, known map[string]strictyaml.Entry) (*File, error) {
	const ruleSize = 96 // few are shorter
	f := &File{
		Name: src.name, Path: src.path, rel: src.rel, sum: src.sum,
		expect: max(len(known)+16, len(src.data)/ruleSize), detach: prev != nil,
	}
	if len(src.data) == 0 {
		return nil, Problems{{File: f.Name, Line: 1, Column: 1,
			Message: "the file is empty, as if half-written; a file without rules holds at least a comment"}}
	}
	doc, err := strictyaml.ParseEntries(f.Name, src.data, &strictyaml.Entries{Key: "rules", Known: known, Read: f.entry})
	var ps Problems
	if err != nil && !errors.As(err, &ps) {
		ps = Problems{{File: f.Name, Line: 1, Column: 1, Message: err.Error()}}
	}
	for i := range ps {
		ps[i].Line, ps[i].Column = max(ps[i].Line, 1), max(ps[i].Column, 1)
	}
	if doc == nil {
		return nil, ps
	}
	if f.syntax = ps; !doc.Listed() {
		f.dec, f.rules, f.texts = &strictyaml.Decoder{Doc: doc}, nil, nil
	}
	if f.detach {
		detach(doc.Root)
	}
	f.top()
	if ps, _ := f.problems(); len(ps) > 0 {
		return f, ps
	}
	doc.Root = nil // the tree takes some 25 times as much memory as its text
	return f, nil
}

// entry takes one rule while the file is being read.
func (f *File) entry(doc *strictyaml.Document, e strictyaml.Entry, n *yaml.Node) (keep bool) {
	if f.dec == nil {
		f.dec = &strictyaml.Decoder{Doc: doc}
		f.rules, f.texts = make([]ruleDef, 0, f.expect), make([]ruleText, 0, f.expect)
	}
	f.texts = append(f.texts, ruleText{e.Text, int32(e.Line)})
	if e.Value != nil {
		f.rules = append(f.rules, ruleDef{before: e.Value.(*Rule), moved: e.Moved})
		return false
	}
	if f.detach {
		detach(n)
	}
	errors := f.dec.Errors()
	f.addRule(n)
	return f.dec.Errors() > errors || slices.ContainsFunc(f.rules[len(f.rules)-1].actions, func(ref actionRef) bool { return ref.inline != nil })
}

// detach gives the nodes texts of their own. What an edit makes is taken over by the sets after it, and would keep the whole file in
// memory as it was at that edit.
func detach(n *yaml.Node) {
	if n == nil {
		return
	}
	n.Value = strings.Clone(n.Value)
	for _, c := range n.Content {
		detach(c)
	}
}

// problems gives what was found so far: errors and warnings.
func (f *File) problems() (errs, warnings Problems) {
	errs = slices.Clone(f.syntax)
	for _, p := range f.dec.Problems() {
		if p.Warning {
			warnings = append(warnings, p)
		} else {
			errs = append(errs, p)
		}
	}
	return errs, warnings
}

func (f *File) top() {
	var top struct {
		Lists   *yaml.Node `yaml:"lists"`
		Actions *yaml.Node `yaml:"actions"`
		Rules   *yaml.Node `yaml:"rules"`
	}
	f.dec.DecodeFile(&top)
	if top.Lists != nil {
		f.parseLists(top.Lists)
	}
	if top.Actions != nil {
		f.parseActions(top.Actions)
	}
	if top.Rules != nil {
		f.parseRules(top.Rules)
	}
}

const lower, digits = "abcdefghijklmnopqrstuvwxyz", "0123456789"

// isListName tells whether s has the shape [a-z][a-z0-9_]*.
func isListName(s string) bool {
	return s != "" && strings.Contains(lower, s[:1]) && strings.Trim(s, lower+digits+"_") == ""
}

// isName tells whether s has the shape [a-z0-9_.-]+.
func isName(s string) bool { return s != "" && strings.Trim(s, lower+digits+"_.-") == "" }

// name reports a name that does not look like one.
func (f *File) name(n *yaml.Node, what string) bool {
	if isName(n.Value) {
		return true
	}
	f.dec.Problemf(n, "%s: %q is no name: only a-z, 0-9 and the characters _ . - may be in it", what, n.Value)
	return false
}

func (f *File) parseLists(n *yaml.Node) {
	if n.Kind != yaml.MappingNode {
		f.dec.Problemf(n, "lists is a mapping of names to values, such as vips: [alice, bob], or to {file: vips.txt}")
		return
	}
	for key, value := range strictyaml.Pairs(n) {
		def := listDef{name: key.Value, key: key}
		if !isListName(key.Value) {
			f.dec.Problemf(key, "list: %q is no name of a list: it begins with a-z, and only a-z, 0-9 and _ may be in it", key.Value)
			def.faulty = true
		}
		f.listValue(&def, value)
		f.lists = append(f.lists, def)
	}
}

func (f *File) listValue(def *listDef, n *yaml.Node) {
	switch n.Kind {
	case yaml.SequenceNode:
		f.dec.Decode(n, &def.values)
	case yaml.MappingNode:
		var in struct {
			File *yaml.Node `yaml:"file"`
		}
		f.dec.Decode(n, &in)
		if in.File == nil {
			if def.faulty = true; len(n.Content) == 0 {
				f.dec.Problemf(n, "a list is [value, …] or {file: path}")
			}
			return
		}
		path, ok := f.dec.Text(in.File)
		if ok && path == "" {
			f.dec.Problemf(in.File, "the file of the list %s has no name", def.name)
		}
		def.file, def.at, def.faulty = path, in.File, def.faulty || path == ""
	default:
		f.dec.Problemf(n, "a list is [value, …] or {file: path}")
		def.faulty = true
	}
}

func (f *File) parseActions(n *yaml.Node) {
	if n.Kind != yaml.MappingNode {
		f.dec.Problemf(n, "actions is a mapping of names to actions")
		return
	}
	for key, value := range strictyaml.Pairs(n) {
		f.name(key, "action")
		if value.Kind != yaml.MappingNode {
			f.dec.Problemf(value, "the action %s is a mapping with a type and the type's own keys", key.Value)
			value = nil
		}
		f.actions = append(f.actions, actionDef{name: key.Value, key: key, node: value})
	}
}

func (f *File) parseRules(n *yaml.Node) {
	if n.Kind != yaml.SequenceNode {
		f.dec.Problemf(n, "rules is a list of rules, each beginning with - ; to run no rules, write rules: []")
		return
	}
	for _, r := range n.Content { // none where f.entry was told of each
		f.addRule(r)
	}
}

func (f *File) addRule(n *yaml.Node) {
	if n.Kind != yaml.MappingNode {
		f.dec.Problemf(n, "a rule is a mapping with the keys name, condition and actions")
		return
	}
	f.rules = append(f.rules, f.parseRule(n))
}

func (f *File) parseRule(n *yaml.Node) ruleDef {
	f.raw = rawRule{Enabled: true}
	f.dec.Decode(n, &f.raw)
	rule := &f.raw
	def := ruleDef{at: placeOf(n), description: rule.Description, stop: rule.Stop, enabled: rule.Enabled, shadow: rule.Shadow, labels: rule.Labels}
	if c := rule.Callbacks; c != nil {
		f.dec.Problemf(c, "the key callbacks is reserved: a rule sees friend-delete callbacks; take the key away")
	}
	if at := rule.Name; at == nil {
		f.dec.Problemf(n, "this rule has no name")
	} else if _, ok := f.dec.Scalar(at); ok {
		if def.nameAt = placeOf(at); f.name(at, "rule") {
			def.name = at.Value
		}
	}
	if at := rule.Condition; at == nil {
		f.dec.Problemf(n, "%s has no condition", def.what())
	} else if src, ok := f.dec.Text(at); ok && !f.dec.Faulty(at) {
		def.condition, def.conditionAt, def.style = strings.TrimRight(src, "\n"), placeOf(at), at.Style // a | block ends with a line break
	}
	if at := rule.Actions; at == nil {
		f.dec.Problemf(n, "%s has no actions: it needs at least one", def.what())
	} else {
		def.actions = f.parseRefs(at, &def)
	}
	return def
}

// what calls the rule something in a problem.
func (def *ruleDef) what() string {
	if def.name == "" {
		return "this rule"
	}
	return "the rule " + def.name
}

func (f *File) parseRefs(n *yaml.Node, def *ruleDef) []actionRef {
	if n.Kind != yaml.SequenceNode {
		f.dec.Problemf(n, "the actions of a rule are a list: write - before each")
		return nil
	}
	if len(n.Content) == 0 {
		f.dec.Problemf(n, "%s has no actions: it needs at least one", def.what())
	}
	refs := make([]actionRef, 0, len(n.Content))
	for _, a := range n.Content {
		switch {
		case a.Kind == yaml.ScalarNode && a.Value != "":
			refs = append(refs, actionRef{at: placeOf(a), name: a.Value})
		case a.Kind == yaml.MappingNode:
			refs = append(refs, f.inline(a))
		default:
			f.dec.Problemf(a, "an action is the name of one under actions:, or a mapping with a type")
		}
	}
	return refs
}

// inline takes the rules file's own key, the name, off an action that is written in a rule.
func (f *File) inline(n *yaml.Node) actionRef {
	ref := actionRef{at: placeOf(n)}
	own := *n
	own.Content = nil
	for key, value := range strictyaml.Pairs(n) {
		if key.Value != "name" {
			own.Content = append(own.Content, key, value)
			continue
		}
		if _, ok := f.dec.Scalar(value); ok && f.name(value, "action") {
			ref.name = value.Value
		} else {
			ref.faulty = true
		}
	}
	ref.inline = &own
	return ref
}
