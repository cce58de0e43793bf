package rules

import (
	"context"
	"fmt"
	"io/fs"
	"maps"
	"path/filepath"
	"slices"
	"strings"

	"go.uber.org/zap"

	"github.com/aftermath-rules/aftermath/actions"
)

// Files names the rules files below the roots, in the order in which they run, as problems name them.
func (l *Live) Files() []string {
	var names []string
	for _, e := range l.loader.list().files {
		names = append(names, e.name)
	}
	return names
}

// Source reads a rules file that is on disk now, by the name that problems give it. The error is fs.ErrNotExist where no rules file
// has that name: nothing else can be read by it.
func (l *Live) Source(name string) ([]byte, error) {
	e, ok := l.entry(name)
	if !ok {
		return nil, fmt.Errorf("there is no rules file %q: %w", name, fs.ErrNotExist)
	}
	return readBelow(e.dir, e.real, maxRulesFile)
}

func (l *Live) entry(name string) (entry, bool) {
	files := l.loader.list().files
	i := slices.IndexFunc(files, func(e entry) bool { return e.name == name })
	if i < 0 {
		return entry{}, false
	}
	return files[i], true
}

// Try compiles text as if it were the rules file of that name, beside all else that runs, and gives the set of its rules alone. The
// file need not exist. Nothing is swapped in, secrets are placeholders, and the set's actions have nothing to send with: they can be
// rendered. The error is Problems, or the context's.
func (l *Live) Try(ctx context.Context, name string, text []byte) (*RuleSet, error) {
	if len(text) > maxRulesFile {
		return nil, Problems{{File: name, Line: 1, Column: 1, Message: fmt.Sprintf("is over %d MiB", maxRulesFile>>20)}}
	}
	if err := l.lock(ctx); err != nil {
		return nil, err
	}
	smtp, permit := l.loader.Env.SMTP, l.loader.Permit
	l.unlock()
	permit.IgnoreSecrets = true

	f, err := Parse(name, text)
	if f == nil {
		return nil, err
	}
	folders := l.loader.list().roots
	if e, ok := l.entry(name); ok {
		f.Path, f.rel = e.path, e.rel
	} else if len(folders) > 0 {
		f.Path, f.rel = filepath.Join(folders[0], "unsaved.yaml"), "unsaved.yaml"
	}
	return Compile([]*File{f}, Options{
		Registry: l.loader.Registry, Env: actions.Env{Logger: zap.NewNop(), SMTP: smtp}, Permit: permit, Folders: folders, Beside: l.Current(),
	})
}

// takeBeside takes over what the set beside has and the files have not.
func (c *compiler) takeBeside(files []*File) {
	if c.Beside == nil {
		return
	}
	defined := map[name]bool{}
	for _, f := range files {
		for _, a := range f.actions {
			defined[name{"action", a.name}] = true
		}
		for _, l := range f.lists {
			defined[name{"list", l.name}] = true
		}
	}
	for key, file := range c.Beside.origins {
		if defined[key] || slices.ContainsFunc(files, func(f *File) bool { return f.Name == file }) {
			continue
		}
		if l := c.Beside.lists[key.name]; key.kind == "list" && l != nil {
			c.set.lists[key.name], c.scope.Lists[key.name] = l, l.List
			continue
		}
		if inst := c.Beside.actions[key.name]; key.kind == "action" && inst != nil {
			c.places[key] = position{file: &File{Name: file}}
			c.known = append(c.known, key.name)
			c.set.actions[key.name] = inst
		}
	}
}

// takenBeside tells where the set beside has a rule of the name, but for those of the file itself.
func (c *compiler) takenBeside(f *File, key name) (position, bool) {
	if c.Beside == nil || key.kind != "rule" {
		return position{}, false
	}
	r, ok := c.Beside.byName[key.name]
	if !ok || r.File == f.Name {
		return position{}, false
	}
	return position{&File{Name: r.File}, r.Line}, true
}

// ListNames are the lists that a condition may name, sorted.
func (rs *RuleSet) ListNames() []string { return slices.Sorted(maps.Keys(rs.lists)) }

// ActionNames are the named actions, sorted.
func (rs *RuleSet) ActionNames() []string {
	var names []string
	for name := range rs.actions {
		if !strings.Contains(name, "/") {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}
