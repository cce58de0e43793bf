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
	linger time.Duration // how long the first of a batch waits for company, unless a batch is being written while it is put

	mu      sync.Mutex
	items   []T
	due     time.Time     // when the next batch is written, unless it is full before
	writing int           // items of the batch that is being written
	wake    chan struct{} // due has come nearer, or a batch is full
}

func newBatcher[T any](max int, linger time.Duration) *batcher[T] {
	return &batcher[T]{max: max, linger: linger, wake: make(chan struct{}, 1)}
}

// put is for items that are waited for: they are written within the linger, or as soon as the batch that is being written is.
func (b *batcher[T]) put(items ...T) {
	b.mu.Lock()
	defer b.mu.Unlock()
	wait := b.linger
	if b.writing > 0 {
		wait = 0
	}
	b.add(wait, items)
}

// putIdly is for items that nobody waits for: unless the batch is written before, they are within patience.
func (b *batcher[T]) putIdly(patience time.Duration, items ...T) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.add(patience, items)
}

// add is called with the lock held.
func (b *batcher[T]) add(wait time.Duration, items []T) {
	first := len(b.items) == 0
	b.items = append(b.items, items...)
	if due := time.Now().Add(wait); len(items) > 0 && (first || due.Before(b.due)) {
		b.due = due
		b.rouse()
	}
	if len(b.items) >= b.max {
		b.rouse()
	}
}

// hurry makes the writer write what was put without waiting for company.
func (b *batcher[T]) hurry() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.due = time.Now()
	b.rouse()
}

// rouse tells the writer to look again.
func (b *batcher[T]) rouse() {
	select {
	case b.wake <- struct{}{}:
	default: // it has been told already
	}
}

// waiting is how many items no batch has taken yet.
func (b *batcher[T]) waiting() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.items)
}

// held is how many items are not written yet.
func (b *batcher[T]) held() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.items) + b.writing
}

// take takes the batch that is to be written now; where there is none, it says in what time there may be: never, if negative.
func (b *batcher[T]) take(now time.Time, stopping bool) (batch []T, wait time.Duration) {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch early := b.due.Sub(now); {
	case len(b.items) == 0:
		return nil, -1
	case len(b.items) < b.max && early > 0 && !stopping:
		return nil, early
	}
	n := min(len(b.items), b.max)
	b.writing = n
	batch = b.items[:n:n]
	if b.items = b.items[n:]; len(b.items) == 0 {
		b.items = nil
	}
	return batch, 0
}

func (b *batcher[T]) written() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.writing = 0
}

// run calls write with one batch after the other. It returns when stop is closed and nothing is left, or when ctx ends; nothing
// may be put once stop is closed. write returns when the batch is written or ctx has ended.
func (b *batcher[T]) run(ctx context.Context, stop <-chan struct{}, write func(context.Context, []T)) {
	due := time.NewTimer(0)
	defer due.Stop()
	for stopping := false; ctx.Err() == nil; {
		batch, wait := b.take(time.Now(), stopping)
		if len(batch) > 0 {
			write(ctx, batch)
			b.written()
			continue
		}
		if stopping {
			return
		}
		if wait < 0 {
			due.Stop()
		} else {
			due.Reset(wait)
		}
		select {
		case <-b.wake:
		case <-due.C:
		case <-stop:
			stopping = true
		case <-ctx.Done():
		}
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
