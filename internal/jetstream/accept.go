package jetstream

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/aftermath-rules/aftermath/engine"
	"github.com/aftermath-rules/aftermath/internal/failpoint"
)

// acceptWait bounds an Accept whose context has no deadline.
const acceptWait = 30 * time.Second

var (
	errTooMany = errors.New("too many callbacks wait to be stored")
	errCrowded = errors.New("the store keeps in memory what it wrote in the last ten seconds, and that is as much as it may be")
)

// batch is the callbacks that are stored as one pack. They write themselves into it while the one before is being stored, and one
// channel tells them all how it went.
type batch struct {
	since   time.Time // when the first joined
	draft   *draft
	waiters []waiter
	taken   chan struct{} // closed when the packer has it, and nothing may join it any more
	done    chan struct{} // closed when it has been stored, or was not
	err     error         // how that went
}

// waiter is one callback that waits to be stored.
type waiter struct {
	ctx context.Context
	end int // of its record in the draft
}

func newBatch(buf []byte) *batch {
	return &batch{draft: newDraft(buf), taken: make(chan struct{}), done: make(chan struct{})}
}

// fits says whether a record of the size may join. A pack takes at least one, however large.
func (b *batch) fits(size int) bool {
	return len(b.waiters) == 0 || len(b.waiters) < maxRecords && len(b.draft.b)+size <= softPack
}

func (b *batch) add(ctx context.Context, r *engine.Record) {
	if len(b.waiters) == 0 {
		b.since = time.Now()
	}
	b.draft.addCallback(r)
	b.waiters = append(b.waiters, waiter{ctx, len(b.draft.b)})
}

// Accept returns nil once r is on stable storage. What may pass (a full pack, a full disk, a lost connection) is waited for
// until ctx is over. After an error the record may have been stored nevertheless.
func (s *Store) Accept(ctx context.Context, r *engine.Record) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if size := recordSize(r); size > maxRecord {
		return fmt.Errorf("callback of %d bytes: more than the %d that can be stored", size, maxRecord)
	}
	p := s.home(r.Key)
	b, err := p.join(ctx, r)
	if err != nil {
		return err
	}
	select {
	case <-b.done:
		return b.err
	case <-ctx.Done():
	}
	if p.crowded.Load() {
		return fmt.Errorf("callback not stored: %w: %w", ctx.Err(), errCrowded)
	}
	return fmt.Errorf("callback not stored: %w", s.because(ctx.Err()))
}

// join writes a callback into the next pack. Where that is full it waits for the one after it.
func (p *partition) join(ctx context.Context, r *engine.Record) (*batch, error) {
	for {
		b, joined, err := p.tryJoin(ctx, r)
		if joined || err != nil {
			return b, err
		}
		select {
		case <-b.taken:
		case <-ctx.Done():
			return nil, fmt.Errorf("%w: %w", errTooMany, ctx.Err())
		}
	}
}

func (p *partition) tryJoin(ctx context.Context, r *engine.Record) (b *batch, joined bool, err error) {
	p.packing.Lock()
	defer p.packing.Unlock()
	if p.closed {
		return nil, false, engine.ErrClosed
	}
	b = p.next
	if !b.fits(recordSize(r)) {
		return b, false, nil
	}
	b.add(ctx, r)
	if len(b.waiters) == 1 {
		p.wakePacker()
	}
	return b, true, nil
}

func (p *partition) wakePacker() {
	select {
	case p.joined <- struct{}{}:
	default: // it has been told already
	}
}

// closeJoining lets nothing join any more, and the packer end; it tells whether it was open.
func (p *partition) closeJoining() bool {
	p.packing.Lock()
	defer p.packing.Unlock()
	if p.closed {
		return false
	}
	p.closed = true
	close(p.closing)
	p.wakePacker()
	return true
}

// packAll is the partition's one packer: it takes the callbacks that wait as one message, waits until that is stored, and takes those that
// came meanwhile. It ends once nothing joins any more.
func (p *partition) packAll() {
	var spare, squeezed []byte // the memory of the pack before
	for open := true; open; {
		<-p.joined
		p.linger()
		p.awaitRoom()
		var b *batch
		b, open = p.takeBatch(spare)
		squeezed = kept(p.storeBatch(b, squeezed))
		spare = kept(b.draft.b)
	}
}

// linger lets more callbacks join, where that is wanted.
func (p *partition) linger() {
	if p.s.o.Linger <= 0 {
		return
	}
	t := time.NewTimer(p.s.o.Linger)
	defer t.Stop()
	select {
	case <-t.C:
	case <-p.s.work.Done():
	}
}

// awaitRoom waits as long as the embedded server has as much of what was written lately in memory as it may.
func (p *partition) awaitRoom() {
	for d := p.recent.full(time.Now()); d > 0; d = p.recent.full(time.Now()) {
		p.crowded.Store(true)
		t := time.NewTimer(d)
		select {
		case <-t.C:
		case <-p.closing:
			t.Stop()
			return
		}
	}
	p.crowded.Store(false)
}

// takeBatch takes what waits, and lets what comes write into buf. It tells whether more may come.
func (p *partition) takeBatch(buf []byte) (b *batch, open bool) {
	p.packing.Lock()
	defer p.packing.Unlock()
	b = p.next
	p.next = newBatch(buf)
	close(b.taken)
	return b, !p.closed
}

// leastSqueezed is the size of the largest pack that is not compressed: the disk writes a page for it anyway.
const leastSqueezed = 4 << 10

// storeBatch stores a batch. It compresses it into buf where that is large enough, and gives the memory that it used.
func (p *partition) storeBatch(b *batch, buf []byte) []byte {
	defer close(b.done)
	b.dropLeft()
	if len(b.waiters) == 0 {
		return buf
	}
	d := b.draft
	if len(d.b) > leastSqueezed {
		if d = d.squeezed(buf); d != b.draft {
			buf = d.b
		}
	}
	var err error
	if p.s.o.Spool != nil {
		err = p.sendOrSpool(b, d)
	} else {
		ctx, cancel := context.WithDeadline(p.s.work, b.until(time.Now()))
		defer cancel()
		failpoint.Pass(failpoint.Pack)
		_, err = p.chain.store(ctx, d)
		failpoint.Pass(failpoint.Published)
	}
	p.recent.wrote(time.Now(), len(d.b))
	if err != nil {
		b.err = fmt.Errorf("callback not stored: %w", err)
	}
	return buf
}

// dropLeft takes out the callbacks whose callers have left: they were told that theirs was not stored.
func (b *batch) dropLeft() {
	from, kept, end := headSize, 0, headSize
	for _, w := range b.waiters {
		record := b.draft.b[from:w.end]
		from = w.end
		if w.ctx.Err() != nil {
			continue
		}
		if end != w.end-len(record) {
			copy(b.draft.b[end:], record)
		}
		end += len(record)
		b.waiters[kept] = waiter{w.ctx, end}
		kept++
	}
	b.waiters, b.draft.b, b.draft.count = b.waiters[:kept], b.draft.b[:end], kept
}

// until is when the last of the callers stops waiting.
func (b *batch) until(now time.Time) time.Time {
	most := now.Add(acceptWait)
	var until time.Time
	for _, w := range b.waiters {
		d, ok := w.ctx.Deadline()
		if !ok || d.After(most) {
			return most
		}
		if d.After(until) {
			until = d
		}
	}
	return until
}
