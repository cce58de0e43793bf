package jetstream

import (
	"context"
	"errors"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/zap"

	"github.com/aftermath-rules/aftermath/engine"
)

// source reads a durable consumer and gives each message once, over sessions too, until it is acked.
type source[T any] struct {
	s      *Store
	name   string
	cons   func(*session) jetstream.Consumer
	decode func(m jetstream.Msg, seq uint64, at time.Time, again bool) (T, error)
	out    chan T

	mu    sync.Mutex
	old   uint64                   // messages up to it were there when the store was opened
	held  map[uint64]jetstream.Msg // given out and not acked
	acked map[uint64]struct{}      // acked, where the server may not know it yet
}

// newSource makes a source that gives what it reads to out, which sources may share.
func newSource[T any](
	s *Store, name string, out chan T, cons func(*session) jetstream.Consumer,
	decode func(m jetstream.Msg, seq uint64, at time.Time, again bool) (T, error),
) *source[T] {
	return &source[T]{
		s: s, name: name, cons: cons, decode: decode, out: out,
		held: make(map[uint64]jetstream.Msg), acked: make(map[uint64]struct{}),
	}
}

// next waits for the next message of the sources that give to out.
func next[T any](ctx context.Context, s *Store, out <-chan T) (v T, err error) {
	if err := s.isOpen(ctx); err != nil {
		return v, err
	}
	select {
	case v = <-out:
		return v, nil
	case <-ctx.Done():
		return v, ctx.Err()
	case <-s.stopping:
		return v, engine.ErrClosed
	}
}

const (
	fetched   = 32                     // messages that are asked for at once
	fetchWait = 500 * time.Millisecond // for the last of them; the store's end waits for it
)

// run reads until ctx, the session's, is over.
func (c *source[T]) run(ctx context.Context, ss *session) {
	for ctx.Err() == nil {
		err := c.read(ctx, c.cons(ss))
		if err == nil || ctx.Err() != nil {
			continue
		}
		c.s.log.Warn("reading is interrupted", zap.String("stream", c.name), zap.Error(err))
		select {
		case <-ctx.Done():
		case <-time.After(250 * time.Millisecond):
		}
	}
}

// read asks for some messages and gives them out. It asks for no more before it has: what a client fetches ahead of a reader that
// takes its time it drops, and that comes again only after ackWait.
func (c *source[T]) read(ctx context.Context, cons jetstream.Consumer) error {
	// Not until ctx ends: what the server has sent by then must be given back.
	batch, err := cons.Fetch(fetched, jetstream.FetchMaxWait(fetchWait))
	if err != nil {
		return err
	}
	for m := range batch.Messages() {
		if err == nil {
			err = c.give(ctx, m)
		} else {
			m.Nak() // so that it comes again at once; where it is lost it comes after ackWait
		}
	}
	if err == nil {
		err = batch.Error()
	}
	return err
}

func (c *source[T]) give(ctx context.Context, m jetstream.Msg) error {
	md, err := m.Metadata()
	if err != nil {
		return err
	}
	seq := md.Sequence.Stream
	if !c.take(seq, m) {
		return nil
	}
	v, err := c.decode(m, seq, md.Timestamp, seq <= c.old || md.NumDelivered > 1)
	var damage *badMessage
	if errors.As(err, &damage) {
		c.s.damaged(c.name, seq, damage.err)
		c.settle(seq, jetstream.Msg.Term)
		return nil
	}
	if err != nil {
		c.drop(seq)
		m.Nak()
		return err
	}
	select {
	case c.out <- v:
		return nil
	case <-ctx.Done():
		c.drop(seq)
		m.Nak()
		return ctx.Err()
	}
}

// badMessage says that what is stored in a message can't be read: reading goes on behind it.
type badMessage struct{ err error }

func (e *badMessage) Error() string { return e.err.Error() }
func (e *badMessage) Unwrap() error { return e.err }

// take says whether the message is to be given out; not so what is given out or settled already.
func (c *source[T]) take(seq uint64, m jetstream.Msg) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, ok := c.acked[seq]; ok {
		m.Ack()
		return false
	}
	_, known := c.held[seq]
	c.held[seq] = m
	return !known
}

func (c *source[T]) drop(seq uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.held, seq)
}

// ack settles a message. It is sent behind what else is being sent, so nobody waits.
func (c *source[T]) ack(seq uint64) { c.settle(seq, jetstream.Msg.Ack) }

func (c *source[T]) settle(seq uint64, how func(jetstream.Msg) error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	m, ok := c.held[seq]
	if !ok {
		return
	}
	delete(c.held, seq)
	c.acked[seq] = struct{}{}
	how(m) // where it is lost the message comes again, and is acked then
}

// forget drops what is known of messages up to the consumer's ack floor.
func (c *source[T]) forget(floor uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for seq := range c.acked {
		if seq <= floor {
			delete(c.acked, seq)
		}
	}
}

// keepAlive tells the server that what is held is being worked on.
func (c *source[T]) keepAlive() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, m := range c.held {
		m.InProgress() // where it is lost the message comes again, and is known
	}
}

// release gives everything held back, when the store is closed: in order, for it comes again in the order of this.
func (c *source[T]) release() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, seq := range slices.Sorted(maps.Keys(c.held)) {
		c.held[seq].Nak()
	}
	clear(c.held)
}
