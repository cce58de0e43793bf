package jetstream

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// chain writes packs to this node's subject of a stream, one at a time. Each names the one before it as what must be the last,
// so that a pack whose answer was lost can be sent again and is stored once.
type chain struct {
	s       *Store
	name    string
	subject string
	kind    kind

	mu      sync.Mutex
	sure    bool   // what follows is the stream's state; false after a pack of which it isn't known whether it was stored
	last    uint64 // the subject's last sequence number
	ordinal uint64 // the next record's

	at atomic.Pointer[markOf] // last and ordinal, for who doesn't want to wait for mu
}

const (
	publishDeadline = 1500 * time.Millisecond
	retryWait       = 50 * time.Millisecond
)

// position gives the last sequence number and the next record's ordinal.
func (c *chain) position() markOf { return *c.at.Load() }

func newChain(s *Store, stream, subject string, k kind, from markOf) *chain {
	c := &chain{s: s, name: stream, subject: subject + s.o.Node, kind: k, ordinal: from.Ordinal}
	c.at.Store(&from)
	return c
}

// reached takes down where the chain ends.
func (c *chain) reached(last, ordinal uint64) {
	c.last, c.ordinal, c.sure = last, ordinal, true
	c.at.Store(&markOf{Seq: last, Ordinal: ordinal})
}

// store returns nil once the records of the draft are stored as one pack. It tries until ctx is over. The draft is its own until then.
func (c *chain) store(ctx context.Context, d *draft) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	var pack []byte
	for {
		err := c.try(ctx, d, &pack)
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

// try sends the pack once. It is sealed at the first try, and again only where another pack turned out to be before it.
func (c *chain) try(ctx context.Context, d *draft, pack *[]byte) error {
	if err := c.s.room(); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, publishDeadline)
	defer cancel()
	ss := c.s.session()
	if !c.sure {
		stored, err := c.sync(ctx, ss, *pack)
		if err != nil {
			return err
		}
		if stored {
			return nil
		}
		*pack = nil
	}
	if *pack == nil {
		*pack = d.seal(c.kind, c.ordinal, c.s.o.Now())
	}
	ack, err := ss.js.Publish(ctx, c.subject, *pack, jetstream.WithExpectLastSequencePerSubject(c.last))
	if err != nil {
		c.sure = false
		return err
	}
	c.reached(ack.Sequence, c.ordinal+uint64(d.count))
	return nil
}

// sync reads the last pack, to continue after it. It says whether that is the very pack whose fate was unknown.
func (c *chain) sync(ctx context.Context, ss *session, sent []byte) (stored bool, err error) {
	st, err := ss.js.Stream(ctx, c.name)
	if err != nil {
		return false, err
	}
	m, err := st.GetLastMsgForSubject(ctx, c.subject)
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		c.reached(0, c.ordinal) // nothing of this node: the ordinal goes on from the mark
		return false, nil
	}
	if err != nil {
		return false, err
	}
	p, err := decodePack(c.kind, m.Data)
	if err != nil {
		return false, &badMessage{fmt.Errorf("the last message of %s: %w", c.subject, err)}
	}
	c.reached(m.Sequence, max(c.ordinal, p.ordinal+uint64(len(p.records))))
	return sent != nil && string(m.Data) == string(sent), nil
}

// ordinalOf reads a pack's ordinal and count from its head.
func ordinalOf(b []byte) (ordinal, count uint64) {
	return binary.BigEndian.Uint64(b[16:]), uint64(binary.BigEndian.Uint32(b[8:]))
}
