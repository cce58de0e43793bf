package engine

import (
	"context"
	"sync"
	"time"
)

// batcher hands what is put into it to one writer, many at a time. It holds at most what its users may put: they bound that by
// other means (the loose deliveries, the events that wait), so that put never blocks.
type batcher[T any] struct {
	max    int           // items a batch
	linger time.Duration // how long the first of a batch waits for company

	mu     sync.Mutex
	items  []T
	waking bool // a timer is set for items that nobody waits for
	wake   chan struct{}
	urgent chan struct{} // ends a linger
}

func newBatcher[T any](max int, linger time.Duration) *batcher[T] {
	return &batcher[T]{max: max, linger: linger, wake: make(chan struct{}, 1), urgent: make(chan struct{}, 1)}
}

func (b *batcher[T]) put(items ...T) {
	b.mu.Lock()
	b.items = append(b.items, items...)
	b.mu.Unlock()
	b.rouse()
}

// putIdly is put for items that nobody waits for: unless others are put or a batch is full, they are written within patience.
func (b *batcher[T]) putIdly(patience time.Duration, items ...T) {
	b.mu.Lock()
	b.items = append(b.items, items...)
	full := len(b.items) >= b.max
	if !full && !b.waking {
		b.waking = true
		time.AfterFunc(patience, b.rouse)
	}
	b.mu.Unlock()
	if full {
		b.rouse()
	}
}

// rouse tells the writer that there is something to write.
func (b *batcher[T]) rouse() {
	select {
	case b.wake <- struct{}{}:
	default: // it has been told already
	}
}

// hurry makes the writer write what was put without waiting for company.
func (b *batcher[T]) hurry() {
	select {
	case b.urgent <- struct{}{}:
	default: // it has been told already
	}
}

// waiting is how many items no batch has taken yet.
func (b *batcher[T]) waiting() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.items)
}

func (b *batcher[T]) take() []T {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.waking = false // a timer that is set all the same wakes the writer early, or for nothing
	n := min(len(b.items), b.max)
	batch := b.items[:n:n]
	b.items = b.items[n:]
	if len(b.items) == 0 {
		b.items = nil
	}
	return batch
}

// run calls write with one batch after the other. It returns when stop is closed and nothing is left, or when ctx ends; nothing
// may be put once stop is closed. write returns when the batch is written or ctx has ended.
func (b *batcher[T]) run(ctx context.Context, stop <-chan struct{}, write func(context.Context, []T)) {
	for stopping := false; ctx.Err() == nil; {
		if batch := b.take(); len(batch) > 0 {
			write(ctx, batch)
			continue
		}
		if stopping {
			return
		}
		select {
		case <-b.wake:
			b.lingerFor(stop)
		case <-stop:
			stopping = true
		case <-ctx.Done():
		}
	}
}

func (b *batcher[T]) lingerFor(stop <-chan struct{}) {
	if b.linger <= 0 || b.waiting() >= b.max {
		return
	}
	t := time.NewTimer(b.linger)
	defer t.Stop()
	select {
	case <-t.C:
	case <-b.urgent:
	case <-stop:
	}
}

// persist calls f until it gives no error or ctx ends, with growing pauses; it tells whether f succeeded. Each call gets its own
// deadline, most. failed is told of every error.
func persist(ctx context.Context, most time.Duration, f func(context.Context) error, failed func(error)) bool {
	const shortest, longest = 50 * time.Millisecond, 2 * time.Second
	for pause := shortest; ; pause = min(2*pause, longest) {
		call, cancel := context.WithTimeout(ctx, most)
		err := f(call)
		cancel()
		if err == nil {
			return true
		}
		if ctx.Err() != nil {
			return false
		}
		failed(err)
		if !sleep(ctx, pause) {
			return false
		}
	}
}

// workers counts the attempts that run, so that Run can wait for them.
type workers struct {
	mu     sync.Mutex
	n      int
	closed bool
	idle   chan struct{}
}

func newWorkers() workers { return workers{idle: make(chan struct{})} }

// start tells whether an attempt may start; each that does must call done.
func (w *workers) start() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed {
		return false
	}
	w.n++
	return true
}

func (w *workers) done() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.n--; w.closed && w.n == 0 {
		close(w.idle)
	}
}

// close lets nothing start any more and gives a channel that is closed when nothing runs.
func (w *workers) close() <-chan struct{} {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.closed {
		if w.closed = true; w.n == 0 {
			close(w.idle)
		}
	}
	return w.idle
}

func (w *workers) closing() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.closed
}
