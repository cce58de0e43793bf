package engine

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"sync"
	"time"

	"github.com/aftermath-rules/aftermath/internal/failpoint"
)

// Orders of a copy: what is recorded before anything else is done with it. An order is carried out by storing the next copy of the
// delivery with the order on it, and nothing else; whoever reads that copy takes the dead letter away, records what became of it, and
// only then runs the delivery or lets it go. So a crash at any step leaves either the dead letter or the copy that carries the order,
// and a copy that is read again finds out from what is recorded how far it had come.
const (
	OrderReplay  = "replay"  // the dead letter becomes pending again
	OrderDiscard = "discard" // the dead letter goes away
	OrderMake    = "make"    // reprocessing made this delivery
)

const (
	maxOrders    = 500              // that are stored together, and under way at once for one caller
	obeyPatience = 10 * time.Second // how long a caller waits for orders to be recorded: another node may have them
	maxObeyBatch = 512
)

// orders are those that callers of this process wait for: one a delivery at a time, so that of two callers who order different things
// the one who comes too late learns it.
type orders struct {
	mu      sync.Mutex
	waiting map[string]*order // by delivery id
}

// order is one that somebody waits for.
type order struct {
	delivery string
	over     chan struct{}
}

// claim makes known that an order of this delivery is on its way; where one is already, it gives that and false.
func (o *orders) claim(delivery string) (*order, bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if w := o.waiting[delivery]; w != nil {
		return w, false
	}
	w := &order{delivery: delivery, over: make(chan struct{})}
	o.waiting[delivery] = w
	return w, true
}

// turn claims an order of this delivery once no other is on its way.
func (o *orders) turn(ctx context.Context, delivery string) (*order, error) {
	for {
		w, mine := o.claim(delivery)
		if mine {
			return w, nil
		}
		select {
		case <-w.over:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// over tells who waits that an order of this delivery is recorded, or came to nothing.
func (o *orders) over(delivery string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if w := o.waiting[delivery]; w != nil {
		o.end(w)
	}
}

// forget ends orders whose caller waits no longer.
func (o *orders) forget(ws ...*order) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, w := range ws {
		if o.waiting[w.delivery] == w {
			o.end(w)
		}
	}
}

func (o *orders) end(w *order) {
	close(w.over)
	delete(o.waiting, w.delivery)
}

// Replay makes a dead letter pending again, under the same id: its attempts count from 1, its retry span begins anew, and what its
// action had kept as state stays. It returns once that is on stable storage and, where this process does it, recorded; ErrNotFound
// where the delivery is no dead letter.
func (e *Engine) Replay(ctx context.Context, delivery string) error {
	return e.orderOne(ctx, OrderReplay, delivery)
}

// Discard takes a dead letter away, as Replay does it.
func (e *Engine) Discard(ctx context.Context, delivery string) error {
	return e.orderOne(ctx, OrderDiscard, delivery)
}

func (e *Engine) orderOne(ctx context.Context, what, delivery string) error {
	w, err := e.orders.turn(ctx, delivery)
	if err != nil {
		return err
	}
	defer e.orders.forget(w)
	letter, err := e.Store.DeadLetter(ctx, delivery)
	if err != nil {
		return err
	}
	_, err = e.order(ctx, []Parked{orderFor(letter, what, time.Now())}, []*order{w})
	return err
}

// orderFor gives the copy of a dead letter's delivery that carries an order.
func orderFor(letter *DeadLetter, what string, now time.Time) Parked {
	p := letter.Parked
	p.Order, p.Due, p.Parks = what, now.UTC(), (Life(p.Parks)+1)<<lifeBits
	if what == OrderReplay {
		// Its retry span begins now, or an action that is spared would bury it at once.
		p.Attempt, p.First = 0, now.UTC()
	}
	return p
}

// order stores copies with orders and waits until they are obeyed; it gives how many are known to be. What is stored is obeyed in
// any case, sooner or later.
func (e *Engine) order(ctx context.Context, ps []Parked, waits []*order) (obeyed int, err error) {
	failpoint.Pass(failpoint.Replay)
	call, cancel := context.WithTimeout(ctx, storeTimeout)
	err = e.Store.Park(call, ps)
	cancel()
	if err != nil {
		return 0, err
	}
	failpoint.Pass(failpoint.Replayed)
	patience := time.NewTimer(obeyPatience)
	defer patience.Stop()
	for _, w := range waits {
		select {
		case <-w.over:
			obeyed++
		case <-patience.C:
			return obeyed, nil
		case <-ctx.Done():
			return obeyed, ctx.Err()
		}
	}
	return obeyed, nil
}

// orderNew has deliveries made that reprocessing, which runs once at a time, found missing.
func (e *Engine) orderNew(ctx context.Context, ps []Parked) error {
	waits := make([]*order, len(ps))
	for i := range ps {
		waits[i], _ = e.orders.claim(ps[i].Job.ID)
	}
	defer e.orders.forget(waits...)
	_, err := e.order(ctx, ps, waits)
	return err
}

// Progress says how far a bulk order has come.
type Progress struct {
	Found int `json:"found"` // dead letters that fit
	Done  int `json:"done"`  // of them replayed or discarded; they stay so, whatever comes after
}

// ReplayAll replays the dead letters that fit, some hundred at a time, and tells progress how far it is after each. Where it ends
// early, what is done stays done and the rest are dead letters still.
func (e *Engine) ReplayAll(ctx context.Context, fits func(*DeadLetter) bool, progress func(Progress)) (Progress, error) {
	return e.orderAll(ctx, OrderReplay, fits, progress)
}

// DiscardAll discards the dead letters that fit, as ReplayAll replays them.
func (e *Engine) DiscardAll(ctx context.Context, fits func(*DeadLetter) bool, progress func(Progress)) (Progress, error) {
	return e.orderAll(ctx, OrderDiscard, fits, progress)
}

func (e *Engine) orderAll(ctx context.Context, what string, fits func(*DeadLetter) bool, progress func(Progress)) (Progress, error) {
	var p Progress
	// First the ids alone, so that the number is known and what dies again meanwhile is not replayed again.
	var ids []string
	for letter, err := range e.Store.DeadLetters(ctx) {
		if err != nil {
			return p, err
		}
		if fits(letter) {
			ids = append(ids, letter.Job.ID)
		}
	}
	p.Found = len(ids)
	progress(p)
	for len(ids) > 0 {
		n := min(len(ids), maxOrders)
		done, err := e.orderSome(ctx, what, ids[:n])
		if err != nil {
			return p, err
		}
		p.Done += done
		ids = ids[n:]
		progress(p)
	}
	return p, nil
}

// orderSome leaves out what has gone since it was found, and what another caller's order is on its way for.
func (e *Engine) orderSome(ctx context.Context, what string, ids []string) (int, error) {
	var copies []Parked
	var waits []*order
	defer func() { e.orders.forget(waits...) }()
	now := time.Now()
	for _, id := range ids {
		w, mine := e.orders.claim(id)
		if !mine {
			continue
		}
		letter, err := e.Store.DeadLetter(ctx, id)
		if err != nil {
			e.orders.forget(w)
			if errors.Is(err, ErrNotFound) {
				continue
			}
			return 0, err
		}
		copies, waits = append(copies, orderFor(letter, what, now)), append(waits, w)
	}
	if len(copies) == 0 {
		return 0, nil
	}
	_, err := e.order(ctx, copies, waits)
	return len(copies), err
}

// newRun names a reprocessing.
func newRun() string {
	var b [8]byte
	rand.Read(b[:]) // it never gives an error
	return hex.EncodeToString(b[:])
}
