package history

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/aftermath-rules/aftermath/engine"
)

// Source is the part of the store that is followed.
type Source interface {
	Events(ctx context.Context, from uint64) iter.Seq2[*engine.EventPack, error]
	EventsAt(ctx context.Context, seq uint64) (*engine.EventPack, error)
	DeadLetters(ctx context.Context) iter.Seq2[*engine.DeadLetter, error]
	ParkedDeliveries(ctx context.Context) iter.Seq2[*engine.Parked, error]
}

// Options are what a History is made of.
type Options struct {
	Path   string        // of the SQLite file
	Source Source        // what it follows
	Keep   time.Duration // how long deliveries that are done or discarded stay; 0: for good
	Busy   func() bool   // tells whether deliveries wait for the processor: then it gives way; nil: they never do
	Logger *zap.Logger   // nil logs nothing
}

// History follows the outcomes stream and answers searches. Its methods are safe for concurrent use.
type History struct {
	o     Options
	log   *zap.Logger
	wake  chan struct{} // something was recorded
	hurry chan struct{} // it is to be taken in at once
	fresh fresh
	began time.Time // of the work that is under way; Run's own

	mu     sync.RWMutex // held for reading while the file is used, for writing while it is replaced
	file   *file        // nil while there is none
	state  State
	rounds uint64 // how often it has looked at the stream
	fault  error  // what a search found wrong with the file; nil where nothing
}

// State says how far a History is.
type State struct {
	Seq     uint64 `json:"seq"`     // of the last pack of outcomes that is in it
	Current bool   `json:"current"` // it had caught up when it last looked
	Rebuilt int    `json:"rebuilt"` // how often it was thrown away since the start
	Error   string `json:"error,omitempty"`
}

const (
	lookEvery  = time.Second           // other nodes' outcomes come without a word
	linger     = 50 * time.Millisecond // what comes soon after goes into the same transaction
	busyShare  = 8                     // how many times as long as it worked it rests while it gives way
	busyMost   = time.Second           // and at most: it falls behind by what is beyond some thousand deliveries a second, no further
	pauseMost  = 5 * time.Second
	pruneEvery = time.Minute
)

// ErrNotReady says that there is nothing to search yet.
var ErrNotReady = errors.New("the history is being opened")

// New makes a History. It opens nothing.
func New(o Options) *History {
	if o.Logger == nil {
		o.Logger = zap.NewNop()
	}
	if o.Busy == nil {
		o.Busy = func() bool { return false }
	}
	return &History{o: o, log: o.Logger, wake: make(chan struct{}, 1), hurry: make(chan struct{}, 1)}
}

// Take gives it what this process has just recorded as the pack of that number; 0 where it does not know. It does not block.
func (h *History) Take(seq uint64, events []engine.Event) {
	if seq > 0 {
		h.fresh.put(seq, events)
	}
	tell(h.wake)
}

// Wake makes it look at the stream now. It does not block.
func (h *History) Wake() {
	tell(h.hurry)
	tell(h.wake)
}

func tell(c chan<- struct{}) {
	select {
	case c <- struct{}{}:
	default: // it has been told already
	}
}

// CatchUp waits until what was recorded before is in it, at most d: whoever changed something may want to see it.
func (h *History) CatchUp(ctx context.Context, d time.Duration) {
	looked := func() uint64 {
		h.mu.RLock()
		defer h.mu.RUnlock()
		return h.rounds
	}
	until := time.Now().Add(d)
	// The round that is under way may have looked too early.
	for from := looked(); looked() < from+2 && time.Now().Before(until); {
		h.Wake()
		if !sleep(ctx, 5*time.Millisecond) {
			return
		}
	}
}

// openWait is how long a search waits for a file to search: at a start, and after one was thrown away, there is none for a moment.
const openWait = 2 * time.Second

// awaitFile waits until there is a file, at most openWait.
func (h *History) awaitFile(ctx context.Context) {
	open := func() bool {
		h.mu.RLock()
		defer h.mu.RUnlock()
		return h.file != nil
	}
	for until := time.Now().Add(openWait); !open() && time.Now().Before(until); {
		if !sleep(ctx, 5*time.Millisecond) {
			return
		}
	}
}

// State gives how far it is.
func (h *History) State() State {
	h.mu.RLock()
	defer h.mu.RUnlock()
	return h.state
}

// Run follows the stream until ctx ends. What goes wrong with the file is mended by building it anew; anything else is tried again.
func (h *History) Run(ctx context.Context) error {
	defer h.closeFile()
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	var pruned time.Time
	pause := 100 * time.Millisecond
	for ctx.Err() == nil {
		h.began = time.Now()
		err := h.takeFault()
		if err == nil {
			err = h.follow(ctx)
		}
		if err == nil && time.Since(pruned) >= pruneEvery {
			pruned = time.Now()
			err = h.prune(ctx, pruned)
		}
		h.note(err)
		if err != nil && ctx.Err() == nil {
			h.mend(err)
			if !sleep(ctx, pause) {
				break
			}
			pause = min(2*pause, pauseMost)
			continue
		}
		pause = 100 * time.Millisecond
		select {
		case <-ctx.Done():
		case <-h.wake:
			h.rest(ctx)
		case <-tick.C:
		}
	}
	return nil
}

// rest waits a moment, unless there is a hurry. While deliveries wait for the processor that is in proportion to how long it has worked
// since it last did: they need it more than who searches, so that under a load that leaves it no time it falls behind.
func (h *History) rest(ctx context.Context) {
	d := linger
	if h.o.Busy() {
		d = min(max(d, busyShare*time.Since(h.began)), busyMost)
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-h.hurry:
	case <-ctx.Done():
	}
	h.began = time.Now()
}

// blame keeps an error that says that the file is damaged, for Run to mend.
func (h *History) blame(err error) {
	if err == nil || !damaged(err) {
		return
	}
	h.mu.Lock()
	h.fault = err
	h.mu.Unlock()
	h.Wake()
}

func (h *History) takeFault() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	err := h.fault
	h.fault = nil
	return err
}

func (h *History) note(err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.rounds++
	h.state.Current, h.state.Error = err == nil, ""
	if err != nil {
		h.state.Error = err.Error()
	}
}

// mend throws the file away where it is at fault.
func (h *History) mend(err error) {
	if !errors.Is(err, errUnfit) && !damaged(err) {
		h.log.Warn("following the outcomes into the history", zap.Error(err))
		return
	}
	h.log.Warn("the history is thrown away and built anew", zap.String("file", h.o.Path), zap.Error(err))
	h.closeFile()
	if err := removeFile(h.o.Path); err != nil {
		h.log.Error("the old history could not be taken away", zap.Error(err))
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.state.Rebuilt++
	h.state.Seq = 0
}

func (h *History) closeFile() {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.file == nil {
		return
	}
	if err := h.file.close(); err != nil {
		h.log.Warn("closing the history", zap.Error(err))
	}
	h.file = nil
}

// open opens the file unless it is open, and checks that it is of this store.
func (h *History) open(ctx context.Context) (*file, error) {
	if h.file != nil { // only this goroutine sets it
		return h.file, nil
	}
	f, err := openFile(ctx, h.o.Path)
	if err != nil {
		return nil, err
	}
	if err := h.sameStore(ctx, f); err != nil {
		return nil, errors.Join(err, f.close())
	}
	seq, _, _, err := f.place(ctx)
	if err != nil {
		return nil, errors.Join(err, f.close())
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.file, h.state.Seq = f, seq
	return f, nil
}

// sameStore checks that what the file last took in is what the stream has in that place.
func (h *History) sameStore(ctx context.Context, f *file) error {
	seq, stored, _, err := f.place(ctx)
	if err != nil || seq == 0 {
		return err
	}
	p, err := h.o.Source.EventsAt(ctx, seq)
	switch {
	case errors.Is(err, engine.ErrNotFound):
		// Purged, or another store's that never came so far: then something older than it is there, and nothing newer.
		for p, err := range h.o.Source.Events(ctx, 0) {
			if err != nil {
				return err
			}
			if p.Seq > seq {
				return nil
			}
			break
		}
		return fmt.Errorf("%w: it has outcome %d, which the store does not have", errUnfit, seq)
	case err != nil:
		return err
	case p.Stored.UnixNano() != stored:
		return fmt.Errorf("%w: it is of another store", errUnfit)
	}
	return nil
}

func sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}
