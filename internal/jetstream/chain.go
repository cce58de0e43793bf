package jetstream

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// chain writes packs to this node's subject of a stream, one at a time. Each names the one before it as what must be the last,
// so that a pack whose answer was lost can be sent again and is stored once.
type chain struct {
	s       *Store
	name    string
	subject string
	kind    kind

	lock    chan struct{} // held by who changes what follows
	sure    bool          // what follows is the stream's state; false after a pack of which it isn't known whether it was stored
	last    uint64        // the subject's last sequence number
	ordinal uint64        // the next record's
	handed  handed        // how far what was kept elsewhere has been handed on
	doubt   []byte        // a pack that was given up on, and that may be stored all the same: nothing comes before its fate is known

	at atomic.Pointer[markOf] // last and ordinal, for who doesn't want to wait for lock
}

const (
	publishDeadline = 1500 * time.Millisecond
	retryWait       = 50 * time.Millisecond
)

// position gives the last sequence number and the next record's ordinal.
func (c *chain) position() markOf { return *c.at.Load() }

func newChain(s *Store, stream, subject string, k kind, from markOf) *chain {
	c := &chain{s: s, name: stream, subject: subject + s.o.Node, kind: k, ordinal: from.Ordinal, lock: make(chan struct{}, 1)}
	c.at.Store(&from)
	return c
}

// reached takes down where the chain ends.
func (c *chain) reached(last, ordinal uint64) {
	c.last, c.ordinal, c.sure = last, ordinal, true
	c.at.Store(&markOf{Seq: last, Ordinal: ordinal})
	c.s.tail.reached(c.name, last, ordinal)
}

// store returns nil once the records of the draft are stored as one pack. It tries until ctx is over. The draft is its own until then.
// After an error, sent is the pack where it may be stored nevertheless, now or later; it is the draft's memory.
func (c *chain) store(ctx context.Context, d *draft) (sent []byte, err error) {
	return c.storeAttempt(ctx, &attempt{draft: func(handed) *draft { return d }})
}

func (c *chain) storeAttempt(ctx context.Context, t *attempt) (sent []byte, err error) {
	if err := c.acquire(ctx); err != nil {
		return nil, err
	}
	defer c.releaseLock()
	err = c.persist(ctx, func(ctx context.Context, ss *session) error { return c.try(ctx, ss, t) })
	if err != nil && t.published {
		sent = t.pack
		if c.s.o.Spool != nil && c.kind == kindCallbacks {
			c.doubt = slices.Clone(sent)
		}
	}
	return sent, err
}

// acquire waits for the chain, no longer than ctx.
func (c *chain) acquire(ctx context.Context) error {
	select {
	case c.lock <- struct{}{}:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func (c *chain) releaseLock() { <-c.lock }

// persist calls f until it gives no error or ctx is over.
func (c *chain) persist(ctx context.Context, f func(context.Context, *session) error) error {
	for {
		err := c.s.room()
		if err == nil {
			call, cancel := context.WithTimeout(ctx, publishDeadline)
			err = f(call, c.s.session())
			cancel()
		}
		c.s.note(c.name, err)
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%w: %w", context.Cause(ctx), err)
		case <-time.After(retryWait):
		}
	}
}

// attempt is a pack on its way.
type attempt struct {
	draft     func(have handed) *draft // what is to be stored where so much has been handed on already; nil: nothing
	as        handed                   // how far is handed on with it; the zero value leaves that as it is
	count     int                      // of the pack's records
	pack      []byte                   // sealed at the first try, and again only where another pack turned out to be before it
	published bool                     // it may be stored
}

// try sends the pack once.
func (c *chain) try(ctx context.Context, ss *session, t *attempt) error {
	if err := c.resolve(ctx, ss); err != nil {
		return err
	}
	if !c.sure {
		stored, err := c.sync(ctx, ss, t.pack)
		if err != nil {
			return err
		}
		if stored {
			return nil
		}
		t.pack = nil
	}
	if t.pack == nil {
		d := t.draft(c.handed)
		if d == nil {
			return nil
		}
		t.pack, t.count = d.seal(c.kind, c.ordinal, c.s.o.Now()), d.count
	}
	t.published = true
	return c.publish(ctx, ss, t.pack, t.count, t.as)
}

// publish stores a pack behind the last one there is; nothing else may have come between.
func (c *chain) publish(ctx context.Context, ss *session, pack []byte, count int, as handed) error {
	m := nats.NewMsg(c.subject)
	m.Data = pack
	if as = as.or(c.handed); as != (handed{}) {
		m.Header.Set(handedHeader, as.String())
	}
	if c.kind == kindCallbacks {
		c.s.markSince(m)
	}
	ack, err := ss.js.PublishMsg(ctx, m, jetstream.WithExpectLastSequencePerSubject(c.last))
	if err != nil {
		c.sure = false
		return err
	}
	c.handed = as
	c.reached(ack.Sequence, c.ordinal+uint64(count))
	return nil
}

// sync reads the last pack, to continue after it. It says whether that is the pack whose fate was unknown.
func (c *chain) sync(ctx context.Context, ss *session, sent []byte) (stored bool, err error) {
	m, err := ss.atLeader(ctx, c.name, leaderRequest{LastFor: c.subject})
	if errors.Is(err, errNoMessage) {
		c.reached(0, c.ordinal) // nothing of this node: the ordinal goes on from the mark
		return false, nil
	}
	if err != nil {
		return false, err
	}
	p, err := decodePack(c.kind, m.data)
	if err != nil {
		return false, &badMessage{fmt.Errorf("the last message of %s: %w", c.subject, err)}
	}
	c.handed = parseHanded(m.header.Get(handedHeader))
	c.reached(m.seq, max(c.ordinal, p.ordinal+uint64(len(p.records))))
	return sent != nil && samePack(m.data, sent), nil
}

// samePack tells whether two packs hold the same. Where it was written, and when, may differ: a server that did not know yet that the first
// one was stored had it sealed anew.
func samePack(a, b []byte) bool {
	return len(a) >= headSize && len(b) >= headSize && bytes.Equal(a[headSize:], b[headSize:])
}

// ordinalOf reads a pack's ordinal and count from its head.
func ordinalOf(b []byte) (ordinal, count uint64) {
	return binary.BigEndian.Uint64(b[16:]), uint64(binary.BigEndian.Uint32(b[8:]))
}
