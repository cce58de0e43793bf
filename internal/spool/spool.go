package spool

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/renameio/v2"
	"go.uber.org/zap"

	"github.com/aftermath-rules/aftermath/engine"
	"github.com/aftermath-rules/aftermath/internal/jetstream"
)

// Options say where the cluster is, and where the spool.
type Options struct {
	Cluster jetstream.Options
	// Dir is the folder of the spool. It is made, mode 0700. Without one there is no spool: the store waits for the cluster all the same, and
	// takes nothing meanwhile.
	Dir string
	// Disk is how many bytes the spool may take, 32 MiB at least.
	Disk int64
	// Wait is how long a node that starts waits for the cluster before it goes on without; 0 is 10 s.
	Wait time.Duration
	// Logger may be nil.
	Logger *zap.Logger
}

const (
	defaultWait = 10 * time.Second
	leastDisk   = 32 << 20
	openTime    = 5 * time.Minute       // for the cluster to be opened: all that may have repeats is read
	againAfter  = time.Second           // a cluster that could not be opened is tried again
	linger      = 20 * time.Millisecond // fewer packs, so that handing on is faster than keeping
)

// Store is an engine.Store. Open makes it.
type Store struct {
	o    Options
	log  *zap.Logger
	own  *jetstream.Store // nil without a spool
	name string           // of this spool, which no other has

	cluster atomic.Pointer[jetstream.Store]
	opened  chan struct{} // closed once there is a cluster
	wake    chan struct{} // tells the mover that there is something to do
	closed  chan struct{}
	once    sync.Once
	gate    sync.RWMutex // held for reading while a callback is kept, for writing while callbacks are let to the cluster again
	work    context.Context
	cancel  context.CancelFunc
	running sync.WaitGroup

	held held
}

var _ engine.Store = (*Store)(nil)

// Open opens the spool and the cluster. Where the cluster can't be opened within the wait, the store takes callbacks into its spool, if it
// has one, and goes on trying. ctx bounds the opening alone. The caller closes the store.
func Open(ctx context.Context, o Options) (*Store, error) {
	if o.Logger == nil {
		o.Logger = zap.NewNop()
	}
	if o.Wait <= 0 {
		o.Wait = defaultWait
	}
	s := &Store{
		o: o, log: o.Logger, opened: make(chan struct{}), closed: make(chan struct{}), wake: make(chan struct{}, 1),
	}
	if o.Dir == "" {
		if err := s.start(ctx, nil); err != nil {
			return nil, err
		}
		return s, nil
	}
	s.o.Cluster.Spool = (*keeper)(s)
	var err error
	s.own, err = jetstream.Open(ctx, jetstream.Options{
		Dir: o.Dir, Logger: o.Logger.Named("spool"), Linger: linger, Dedupe: time.Second, Recent: o.Cluster.Recent,
		// Half of it is for callbacks; and what is handed on is not needed any more.
		Keep: jetstream.Keep{Disk: 2 * max(o.Disk, leastDisk), Callbacks: time.Second, Deliveries: time.Second},
	})
	if err != nil {
		return nil, fmt.Errorf("spool: %w", err)
	}
	var sent []sentPack
	if s.name, err = nameOf(s.o.Dir); err == nil {
		sent, err = s.recall(ctx)
	}
	if err != nil {
		err = fmt.Errorf("spool: %w", err)
	} else {
		err = s.start(ctx, sent)
	}
	if err != nil {
		s.own.Close(ctx)
		return nil, err
	}
	return s, nil
}

// start begins to open the cluster, and waits for it for a while.
func (s *Store) start(ctx context.Context, sent []sentPack) error {
	s.work, s.cancel = context.WithCancel(context.Background())
	first := make(chan error, 1)
	if s.own == nil {
		s.running.Go(func() { s.awaitCluster(s.work, first) })
	} else {
		s.running.Go(func() { s.move(s.work, sent, first) })
		s.running.Go(func() { s.acknowledge(s.work) })
	}
	var err error
	wait := time.NewTimer(s.o.Wait)
	defer wait.Stop()
	select {
	case err = <-first:
	case <-wait.C:
		err = fmt.Errorf("it did not answer within %s", s.o.Wait)
	case <-ctx.Done():
		err = ctx.Err()
	}
	if err != nil && (isFinal(err) || ctx.Err() != nil) {
		s.cancel()
		s.running.Wait()
		return errors.Join(err, s.closeCluster(ctx))
	}
	if err != nil {
		s.held.begin(err)
		what := "and keeps callbacks until it is there; matching and deliveries wait"
		if s.own == nil {
			what = "and takes no callbacks until it is there"
		}
		s.log.Warn("the cluster cannot be reached: this node starts without it, "+what, zap.Error(err))
	}
	return nil
}

// openCluster tries once to open the cluster.
func (s *Store) openCluster(ctx context.Context) error {
	c, err := jetstream.Open(ctx, s.o.Cluster)
	if err != nil {
		return err
	}
	if s.own == nil {
		s.held.end()
	} else {
		s.resume(c)
	}
	s.cluster.Store(c)
	close(s.opened)
	return nil
}

// isFinal tells the errors that no waiting mends.
func isFinal(err error) bool {
	var damage *jetstream.DamageError
	return errors.As(err, &damage) || errors.Is(err, jetstream.ErrLocked) || errors.Is(err, jetstream.ErrRefused)
}

// nameFile has the name of the spool, which what is handed on carries. It goes with the folder: what is in another was not handed on.
const nameFile = "name"

func nameOf(dir string) (string, error) {
	file := filepath.Join(dir, nameFile)
	b, err := os.ReadFile(file)
	if name := strings.TrimSpace(string(b)); err == nil && name != "" {
		return name, nil
	}
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return "", err
	}
	name := rand.Text()
	return name, renameio.WriteFile(file, []byte(name+"\n"), 0o600)
}

// Accept returns nil once r is on stable storage, in the cluster or in the spool.
func (s *Store) Accept(ctx context.Context, r *engine.Record) error {
	if err := s.isOpen(ctx); err != nil {
		return err
	}
	if s.own == nil {
		c, err := s.at(ctx)
		if err != nil {
			return fmt.Errorf("callback not stored: %w", err)
		}
		return c.Accept(ctx, r)
	}
	for {
		c, why := s.cluster.Load(), s.held.reason()
		if c != nil {
			if why = c.Accept(ctx, r); !errors.Is(why, jetstream.ErrAway) {
				return why
			}
		}
		if kept, err := s.keepOne(ctx, c, r, why); kept || err != nil {
			return err
		}
	}
}

// keepOne keeps a callback, unless callbacks go to the cluster again: then it would be handed on behind those that came later.
func (s *Store) keepOne(ctx context.Context, c *jetstream.Store, r *engine.Record, why error) (kept bool, err error) {
	s.gate.RLock()
	defer s.gate.RUnlock()
	if c != nil && !c.Held() {
		return false, ctx.Err()
	}
	return true, s.keep(ctx, r, 1, why)
}

// keep stores a record in the spool, in which there are so many callbacks.
func (s *Store) keep(ctx context.Context, r *engine.Record, callbacks int, why error) error {
	if err := s.own.Accept(ctx, r); err != nil {
		if errors.Is(err, engine.ErrClosed) {
			return err
		}
		return fmt.Errorf("%w; nor does this node's own store: %w", why, err)
	}
	s.held.add(callbacks, len(r.Query)+len(r.Body), r.Received)
	if s.held.begin(why) {
		s.log.Warn("the cluster does not take callbacks: this node keeps them until it does", zap.Error(why))
	}
	s.rouse()
	return nil
}

func (s *Store) rouse() {
	select {
	case s.wake <- struct{}{}:
	default: // it has been told already
	}
}

// sentQuery is what the Query of a kept pack begins with; the partition follows. No request's query has a NUL.
const sentQuery = "\x00sent "

// keeper is the Store as the cluster's side sees it.
type keeper Store

// KeepSent implements jetstream.Spool.
func (k *keeper) KeepSent(ctx context.Context, partition int, pack []byte) error {
	r := &engine.Record{Received: time.Now().UTC(), Query: sentQuery + fmt.Sprint(partition), Body: pack}
	rand.Read(r.Key[:]) // it never gives an error
	return (*Store)(k).keep(ctx, r, jetstream.CallbacksIn(pack), jetstream.ErrAway)
}

// Wake implements jetstream.Spool.
func (k *keeper) Wake() { (*Store)(k).rouse() }

// sentTo tells whether a record is a kept pack, and of which partition.
func sentTo(r *engine.Record) (partition int, ok bool) {
	if !strings.HasPrefix(r.Query, sentQuery) {
		return 0, false
	}
	_, err := fmt.Sscan(strings.TrimPrefix(r.Query, sentQuery), &partition)
	return partition, err == nil
}

// isOpen says why a method can't do its work: the store is closed, or the context over.
func (s *Store) isOpen(ctx context.Context) error {
	select {
	case <-s.closed:
		return engine.ErrClosed
	default:
		return ctx.Err()
	}
}

// Close stops handing on, and closes cluster and spool. What is held stays for the next start.
func (s *Store) Close(ctx context.Context) error {
	first := false
	s.once.Do(func() { first = true })
	if !first {
		return nil
	}
	close(s.closed)
	s.cancel()
	s.running.Wait()
	err := s.closeCluster(ctx) // what it does not take any more goes to the spool
	if s.own == nil {
		return err
	}
	return errors.Join(err, s.own.Close(ctx))
}

func (s *Store) closeCluster(ctx context.Context) error {
	if c := s.cluster.Load(); c != nil {
		return c.Close(ctx)
	}
	return nil
}
