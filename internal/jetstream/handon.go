package jetstream

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/aftermath-rules/aftermath/engine"
)

// giveUp is how long the cluster is given to take a callback, where there is a spool.
const giveUp = time.Second

// ErrAway says that the cluster has not taken a callback within a second, or takes none at all now, and that it never will take this
// one: who has a spool may keep it there.
var ErrAway = errors.New("the cluster takes no callbacks")

// Spool keeps what the cluster does not take.
type Spool interface {
	// KeepSent returns nil once it has on stable storage a pack that was sent to a partition of the cluster, and of which it is
	// unknown whether it was stored.
	KeepSent(ctx context.Context, partition int, pack []byte) error
	// Wake says that the cluster is tried no more, until Resume is called.
	Wake()
}

// handed says how far the callbacks of a spool were handed on to a chain. Every message of the chain has it in a header, so that it
// is known after a crash of either side: what was handed on is never handed on twice.
type handed struct {
	from       string // the spool
	next       uint64 // the ordinal, in the spool, of the first callback that is yet to be handed on
	partitions int    // over which it was spread when this was handed on
}

const handedHeader = "Aftermath-Spool"

func (h handed) String() string { return fmt.Sprintf("%s %d %d", h.from, h.next, h.partitions) }

func parseHanded(s string) (h handed) {
	if _, err := fmt.Sscanf(s, "%s %d %d", &h.from, &h.next, &h.partitions); err != nil {
		return handed{}
	}
	return h
}

// has tells whether the callback of that ordinal in the spool was handed on.
func (h handed) has(spool string, ordinal uint64) bool { return h.from == spool && ordinal < h.next }

func (h handed) or(have handed) handed {
	if h.from == "" {
		return have
	}
	return h
}

// resolve finds out what became of the pack that is in doubt, and stores it where it was not stored: sent again it is the same pack
// in the same place, so that it is stored once whenever the first one arrives.
func (c *chain) resolve(ctx context.Context, ss *session) error {
	if c.doubt == nil {
		return nil
	}
	if err := c.storeSent(ctx, ss, c.doubt); err != nil {
		return err
	}
	c.doubt = nil
	return nil
}

// storeSent stores a pack that was sealed for this chain, unless it is stored.
func (c *chain) storeSent(ctx context.Context, ss *session, pack []byte) error {
	if !c.sure {
		if _, err := c.sync(ctx, ss, nil); err != nil {
			return err
		}
	}
	ordinal, count := ordinalOf(pack)
	if c.ordinal > ordinal {
		return nil // nothing but this pack can have come to that place
	}
	if c.ordinal == ordinal {
		return c.publish(ctx, ss, pack, int(count), handed{})
	}
	p, err := decodePack(c.kind, pack) // the cluster has forgotten what was before it
	if err != nil {
		return &badMessage{err}
	}
	return c.publish(ctx, ss, draftOf(p.records).seal(c.kind, c.ordinal, c.s.o.Now()), int(count), handed{})
}

// CallbacksIn is how many callbacks there are in a pack that KeepSent was given.
func CallbacksIn(pack []byte) int {
	if len(pack) < headSize {
		return 0
	}
	_, count := ordinalOf(pack)
	return int(count)
}

// HandOn returns nil once the records of a spool are stored, each once however often it is called with it. first is the ordinal in
// the spool of the first of them; records are handed on in order.
func (s *Store) HandOn(ctx context.Context, spool string, first uint64, records []engine.Record) error {
	if err := s.isOpen(ctx); err != nil {
		return err
	}
	as := handed{from: spool, next: first + uint64(len(records)), partitions: s.session().partitions}
	before, err := s.furthest(ctx, spool)
	if err != nil {
		return err
	}
	for _, p := range s.parts {
		draft := func(have handed) *draft {
			var d *draft
			for i := range records {
				ordinal, partitions := first+uint64(i), as.partitions
				if before.has(spool, ordinal) {
					partitions = before.partitions // a part of what came with it was handed on: the rest goes the same way
				}
				if homeOf(records[i].Key, partitions) != p.number || have.has(spool, ordinal) {
					continue
				}
				if d == nil {
					d = newDraft(nil)
				}
				d.addCallback(&records[i])
			}
			return d
		}
		if _, err := p.chain.storeAttempt(ctx, &attempt{draft: draft, as: as}); err != nil {
			return fmt.Errorf("handing on: %w", err)
		}
	}
	return nil
}

// furthest gives how far the partition is to which most was handed on.
func (s *Store) furthest(ctx context.Context, spool string) (most handed, err error) {
	for _, p := range s.parts {
		if err := p.chain.acquire(ctx); err != nil {
			return most, err
		}
		if have := p.chain.handed; have.from == spool && have.next > most.next {
			most = have
		}
		p.chain.releaseLock()
	}
	return most, nil
}

// HandOnSent returns nil once a pack that KeepSent kept is stored, if it was not stored before.
func (s *Store) HandOnSent(ctx context.Context, partition int, pack []byte) error {
	if err := s.isOpen(ctx); err != nil {
		return err
	}
	if partition >= len(s.parts) {
		return fmt.Errorf("a pack was sent to partition %d, which the cluster does not have", partition)
	}
	c := s.parts[partition].chain
	if err := c.acquire(ctx); err != nil {
		return err
	}
	defer c.releaseLock()
	return c.persist(ctx, func(ctx context.Context, ss *session) error {
		if err := c.resolve(ctx, ss); err != nil {
			return err
		}
		return c.storeSent(ctx, ss, pack)
	})
}

// Resume lets callbacks be sent to the cluster again.
func (s *Store) Resume() {
	for _, p := range s.parts {
		p.held.Store(false)
	}
}

// Held tells whether callbacks of any partition are not sent to the cluster.
func (s *Store) Held() bool {
	return slices.ContainsFunc(s.parts, func(p *partition) bool { return p.held.Load() })
}

// hold sends nothing to the cluster any more until Resume is called.
func (p *partition) hold() {
	if !p.held.Swap(true) {
		p.s.o.Spool.Wake()
	}
}

// sendOrSpool stores a batch in the cluster, or has it kept in the spool where the cluster may have it. Its error is ErrAway where the
// cluster never gets it.
func (p *partition) sendOrSpool(b *batch, d *draft) error {
	if p.held.Load() {
		return ErrAway
	}
	now := time.Now()
	ctx, cancel := context.WithDeadline(p.s.work, laterOf(b.since.Add(giveUp), now.Add(giveUp/5)))
	sent, err := p.chain.store(ctx, d)
	cancel()
	if err == nil {
		return nil
	}
	defer p.hold()
	if sent == nil {
		return fmt.Errorf("%w: %w", ErrAway, err)
	}
	ctx, cancel = context.WithDeadline(p.s.work, b.until(now))
	defer cancel()
	return p.s.o.Spool.KeepSent(ctx, p.number, sent)
}

func laterOf(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}
