package jetstream

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nuid"
	"go.uber.org/zap"

	"github.com/aftermath-rules/aftermath/engine"
)

// Store is an engine.Store. Open makes it.
type Store struct {
	o    *Options
	log  *zap.Logger
	lock *os.File
	sess atomic.Pointer[session]

	parts         []*partition // those that take callbacks first
	outcomesChain *chain
	last          outcome       // has the totals of the last Append; under outcomesMu, as are
	begun         *engine.Event // the first of an Append of which some messages are stored, and others not
	begunTo       int           // how many events those have
	rules         ruleCounts
	outcomesBuf   []byte // the memory of the packs of outcomes before
	squeezedBuf   []byte // and of what was sent
	unheard       []byte // and a pack that gave an error, and that may be stored all the same
	outcomesMu    sync.Mutex
	bundles       *source[*engine.Bundle]
	packs         chan *engine.Pack // of all partitions

	stopping chan struct{}
	work     context.Context // of everything the store does by itself
	cancel   context.CancelFunc
	packers  sync.WaitGroup
	keeper   sync.WaitGroup
	readers  sync.WaitGroup // of the current session
	stopRead context.CancelFunc
	purgeNow chan struct{}

	// Of the embedded store alone.
	tail     *tail
	repairs  *repairs
	first    atomic.Pointer[firsts] // what is kept begins here
	floor    atomic.Uint64          // every pack up to it is handled
	floorOK  atomic.Bool            // floor says so
	inspects sync.WaitGroup

	health health
}

var _ engine.Store = (*Store)(nil)

// Open opens the store, and makes it where there is none. Damage that it finds is a *DamageError, and a data folder that is in
// use wraps ErrLocked. ctx bounds the opening alone. The caller closes the store.
func Open(ctx context.Context, opts Options) (*Store, error) {
	o, err := opts.withDefaults()
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(o.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("data folder: %w", err)
	}
	if err := os.Chmod(o.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("data folder: %w", err)
	}
	lock, err := lockFile(filepath.Join(o.Dir, "lock"))
	if err != nil {
		return nil, fmt.Errorf("data folder %s: %w", o.Dir, err)
	}
	s := &Store{
		o: &o, log: o.Logger, lock: lock,
		packs: make(chan *engine.Pack), stopping: make(chan struct{}), purgeNow: make(chan struct{}, 1),
	}
	if err := s.open(ctx); err != nil {
		lock.Close()
		return nil, err
	}
	return s, nil
}

func (s *Store) open(ctx context.Context) error {
	if s.o.URL == "" {
		return s.openEmbedded(ctx)
	}
	m, err := readMark(s.o.Dir)
	if err != nil {
		return err
	}
	if m.Node == embeddedNode {
		return fmt.Errorf("data folder %s: %w: it holds an embedded store. Give this node of a cluster a folder of its own (data), and let "+
			"a process without nats finish what is in this one", s.o.Dir, ErrRefused)
	}
	s.repairs = &repairs{}
	return s.openOn(ctx, m, nil)
}

// openOn opens the streams and starts the store on them; prepare, where there is one, comes before anything is read.
func (s *Store) openOn(ctx context.Context, m *mark, prepare func(context.Context, *session) error) error {
	if s.o.Node == "" {
		if s.o.Node = m.Node; s.o.Node == "" {
			s.o.Node = nuid.Next()
		}
	}
	starting, cancel := context.WithTimeout(ctx, startDeadline)
	defer cancel()
	ss, err := openSession(starting, s.o)
	if err != nil {
		return err
	}
	s.sess.Store(ss)
	s.parts = nil // of a first try that found damage
	for n := range ss.streams {
		s.parts = append(s.parts, newPartition(s, n, m.accepted(n), s.packs))
	}
	s.outcomesChain = newChain(s, outcomesStream, outcomesSubject, kindEvents, m.Outcomes)
	s.bundles = newSource(s, laterStream, make(chan *engine.Bundle), func(ss *session) jetstream.Consumer { return ss.readBundles }, s.readBundle)
	if prepare != nil {
		err = prepare(starting, ss)
	}
	if err == nil {
		err = s.recall(ctx, ss, max(s.o.Dedupe, m.Window))
	}
	if err != nil {
		ss.close()
		return err
	}
	s.work, s.cancel = context.WithCancel(context.Background())
	for _, p := range s.parts {
		s.packers.Go(p.packAll)
	}
	s.startReaders(ss)
	s.keeper.Go(s.keep)
	s.keeper.Go(s.stayAlive)
	return nil
}

// recall reads what the running of the store needs: where the chains end, which callbacks came lately, the last totals. What it
// reads it checks.
func (s *Store) recall(ctx context.Context, ss *session, horizon time.Duration) error {
	for _, c := range s.chains() {
		if _, err := c.sync(ctx, ss, nil); err != nil {
			return s.readError(c.name, err)
		}
	}
	if err := s.recallTotals(ctx, ss); err != nil {
		return s.readError(outcomesStream, err)
	}
	info, err := ss.later.Info(ctx)
	if err != nil {
		return err
	}
	s.bundles.old = info.State.LastSeq
	for _, p := range s.parts {
		if err := p.recall(ctx, ss, horizon); err != nil {
			return s.readError(p.chain.name, err)
		}
	}
	// First the look: from the first mark on it is known where the reader stands.
	if err := s.look(ctx); err != nil {
		return err
	}
	if err := s.writeMark(); err != nil {
		return fmt.Errorf("data folder: %w", err)
	}
	return nil
}

// readError tells damage from other errors.
func (s *Store) readError(stream string, err error) error {
	var bad *badMessage
	if errors.As(err, &bad) && !errors.Is(err, errUnknownVersion) {
		return &DamageError{Dir: s.o.place(), Stream: stream, Reason: err.Error()}
	}
	return fmt.Errorf("stream %s: %w", stream, err)
}

func (s *Store) session() *session { return s.sess.Load() }

// startReaders starts what reads from a session.
func (s *Store) startReaders(ss *session) {
	ctx, cancel := context.WithCancel(s.work)
	s.stopRead = cancel
	for _, p := range s.parts {
		s.readers.Go(func() { p.packs.run(ctx, ss) })
	}
	s.readers.Go(func() { s.bundles.run(ctx, ss) })
}

// End gives the Seq of the pack that this node stored last in the first partition; 0 where there is none.
func (s *Store) End() uint64 { return s.parts[0].chain.position().Seq }

// NextPack implements engine.Store.
func (s *Store) NextPack(ctx context.Context) (*engine.Pack, error) { return next(ctx, s, s.packs) }

// NextBundle implements engine.Store.
func (s *Store) NextBundle(ctx context.Context) (*engine.Bundle, error) {
	return next(ctx, s, s.bundles.out)
}

// isOpen says why a method can't do its work: the store is closed, or the context over.
func (s *Store) isOpen(ctx context.Context) error {
	select {
	case <-s.stopping:
		return engine.ErrClosed
	default:
		return ctx.Err()
	}
}

// Close stores what waits, tells the server what is acked and stops. Once ctx is over it waits no longer for what is to be
// stored; it always waits for its goroutines and the server to end.
func (s *Store) Close(ctx context.Context) error {
	open := false
	for _, p := range s.parts {
		open = p.closeJoining()
	}
	if !open {
		return nil
	}
	stop := context.AfterFunc(ctx, s.cancel)
	defer stop()
	s.packers.Wait()
	close(s.stopping)
	s.cancel()
	s.keeper.Wait() // first, for it may start readers
	s.stopRead()
	s.readers.Wait()
	s.inspects.Wait()
	for _, p := range s.parts {
		p.packs.release()
	}
	s.bundles.release()
	ss := s.session()
	err := ss.flush(ctx)
	if err == nil {
		s.lookAtFloor(ctx, ss)
	}
	if tailErr := s.tail.close(); err == nil {
		err = tailErr
	}
	if markErr := s.writeMark(); err == nil {
		err = markErr
	}
	ss.close()
	if lockErr := s.lock.Close(); err == nil {
		err = lockErr
	}
	return err
}

// flush waits until the server has what was sent to it.
func (s *session) flush(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	if err := s.nc.FlushWithContext(ctx); err != nil {
		return fmt.Errorf("store: what was acked last may come again: %w", err)
	}
	return nil
}

// chains gives all chains of this node.
func (s *Store) chains() []*chain {
	all := []*chain{s.outcomesChain}
	for _, p := range s.parts {
		all = append(all, p.chain)
	}
	return all
}
