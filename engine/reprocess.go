package engine

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"go.uber.org/zap"

	"github.com/aftermath-rules/aftermath/callback"
)

// ReprocessOptions say what is run through the rules again.
type ReprocessOptions struct {
	Since       time.Time // callbacks that were received from then
	Until       time.Time // and before then; zero: up to now
	Quarantined bool      // the sound pairs of quarantined packets instead of stored callbacks
	Force       bool      // make deliveries anew, under new ids, that exist already
}

// Reprocessed says what came of it.
type Reprocessed struct {
	Run       string `json:"run"`       // its name: what Force made has it in its data
	Callbacks int    `json:"callbacks"` // that were run through the rules
	Pairs     int    `json:"pairs"`
	Matches   int    `json:"matches"` // shadow rules' apart
	Made      int    `json:"made"`    // deliveries
	Existing  int    `json:"existing"`
	Waiting   int    `json:"waiting"` // callbacks left out, since today's rules have yet to see them anyway
	Unknown   int    `json:"unknown"` // callbacks left out, since what was made of them is kept no more
	Unread    int    `json:"unread"`  // callbacks and packets that could not be read, or that had no sound pair
}

// ErrReprocessing says that one is under way.
var ErrReprocessing = errors.New("callbacks are being reprocessed already")

// ErrNoRules says that no rule set runs.
var ErrNoRules = errors.New("no rule set runs")

// Reprocess runs stored callbacks through the rules of today, and makes the deliveries that do not exist yet, or with Force all
// of them anew. Where it ends early, what it made stays, and running it again skips that. One runs at a time, of all processes that share
// the store. progress is told now and then how far it is.
func (e *Engine) Reprocess(ctx context.Context, o ReprocessOptions, progress func(Reprocessed)) (Reprocessed, error) {
	if !e.reprocessing.TryLock() {
		return Reprocessed{}, ErrReprocessing
	}
	defer e.reprocessing.Unlock()
	rs := e.set.Load()
	if rs == nil {
		return Reprocessed{}, ErrNoRules
	}
	lease, err := e.Store.Lease(ctx, "reprocess")
	if errors.Is(err, ErrLeased) {
		return Reprocessed{}, ErrReprocessing
	}
	if err != nil {
		return Reprocessed{}, fmt.Errorf("reprocessing: %w", err)
	}
	defer func() {
		if err := lease.Release(context.WithoutCancel(ctx)); err != nil {
			e.log.Warn("no callbacks can be reprocessed for a minute", zap.Error(err))
		}
	}()
	r := &reprocessing{e: e, o: o, lease: lease, renewed: time.Now(), m: &matcher{e: e}, progress: progress, Reprocessed: Reprocessed{Run: newRun()}}
	err = r.learn(ctx)
	if err == nil && o.Quarantined {
		err = r.quarantined(ctx)
	} else if err == nil {
		err = r.stored(ctx)
	}
	if err == nil {
		err = r.make(ctx)
	}
	return r.Reprocessed, err
}

// reprocessing is one under way.
type reprocessing struct {
	Reprocessed
	e        *Engine
	o        ReprocessOptions
	m        *matcher
	progress func(Reprocessed)
	lease    Lease
	renewed  time.Time

	from    time.Time         // what was made of callbacks is known from then on
	handled map[uint64]places // callbacks that the rules have seen, by the number of their pack
	exist   map[[16]byte]bool // deliveries, by id
	jobs    []Parked          // to be made
}

func (r *reprocessing) fits(at time.Time) bool {
	return !at.Before(r.o.Since) && (r.o.Until.IsZero() || at.Before(r.o.Until))
}

// learn reads what was made of the callbacks in question.
func (r *reprocessing) learn(ctx context.Context) error {
	r.handled, r.exist = make(map[uint64]places), make(map[[16]byte]bool)
	// First what is made and not recorded yet: it is parked until it is.
	for p, err := range r.e.Store.ParkedDeliveries(ctx) {
		if err != nil {
			return fmt.Errorf("reading what is parked: %w", err)
		}
		r.exist[idKey(p.Job.ID)] = true
	}
	first := true
	for p, err := range r.e.Store.Events(ctx, 0) {
		if err == nil {
			err = r.keepLease(ctx, renewEvery)
		}
		if err != nil {
			return fmt.Errorf("reading what was made of the callbacks: %w", err)
		}
		if first && p.Seq > 1 {
			r.from = p.Stored // older ones are gone
		}
		first = false
		for i := range p.Events {
			r.note(&p.Events[i])
		}
	}
	return nil
}

// renewEvery is how often the lease is renewed at least, while callbacks are looked at.
const renewEvery = 15 * time.Second

// keepLease renews the lease where the last time was that long ago.
func (r *reprocessing) keepLease(ctx context.Context, ago time.Duration) error {
	if time.Since(r.renewed) < ago {
		return nil
	}
	call, cancel := context.WithTimeout(ctx, storeTimeout)
	defer cancel()
	if err := r.lease.Renew(call); err != nil {
		return fmt.Errorf("another process may be reprocessing: %w", err)
	}
	r.renewed = time.Now()
	return nil
}

func (r *reprocessing) note(ev *Event) {
	if c := ev.Matched; c != nil && r.fits(c.Received) {
		if !c.More {
			r.handled[c.Seq] = r.handled[c.Seq].with(c.Index, c.Index+1)
		}
		for i := range c.Deliveries {
			r.exist[idKey(c.Deliveries[i].ID)] = true
		}
	}
	if u := ev.Unmatched; u != nil {
		for _, run := range u.Runs {
			r.handled[u.Seq] = r.handled[u.Seq].with(run[0], run[1])
		}
	}
	if ev.Made != nil {
		r.exist[idKey(ev.Made.Job.ID)] = true
	}
}

// places are some records of a pack, a bit for each.
type places []uint64

func (s places) has(i int) bool { return i/64 < len(s) && s[i/64]&(1<<(i%64)) != 0 }

// with adds those of a run.
func (s places) with(from, to int) places {
	for len(s)*64 < to {
		s = append(s, 0)
	}
	for i := from; i < to; i++ {
		s[i/64] |= 1 << (i % 64)
	}
	return s
}

// idKey is a delivery's id in half the space.
func idKey(id string) (k [16]byte) {
	if b, err := hex.DecodeString(id); err == nil {
		copy(k[:], b)
	}
	return k
}

func (r *reprocessing) stored(ctx context.Context) error {
	for p, err := range r.e.Store.Journal(ctx, r.o.Since) {
		if err != nil {
			return fmt.Errorf("reading the journal: %w", err)
		}
		for i := range p.Records {
			rec := &p.Records[i]
			switch {
			case rec.Repeat || !r.fits(rec.Received):
				continue
			case !r.handled[p.Seq].has(i) && rec.Received.Before(r.from):
				r.Unknown++
				continue
			case !r.handled[p.Seq].has(i):
				r.Waiting++
				continue
			}
			if err := r.callback(ctx, p, i); err != nil {
				return err
			}
		}
	}
	return nil
}

func (r *reprocessing) quarantined(ctx context.Context) error {
	for q, err := range r.e.Store.QuarantinedPackets(ctx) {
		if err != nil {
			return fmt.Errorf("reading the quarantine: %w", err)
		}
		if !r.fits(q.At) {
			continue
		}
		body, ok := q.sound()
		if !ok {
			r.Unread++
			continue
		}
		p := &Pack{Records: []Record{{Key: q.key(), Received: q.At, Query: q.Query, Body: body}}}
		if err := r.callback(ctx, p, 0); err != nil {
			return err
		}
	}
	return nil
}

// ID names a quarantined packet.
func (q *Quarantined) ID() string { return callbackID(q.key(), q.At) }

func (q *Quarantined) key() Key {
	d := newDigest(nil)
	d.text("quarantined")
	d.text(q.Query)
	return d.key(q.Body)
}

// sound gives a packet of the sound pairs alone; false where there are none.
func (q *Quarantined) sound() ([]byte, bool) {
	type pair struct{ From_Account, To_Account string }
	var list []pair
	for _, p := range callback.SoundPairs(q.Body) {
		list = append(list, pair{p.From, p.To})
	}
	body, err := json.Marshal(map[string]any{"CallbackCommand": callback.Command, "PairList": list})
	return body, err == nil && len(list) > 0
}

// callback runs one through the rules.
func (r *reprocessing) callback(ctx context.Context, p *Pack, i int) error {
	if err := r.keepLease(ctx, renewEvery); err != nil {
		return err
	}
	var err error
	r.m.match(r.e.set.Load(), p, i, 0, func(c *Matched) bool {
		err = r.take(ctx, c)
		return err == nil
	})
	return err
}

// take gathers the deliveries of what was made of a callback, or of some of its pairs.
func (r *reprocessing) take(ctx context.Context, c *Matched) error {
	if c.Error != "" {
		r.Unread++
		return nil
	}
	if c.FirstPair == 0 {
		r.Callbacks++
	}
	r.Pairs += c.Pairs
	for _, hit := range c.Matches {
		if !hit.Shadow {
			r.Matches++
		}
	}
	for _, job := range c.Deliveries {
		if r.o.Force {
			job.Reprocess = r.Run
			job.ID = deliveryID(job.Callback, job.PairIndex, job.Rule, job.Action, r.Run)
		}
		if r.exist[idKey(job.ID)] {
			r.Existing++
			continue
		}
		r.exist[idKey(job.ID)] = true
		r.jobs = append(r.jobs, Parked{Job: job, Due: time.Now().UTC(), Order: OrderMake})
	}
	if len(r.jobs) >= maxOrders {
		return r.make(ctx)
	}
	return nil
}

// make makes the deliveries that were gathered.
func (r *reprocessing) make(ctx context.Context) error {
	for len(r.jobs) > 0 {
		n := min(len(r.jobs), maxOrders)
		if err := r.keepLease(ctx, time.Second); err != nil {
			return err
		}
		if err := r.e.orderNew(ctx, r.jobs[:n]); err != nil {
			return fmt.Errorf("storing deliveries: %w", err)
		}
		r.Made += n
		r.jobs = r.jobs[n:]
	}
	r.progress(r.Reprocessed)
	return nil
}
