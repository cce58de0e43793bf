package rules

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"github.com/fsnotify/fsnotify"
)

const (
	quiet  = 300 * time.Millisecond // a file counts as written when it has not changed for this long
	step   = 100 * time.Millisecond // how often the files are looked at meanwhile
	coarse = 2 * time.Second        // the coarsest clock that a file system stamps files by
	rest   = 5 * time.Second        // after a load, before the memory that it took is given back
)

// Run watches the files until the context ends and reloads when they have changed and stand still. Start comes first.
func (l *Live) Run(ctx context.Context) error {
	w := &watcher{live: l}
	if !l.noEvents {
		fs, err := fsnotify.NewBufferedWatcher(1024)
		if err != nil {
			l.setState(func(s *State) { s.NoEvents = err.Error() })
		} else {
			w.fs, w.events, w.errors = fs, fs.Events, fs.Errors
			defer fs.Close()
		}
	}
	ticker := time.NewTicker(l.Poll)
	defer ticker.Stop()
	w.look()
	w.reload(ctx) // for what changed between Start and the first watch
	w.rested = time.After(rest)
	l.mu.Lock()
	l.watched = true
	l.mu.Unlock()
	for w.changed(ctx, ticker.C) {
		if w.settle(ctx) {
			w.reload(ctx)
		}
	}
	return nil
}

// watcher is the state of one Run.
type watcher struct {
	live   *Live
	fs     *fsnotify.Watcher // nil where only the poll finds changes
	events <-chan fsnotify.Event
	errors <-chan error
	points map[string]*point // by resolved folder: what is watched
	now    *prints           // as everything looked last
	loaded *prints           // as it looked before it was last read
	rested <-chan time.Time  // when nothing has been loaded for a while; nil where that is done
	again  bool              // a file was so young then that a later change may have left its time as it was, or the set is yet to be kept
}

// point is which names in a watched folder matter.
type point struct {
	rules bool // it is a rules folder: all that may be rules files or folders
	names map[string]bool
}

// changed waits until something may have changed. It is false when the context has ended.
func (w *watcher) changed(ctx context.Context, tick <-chan time.Time) bool {
	for {
		select {
		case <-ctx.Done():
			return false
		case e := <-w.events:
			if w.matters(e) {
				return true
			}
		case <-w.errors: // events were lost
			return true
		case <-w.rested:
			w.rested = nil
			debug.FreeOSMemory() // a load takes several times what it leaves, and the next one may be long in coming
		case <-tick:
			if w.look(); w.again || !w.now.equal(w.loaded) {
				return true
			}
		}
	}
}

// settle waits until nothing has changed for a while. It is false when the context has ended.
func (w *watcher) settle(ctx context.Context) bool {
	began, since, told := time.Now(), time.Now(), false
	w.look() // so that what the first step finds has changed after the event that led here
	for {
		timer := time.NewTimer(min(step, max(quiet-time.Since(since), 0)))
		for waiting := true; waiting; {
			select {
			case <-ctx.Done():
				timer.Stop()
				return false
			case e := <-w.events:
				if w.matters(e) {
					since = time.Now()
				}
			case <-w.errors:
				since = time.Now()
			case <-timer.C:
				waiting = false
			}
		}
		before := w.now
		if w.look(); !w.now.equal(before) {
			since = time.Now()
		}
		switch {
		case time.Since(since) >= quiet:
			return true
		case !told && time.Since(began) > w.live.patience:
			told = true
			w.live.restless(ctx, w.now)
		}
	}
}

// reload reads everything. What came of it is reported by Live.
func (w *watcher) reload(ctx context.Context) {
	w.loaded = w.now
	age := time.Since(w.now.newest)
	if changed, _ := w.live.reload(ctx); changed {
		w.rested = time.After(rest)
	}
	w.again = age.Abs() < coarse || w.live.State().NotKept
	w.look() // the new set may have other files to watch
}

// look takes in how everything looks and watches the folders that matter now.
func (w *watcher) look() {
	ls, files, prints := w.live.look()
	w.now = prints
	if w.fs == nil {
		return
	}
	points := watchPoints(ls, w.live.loader.Roots, files)
	var failed string
	for dir := range points {
		// A folder that was removed and made again has lost its watch; adding one twice does no harm.
		if err := w.fs.Add(dir); err != nil && !os.IsNotExist(err) {
			failed = fmt.Sprintf("%s cannot be watched: %v", dir, err)
		}
	}
	for dir := range w.points {
		if points[dir] == nil {
			_ = w.fs.Remove(dir) // gone already, as a rule
		}
	}
	w.points = points
	w.live.setState(func(s *State) { s.NoEvents = failed })
}

// matters tells whether an event may be about a file that matters: the program's own log and data lie near the rules and change
// all the time.
func (w *watcher) matters(e fsnotify.Event) bool {
	if w.points[e.Name] != nil {
		return true // a watched folder itself
	}
	dir, name := filepath.Split(e.Name)
	p := w.points[filepath.Clean(dir)]
	switch {
	case p == nil:
		return false
	case p.names[name]:
		return true
	case !p.rules || strings.HasPrefix(name, ".") || slices.Contains(w.live.loader.Exclude, e.Name):
		return false
	case e.Has(fsnotify.Create) || e.Has(fsnotify.Remove) || e.Has(fsnotify.Rename):
		return true // it may be a folder
	default:
		return isRulesFile(name)
	}
}

// watchPoints gives the folders to watch: those of the rules, and those in which a link on the way to a file may be swapped.
func watchPoints(ls *listing, roots, files []string) map[string]*point {
	points := map[string]*point{}
	at := func(dir string) *point {
		if points[dir] == nil {
			points[dir] = &point{names: map[string]bool{}}
		}
		return points[dir]
	}
	for _, dir := range ls.dirs {
		at(dir).rules = true
	}
	for _, path := range slices.Concat(roots, ls.links, files) {
		abs, err := filepath.Abs(path)
		if err != nil {
			continue
		}
		eachStep(abs, func(dir, name string) { at(dir).names[name] = true })
	}
	return points
}

// eachStep calls visit for each link on the way to an absolute path, and for what the path leads to in the end, with the resolved
// folder it lies in. Where the way ends before, it calls it for the first part that is missing.
func eachStep(path string, visit func(dir, name string)) {
	const maxLinks = 40
	separator := string(filepath.Separator)
	top := filepath.VolumeName(path) + separator
	dir, rest := top, strings.Split(strings.TrimPrefix(path, top), separator)
	for links := 0; len(rest) > 0; {
		name := rest[0]
		rest = rest[1:]
		switch name {
		case "", ".":
			continue
		case "..":
			dir = filepath.Dir(dir)
			continue
		}
		next := filepath.Join(dir, name)
		info, err := os.Lstat(next)
		if err != nil {
			visit(dir, name)
			return
		}
		if info.Mode()&os.ModeSymlink == 0 {
			if len(rest) == 0 {
				visit(dir, name)
			}
			dir = next
			continue
		}
		visit(dir, name)
		target, err := os.Readlink(next)
		if links++; err != nil || links > maxLinks {
			return
		}
		if filepath.IsAbs(target) {
			dir = top
		}
		rest = append(strings.Split(target, separator), rest...)
	}
}

// settled waits until every file has stood still for a while, which most have done long ago.
func (l *Live) settled(ctx context.Context) error {
	_, _, before := l.look()
	began := time.Now()
	since := before.newest
	if since.After(began) {
		since = began // the clock that stamps the files is ahead of ours
	}
	for time.Since(since) < quiet {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(min(step, quiet-time.Since(since))):
		}
		_, _, now := l.look()
		if !now.equal(before) {
			before, since = now, time.Now()
		}
		if time.Since(began) > l.patience {
			return fmt.Errorf("the rules files have not stood still for %v", l.patience)
		}
	}
	return nil
}

// restless reports that files change without end, so that none of the changes is taken.
func (l *Live) restless(ctx context.Context, now *prints) {
	if l.lock(ctx) != nil {
		return
	}
	defer l.unlock()
	newest := ""
	for path, info := range now.files {
		if info != nil && info.ModTime().Equal(now.newest) {
			newest = path
		}
	}
	err := Problems{{File: newest, Line: 1, Column: 1, Message: fmt.Sprintf("keeps changing: no change is taken until all files have stood still for %v", quiet)}}
	l.setState(func(s *State) { s.DiskOK, s.Errors = false, err })
	l.tried.valid = false
	l.report(Reload{Set: l.Current(), Err: err})
}
