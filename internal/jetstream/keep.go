package jetstream

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/zap"
)

const (
	lookEvery      = 250 * time.Millisecond
	lookEveryFar   = time.Second // at a cluster
	markEvery      = 2 * time.Second
	keepAliveEvery = ackWait / 6
	purgeEvery     = 30 * time.Second
)

// stayAlive tells the server all the time what is being worked on, whatever else takes long: it gives to others what it hears nothing of.
func (s *Store) stayAlive() {
	tick := time.NewTicker(keepAliveEvery)
	defer tick.Stop()
	for {
		select {
		case <-s.work.Done():
			return
		case <-tick.C:
		}
		var told sync.WaitGroup
		for _, p := range s.parts {
			told.Go(func() { p.packs.keepAlive(s.work) })
		}
		told.Go(func() { s.bundles.keepAlive(s.work) })
		told.Wait()
	}
}

// keep does what is to be done all the time: it watches the disk and the streams, writes the mark, purges what is older than is kept, and
// gives an embedded server that can't write any more a new life.
func (s *Store) keep() {
	every := lookEvery
	if s.o.URL != "" {
		every = lookEveryFar
	}
	tick := time.NewTicker(every)
	defer tick.Stop()
	var marked, purged time.Time
	for {
		purge := false
		select {
		case <-s.work.Done():
			return
		case <-s.purgeNow:
			purge = true
		case <-tick.C:
		}
		now := time.Now()
		ctx, cancel := context.WithTimeout(s.work, apiDeadline)
		s.report("look at the streams", s.look(ctx))
		if purge || now.Sub(purged) >= purgeEvery {
			purged = now
			s.report("purge what is older than is kept", s.purge(ctx))
		}
		cancel()
		if now.Sub(marked) >= markEvery {
			marked = now
			s.report("write "+markFile, s.writeMark())
			s.report("write "+tailFile, s.tail.sync())
		}
		if s.o.URL == "" && s.health.sick(now) {
			s.heal()
		}
	}
}

// report logs what keep could not do; it tries again.
func (s *Store) report(what string, err error) {
	if err != nil && s.work.Err() == nil {
		s.log.Warn("the store could not "+what, zap.Error(err))
	}
}

// look reads the state of disk, journal and reader.
func (s *Store) look(ctx context.Context) error {
	free, err := s.o.free(s.o.Dir)
	if err == nil && s.o.URL == "" {
		s.setFree(free)
	}
	ss := s.session()
	bundles, bundlesErr := ss.readBundles.Info(ctx)
	later, laterErr := ss.later.Info(ctx)
	if err := errors.Join(err, bundlesErr, laterErr); err != nil {
		return err
	}
	s.bundles.forget(bundles.AckFloor.Stream)
	sum := journalState{later: later.State.Bytes}
	for _, p := range s.parts {
		if err := p.look(ctx, ss, &sum); err != nil {
			return err
		}
	}
	if s.health.seen(sum) {
		s.log.Error(sum.warning)
	}
	return nil
}

// journalState is what the journal's streams hold together.
type journalState struct {
	packs, bytes uint64
	waiting      uint64 // packs
	later        uint64 // bytes that are parked
	warning      string
}

// look reads the state of a partition and adds it to the sum.
func (p *partition) look(ctx context.Context, ss *session, sum *journalState) error {
	info, infoErr := ss.accept[p.number].Info(ctx)
	cons, consErr := ss.readPacks[p.number].Info(ctx)
	if err := errors.Join(infoErr, consErr); err != nil {
		return err
	}
	p.s.handledTo(cons.AckFloor.Stream)
	p.repeats.forget(cons.AckFloor.Stream)
	p.packs.forget(cons.AckFloor.Stream)
	sum.packs += info.State.Msgs
	sum.bytes += info.State.Bytes
	sum.waiting += cons.NumPending + uint64(cons.NumAckPending)
	if err := p.countOthers(ctx, ss, info.State.LastSeq); err != nil {
		return err
	}
	if stray := p.stray(ss, info); stray != "" {
		sum.warning = stray
	}
	if max := info.Config.MaxBytes; max > 0 && info.State.Bytes > uint64(max)/10*9 {
		p.s.wantPurge()
	}
	return nil
}

func (s *Store) wantPurge() {
	select {
	case s.purgeNow <- struct{}{}:
	default:
	}
}

// purge takes away what is older than is kept, or more than there is room for. What is not handled stays, and so does the last
// message of this node's chains: in it is how many there were. So does where that finds the counts of rules.
func (s *Store) purge(ctx context.Context) error {
	errs := []error{s.purgeOutcomes(ctx)}
	for _, p := range s.parts {
		errs = append(errs, p.purge(ctx))
	}
	return errors.Join(errs...)
}

func (p *partition) purge(ctx context.Context) error {
	s, ss := p.s, p.s.session()
	cons, err := ss.readPacks[p.number].Info(ctx)
	if err != nil {
		return err
	}
	_, horizon := p.repeats.position()
	before, first, err := ss.oldest(ctx, ss.accept[p.number], s.o.Now().Add(-max(s.o.Keep.Callbacks, horizon)))
	if err != nil {
		return err
	}
	last := p.chain.position().Seq
	if before = min(before, cons.AckFloor.Stream+1, last); before <= first {
		return nil
	}
	if err := p.s.keepFrom(p.chain.name, before); err != nil {
		return err
	}
	return ss.accept[p.number].Purge(ctx, jetstream.WithPurgeSequence(before))
}

func (s *Store) purgeOutcomes(ctx context.Context) error {
	ss := s.session()
	at, err := s.oldestOpen(ctx, ss, s.o.Now().Add(-s.o.Keep.Deliveries))
	if err != nil {
		return err
	}
	before, first, err := ss.oldest(ctx, ss.outcomes, at)
	if err != nil || before <= first {
		return err
	}
	lasts := make(map[string]uint64)
	if err := ss.lastOfEach(ctx, outcomesStream, outcomesSubject+"*", func(m *stored) error {
		lasts[m.subject] = m.seq
		if p, err := decodeOutcomes(m); err == nil && p.rulesAt > 0 {
			lasts[m.subject] = p.rulesAt
		}
		return nil
	}); err != nil {
		return err
	}
	if err := s.keepFrom(outcomesStream, before); err != nil {
		return err
	}
	for subject, last := range lasts {
		err := ss.outcomes.Purge(ctx, jetstream.WithPurgeSubject(subject), jetstream.WithPurgeSequence(min(before, last)))
		if err != nil {
			return err
		}
	}
	return nil
}

// oldestOpen gives the time, or an earlier one where something that is not handled yet is older: when that is read again, what was
// recorded of it is asked for.
func (s *Store) oldestOpen(ctx context.Context, ss *session, at time.Time) (time.Time, error) {
	later, err := ss.later.Info(ctx)
	if err != nil {
		return at, err
	}
	if later.State.Msgs > 0 {
		at = earlier(at, later.State.FirstTime.Add(-skew))
	}
	for _, p := range s.parts {
		if at, err = p.oldestOpen(ctx, ss, at); err != nil {
			return at, err
		}
	}
	return at, nil
}

func (p *partition) oldestOpen(ctx context.Context, ss *session, at time.Time) (time.Time, error) {
	cons, err := ss.readPacks[p.number].Info(ctx)
	if err != nil {
		return at, err
	}
	if cons.NumPending+uint64(cons.NumAckPending) == 0 {
		return at, nil
	}
	_, err = ss.getBatch(ctx, p.chain.name, &getRequest{Seq: cons.AckFloor.Stream + 1, NextFor: ">", Batch: 1}, func(m *stored) error {
		at = earlier(at, m.at.Add(-skew))
		return nil
	})
	if errors.Is(err, errNoMessage) {
		err = nil
	}
	return at, err
}

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}

// oldest gives the first sequence number that is to be kept, by age and by room, and the first that there is.
func (s *session) oldest(ctx context.Context, stream jetstream.Stream, at time.Time) (before, first uint64, err error) {
	info, err := stream.Info(ctx)
	if err != nil {
		return 0, 0, err
	}
	st := info.State
	if st.Msgs == 0 {
		return 0, 0, nil
	}
	if before, err = s.seqAt(ctx, stream, at); err != nil {
		return 0, 0, err
	}
	if limit := uint64(info.Config.MaxBytes); limit > 0 && st.Bytes > limit/10*9 {
		each := max(st.Bytes/st.Msgs, 1)
		before = max(before, st.FirstSeq+(st.Bytes-limit/10*8)/each)
	}
	return before, st.FirstSeq, nil
}

// seqAt gives the sequence number of the first message stored at the time or later; behind the last where there is none.
func (s *session) seqAt(ctx context.Context, stream jetstream.Stream, at time.Time) (uint64, error) {
	at = at.UTC()
	var seq uint64
	_, err := s.getBatch(ctx, stream.CachedInfo().Config.Name, &getRequest{StartTime: &at, NextFor: ">", Batch: 1}, func(m *stored) error {
		seq = m.seq
		return nil
	})
	if errors.Is(err, errNoMessage) {
		return stream.CachedInfo().State.LastSeq + 1, nil
	}
	return seq, err
}

// heal starts the embedded server anew: an error while it wrote, such as a full disk, sticks to it for good.
func (s *Store) heal() {
	s.log.Warn("the embedded store can't write; it is started anew", zap.String("error", s.health.error()))
	s.stopRead()
	s.readers.Wait()
	s.session().close()
	ctx, cancel := context.WithTimeout(s.work, startDeadline)
	defer cancel()
	ss, err := openSession(ctx, s.o)
	if err != nil {
		s.health.healed(time.Now(), fmt.Errorf("start anew: %w", err))
		s.log.Error("the embedded store does not start again; it is tried again", zap.Error(err))
		return
	}
	s.sess.Store(ss)
	s.startReaders(ss)
	s.health.healed(time.Now(), nil)
	s.log.Info("the embedded store runs again")
}
