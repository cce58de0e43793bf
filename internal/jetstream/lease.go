package jetstream

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nuid"

	"github.com/aftermath-rules/aftermath/engine"
)

const (
	leaseStream  = "aftermath_lease"
	leaseSubject = "aftermath.lease." // and the name
	leaseTime    = time.Minute
)

// lease is a message that says who has it; the server takes it away when it is old.
type lease struct {
	s       *Store
	subject string
	owner   string
	seq     uint64
}

// Lease implements engine.Store. The stream is made when it is first asked for.
func (s *Store) Lease(ctx context.Context, name string) (engine.Lease, error) {
	if err := s.isOpen(ctx); err != nil {
		return nil, err
	}
	if s.o.URL == "" {
		return alone{}, nil // no other process has the folder
	}
	ctx, cancel := context.WithTimeout(ctx, apiDeadline)
	defer cancel()
	if _, err := ensureStream(ctx, s.session().js, jetstream.StreamConfig{
		Name: leaseStream, Subjects: []string{leaseSubject + "*"}, Storage: jetstream.FileStorage, Replicas: s.o.Replicas, AllowDirect: true,
		MaxMsgsPerSubject: 1, MaxAge: leaseTime,
	}); err != nil {
		return nil, fmt.Errorf("stream %s: %w", leaseStream, err)
	}
	l := &lease{s: s, subject: leaseSubject + name, owner: nuid.Next()}
	return l, l.Renew(ctx)
}

// Renew implements engine.Lease.
func (l *lease) Renew(ctx context.Context) error {
	ss := l.s.session()
	ack, err := ss.js.Publish(ctx, l.subject, []byte(l.owner), jetstream.WithExpectLastSequencePerSubject(l.seq))
	if err == nil {
		l.seq = ack.Sequence
		return nil
	}
	// It may be stored all the same.
	m, getErr := ss.atLeader(ctx, leaseStream, leaderRequest{LastFor: l.subject})
	switch {
	case getErr == nil && string(m.data) != l.owner:
		return engine.ErrLeased
	case getErr == nil && m.seq > l.seq:
		l.seq = m.seq
		return nil
	case errors.Is(getErr, errNoMessage) && l.seq == 0 && isTaken(err):
		return engine.ErrLeased // who had it has just given it up
	}
	return fmt.Errorf("lease %s: %w", l.subject, err)
}

// isTaken tells that a message was not stored since there was another of its subject.
func isTaken(err error) bool {
	var api *jetstream.APIError
	return errors.As(err, &api) && api.ErrorCode == jetstream.JSErrCodeStreamWrongLastSequence
}

// Release implements engine.Lease.
func (l *lease) Release(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, apiDeadline)
	defer cancel()
	st, err := l.s.session().js.Stream(ctx, leaseStream)
	if err == nil {
		err = st.DeleteMsg(ctx, l.seq)
	}
	if err != nil && !errors.Is(err, jetstream.ErrMsgNotFound) {
		return fmt.Errorf("lease %s: release: %w", l.subject, err)
	}
	return nil
}

// alone is the lease of who is alone.
type alone struct{}

func (alone) Renew(ctx context.Context) error { return ctx.Err() }
func (alone) Release(context.Context) error   { return nil }
