package rules

import (
	"context"
	"errors"
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

// Trial is the set that an edit of one file would make, all other files as they are.
type Trial struct {
	Set *RuleSet
	// Elsewhere is what keeps the other files on disk from being loaded: those that run stand in for them then.
	Elsewhere Problems
}

// Try compiles the rules with text in place of the file of that name; a name that no file has is one file more. The other files are
// those on disk. Nothing is swapped in, and nothing of the set may be run: its actions can be rendered, with secrets as placeholders.
// The error is Problems, which the edit alone is to blame for, or the context's.
func (l *Live) Try(ctx context.Context, name string, text []byte) (*Trial, error) {
	if len(text) > maxRulesFile {
		return nil, Problems{{File: name, Line: 1, Column: 1, Message: fmt.Sprintf("is over %d MiB", maxRulesFile>>20)}}
	}
	loader, err := l.offline(ctx)
	if err != nil {
		return nil, err
	}
	edit := l.edited(name, text)
	running, state := l.Current(), l.State()
	if running != nil && state.DiskOK {
		set, err := loader.tryBeside(running, edit)
		if !errors.Is(err, errStale) {
			return &Trial{Set: set}, err
		}
	}
	snap, err := loader.snapshot(ctx)
	if err != nil {
		return nil, err
	}
	snap.replace(edit)
	set, _, err := loader.buildWith(snap, nil, false)
	var problems Problems
	if !errors.As(err, &problems) || running == nil || slices.ContainsFunc(problems, func(p Problem) bool { return p.File == edit.name }) {
		return &Trial{Set: set}, err
	}
	set, err = loader.tryBeside(running, edit)
	if errors.Is(err, errStale) {
		return nil, problems
	}
	return &Trial{Set: set, Elsewhere: problems}, err
}

// Tests reads the rule tests that are on disk now. The error is Problems, or the context's.
func (l *Live) Tests(ctx context.Context) ([]TestFile, error) {
	loader, err := l.offline(ctx)
	if err != nil {
		return nil, err
	}
	return loader.Tests(ctx)
}

// LoadOpen loads what is on disk so that WithLists may replace the values of the lists of these names, for rule tests. Its actions can
// only be rendered.
func (l *Live) LoadOpen(ctx context.Context, lists map[string]bool) (*RuleSet, error) {
	loader, err := l.offline(ctx)
	if err != nil {
		return nil, err
	}
	loader.OpenLists = lists
	return loader.Load(ctx, nil)
}

// offline is a loader of the same files that reads no secret, and whose actions have nothing to send with.
func (l *Live) offline(ctx context.Context) (*Loader, error) {
	if err := l.lock(ctx); err != nil {
		return nil, err
	}
	defer l.unlock()
	loader := *l.loader
	loader.Env, loader.Mask = actions.Env{Logger: zap.NewNop(), SMTP: l.loader.Env.SMTP}, nil
	loader.Permit.IgnoreSecrets = true
	return &loader, nil
}

// edited is the text as the source of the file of the name.
func (l *Live) edited(name string, text []byte) source {
	if e, ok := l.entry(name); ok {
		return newSource(name, e.rel, e.path, text)
	}
	if folders := l.loader.list().roots; len(folders) > 0 {
		return newSource(name, "unsaved.yaml", filepath.Join(folders[0], "unsaved.yaml"), text)
	}
	return newSource(name, "", "", text)
}

// replace puts a source in the place of the one with its name, or at the place where it would be.
func (s *snapshot) replace(edit source) {
	s.problems = slices.DeleteFunc(s.problems, func(p Problem) bool { return p.File == edit.name })
	i := slices.IndexFunc(s.files, func(f source) bool { return f.name == edit.name })
	if i >= 0 {
		s.files[i] = edit
		return
	}
	i = slices.IndexFunc(s.files, func(f source) bool { return f.rel > edit.rel })
	if i < 0 {
		i = len(s.files)
	}
	s.files = slices.Insert(s.files, i, edit)
}

// tryBeside compiles an edit with the other files as they were for the running set, none of which is read or parsed again: it is
// done while somebody types. The error is errStale where one of them would have to be.
func (l *Loader) tryBeside(running *RuleSet, edit source) (*RuleSet, error) {
	f, err := parse(edit, running, nil)
	if f == nil {
		return nil, err
	}
	files := append(running.carriedFiles(edit.name), f)
	slices.SortStableFunc(files, func(a, b *File) int { return strings.Compare(a.rel, b.rel) })
	return Compile(files, Options{
		Registry: l.Registry, Env: l.Env, Permit: l.Permit, Folders: l.list().roots, Prev: running, trial: true,
	})
}

// carriedFiles gives the files of the set but for one.
func (rs *RuleSet) carriedFiles(without string) []*File {
	files := make([]*File, 0, len(rs.carried)+1)
	for path, k := range rs.carried {
		if k.name != without {
			files = append(files, k.file(path))
		}
	}
	return files
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
