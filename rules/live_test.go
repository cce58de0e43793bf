package rules

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/fsnotify/fsnotify"
)

// running is a Live that watches a folder, and what it reported.
type running struct {
	*Live
	t   testing.TB
	dir string // what Roots is relative to

	mu      sync.Mutex
	reloads []Reload
	seen    []string // the names of the rules of every set that was swapped in
}

type setting struct {
	noEvents bool
	poll     time.Duration
	root     string
	lastGood string
	lists    []string
	patience time.Duration
}

// watch starts a Live on the folder rules below dir.
func watch(t testing.TB, dir string, s setting) *running {
	t.Helper()
	if s.root == "" {
		s.root = filepath.Join(dir, "rules")
	}
	if s.poll == 0 {
		s.poll = time.Hour // what is found is found by events
	}
	r := &running{t: t, dir: dir}
	l := loader(t, s.root)
	l.Permit.Files = s.lists
	r.Live = NewLive(l, LiveOptions{LastGood: s.lastGood, Poll: s.poll,
		OnSwap: func(rs *RuleSet) {
			r.mu.Lock()
			defer r.mu.Unlock()
			r.seen = append(r.seen, names(rs))
		},
		OnReload: func(re Reload) {
			r.mu.Lock()
			defer r.mu.Unlock()
			r.reloads = append(r.reloads, re)
		}})
	r.noEvents = s.noEvents
	if s.patience > 0 {
		r.patience = s.patience
	}
	must(t, r.Start(t.Context(), false))
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error)
	go func() { done <- r.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	r.until("the watch stands", func() bool { return r.watching() })
	return r
}

// watching tells that Run has taken its first look and read everything once more.
func (r *running) watching() bool {
	r.Live.mu.Lock()
	defer r.Live.mu.Unlock()
	return r.watched
}

func (r *running) until(what string, ok func() bool) {
	r.t.Helper()
	for deadline := time.Now().Add(time.Minute); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			r.t.Fatalf("waited in vain until %s; running %q, state %+v", what, names(r.Current()), r.State())
		}
	}
}

// runs waits until the rules with these names run and nothing on disk is wrong.
func (r *running) runs(want string) {
	r.t.Helper()
	r.until("runs "+want, func() bool { return names(r.Current()) == want && r.State().DiskOK })
}

// broken waits until the disk is reported as broken and gives the report.
func (r *running) broken() string {
	r.t.Helper()
	r.until("the disk is broken", func() bool { return !r.State().DiskOK })
	return r.State().Errors.Error()
}

func (r *running) sets() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]string(nil), r.seen...)
}

func (r *running) failures() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	n := 0
	for _, re := range r.reloads {
		if re.Err != nil {
			n++
		}
	}
	return n
}

// Every way in which people and their tools edit files, with events and with the poll alone. Each of them is one change: one set is
// swapped in, never one that nobody wrote, and nothing is reported as broken on the way.
func TestEveryWayOfEditing(t *testing.T) {
	ways := []struct {
		name   string
		before []string // files, below the folder
		edit   func(t *testing.T, dir string)
		after  string
	}{
		{"written in place", nil, func(t *testing.T, dir string) {
			write(t, dir, "rules/a.yaml", rule("b"))
		}, "b"},
		{"written in place, slowly", nil, func(t *testing.T, dir string) {
			f, err := os.Create(filepath.Join(dir, "rules/a.yaml"))
			must(t, err)
			two := rule("b") + strings.TrimPrefix(rule("c"), "rules:\n") // its first half would do as rules
			for _, line := range strings.SplitAfter(two, "\n") {
				_, err := io.WriteString(f, line)
				must(t, err)
				time.Sleep(120 * time.Millisecond) // the writer's pace is the case
			}
			must(t, f.Close())
		}, "b c"},
		{"renamed over, as sed -i does", nil, func(t *testing.T, dir string) {
			write(t, dir, "rules/sedXXXX", rule("b"))
			must(t, os.Rename(filepath.Join(dir, "rules/sedXXXX"), filepath.Join(dir, "rules/a.yaml")))
		}, "b"},
		{"moved away and made anew, as vim does", nil, func(t *testing.T, dir string) {
			write(t, dir, "rules/.a.yaml.swp", "vim")
			must(t, os.Rename(filepath.Join(dir, "rules/a.yaml"), filepath.Join(dir, "rules/a.yaml~")))
			write(t, dir, "rules/a.yaml", rule("b"))
			must(t, os.Remove(filepath.Join(dir, "rules/a.yaml~")))
			must(t, os.Remove(filepath.Join(dir, "rules/.a.yaml.swp")))
		}, "b"},
		{"removed and written, as git checkout does", []string{"rules/sub/c.yaml", rule("c")}, func(t *testing.T, dir string) {
			must(t, os.Remove(filepath.Join(dir, "rules/a.yaml")))
			must(t, os.RemoveAll(filepath.Join(dir, "rules/sub")))
			write(t, dir, "rules/a.yaml", rule("b"), "rules/other/sub/d.yaml", rule("d"))
		}, "b d"},
		{"a new file in a new folder", nil, func(t *testing.T, dir string) {
			write(t, dir, "rules/x/y/z/b.yaml", rule("b"))
		}, "a b"},
		{"a file removed", []string{"rules/b.yaml", rule("b")}, func(t *testing.T, dir string) {
			must(t, os.Remove(filepath.Join(dir, "rules/b.yaml")))
		}, "a"},
		{"the folder removed and made again", nil, func(t *testing.T, dir string) {
			must(t, os.RemoveAll(filepath.Join(dir, "rules")))
			write(t, dir, "rules/b.yaml", rule("b"))
		}, "b"},
		{"the folder replaced by another", []string{"next/b.yaml", rule("b")}, func(t *testing.T, dir string) {
			must(t, os.Rename(filepath.Join(dir, "rules"), filepath.Join(dir, "old")))
			must(t, os.Rename(filepath.Join(dir, "next"), filepath.Join(dir, "rules")))
		}, "b"},
		{"a sub-folder renamed", []string{"rules/sub/b.yaml", rule("b"), "rules/sub/x", "", "rules/b2.yaml", rule("b2")}, func(t *testing.T, dir string) {
			must(t, os.Rename(filepath.Join(dir, "rules/sub"), filepath.Join(dir, "rules/zub")))
			write(t, dir, "rules/zub/b.yaml", rule("c"))
		}, "a b2 c"},
		{"a thousand files at once", nil, func(t *testing.T, dir string) {
			for i := range 1000 {
				write(t, dir, fmt.Sprintf("rules/many/%04d.yaml", i), rule(fmt.Sprintf("r%04d", i)))
			}
		}, "a " + thousand()},
		{"a list file", []string{"lists/vips.txt", "alice\n", "rules/l.yaml", "lists:\n  vips: {file: ../lists/vips.txt}\n"}, func(t *testing.T, dir string) {
			write(t, dir, "lists/vips.txt", "alice\nbob\n", "rules/a.yaml", rule("b"))
		}, "b"},
	}
	for _, kind := range []struct {
		name string
		s    setting
	}{{"events", setting{}}, {"poll", setting{noEvents: true, poll: 50 * time.Millisecond}}} {
		for _, way := range ways {
			t.Run(kind.name+"/"+way.name, func(t *testing.T) {
				t.Parallel()
				// A machine that stalls for 300 ms in the middle of an edit shows a state in between: try again then.
				var sets []string
				for range 3 {
					if sets = editOnce(t, kind.s, way.before, way.edit, way.after); len(sets) == 2 {
						return
					}
				}
				t.Errorf("swapped in %.200q; want one set more", sets)
			})
		}
	}
}

// editOnce makes one edit while a Live watches, waits until what comes of it runs, and gives all sets that were swapped in, or nil
// where something was reported as broken.
func editOnce(t *testing.T, s setting, before []string, edit func(*testing.T, string), after string) []string {
	dir := t.TempDir()
	write(t, dir, append([]string{"rules/a.yaml", rule("a")}, before...)...)
	s.lists = []string{dir}
	r := watch(t, dir, s)
	edit(t, dir)
	r.runs(after)
	if r.failures() != 0 {
		return nil
	}
	return r.sets()
}

func thousand() string {
	var names []string
	for i := range 1000 {
		names = append(names, fmt.Sprintf("r%04d", i))
	}
	return strings.Join(names, " ")
}

// Kubernetes shows a ConfigMap's files as links through ..data, which it swaps.
func TestConfigMap(t *testing.T) {
	for _, noEvents := range []bool{false, true} {
		t.Run(fmt.Sprintf("noEvents=%v", noEvents), func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			write(t, dir, "rules/..2026_1/a.yaml", "lists:\n  vips: {file: vips.txt}\n"+rule("a"), "rules/..2026_1/vips.txt", "alice\n")
			must(t, os.Symlink("..2026_1", filepath.Join(dir, "rules/..data")))
			must(t, os.Symlink("..data/a.yaml", filepath.Join(dir, "rules/a.yaml")))
			must(t, os.Symlink("..data/vips.txt", filepath.Join(dir, "rules/vips.txt")))
			r := watch(t, dir, setting{noEvents: noEvents, poll: map[bool]time.Duration{true: 50 * time.Millisecond}[noEvents]})
			for i, name := range []string{"b", "c", "d"} {
				next := fmt.Sprintf("..2026_%d", i+2)
				write(t, dir, "rules/"+next+"/a.yaml", "lists:\n  vips: {file: vips.txt}\n"+rule(name), "rules/"+next+"/vips.txt", name+"\n")
				must(t, os.Symlink(next, filepath.Join(dir, "rules/..data_tmp")))
				must(t, os.Rename(filepath.Join(dir, "rules/..data_tmp"), filepath.Join(dir, "rules/..data")))
				must(t, os.RemoveAll(filepath.Join(dir, fmt.Sprintf("rules/..2026_%d", i+1))))
				r.runs(name)
				if !r.Current().lists["vips"].Has(name) {
					t.Errorf("the list is not the new one")
				}
			}
			if r.failures() != 0 {
				t.Errorf("%d reloads failed", r.failures())
			}
		})
	}
}

// git-sync swaps a link on the way to the rules folder, or the folder itself.
func TestSwappedLinks(t *testing.T) {
	tests := []struct{ name, root, link, first, second string }{
		{"the rules folder is the link", "current", "current", "rev1", "rev2"},
		{"the link is above the rules folder", "current/rules", "current", "rev1", "rev2"},
		{"a link to a link", "entry", "current", "rev1", "rev2"},
		{"one file that is a link", "rules.yaml", "rules.yaml", "rev1/rules/a.yaml", "rev2/rules/a.yaml"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			write(t, dir, "rev1/rules/a.yaml", rule("a"), "rev2/rules/a.yaml", rule("b"), "rev3/rules/a.yaml", rule("c"))
			link := filepath.Join(dir, test.link)
			must(t, os.Symlink(test.first, link))
			if test.root == "entry" {
				must(t, os.Symlink("current", filepath.Join(dir, "entry")))
			}
			r := watch(t, dir, setting{root: filepath.Join(dir, test.root)})
			for _, to := range []struct{ target, runs string }{{test.second, "b"}, {strings.ReplaceAll(test.first, "1", "3"), "c"}} {
				must(t, os.Symlink(to.target, link+".new"))
				must(t, os.Rename(link+".new", link))
				r.runs(to.runs)
			}
			write(t, dir, "rev3/rules/a.yaml", rule("d"))
			r.runs("d")
			if r.failures() != 0 {
				t.Errorf("%d reloads failed", r.failures())
			}
		})
	}
}

// What cannot run leaves the running set alone, is reported once, and is forgotten when it is mended.
func TestBrokenAndMended(t *testing.T) {
	tests := []struct {
		name         string
		break_, mend func(t *testing.T, dir string)
		says         string
		after        string
	}{
		{"a syntax error", func(t *testing.T, dir string) { write(t, dir, "rules/a.yaml", "rules: [") },
			func(t *testing.T, dir string) { write(t, dir, "rules/a.yaml", rule("b")) }, "a.yaml:1:", "b"},
		{"a half-written file", func(t *testing.T, dir string) { write(t, dir, "rules/b.yaml", "") },
			func(t *testing.T, dir string) { write(t, dir, "rules/b.yaml", rule("b")) }, "b.yaml:1:1: the file is empty", "a b"},
		{"the edit is taken back", func(t *testing.T, dir string) { write(t, dir, "rules/a.yaml", rule("B")) },
			func(t *testing.T, dir string) { write(t, dir, "rules/a.yaml", rule("a")) }, `"B" is no name`, "a"},
		{"the folder vanished", func(t *testing.T, dir string) { must(t, os.RemoveAll(filepath.Join(dir, "rules"))) },
			func(t *testing.T, dir string) { write(t, dir, "rules/b.yaml", rule("b")) }, "no such file or folder", "b"},
		{"no rules file left", func(t *testing.T, dir string) { must(t, os.Remove(filepath.Join(dir, "rules/a.yaml"))) },
			func(t *testing.T, dir string) { write(t, dir, "rules/b.yaml", "rules: []") }, "to run no rules, write rules: []", ""},
		{"a link that leads out", func(t *testing.T, dir string) {
			write(t, dir, "outside.yaml", rule("x"))
			must(t, os.Symlink("../outside.yaml", filepath.Join(dir, "rules/x.yaml")))
		}, func(t *testing.T, dir string) {
			must(t, os.Remove(filepath.Join(dir, "rules/x.yaml")))
		}, "x.yaml:1:1: is a link that leads out of the rules folder", "a"},
		{"a pipe", func(t *testing.T, dir string) { must(t, syscall.Mkfifo(filepath.Join(dir, "rules/x.yaml"), 0o644)) },
			func(t *testing.T, dir string) { must(t, os.Remove(filepath.Join(dir, "rules/x.yaml"))) }, "is a pipe", "a"},
		{"a folder that is a link to one above it", func(t *testing.T, dir string) {
			must(t, os.Symlink(".", filepath.Join(dir, "rules/loop")))
		}, func(t *testing.T, dir string) { must(t, os.Remove(filepath.Join(dir, "rules/loop"))) }, "loop:1:1: is a link to a folder that it lies in", "a"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			write(t, dir, "rules/a.yaml", rule("a"))
			r := watch(t, dir, setting{poll: 100 * time.Millisecond})
			hash := r.Current().Hash
			test.break_(t, dir)
			if says := r.broken(); !strings.Contains(says, test.says) {
				t.Errorf("reported %s\nwant %s", says, test.says)
			}
			if s := r.State(); s.Running != hash || names(r.Current()) != "a" {
				t.Errorf("%q runs, %s; want the rules from before", names(r.Current()), s.Running)
			}
			test.mend(t, dir)
			r.runs(test.after)
			if s := r.State(); s.Errors != nil || s.Running != r.Current().Hash {
				t.Errorf("state after mending: %+v", s)
			}
			if n := r.failures(); n != 1 {
				t.Errorf("it was reported %d times, want once", n)
			}
		})
	}
}

func TestTouchedFilesAreNotReloaded(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "rules/a.yaml", rule("a"))
	r := watch(t, dir, setting{poll: 20 * time.Millisecond})
	before := r.Current()
	later := time.Now().Add(-time.Hour)
	must(t, os.Chtimes(filepath.Join(dir, "rules/a.yaml"), later, later))
	checked := r.State().CheckedAt
	r.until("the touched file was read", func() bool { return r.State().CheckedAt.After(checked) })
	if r.Current() != before || len(r.sets()) != 1 {
		t.Error("a file with the same content was reloaded")
	}
}

func TestSecretsAndFilesOfActionsAreWatched(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "secret", "first", "ca.pem", "first",
		"rules/a.yaml", "actions:\n"+
			"  with-secret: {type: note, message: hi, token: \"${file:../secret}\"}\n"+
			"  with-file: {type: note, message: hi, ca: ../ca.pem}\n"+
			"  plain: {type: note, message: hi}\n"+
			"rules: []\n")
	r := watch(t, dir, setting{lists: []string{dir}})
	for _, change := range []struct{ file, action string }{{"secret", "with-secret"}, {"ca.pem", "with-file"}} {
		before := r.Current()
		write(t, dir, change.file, "second")
		r.until(change.file+" was reloaded", func() bool { return r.Current() != before })
		for _, name := range []string{"with-secret", "with-file", "plain"} {
			was, _ := before.Action(name)
			is, _ := r.Current().Action(name)
			if changed := was != is; changed != (name == change.action) {
				t.Errorf("%s changed: %s is a new value: %v", change.file, name, changed)
			}
		}
	}
	if data, err := os.ReadFile(filepath.Join(dir, "rules/a.yaml")); err != nil || strings.Contains(string(data), "second") {
		t.Error("the test wrote into the rules file")
	}
}

func TestReloadOnRequest(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "rules/a.yaml", rule("a"))
	l := NewLive(loader(t, filepath.Join(dir, "rules")), LiveOptions{})
	must(t, l.Start(t.Context(), true))
	if changed, err := l.Reload(t.Context()); changed || err != nil {
		t.Errorf("nothing changed: got %v, %v", changed, err)
	}
	write(t, dir, "rules/a.yaml", rule("b"))
	if changed, err := l.Reload(t.Context()); !changed || err != nil || names(l.Current()) != "b" {
		t.Errorf("a new rule: got %v, %v, running %q", changed, err, names(l.Current()))
	}
	write(t, dir, "rules/a.yaml", "rules: nonsense")
	var ps Problems
	for range 2 {
		if changed, err := l.Reload(t.Context()); changed || !errors.As(err, &ps) || names(l.Current()) != "b" {
			t.Errorf("a broken file: got %v, %v, running %q", changed, err, names(l.Current()))
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := l.Reload(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("a context that has ended: got %v", err)
	}
}

func TestReloadsAtOnce(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "rules/a.yaml", rule("a"))
	r := watch(t, dir, setting{})
	write(t, dir, "rules/a.yaml", rule("b"))
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			if _, err := r.Reload(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if sets := r.sets(); len(sets) != 2 || sets[1] != "b" {
		t.Errorf("swapped in %q, want the change once", sets)
	}
}

// A file that never stands still is not taken, however often a part of it would do as rules, and somebody hears of it.
func TestRestlessFile(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "rules/a.yaml", rule("a"))
	r := watch(t, dir, setting{patience: time.Second})
	stop, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		for i := 0; ; i++ {
			select {
			case <-stop:
				return
			case <-time.After(30 * time.Millisecond): // the writer's pace is the case
				write(t, dir, "rules/a.yaml", rule(fmt.Sprintf("b%d", i)))
			}
		}
	}()
	if says := r.broken(); !strings.Contains(says, "a.yaml:1:1: keeps changing") || names(r.Current()) != "a" {
		t.Errorf("reported %s, running %q", says, names(r.Current()))
	}
	close(stop)
	<-done
	write(t, dir, "rules/a.yaml", rule("c"))
	r.runs("c")
	if sets := r.sets(); len(sets) != 2 {
		t.Errorf("swapped in %q", sets)
	}
}

// When the queue of events has overflowed, everything is looked at.
func TestLostEvents(t *testing.T) {
	lost := make(chan error, 1)
	lost <- fsnotify.ErrEventOverflow
	w := &watcher{live: NewLive(loader(t, t.TempDir()), LiveOptions{}), errors: lost}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if !w.changed(ctx, nil) {
		t.Error("lost events went unnoticed")
	}
}
