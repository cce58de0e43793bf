package jetstream

import (
	"context"
	"slices"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/aftermath-rules/aftermath/engine"
)

// WithFree makes the store believe in another disk.
func (o Options) WithFree(free func() uint64) Options {
	o.free = func(string) (uint64, error) { return free(), nil }
	return o
}

// StopServer stops the embedded server under the store, as an error does that sticks to it.
func (s *Store) StopServer() {
	s.session().srv.Shutdown()
	s.session().srv.WaitForShutdown()
}

// Purge takes away what is older than is kept.
func (s *Store) Purge(ctx context.Context) error { return s.purge(ctx) }

// StreamDir is the folder of a stream of the embedded server.
func StreamDir(dir, stream string) string { return streamDir(&Options{Dir: dir}, "aftermath_"+stream) }

// EncodeCallbacks makes a pack.
func EncodeCallbacks(ordinal uint64, o Options, rs ...*engine.Record) []byte {
	d := newDraft(nil)
	for _, r := range rs {
		d.addCallback(r)
	}
	return d.seal(kindCallbacks, ordinal, o.Now())
}

// PackOf makes the pack of callbacks that wait under these contexts.
func PackOf(ctxs []context.Context, rs []*engine.Record) []byte {
	b := newBatch([]byte("what was written before"))
	for i, r := range rs {
		b.add(ctxs[i], r)
	}
	b.dropLeft()
	return b.draft.seal(kindCallbacks, 0, time.Now())
}

// DecodeCallbacks reads a pack.
func DecodeCallbacks(b []byte) ([]engine.Record, error) {
	_, rs, err := decodeCallbacks(b)
	return rs, err
}

// AppendUnheard is Append whose answer is lost: what it stored, it gives an error for.
func (s *Store) AppendUnheard(ctx context.Context, events []engine.Event, totals *engine.Totals) error {
	if _, err := s.Append(ctx, events, totals); err != nil {
		return err
	}
	m, err := s.session().atLeader(ctx, outcomesStream, leaderRequest{LastFor: s.outcomesChain.subject})
	if err != nil {
		return err
	}
	s.outcomesChain.sure, s.unheard = false, m.data
	return nil
}

// AppendBehind is AppendUnheard, and a server that does not know yet of what was stored says how far the outcomes have come.
func (s *Store) AppendBehind(ctx context.Context, events []engine.Event, totals *engine.Totals) error {
	c := s.outcomesChain
	last, ordinal := c.last, c.ordinal
	if _, err := s.Append(ctx, events, totals); err != nil {
		return err
	}
	c.last, c.ordinal, c.sure = last, ordinal, true
	return nil
}

// CatchUpBehind has the index of repeats begin anew and catch up with all packs before one, where a server says that the stream ends
// earlier. It gives up to which it knows them then.
func (s *Store) CatchUpBehind(seq, end uint64) (fed uint64, err error) {
	ss := s.session()
	defer s.sess.Store(ss)
	behind := *ss
	behind.accept = slices.Clone(ss.accept)
	behind.accept[0] = &endsAt{ss.accept[0], end}
	s.sess.Store(&behind)
	p := s.parts[0]
	p.repeats = newRepeats(time.Minute, 0)
	err = p.catchUp(seq)
	fed, _ = p.repeats.position()
	return fed, err
}

// endsAt is a stream of which is said that it ends there.
type endsAt struct {
	jetstream.Stream
	end uint64
}

func (s *endsAt) Info(ctx context.Context, opts ...jetstream.StreamInfoOpt) (*jetstream.StreamInfo, error) {
	info, err := s.Stream.Info(ctx, opts...)
	if err == nil {
		info.State.LastSeq = s.end
	}
	return info, err
}
