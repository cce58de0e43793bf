package jetstream

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/zap"
)

// openEmbedded opens the store in the data folder. Before the server opens the files, it is looked whether they are whole; where
// they are not, or the server sees something else in them, the streams are made anew from what is sound.
func (s *Store) openEmbedded(ctx context.Context) error {
	err := s.openFolder(ctx)
	var damage *DamageError
	if !errors.As(err, &damage) {
		return err
	}
	st, err := readState(s.o)
	if err != nil {
		return err
	}
	if err := mend(ctx, s.o, st, []string{damage.what()}); err != nil {
		return err
	}
	return s.openFolder(ctx)
}

func (s *Store) openFolder(ctx context.Context) error {
	if err := finishMending(s.o); err != nil {
		return fmt.Errorf("data folder %s: %w", s.o.Dir, err)
	}
	st, err := readState(s.o)
	if err != nil {
		return err
	}
	in, err := inspect(ctx, s.o, st)
	if err != nil {
		return fmt.Errorf("data folder %s: %w", s.o.Dir, err)
	}
	if len(in.trouble) > 0 {
		return &DamageError{Dir: s.o.Dir, Reason: strings.Join(in.trouble, "; ")}
	}
	if err := forgetServerState(s.o, st); err != nil {
		return fmt.Errorf("data folder %s: %w", s.o.Dir, err)
	}
	if s.tail, err = openTail(s.o.Dir, st.tail); err != nil {
		return fmt.Errorf("data folder %s: %w", s.o.Dir, err)
	}
	s.repairs = st.repairs
	m := *st.mark
	m.Accept.Seq, m.Accept.Ordinal = st.reach(acceptStream)
	m.Outcomes.Seq, m.Outcomes.Ordinal = st.reach(outcomesStream)
	if err := s.openOn(ctx, &m, func(ctx context.Context, ss *session) error { return s.prepare(ctx, ss, st) }); err != nil {
		s.tail.close()
		return err
	}
	for _, r := range s.repairs.open(s.o.Dir) {
		s.log.Error(r.String())
	}
	s.inspects.Go(func() { s.inspectRest(in.rest) })
	return nil
}

// prepare compares what the server sees with what the files hold, and tells the readers where they stand.
func (s *Store) prepare(ctx context.Context, ss *session, st *state) error {
	first := firsts{Accept: st.mark.First.Accept, Outcomes: st.mark.First.Outcomes}
	for _, c := range []struct {
		stream jetstream.Stream
		first  *uint64
	}{{ss.accept[0], &first.Accept}, {ss.outcomes, &first.Outcomes}, {ss.later, nil}, {ss.dead, nil}, {ss.quarantine, nil}} {
		info, err := c.stream.Info(ctx)
		if err != nil {
			return err
		}
		name := info.Config.Name
		if reach, _ := st.reach(name); info.State.LastSeq < reach {
			return &DamageError{Dir: s.o.Dir, Stream: name, Reason: fmt.Sprintf(
				"for the server it ends at message %d, but %d were stored and confirmed", info.State.LastSeq, reach)}
		}
		if c.first != nil && *c.first == 0 {
			*c.first = max(info.State.FirstSeq, 1)
		}
	}
	s.first.Store(&first)
	if st.mark.Floor != nil {
		s.handledTo(*st.mark.Floor)
		if _, err := ss.accept[0].ResetConsumerToSequence(ctx, readerName, *st.mark.Floor+1); err != nil {
			return fmt.Errorf("consumer of %s: reset: %w", acceptStream, err)
		}
	}
	s.health.repaired = st.repairs.said(s.o.Dir)
	return nil
}

// keepFrom takes down, before anything is purged, from which message on a chain is kept: what is gone before it is no damage.
func (s *Store) keepFrom(stream string, seq uint64) error {
	have := s.first.Load()
	if have == nil {
		return nil // a cluster
	}
	first := *have
	if stream == acceptStream {
		first.Accept = max(first.Accept, seq)
	} else {
		first.Outcomes = max(first.Outcomes, seq)
	}
	s.first.Store(&first)
	return s.writeMark()
}

// handledTo takes down up to where every pack is handled.
func (s *Store) handledTo(floor uint64) {
	if s.o.URL == "" {
		s.floor.Store(floor)
		s.floorOK.Store(true)
	}
}

// lookAtFloor asks for that a last time, when the store closes: what is acked last need not be read again.
func (s *Store) lookAtFloor(ctx context.Context, ss *session) {
	cons, err := ss.readPacks[0].Info(ctx)
	if err != nil {
		s.log.Debug("what was handled last may be read again", zap.Error(err))
		return
	}
	s.handledTo(cons.AckFloor.Stream)
}
