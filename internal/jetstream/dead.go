package jetstream

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"iter"
	"regexp"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/aftermath-rules/aftermath/engine"
)

var plainToken = regexp.MustCompile(`^[a-z0-9]{1,128}$`)

// deadToken gives the subject of a delivery's dead letter. Ids are [a-z0-9]+; anything else is written in a way that is a
// subject and can't be such an id.
func deadToken(delivery string) string {
	if plainToken.MatchString(delivery) {
		return deadSubject + delivery
	}
	return deadSubject + "X" + hex.EncodeToString([]byte(delivery))
}

// Bury implements engine.Store.
func (s *Store) Bury(ctx context.Context, d *engine.DeadLetter) error {
	return s.keepOne(ctx, deadStream, deadToken(d.Job.ID), kindDead, d)
}

// Quarantine implements engine.Store.
func (s *Store) Quarantine(ctx context.Context, q *engine.Quarantined) error {
	return s.keepOne(ctx, quarantineStream, quarantineSubject, kindQuarantine, q)
}

// keepOne stores v as a message of its own.
func (s *Store) keepOne(ctx context.Context, stream, subject string, k kind, v any) error {
	if err := s.isOpen(ctx); err != nil {
		return err
	}
	r, err := encodeJSON(v)
	if err != nil {
		return err
	}
	m := nats.NewMsg(subject)
	m.Data = encodePack(k, 0, s.o.Now(), [][]byte{r})
	return s.publishAll(ctx, stream, []*nats.Msg{m})
}

// one reads a pack that has one record.
func one[T any](k kind, m *stored) (*T, error) {
	_, all, err := decodeJSON[T](k, m.data)
	if err == nil && len(all) != 1 {
		err = fmt.Errorf("pack of %d records, where there should be one", len(all))
	}
	if err != nil {
		return nil, &badMessage{fmt.Errorf("message %d: %w", m.seq, err)}
	}
	return &all[0], nil
}

func decodeDead(m *stored) (*engine.DeadLetter, error) { return one[engine.DeadLetter](kindDead, m) }

// DeadLetters implements engine.Store.
func (s *Store) DeadLetters(ctx context.Context) iter.Seq2[*engine.DeadLetter, error] {
	return scanAll(ctx, s, func(ss *session, f func(*stored) error) error {
		return ss.scan(ctx, ss.dead, scanFrom{}, f)
	}, decodeDead)
}

// QuarantinedPackets implements engine.Store.
func (s *Store) QuarantinedPackets(ctx context.Context) iter.Seq2[*engine.Quarantined, error] {
	return scanAll(ctx, s, func(ss *session, f func(*stored) error) error {
		return ss.scan(ctx, ss.quarantine, scanFrom{}, f)
	}, func(m *stored) (*engine.Quarantined, error) { return one[engine.Quarantined](kindQuarantine, m) })
}

// DeadLetter implements engine.Store.
func (s *Store) DeadLetter(ctx context.Context, delivery string) (*engine.DeadLetter, error) {
	m, err := s.deadMessage(ctx, delivery)
	if err != nil {
		return nil, err
	}
	return decodeDead(m)
}

func (s *Store) deadMessage(ctx context.Context, delivery string) (*stored, error) {
	if err := s.isOpen(ctx); err != nil {
		return nil, err
	}
	m, err := s.session().atLeader(ctx, deadStream, leaderRequest{LastFor: deadToken(delivery)})
	if errors.Is(err, errNoMessage) {
		return nil, engine.ErrNotFound
	}
	if err != nil {
		return nil, fmt.Errorf("dead letter %s: %w", delivery, err)
	}
	return m, nil
}

// Exhume implements engine.Store. It deletes the very message it has looked at, so that it never takes one that came meanwhile.
func (s *Store) Exhume(ctx context.Context, d *engine.DeadLetter) error {
	m, err := s.deadMessage(ctx, d.Job.ID)
	if err != nil {
		return err
	}
	have, err := decodeDead(m)
	if err != nil {
		return err
	}
	if have.Parks != d.Parks || !have.At.Equal(d.At) {
		return engine.ErrNotFound
	}
	ctx, cancel := context.WithTimeout(ctx, apiDeadline)
	defer cancel()
	err = s.session().dead.DeleteMsg(ctx, m.seq)
	if errors.Is(err, jetstream.ErrMsgNotFound) || errors.Is(err, jetstream.ErrMsgDeleteUnsuccessful) {
		if again, getErr := s.deadMessage(ctx, d.Job.ID); errors.Is(getErr, engine.ErrNotFound) || getErr == nil && again.seq != m.seq {
			return engine.ErrNotFound // another was faster
		}
	}
	if err != nil {
		return fmt.Errorf("dead letter %s: %w", d.Job.ID, err)
	}
	return nil
}
