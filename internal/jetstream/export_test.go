package jetstream

import (
	"context"
	"time"

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

// PurgeNow takes away what is older than is kept.
func (s *Store) PurgeNow() { s.wantPurge() }

// Purge is PurgeNow, and returns when it is done.
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
