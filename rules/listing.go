package rules

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"
)

// Bounds on what is read at all: far above what anyone writes, far below what would take the process down.
const (
	maxRulesFile = 64 << 20
	maxInputFile = 512 << 20
)

// bounds are those on a whole set. What they cost is said in the README.
type bounds struct {
	text   int64 // bytes of all rules files
	rules  int
	inputs int64 // bytes of all files that rules name
}

var usualBounds = bounds{text: 256 << 20, rules: 1 << 20, inputs: maxInputFile}

// entry is one rules file as it lies on disk.
type entry struct {
	name string // as problems name it: the root as it was given, and the path below it
	rel  string // slash path below the root: what rules are ordered by
	path string // absolute, links not followed: what paths in the file are relative to
	dir  string // the resolved root
	real string // where the file lies, relative to dir, links followed
	info fs.FileInfo
}

// listing is which rules files lie below the roots at one moment, and what was wrong with the folders themselves.
type listing struct {
	files    []entry
	tests    []entry  // of rule tests
	dirs     []string // resolved folders that were searched
	links    []string // absolute paths of links that were followed
	roots    []string // resolved roots
	problems Problems
}

// list searches the roots. Whatever cannot be read or may not be followed is a problem of the listing.
func (l *Loader) list() *listing {
	ls := &listing{}
	may := resolveAll(l.Permit.Files)
	seen := map[string]bool{}
	for _, root := range l.Roots {
		w := walker{listing: ls, given: root, may: may, seen: seen}
		for _, x := range l.Exclude {
			if abs, err := filepath.Abs(x); err == nil {
				w.exclude = append(w.exclude, abs)
				w.exclude = append(w.exclude, resolveAll([]string{abs})...)
			}
		}
		w.root()
	}
	return ls
}

// walker searches one root.
type walker struct {
	*listing
	given   string // the root as it was given
	abs     string // and absolute
	dir     string // the root resolved; for a single file, the folder it lies in
	may     []string
	exclude []string
	seen    map[string]bool // files of the roots before: one that two roots reach is read once
}

func (w *walker) problemf(name, format string, args ...any) {
	w.problems = append(w.problems, Problem{File: name, Line: 1, Column: 1, Message: fmt.Sprintf(format, args...)})
}

func (w *walker) root() {
	abs, err := filepath.Abs(w.given)
	if err != nil {
		w.problemf(w.given, "%v", err)
		return
	}
	w.abs = abs
	real, err := filepath.EvalSymlinks(abs)
	if errors.Is(err, fs.ErrNotExist) {
		w.problemf(w.given, "no such file or folder")
		return
	}
	if err != nil {
		w.problemf(w.given, "cannot be read: %v", cause(err))
		return
	}
	info, err := os.Stat(real)
	switch {
	case err != nil:
		w.problemf(w.given, "cannot be read: %v", cause(err))
	case info.IsDir():
		w.dir = real
		w.roots = append(w.roots, real)
		before, tests := len(w.files), len(w.tests)
		w.folder(real, "", []string{real})
		byPath := func(a, b entry) int { return strings.Compare(a.rel, b.rel) }
		slices.SortFunc(w.files[before:], byPath)
		slices.SortFunc(w.tests[tests:], byPath)
	case info.Mode().IsRegular() && isTestFile(filepath.Base(abs)):
		w.dir, w.abs = filepath.Dir(real), filepath.Dir(abs) // check rules/*.yaml names the rule tests too
		w.addTest(w.given, filepath.Base(abs), real, info)
	case info.Mode().IsRegular():
		w.dir, w.abs = filepath.Dir(real), filepath.Dir(abs)
		w.roots = append(w.roots, resolveAll([]string{w.dir, w.abs})...)
		w.links = append(w.links, abs)
		w.add(w.given, filepath.Base(abs), real, info)
	default:
		w.problemf(w.given, "is %s, not a folder or a file", kind(info.Mode()))
	}
}

// folder searches one folder; above are the resolved folders on the way to it, itself included.
func (w *walker) folder(dir, rel string, above []string) {
	w.dirs = append(w.dirs, dir)
	entries, err := os.ReadDir(dir)
	if err != nil {
		w.problemf(w.name(rel), "cannot be read: %v", cause(err))
		return
	}
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), ".") {
			continue
		}
		real, below := filepath.Join(dir, e.Name()), path.Join(rel, e.Name())
		if slices.Contains(w.exclude, real) {
			continue
		}
		if e.Type()&fs.ModeSymlink != 0 {
			w.links = append(w.links, real)
			if real = w.follow(real, below); real == "" {
				continue
			}
		}
		info, err := os.Stat(real)
		if errors.Is(err, fs.ErrNotExist) {
			continue // gone since the folder was read
		}
		switch {
		case err != nil:
			w.problemf(w.name(below), "cannot be read: %v", cause(err))
		case info.IsDir() && slices.Contains(above, real):
			w.problemf(w.name(below), "is a link to a folder that it lies in")
		case info.IsDir():
			w.folder(real, below, append(slices.Clone(above), real))
		case !info.Mode().IsRegular():
			w.problemf(w.name(below), "is %s: only files, folders and links to them may be below the rules folder", kind(info.Mode()))
		case isRulesFile(e.Name()):
			w.add(w.name(below), below, real, info)
		case isTestFile(e.Name()):
			w.addTest(w.name(below), below, real, info)
		}
	}
}

// follow resolves a link below the root. It gives "" for one that is of no use, having reported it where it may not be there.
func (w *walker) follow(link, rel string) string {
	isRules := isRulesFile(path.Base(rel))
	real, err := filepath.EvalSymlinks(link)
	if err != nil {
		if isRules {
			w.problemf(w.name(rel), "is a link that leads nowhere: %v", cause(err))
		}
		return ""
	}
	if inside(w.dir, real) {
		return real
	}
	// A list may lie in any folder that rules_may.files names, and a link to it beside the rules is then a way to name it.
	info, err := os.Stat(real)
	if err == nil && info.Mode().IsRegular() && !isRules && slices.ContainsFunc(w.may, func(dir string) bool { return inside(dir, real) }) {
		return ""
	}
	w.problemf(w.name(rel), "is a link that leads out of the rules folder")
	return ""
}

func (w *walker) add(name, rel, real string, info fs.FileInfo) {
	if e, ok := w.entry(name, rel, real, info); ok {
		w.files = append(w.files, e)
	}
}

func (w *walker) addTest(name, rel, real string, info fs.FileInfo) {
	if e, ok := w.entry(name, rel, real, info); ok {
		w.tests = append(w.tests, e)
	}
}

// entry makes the entry of a file, unless there is one already.
func (w *walker) entry(name, rel, real string, info fs.FileInfo) (entry, bool) {
	at := filepath.Join(w.abs, filepath.FromSlash(rel))
	if w.seen[at] {
		return entry{}, false
	}
	w.seen[at] = true
	below, err := filepath.Rel(w.dir, real)
	if err != nil {
		w.problemf(name, "%v", err)
		return entry{}, false
	}
	return entry{name: name, rel: rel, path: at, dir: w.dir, real: below, info: info}, true
}

func (w *walker) name(rel string) string { return filepath.Join(w.given, filepath.FromSlash(rel)) }

// isRulesFile tells by its name whether a file below the rules folder is a rules file.
func isRulesFile(name string) bool {
	return isYAML(name) && !strings.HasPrefix(name, ".") && !isTestFile(name)
}

func isYAML(name string) bool {
	return strings.HasSuffix(name, ".yaml") || strings.HasSuffix(name, ".yml")
}

// isTestFile tells by its name whether a file holds rule tests.
func isTestFile(name string) bool {
	return strings.HasSuffix(name, "_test.yaml") || strings.HasSuffix(name, "_test.yml")
}

// kind names what is no regular file.
func kind(m fs.FileMode) string {
	switch {
	case m&fs.ModeNamedPipe != 0:
		return "a pipe"
	case m&fs.ModeSocket != 0:
		return "a socket"
	case m&fs.ModeDevice != 0:
		return "a device"
	case m.IsDir():
		return "a folder"
	default:
		return "no regular file"
	}
}

// inside tells whether p is dir or lies below it; both are resolved.
func inside(dir, p string) bool {
	rel, err := filepath.Rel(dir, p)
	return err == nil && rel != ".." && !strings.HasPrefix(rel, ".."+string(filepath.Separator))
}

// resolveAll gives the folders that exist, absolute and with links followed.
func resolveAll(dirs []string) []string {
	var out []string
	for _, d := range dirs {
		if abs, err := filepath.Abs(d); err == nil {
			if real, err := filepath.EvalSymlinks(abs); err == nil {
				out = append(out, real)
			}
		}
	}
	return out
}

// readBelow reads the regular file at the path below dir. It follows no link out of dir, whatever happens to the folder
// meanwhile, and does not wait for the other end of a pipe.
func readBelow(dir, below string, limit int64) ([]byte, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, cause(err)
	}
	defer root.Close()
	f, err := root.OpenFile(below, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, cause(err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, cause(err)
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("is %s, not a file", kind(info.Mode()))
	}
	if info.Size() > limit {
		return nil, fmt.Errorf("is larger than %d MiB", limit>>20)
	}
	data := make([]byte, 0, info.Size()+1)
	for {
		n, err := f.Read(data[len(data):cap(data)])
		data = data[:len(data)+n]
		switch {
		case err == io.EOF:
			return data, nil
		case err != nil:
			return nil, cause(err)
		case int64(len(data)) > limit:
			return nil, fmt.Errorf("is larger than %d MiB", limit>>20)
		case len(data) == cap(data):
			data = append(data, 0)[:len(data)]
		}
	}
}

// cause strips the path from a file error: the message names the file already.
func cause(err error) error {
	var pe *fs.PathError
	if errors.As(err, &pe) {
		return pe.Err
	}
	return err
}

// prints is how files looked at one moment: enough to see that one was written, replaced or taken away without reading it.
type prints struct {
	files  map[string]fs.FileInfo // nil where there was none
	newest time.Time
	failed string // what was wrong with the folders
}

func (p *prints) add(path string, info fs.FileInfo) {
	p.files[path] = info
	if info != nil && info.ModTime().After(p.newest) {
		p.newest = info.ModTime()
	}
}

// prints takes the files of the listing and the inputs.
func (ls *listing) prints(inputs []string) *prints {
	p := &prints{files: make(map[string]fs.FileInfo, len(ls.files)+len(inputs)), failed: ls.problems.Error()}
	for _, e := range ls.files {
		p.add(e.path, e.info)
	}
	for _, path := range inputs {
		info, err := os.Stat(path)
		if err != nil {
			info = nil
		}
		p.add(path, info)
	}
	return p
}

func (p *prints) equal(q *prints) bool {
	if len(p.files) != len(q.files) || p.failed != q.failed {
		return false
	}
	for path, a := range p.files {
		b, ok := q.files[path]
		if !ok || (a == nil) != (b == nil) {
			return false
		}
		if a != nil && (a.Size() != b.Size() || a.Mode() != b.Mode() || !a.ModTime().Equal(b.ModTime()) || !os.SameFile(a, b)) {
			return false
		}
	}
	return true
}
