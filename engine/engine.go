package engine

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

	"github.com/aftermath-rules/aftermath/actions"
	"github.com/aftermath-rules/aftermath/internal/secrets"
	"github.com/aftermath-rules/aftermath/rules"
)

// Options are what an Engine is made of. Only Store is required.
type Options struct {
	Store      Store
	Logger     *zap.Logger           // nil logs nothing
	Registerer prometheus.Registerer // nil: the metrics are kept and shown nowhere
	Mask       *secrets.Mask         // hides secrets in what is logged and stored; nil hides none

	Dedupe        time.Duration // how long a callback of the same app, command, RequestId and body counts as a repeat
	SenderRetries bool          // without a RequestId, the same app, command and body within 10 s count as one
	Drain         time.Duration // how long Run lets running attempts finish once its context has ended; 0: 10 s

	RedactAccounts bool   // logs show a keyed hash of an account instead of the account
	RedactKey      []byte // the key of that hash

	// Recorded is given all that this process has recorded, in order, once it is stored, and the number of the pack that holds it, 0
	// where that is not one. It must not block, nor change the events. May be nil.
	Recorded func(seq uint64, events []Event)
}

// Bounds of what is held in memory.
const (
	maxLoose    = 8192 // deliveries that were taken from the store and are neither settled nor parked
	maxUnstored = 8192 // events that wait to be recorded: no pack is read while there are more
)

const (
	defaultDrain = 10 * time.Second
	flushTime    = 5 * time.Second        // for what is to be stored once the attempts have ended
	storeTimeout = 5 * time.Second        // for one call of the store
	patrolEvery  = 100 * time.Millisecond // how often stuck queues are looked for
	countsEvery  = time.Second            // how soon counts that come without an event are stored
	othersEvery  = 5 * time.Second        // how often the other nodes' totals are read
)

// Engine matches stored callbacks and delivers what matched. Its methods are safe for concurrent use.
type Engine struct {
	Options
	log     *zap.Logger
	metrics *metrics
	started atomic.Bool

	set   atomic.Pointer[rules.RuleSet]
	ready chan struct{} // closed once there is a rule set
	once  sync.Once

	instances instances
	runners   runners
	memory    memory
	ledger    *ledger
	parking   *batcher[*parking]
	burying   *batcher[*burying]
	obeying   *batcher[*delivery]
	orders    orders
	bundles   uint64 // that were taken; of the goroutine that reads them

	reprocessing sync.Mutex    // held by the one that is under way
	loose        chan struct{} // a token for each loose delivery
	work         workers

	attempts    context.Context // ends when attempts must: later than Run's own context, by the drain time
	endAttempts context.CancelFunc
}

// New makes an engine. It starts nothing.
func New(o Options) *Engine {
	if o.Logger == nil {
		o.Logger = zap.NewNop()
	}
	if o.Mask == nil {
		o.Mask = &secrets.Mask{}
	}
	if o.Drain <= 0 {
		o.Drain = defaultDrain
	}
	e := &Engine{
		Options: o, log: o.Logger, ready: make(chan struct{}), loose: make(chan struct{}, maxLoose),
		parking: newBatcher[*parking](maxParkBatch, 0), burying: newBatcher[*burying](maxBuryBatch, 0),
		obeying: newBatcher[*delivery](maxObeyBatch, 0), work: newWorkers(),
	}
	e.attempts, e.endAttempts = context.WithCancel(context.Background())
	e.instances.uses = make(map[*actions.Instance]int)
	e.instances.retired = make(map[*actions.Instance]bool)
	e.runners.byName = make(map[string]*runner)
	e.runners.busy = make(map[*runner]struct{})
	e.memory.loose = make(map[string]*delivery)
	e.orders.waiting = make(map[string]*order)
	e.ledger = newLedger(e)
	e.metrics = newMetrics(e, o.Registerer)
	return e
}

// Swap makes rs the current rule set: a callback that is being matched finishes on the old one, and every attempt from now on
// uses the actions of the new one. Actions that no set has any more are closed after their last attempt.
func (e *Engine) Swap(rs *rules.RuleSet) {
	e.metrics.show(rs.Instances())
	unused := e.instances.swap(&e.set, rs)
	e.once.Do(func() { close(e.ready) })
	e.closeAll(unused)
	e.runners.configured(e, rs)
}

// RuleSet gives the current rule set; nil before the first Swap.
func (e *Engine) RuleSet() *rules.RuleSet { return e.set.Load() }

// Load reads the counts of earlier runs, so that they are right before the first callback. It tries until ctx ends. Run does it where
// it has not been done.
func (e *Engine) Load(ctx context.Context) error { return e.ledger.load(ctx) }

// Run reads, matches and delivers until ctx ends. Then it takes nothing new, lets running attempts finish for the drain time, and
// leaves the rest in the store for the next start. It returns when every goroutine it started has, but for attempts whose
// action ignores its context. An engine runs once.
func (e *Engine) Run(ctx context.Context) error {
	if e.started.Swap(true) {
		return errors.New("an engine runs only once")
	}
	if err := e.Load(ctx); err != nil {
		return e.stopEarly(ctx, err)
	}
	e.memory.alone = e.Store.Status().Kind == "embedded"
	// The stores of outcomes go on after ctx has ended, until what the last attempts gave is written.
	storing, stopStoring := context.WithCancel(context.WithoutCancel(ctx))
	defer stopStoring()
	drained, recorded := make(chan struct{}), make(chan struct{})

	var reading, parkers, recorder sync.WaitGroup
	reading.Go(func() { e.readPacks(ctx) })
	reading.Go(func() { e.readBundles(ctx) })
	reading.Go(func() { e.patrol(ctx) })
	reading.Go(func() { e.ledger.watchOthers(ctx) })
	parkers.Go(func() { e.parking.run(storing, drained, e.storeParked) })
	parkers.Go(func() { e.burying.run(storing, drained, e.storeBuried) })
	parkers.Go(func() { e.obeying.run(storing, drained, e.obeyAll) })
	recorder.Go(func() { e.ledger.run(storing, recorded) })

	reading.Wait()
	e.drainAttempts()
	flush := time.AfterFunc(flushTime, stopStoring)
	defer flush.Stop()
	close(drained)
	parkers.Wait()
	close(recorded)
	recorder.Wait()
	e.closeAll(e.instances.swap(&e.set, nil))
	return nil
}

// stopEarly ends a Run that never got to its store: that is no error where it was asked to end.
func (e *Engine) stopEarly(ctx context.Context, err error) error {
	e.endAttempts()
	e.closeAll(e.instances.swap(&e.set, nil))
	if ctx.Err() != nil {
		return nil
	}
	return err
}

// drainAttempts lets no attempt start any more and waits for those that run; after the drain time their contexts end.
func (e *Engine) drainAttempts() {
	idle := e.work.close()
	defer e.endAttempts()
	if waitFor(idle, e.Drain) {
		return
	}
	e.endAttempts()
	if !waitFor(idle, grace) {
		e.log.Warn("attempts ignore that the process is stopping; their deliveries are repeated at the next start")
	}
}

// patrol looks after queues whose action is stuck, and nudges the ledger for counts that come without an event.
func (e *Engine) patrol(ctx context.Context) {
	tick := time.NewTicker(patrolEvery)
	defer tick.Stop()
	for stored := time.Now(); ; {
		select {
		case <-ctx.Done():
			return
		case now := <-tick.C:
			e.runners.patrol(now)
			e.memory.tidy(now)
			if now.Sub(stored) >= countsEvery {
				stored = now
				e.ledger.put(entry{})
			}
		}
	}
}

// waitFor tells whether done was closed before the time was over.
func waitFor(done <-chan struct{}, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-done:
		return true
	case <-t.C:
		return false
	}
}

// sleep waits; it tells whether ctx is still alive.
func sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return ctx.Err() == nil
	case <-ctx.Done():
		return false
	}
}
