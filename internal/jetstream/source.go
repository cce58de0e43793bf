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
	decode func(m jetstream.Msg, h *hold[T], at time.Time, again bool) (T, error)
	out    chan T
	ask    int // messages that a cluster is asked for at once: see portion

	mu    sync.Mutex
	old   uint64              // messages up to it were there when the store was opened
	held  map[uint64]*hold[T] // given out and not acked
	acked map[uint64]struct{} // acked, where the server may not know it yet
}

// hold is a message that this node was given. In a cluster it is lost where the server can't be told for too long that it is being worked
// on: another node may be given it then, and what becomes of it here must count for nothing.
//
// It does not have the message itself, which may be megabytes, while its last delivery may wait for long.
type hold[T any] struct {
	c     *source[T]
	seq   uint64
	reply string    // where the server is told of it
	told  time.Time // no server gives it to anyone in the ackWait after
	asked time.Time // when a server was told last: a majority of them may not have heard of that yet
}

// What the server is told of a message.
const (
	sayAck  = "+ACK"  // it is settled
	sayNak  = "-NAK"  // it is to come again at once
	sayBusy = "+WPI"  // it is being worked on
	sayTerm = "+TERM" // it is never to come again
)

// say tells the server something, which may be lost: it is sent behind what else is being sent, so nobody waits.
func (h *hold[T]) say(what string) { h.c.s.session().nc.Publish(h.reply, []byte(what)) }

// lapse is how long after told a hold is lost: well before ackWait, since what is stored last is on its way for a while.
const lapse = ackWait * 2 / 3

// lapsed tells whether it is lost. A machine may have slept, which only its wall clock has noticed.
func (h *hold[T]) lapsed(now time.Time) bool {
	return h.c.s.o.URL != "" && max(now.Sub(h.told), now.Round(0).Sub(h.told.Round(0))) > lapse
}

// valid tells whether no other node can have been given the message. Once it is not, it never is again.
func (h *hold[T]) valid() bool {
	h.c.mu.Lock()
	defer h.c.mu.Unlock()
	if h.c.held[h.seq] != h {
		return false
	}
	if h.lapsed(time.Now()) {
		delete(h.c.held, h.seq)
		return false
	}
	return true
}

// check gives what a Pack or Bundle says of its hold.
func (h *hold[T]) check() func() bool {
	if h.c.s.o.URL == "" {
		return nil // nobody else reads the embedded store
	}
	return h.valid
}

// ack settles the message.
func (h *hold[T]) ack() { h.settle(sayAck) }

func (h *hold[T]) settle(how string) {
	c := h.c
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.held[h.seq] != h {
		return
	}
	delete(c.held, h.seq)
	c.acked[h.seq] = struct{}{}
	h.say(how) // where it is lost the message comes again, and is acked then
}

// drop forgets a message that was not given out, and has it come again.
func (h *hold[T]) drop() {
	c := h.c
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.held[h.seq] == h {
		delete(c.held, h.seq)
	}
	h.say(sayNak)
}

// newSource makes a source that gives what it reads to out, which sources may share.
func newSource[T any](
	s *Store, name string, out chan T, cons func(*session) jetstream.Consumer,
	decode func(m jetstream.Msg, h *hold[T], at time.Time, again bool) (T, error),
) *source[T] {
	return &source[T]{
		s: s, name: name, cons: cons, decode: decode, out: out, ask: 1,
		held: make(map[uint64]*hold[T]), acked: make(map[uint64]struct{}),
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
	fetched      = 32                     // messages that are asked for at once
	fetchedBytes = maxPayload + 64<<10    // and bytes: what does not fit then never comes from an embedded server, so there is room for the largest one
	fetchWait    = 500 * time.Millisecond // for the last of them; the store's end waits for it
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
	asked := time.Now() // none was sent before
	n, opts := fetched, []jetstream.FetchOpt{jetstream.FetchMaxWait(fetchWait)}
	if c.s.o.URL == "" {
		opts = append(opts, jetstream.FetchMaxBytes(fetchedBytes))
	} else {
		n = c.ask
	}
	batch, err := cons.Fetch(n, opts...)
	if err != nil {
		return err
	}
	got, largest := 0, 0
	for m := range batch.Messages() {
		got, largest = got+1, max(largest, len(m.Data()))
		if err == nil {
			err = c.give(ctx, m, asked)
		} else {
			m.Nak() // so that it comes again at once; where it is lost it comes after ackWait
		}
	}
	c.ask = portion(got, largest)
	if err == nil {
		err = batch.Error()
	}
	return err
}

// portion is how many messages a cluster is asked for at once after a batch of so many, the largest of which has so many bytes. Its
// servers say of a batch with a bound by bytes that it is over before they send what is in it. So no more are asked for than would
// be within the bound if all were as large, and at most twice as many as came last.
func portion(got, largest int) int {
	return max(1, min(2*got, fetchedBytes/max(largest, 1), fetched))
}

func (c *source[T]) give(ctx context.Context, m jetstream.Msg, asked time.Time) error {
	md, err := m.Metadata()
	if err != nil {
		return err
	}
	seq := md.Sequence.Stream
	h := c.take(&hold[T]{c: c, seq: seq, reply: m.Reply(), told: asked, asked: asked})
	if h == nil {
		return nil
	}
	v, err := c.decode(m, h, md.Timestamp, seq <= c.old || md.NumDelivered > 1 || c.late(md.Timestamp))
	var damage *badMessage
	if errors.As(err, &damage) {
		c.s.damaged(c.name, seq, damage.err)
		h.settle(sayTerm)
		return nil
	}
	if err != nil {
		h.drop()
		return err
	}
	select {
	case c.out <- v:
		return nil
	case <-ctx.Done():
		h.drop()
		return ctx.Err()
	}
}

// late tells that a cluster's message is so old that another node can have been given it before: a consumer's new leader may not know.
func (c *source[T]) late(stored time.Time) bool {
	return c.s.o.URL != "" && time.Since(stored) > ackWait/2
}

// badMessage says that what is stored in a message can't be read: reading goes on behind it.
type badMessage struct{ err error }

func (e *badMessage) Error() string { return e.err.Error() }
func (e *badMessage) Unwrap() error { return e.err }

// take gives the hold of a message that is to be given out; nil for what is given out or settled already.
func (c *source[T]) take(h *hold[T]) *hold[T] {
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, ok := c.acked[h.seq]; ok {
		h.say(sayAck)
		return nil
	}
	now := time.Now()
	if have := c.held[h.seq]; have != nil && !have.lapsed(now) {
		have.reply = h.reply
		return nil
	}
	if h.lapsed(now) {
		return nil // it waited here for too long, and comes again
	}
	c.held[h.seq] = h
	return h
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

// keepAlive tells the server that what is held is being worked on, and forgets what it could not be told of for too long.
func (c *source[T]) keepAlive(ctx context.Context) {
	now := time.Now()
	held, last := c.tell(now)
	if len(held) == 0 || c.s.o.URL == "" {
		return
	}
	// What the server answers last it has heard last.
	ctx, cancel := context.WithTimeout(ctx, keepAliveEvery)
	defer cancel()
	ss := c.s.session()
	if _, err := ss.nc.RequestWithContext(ctx, last, []byte(sayBusy)); err != nil {
		return // it is tried again, and what is lost meanwhile others are given
	}
	info, err := c.cons(ss).Info(ctx)
	if err != nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, h := range held {
		if led(info.Cluster, time.Since(h.asked)) && !h.lapsed(time.Now()) {
			h.told, h.asked = h.asked, now
		}
	}
}

// led tells whether a majority of a leader's servers has answered it within a time. One that is cut off from the others goes on answering
// for some twenty seconds, while they may have a leader that knows nothing of it.
func led(cluster *jetstream.ClusterInfo, within time.Duration) bool {
	if cluster == nil {
		return true
	}
	heard := 1 // itself
	for _, r := range cluster.Replicas {
		if !r.Offline && r.Active < within {
			heard++
		}
	}
	return heard > (len(cluster.Replicas)+1)/2
}

// tell tells the server of all that is held, and gives that, and where it is told of one of them.
func (c *source[T]) tell(now time.Time) (held []*hold[T], last string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for seq, h := range c.held {
		if h.lapsed(now) {
			delete(c.held, seq)
			continue
		}
		h.say(sayBusy) // where it is lost the message comes again
		held, last = append(held, h), h.reply
	}
	return held, last
}

// release gives everything held back, when the store is closed: in order, for it comes again in the order of this.
func (c *source[T]) release() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, seq := range slices.Sorted(maps.Keys(c.held)) {
		c.held[seq].say(sayNak)
	}
	clear(c.held)
}
