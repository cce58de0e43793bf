package rules

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"gopkg.in/yaml.v3"

	"github.com/aftermath-rules/aftermath/actions"
	"github.com/aftermath-rules/aftermath/internal/lang"
	"github.com/aftermath-rules/aftermath/internal/nearword"
	"github.com/aftermath-rules/aftermath/internal/secrets"
)

// Options are what Compile needs besides the files.
type Options struct {
	Registry *actions.Registry
	Env      actions.Env   // lent to actions; its ReadFile is made for each rules file
	Permit   Permit        // which secrets and files the rules may use
	Folders  []string      // the rules folders: files in them may always be used
	Prev     *RuleSet      // what did not change is taken over from it; may be nil
	Mask     *secrets.Mask // is told every secret; may be nil
	// OpenLists names the lists whose values WithLists may replace: for rule tests.
	OpenLists map[string]bool

	maxRules int // 0 for as many as usual

	trial  bool    // what did not change is taken over from Prev as it is, its secrets and list files too: nothing will be run
	reader *reader // nil: the disk
	broken string  // the text of files that could not be parsed
}

// compiler is the state of one Compile.
type compiler struct {
	Options
	set      *RuleSet
	scope    *lang.Scope
	secrets  map[string]*secrets.Resolver // by the folder that relative paths are relative to, and whether they give placeholders
	inputs   map[string]bool              // absolute paths of the files that were asked for
	places   map[name]position            // where each list and named action is
	stale    bool                         // a carried file does not fit any more: its text is needed
	known    []string                     // the named actions
	used     map[name]bool                // lists and named actions
	problems Problems                     // in list files
	warnings Problems
}

// Compile makes one rule set of files, which come in the order that their rules run in. The error is Problems: all that is wrong with
// all of them, what Parse reported included. It uses the files up.
func Compile(files []*File, o Options) (*RuleSet, error) {
	set, _, err := compile(files, o)
	return set, err
}

// compile is Compile that also gives the files that the set depends on, or would if it could be compiled.
func compile(files []*File, o Options) (*RuleSet, []string, error) {
	if o.reader == nil {
		o.reader = newReader(resolveAll(slices.Concat(o.Folders, o.Permit.Files)), usualBounds.inputs)
	}
	count := 0
	for _, f := range files {
		count += f.count()
		if most := cmp.Or(o.maxRules, usualBounds.rules); count > most {
			return nil, nil, Problems{{File: f.Name, Line: 1, Column: 1, Message: fmt.Sprintf("with this file there are %d rules, more than %d", count, most)}}
		}
	}
	c := &compiler{
		Options: o,
		set: &RuleSet{
			LoadedAt: time.Now(),
			Rules:    make([]*Rule, 0, count),
			all:      make([]Rule, 0, count),
			byName:   make(map[string]*Rule, count),
			carried:  make(map[string]*carried, len(files)),
			actions:  map[string]*actions.Instance{},
			lists:    map[string]*list{},
		},
		scope:   &lang.Scope{Lists: map[string]*lang.List{}},
		secrets: map[string]*secrets.Resolver{},
		inputs:  map[string]bool{},
		places:  map[name]position{},
		used:    map[name]bool{},
	}
	c.compileLists(files)
	c.compileActions(files)
	for _, f := range files {
		c.compileRules(f)
	}
	inputs := c.finish()
	if c.stale {
		return nil, inputs, errStale
	}
	errs := c.problems
	for _, f := range files {
		wrong, odd := f.problems()
		errs, c.warnings = append(errs, wrong...), append(c.warnings, odd...)
	}
	if len(errs) > 0 {
		return nil, inputs, sorted(errs)
	}
	for _, h := range c.set.buildIndex() {
		c.warnings = append(c.warnings, Problem{File: h.first.File, Line: int(h.first.at.line), Column: int(h.first.at.column), Warning: true,
			Message: fmt.Sprintf("%d rules are found by the same %s: a pair that has it costs a look at each of them", h.rules, h.test)})
	}
	c.warnOdd(files)
	c.set.Warnings = sorted(c.warnings)
	c.set.Hash = hash(files, c.set.lists)
	return c.set, inputs, nil
}

// finish notes what the set depends on and hands the secrets to the mask.
func (c *compiler) finish() []string {
	for _, r := range c.secrets {
		_, files := r.Used()
		for _, path := range files {
			c.inputs[path] = true
		}
		if c.Mask != nil {
			c.Mask.Add(r.Values()...)
		}
	}
	c.set.inputs = slices.Sorted(maps.Keys(c.inputs))
	return c.set.inputs
}

// name is one of a rule set, unique among its kind.
type name struct{ kind, name string }

// position is a line of a file.
type position struct {
	file *File
	line int
}

// claim reports a name that is taken already. Names are unique in a set, each among its kind.
func (c *compiler) claim(f *File, at place, kind, called string) bool {
	key := name{kind, called}
	if taken, ok := c.places[key]; ok {
		c.taken(f, at, key, taken.file.Name, taken.line)
		return false
	}
	c.places[key] = position{f, int(at.line)}
	return true
}

// claimRule is claim for the name of a rule.
func (c *compiler) claimRule(f *File, at place, called string) bool {
	if before := c.set.byName[called]; before != nil {
		c.taken(f, at, name{"rule", called}, before.File, before.Line)
		return false
	}
	return true
}

func (c *compiler) taken(f *File, at place, by name, file string, line int) {
	f.dec.Problemf(at.node(), "the %s %s is already at %s:%d", by.kind, by.name, file, line)
}

func (c *compiler) compileLists(files []*File) {
	for _, f := range files {
		for i := range f.lists {
			def := &f.lists[i]
			if !def.faulty {
				if err := lang.ValidListName(def.name); err != nil {
					f.dec.Problemf(def.key, "%v", err)
					def.faulty = true
				}
			}
			if !c.claim(f, placeOf(def.key), "list", def.name) {
				continue
			}
			l := c.listOf(f, def)
			if c.OpenLists[def.name] {
				l.List = l.Opened()
			}
			c.set.lists[def.name], c.scope.Lists[def.name] = l, l.List
		}
	}
}

func (c *compiler) compileActions(files []*File) {
	for _, f := range files {
		for _, def := range f.actions {
			if !c.claim(f, placeOf(def.key), "action", def.name) {
				continue
			}
			c.known = append(c.known, def.name)
			switch {
			case f.carried != nil:
				c.keep(f, def.name)
			case def.node != nil:
				c.build(f, def.node, def.name)
			}
		}
	}
}

// build makes one action. What is wrong with it goes to the file's decoder.
func (c *compiler) build(f *File, n *yaml.Node, name string) {
	c.instance(c.Registry.Build(f.dec, n, name, c.builder(f, name)))
}

// keep takes one action of a carried file over from the set before.
func (c *compiler) keep(f *File, name string) {
	if c.trial {
		inst := c.previous(name)
		c.stale = c.stale || slices.ContainsFunc(inst.Lists(), func(l string) bool { return c.set.lists[l] == nil || c.scope.Lists[l] != c.Prev.lists[l].List })
		c.instance(inst)
		return
	}
	inst := actions.Keep(name, c.builder(f, name))
	c.stale = c.stale || inst == nil
	c.instance(inst)
}

// builder is what an action of the file is made with.
func (c *compiler) builder(f *File, name string) actions.Builder {
	env := c.Env
	env.ReadFile = func(path string) ([]byte, error) {
		path = f.resolve(path)
		c.inputs[path] = true
		in := c.reader.read(path)
		return in.data, in.err
	}
	if len(c.Permit.Files) > 0 {
		env.LogFolder = c.Permit.Files[0]
	}
	env.LogRefused = c.Permit.Logs
	return actions.Builder{Scope: c.scope, Secrets: c.resolver(f, name), Env: env, Prev: c.previous}
}

func (c *compiler) instance(inst *actions.Instance) {
	if inst == nil {
		return
	}
	c.set.actions[inst.Name] = inst
	c.set.instances = append(c.set.instances, inst)
	for _, l := range inst.Lists() {
		c.used[name{"list", l}] = true
	}
}

// resolver gives what puts the secrets into an action of the file.
func (c *compiler) resolver(f *File, action string) *secrets.Resolver {
	dir := filepath.Dir(f.Path)
	ignore := c.Permit.IgnoreSecrets || c.Permit.SecretsOf != "" && c.Permit.SecretsOf != action
	key := fmt.Sprintf("%t %s", ignore, dir)
	if c.secrets[key] == nil {
		c.secrets[key] = &secrets.Resolver{Dir: dir, Env: c.Permit.Env, DenyEnv: c.Permit.DenyEnv, Files: c.secretFolders(), Ignore: ignore}
	}
	return c.secrets[key]
}

// secretFolders gives the folders whose files may be secrets: never nil, which would mean any.
func (c *compiler) secretFolders() []string { return append([]string{}, c.Permit.Files...) }

// previous gives the running set's action of a name, which Build takes over where nothing changed.
func (c *compiler) previous(name string) *actions.Instance {
	if c.Prev == nil {
		return nil
	}
	return c.Prev.actions[name]
}

func (c *compiler) rule(f *File, def *ruleDef) *Rule {
	if def.name != "" && !c.claimRule(f, def.nameAt, def.name) {
		def.name = "" // compiled on, for what else is wrong with it
	}
	r := &Rule{
		Name: def.name, Description: def.description, Condition: def.condition, File: f.Name, Line: int(def.at.line),
		Stop: def.stop, Enabled: def.enabled, Shadow: def.shadow, Labels: def.labels,
	}
	if def.conditionAt.line > 0 {
		r.at = def.conditionAt
		r.condition = c.condition(f, def)
	}
	r.Actions = make([]string, 0, len(def.actions))
	for _, ref := range def.actions {
		if name := c.ref(f, r, ref); name != "" {
			r.Actions = append(r.Actions, name)
		}
	}
	c.add(r)
	return r
}

// add puts a rule at the end of the set, which has room for it.
func (c *compiler) add(r *Rule) {
	c.set.byName[r.Name] = c.set.add(r)
}

// condition compiles a rule's condition, or takes it over where the rule had the same before.
func (c *compiler) condition(f *File, def *ruleDef) *lang.Condition {
	if c.Prev != nil {
		if before := c.Prev.byName[def.name]; before != nil && before.Condition == def.condition {
			if cond, ok := before.condition.In(c.scope); ok {
				c.useLists(cond)
				return cond
			}
		}
	}
	cond, errs := lang.CompileCondition(def.condition, c.scope)
	for _, e := range errs {
		if !c.inBroken(wordAt(def.condition, e.Offset)) {
			f.dec.ProblemAt(def.conditionNode(), e.Offset, e.Message)
		}
	}
	if len(errs) > 0 {
		return nil
	}
	c.useLists(cond)
	return cond
}

func (c *compiler) useLists(cond *lang.Condition) {
	for _, l := range cond.Lists() {
		c.used[name{"list", l}] = true
	}
}

// ref gives the name of one of a rule's actions, having made it where it is written there; "" where it was reported.
func (c *compiler) ref(f *File, r *Rule, ref actionRef) string {
	if ref.inline == nil {
		return c.named(f, r, ref)
	}
	own := ref.name
	if own == "" && !ref.faulty {
		if _, n := f.dec.Key(ref.inline, "type"); n != nil && n.Kind == yaml.ScalarNode {
			own = n.Value
		}
	}
	name := r.Name + "/" + own
	if slices.Contains(r.Actions, name) {
		f.dec.Problemf(ref.at.node(), "the rule %s has two actions called %s: give one of them a name", r.Name, name)
	}
	c.build(f, ref.inline, name)
	return name
}

func (c *compiler) named(f *File, r *Rule, ref actionRef) string {
	switch {
	case c.places[name{"action", ref.name}].file == nil:
		if !c.inBroken(ref.name) {
			f.dec.Problemf(ref.at.node(), "there is no action %q%s", ref.name, nearword.Hint(ref.name, c.known))
		}
		return ""
	case slices.Contains(r.Actions, ref.name):
		f.dec.Problemf(ref.at.node(), "the rule %s names the action %s twice", r.Name, ref.name)
		return ""
	}
	c.used[name{"action", ref.name}] = true
	return ref.name
}

// warnOdd tells of lists and actions that nothing uses, of conditions that say the same for every pair and of those that are
// evaluated for every pair.
func (c *compiler) warnOdd(files []*File) {
	warn := func(f *File, at place, format string, args ...any) {
		c.warnings = append(c.warnings, Problem{File: f.Name, Line: int(at.line), Column: int(at.column), Message: fmt.Sprintf(format, args...), Warning: true})
	}
	rules := c.set.Rules
	for _, f := range files {
		for _, l := range f.lists {
			if !c.used[name{"list", l.name}] {
				warn(f, placeOf(l.key), "nothing uses the list %s", l.name)
			}
		}
		for _, a := range f.actions {
			if !c.used[name{"action", a.name}] {
				warn(f, placeOf(a.key), "no rule uses the action %s", a.name)
			}
		}
		for _, r := range rules[:f.count()] {
			value, constant := r.condition.Constant()
			switch {
			case constant && value:
				warn(f, r.at, "the condition of the rule %s is always true", r.Name)
			case constant || r.FoundBy == foundNever:
				warn(f, r.at, "the condition of the rule %s is never true", r.Name)
			case strings.HasPrefix(r.FoundBy, foundEach):
				warn(f, r.at, "no index serves the condition of the rule %s: it is %s. That is fine for a few rules; "+
					"for very many, add an == or in on an account with &&", r.Name, r.FoundBy)
			}
		}
		rules = rules[f.count():]
	}
}

// inBroken tells whether a file that could not be parsed seems to define the name: then it is not reported as unknown.
func (c *compiler) inBroken(name string) bool {
	if name == "" {
		return false
	}
	for line := range strings.Lines(c.broken) {
		if rest, ok := strings.CutPrefix(strings.TrimSpace(line), name); ok && strings.HasPrefix(strings.TrimSpace(rest), ":") {
			return true
		}
	}
	return false
}

// wordAt gives the name that begins at the offset.
func wordAt(s string, offset int) string {
	if offset < 0 || offset > len(s) {
		return ""
	}
	s = s[offset:]
	end := strings.IndexFunc(s, func(r rune) bool { return !strings.ContainsRune(lower+digits+"_", r) })
	if end < 0 {
		return s
	}
	return s[:end]
}

// hash sums what a set was made of. Absolute paths are left out, so that nodes with the same files have the same.
func hash(files []*File, lists map[string]*list) string {
	h := sha256.New()
	for _, f := range files {
		fmt.Fprintf(h, "file %q %x\n", f.rel, f.sum)
	}
	for _, name := range slices.Sorted(maps.Keys(lists)) {
		fmt.Fprintf(h, "list %s %x\n", name, lists[name].sum)
	}
	return hex.EncodeToString(h.Sum(nil)[:6])
}

// sorted orders problems by path and place and drops those that say the same.
func sorted(ps Problems) Problems {
	slices.SortStableFunc(ps, func(a, b Problem) int {
		return cmp.Or(strings.Compare(a.File, b.File), a.Line-b.Line, a.Column-b.Column)
	})
	return slices.Compact(ps)
}
