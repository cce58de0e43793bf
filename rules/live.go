package rules

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/aftermath-rules/aftermath/actions"
)

// LiveOptions are what Live needs besides a Loader.
type LiveOptions struct {
	// LastGood is the folder in which the last good set is kept; "" keeps none.
	LastGood string
	// Poll is how often everything is looked at, whether or not the system tells of changes; 0 is 2 s.
	Poll time.Duration
	// OnSwap is called with each new set before it is the current one for anyone else. It must not call back into Live.
	OnSwap func(*RuleSet)
	// OnReload is called after each time that something on disk had changed, whatever came of it.
	OnReload func(Reload)
}

// Reload is what came of a change on disk.
type Reload struct {
	Set      *RuleSet // that runs now
	Swapped  bool     // it is a new one
	Err      error    // what is wrong on disk: Problems, as a rule; the set from before runs on
	LastGood bool     // Set comes from the data folder, since what is on disk cannot run
	NotKept  error    // why the new set could not be kept as the last good one
	Took     time.Duration
}

// State says what runs and what is on disk.
type State struct {
	Running   string // the hash of the set that runs; "" for none
	DiskOK    bool   // what is on disk is what runs
	Errors    Problems
	LastGood  bool      // what runs comes from the data folder
	NotKept   bool      // what runs could not be kept as the last good set yet
	CheckedAt time.Time // when the disk was last looked at in full
	NoEvents  string    // why the system does not tell of changes, so that only the poll finds them; "" where it does
}

// Live holds the rule set that runs and keeps it as the files say: it loads, swaps, remembers the last good set and watches.
type Live struct {
	loader *Loader
	LiveOptions

	noEvents bool          // for tests: as on a file system that sends none
	patience time.Duration // after this long without quiet somebody should know

	current atomic.Pointer[RuleSet]
	busy    chan struct{} // holds one token: reloads are done one after the other

	// What follows is guarded by busy.
	running made // what the current set was made of
	tried   made // what was last found on disk

	mu    sync.Mutex
	state State
	files []string // what beside the rules files has to be watched

	watched bool // Run has taken its first look
}

// made is what a build was made of, and what came of it.
type made struct {
	digest [sha256.Size]byte
	inputs []string
	err    error
	valid  bool
}

// NewLive makes a Live. It runs nothing until Start.
func NewLive(loader *Loader, o LiveOptions) *Live {
	if o.Poll <= 0 {
		o.Poll = 2 * time.Second
	}
	return &Live{loader: loader, LiveOptions: o, patience: 10 * time.Second, busy: make(chan struct{}, 1)}
}

// Current gives the set that runs, nil before Start.
func (l *Live) Current() *RuleSet { return l.current.Load() }

// State says what runs and what is on disk.
func (l *Live) State() State {
	l.mu.Lock()
	defer l.mu.Unlock()
	s := l.state
	s.Errors = slices.Clone(s.Errors)
	return s
}

// Start loads the rules for the first time. Where they cannot run, the last good set does, and OnReload is told; with strict, or
// without a last good set, the error says what is wrong.
func (l *Live) Start(ctx context.Context, strict bool) error {
	if err := l.lock(ctx); err != nil {
		return err
	}
	defer l.unlock()
	_, err := l.refresh(ctx)
	if err != nil && l.settled(ctx) == nil {
		_, err = l.refresh(ctx) // somebody may have been writing
	}
	if err == nil || strict || l.LastGood == "" || ctx.Err() != nil {
		return err
	}
	started := time.Now()
	snap, kept := l.loader.loadLastGood(l.LastGood)
	if errors.Is(kept, fs.ErrNotExist) {
		return err
	}
	if kept != nil {
		return errors.Join(err, fmt.Errorf("the last good rules cannot be used: %w", kept))
	}
	set, inputs, kept := l.loader.build(snap, nil)
	if kept != nil {
		return errors.Join(err, fmt.Errorf("the last good rules cannot run either: %w", kept))
	}
	l.swap(set, made{digest: snap.digest(inputs), inputs: inputs, valid: true})
	l.setState(func(s *State) { s.LastGood = true })
	l.report(Reload{Set: set, Swapped: true, Err: err, LastGood: true, Took: time.Since(started)})
	return nil
}

// Reload looks at the disk now, once every file has stood still for a moment, and swaps in what is there if it differs from what
// runs. The error says what is wrong on disk.
func (l *Live) Reload(ctx context.Context) (changed bool, err error) {
	if err := l.settled(ctx); err != nil {
		return false, err
	}
	return l.reload(ctx)
}

// SetSMTP changes the mail server that is lent to actions, and compiles the rules with it. The error says what is wrong on disk; the
// set from before runs on then, and the next one uses the new server.
func (l *Live) SetSMTP(ctx context.Context, server actions.SMTP) error {
	if err := l.lock(ctx); err != nil {
		return err
	}
	defer l.unlock()
	l.loader.Env.SMTP = server
	l.tried.valid, l.running.valid = false, false
	_, err := l.refresh(ctx)
	return err
}

func (l *Live) reload(ctx context.Context) (changed bool, err error) {
	if err := l.lock(ctx); err != nil {
		return false, err
	}
	defer l.unlock()
	return l.refresh(ctx)
}

func (l *Live) lock(ctx context.Context) error {
	select {
	case l.busy <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (l *Live) unlock() { <-l.busy }

// refresh makes what is on disk the running set, if it is another and can run. The caller holds busy.
func (l *Live) refresh(ctx context.Context) (changed bool, err error) {
	started := time.Now()
	snap, err := l.steady(ctx)
	if err != nil {
		return false, err
	}
	if l.tried.valid && snap.digest(l.tried.inputs) == l.tried.digest {
		if l.tried.err == nil && l.State().NotKept {
			_ = l.keep(snap, l.Current()) // that it could not be was reported, and it is tried again until it can
		}
		l.setState(func(s *State) { s.CheckedAt = time.Now() })
		return false, l.tried.err
	}
	if l.running.valid && snap.digest(l.running.inputs) == l.running.digest {
		// Somebody took a broken edit back: what is on disk runs already.
		l.tried = l.running
		l.setState(func(s *State) { s.DiskOK, s.LastGood, s.Errors, s.CheckedAt = true, false, nil, time.Now() })
		l.report(Reload{Set: l.Current(), Took: time.Since(started)})
		return false, nil
	}
	set, inputs, err := l.loader.build(snap, l.Current())
	l.tried = made{digest: snap.digest(inputs), inputs: inputs, err: err, valid: true}
	l.noteInputs()
	if err != nil {
		l.setState(func(s *State) { s.DiskOK, s.Errors, s.CheckedAt = false, problemsOf(err), time.Now() })
		if running := l.Current(); running != nil {
			l.report(Reload{Set: running, Err: err, Took: time.Since(started)})
		}
		return false, err
	}
	l.swap(set, l.tried)
	l.setState(func(s *State) { s.DiskOK, s.LastGood, s.Errors, s.CheckedAt = true, false, nil, time.Now() })
	took := time.Since(started)
	l.report(Reload{Set: set, Swapped: true, NotKept: l.keep(snap, set), Took: took})
	return true, nil
}

// steady reads a snapshot during which no file came, went or changed: one half from before a swap of links and half from after would
// be a set that nobody wrote.
func (l *Live) steady(ctx context.Context) (*snapshot, error) {
	for range 5 {
		snap, err := l.loader.snapshot(ctx)
		if err != nil {
			return nil, err
		}
		if snap.listing.prints(nil).equal(l.loader.list().prints(nil)) {
			return snap, nil
		}
	}
	return nil, errors.New("the rules files change faster than they can be read")
}

// swap makes set the current one. Nothing after this point can fail.
func (l *Live) swap(set *RuleSet, of made) {
	if l.OnSwap != nil {
		l.OnSwap(set)
	}
	l.current.Store(set)
	l.running = of
	l.noteInputs()
	l.setState(func(s *State) { s.Running = set.Hash })
}

// keep keeps the set that runs, which snap makes, as the last good one.
func (l *Live) keep(snap *snapshot, set *RuleSet) error {
	if l.LastGood == "" {
		return nil
	}
	base, err := l.loader.base()
	if err == nil {
		err = saveLastGood(l.LastGood, base, snap, set)
	}
	l.setState(func(s *State) { s.NotKept = err != nil })
	return err
}

func (l *Live) report(r Reload) {
	if l.OnReload != nil {
		l.OnReload(r)
	}
}

func (l *Live) setState(change func(*State)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	change(&l.state)
}

// noteInputs remembers which files beside the rules files matter: those of the set that runs and those of the one last tried.
func (l *Live) noteInputs() {
	files := slices.Concat(l.running.inputs, l.tried.inputs)
	slices.Sort(files)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.files = slices.Compact(files)
}

// look takes in how everything that matters looks now.
func (l *Live) look() (*listing, []string, *prints) {
	l.mu.Lock()
	files := l.files
	l.mu.Unlock()
	ls := l.loader.list()
	return ls, files, ls.prints(files)
}

func problemsOf(err error) Problems {
	var ps Problems
	if errors.As(err, &ps) {
		return ps
	}
	return Problems{{Message: strings.TrimSpace(err.Error())}}
}
