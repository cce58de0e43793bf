package rules

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/aftermath-rules/aftermath/actions"
	"github.com/aftermath-rules/aftermath/internal/secrets"
	"github.com/aftermath-rules/aftermath/internal/strictyaml"
)

// Loader reads rules folders and makes rule sets of them.
type Loader struct {
	Roots     []string // rules folders or single files; problems name files as they are named here
	Registry  *actions.Registry
	Env       actions.Env // lent to actions; its ReadFile is made for each rules file
	Permit    Permit
	Mask      *secrets.Mask   // is told every secret; may be nil
	Exclude   []string        // folders below the roots that are none of the rules, such as the program's data
	OpenLists map[string]bool // the lists whose values WithLists may replace: for rule tests

	limits *bounds // for tests; nil for the usual ones
}

func (l *Loader) bounds() *bounds {
	if l.limits != nil {
		return l.limits
	}
	return &usualBounds
}

// Load reads everything below the roots and compiles it. What did not change since prev (which may be nil) is taken over from it.
// The error is Problems, all of them, or the context's.
func (l *Loader) Load(ctx context.Context, prev *RuleSet) (*RuleSet, error) {
	snap, err := l.snapshot(ctx)
	if err != nil {
		return nil, err
	}
	set, _, err := l.build(snap, prev)
	return set, err
}

// snapshot is everything below the roots as it was read, before any of it is parsed.
type snapshot struct {
	files    []source
	problems Problems // of folders and files that could not be read
	folders  []string // the resolved roots
	reader   *reader
	listing  *listing
}

// source is the text of one rules file.
type source struct {
	name, rel, path string
	data            []byte
	sum             [sha256.Size]byte
}

func newSource(name, rel, path string, data []byte) source {
	return source{name: name, rel: rel, path: path, data: data, sum: sha256.Sum256(data)}
}

func (l *Loader) snapshot(ctx context.Context) (*snapshot, error) {
	ls := l.list()
	s := &snapshot{
		problems: slices.Clone(ls.problems),
		folders:  ls.roots,
		reader:   newReader(slices.Concat(ls.roots, resolveAll(l.Permit.Files)), l.bounds().inputs),
		listing:  ls,
	}
	var read int64
	for _, e := range ls.files {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		data, err := readBelow(e.dir, e.real, maxRulesFile)
		if read += int64(len(data)); read > l.bounds().text {
			err = fmt.Errorf("with it the rules files are larger than %d MiB in all", l.bounds().text>>20)
		}
		if err != nil {
			s.problems = append(s.problems, Problem{File: e.name, Line: 1, Column: 1, Message: "cannot be read: " + err.Error()})
			continue
		}
		s.files = append(s.files, newSource(e.name, e.rel, e.path, data))
	}
	if len(ls.files) == 0 && len(s.problems) == 0 {
		message := "there is no rules file (*.yaml or *.yml) here; to run no rules, write rules: [] in one"
		if !slices.ContainsFunc(l.Roots, func(root string) bool { return !isTestFile(root) }) {
			message = "there are only rule tests here, which aftermath test runs; name the rules file or its folder"
		}
		s.problems = Problems{{File: strings.Join(l.Roots, ", "), Line: 1, Column: 1, Message: message}}
	}
	return s, nil
}

// build makes a rule set of a snapshot. It also gives the files that the set depends on beside the rules files, as far as they are
// known where there was an error. Files that are as they were for prev are not parsed again, unless something is wrong: then all
// are, so that every problem stands at its place.
func (l *Loader) build(s *snapshot, prev *RuleSet) (*RuleSet, []string, error) {
	if prev != nil {
		if set, inputs, err := l.buildWith(s, prev, true); err == nil {
			return set, inputs, nil
		}
	}
	return l.buildWith(s, prev, false)
}

func (l *Loader) buildWith(s *snapshot, prev *RuleSet, carry bool) (*RuleSet, []string, error) {
	var (
		files    []*File
		problems = slices.Clone(s.problems)
		broken   strings.Builder
	)
	for _, src := range s.files {
		var known map[string]strictyaml.Entry
		if carry {
			if f := prev.carry(src); f != nil {
				files = append(files, f)
				continue
			}
			known = prev.known(src)
		}
		f, err := parse(src, prev, known)
		if f == nil {
			var ps Problems
			errors.As(err, &ps)
			problems = append(problems, ps...)
			broken.Write(src.data)
			broken.WriteByte('\n')
			continue
		}
		files = append(files, f)
	}
	set, inputs, err := compile(files, Options{
		Registry: l.Registry, Env: l.Env, Permit: l.Permit, Folders: s.folders, Prev: prev, Mask: l.Mask, OpenLists: l.OpenLists,
		reader: s.reader, broken: broken.String(), maxRules: l.bounds().rules,
	})
	if err != nil || len(problems) > 0 {
		var ps Problems
		errors.As(err, &ps)
		return nil, inputs, sorted(append(problems, ps...))
	}
	return set, inputs, nil
}

// digest sums all that a build of the snapshot would be made of, beside the environment: two snapshots with the same digest give
// the same set, or the same errors.
func (s *snapshot) digest(inputs []string) [sha256.Size]byte {
	h := sha256.New()
	for _, f := range s.files {
		fmt.Fprintf(h, "file %q %q %x\n", f.name, f.rel, f.sum)
	}
	for _, p := range s.problems {
		fmt.Fprintf(h, "problem %q\n", p.String())
	}
	for _, path := range inputs {
		fmt.Fprintf(h, "input %q %s\n", path, s.reader.print(path))
	}
	return [sha256.Size]byte(h.Sum(nil))
}

// base gives the folder that stored paths are relative to: the first root, links not followed.
func (l *Loader) base() (string, error) {
	if len(l.Roots) == 0 {
		return "", errors.New("no rules folder is configured")
	}
	return filepath.Abs(l.Roots[0])
}
