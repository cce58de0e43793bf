package engine

import (
	"sync/atomic"
	"time"

	"github.com/aftermath-rules/aftermath/actions"
	"github.com/aftermath-rules/aftermath/callback"
)

// batch counts what must still be settled of a pack or bundle.
type batch struct {
	left atomic.Int64
	held func() bool // as in Pack
	ack  func()
}

// newBatch makes a batch that is held by its reader until it settles once.
func newBatch(ack func(), held func() bool) *batch {
	b := &batch{ack: ack, held: held}
	b.left.Store(1)
	return b
}

// lost tells that another process may have been given the batch.
func (b *batch) lost() bool { return b.held != nil && !b.held() }

func (b *batch) add(n int) { b.left.Add(int64(n)) }

func (b *batch) settle() {
	if b.left.Add(-1) == 0 {
		b.ack()
	}
}

// delivery is a copy of a delivery on its way through the process: loose until it is settled.
type delivery struct {
	Parked                   // as it was read; Attempt, First, State and Error move on with its attempts
	recorded <-chan struct{} // closed once its match is recorded; nil: it is
	queued   time.Time       // when it came to its runner
	batches  []*batch        // guarded by memory.mu: what waits for it, more than one where it was read again while loose
	again    bool            // it may have been read before
	shared   bool            // another process may be given it
	copy     int             // guarded by memory.mu: the highest number it was read with
	next     int             // guarded by memory.mu: the number of the copy that is being parked; 0: none is
}

// action gives the delivery as an action sees it, for the attempt that is about to run.
func (d *delivery) action() *actions.Delivery {
	j := &d.Job
	return &actions.Delivery{
		ID: j.ID, Attempt: d.Attempt, Action: j.Action, Rule: actions.Rule{Name: j.Rule, Labels: j.Labels}, RuleSet: j.RuleSet,
		Reprocess: j.Reprocess, State: d.State, Created: j.Created, CallbackID: j.Callback,
		Pair: callback.Pair{From: j.From, To: j.To}, SdkAppid: j.SdkAppid, CallbackCommand: j.CallbackCommand,
		ClientIP: j.ClientIP, OptPlatform: j.OptPlatform, RequestId: j.RequestId,
		PairCount: j.PairCount, PairIndex: j.PairIndex, Mutual: j.Mutual, Time: j.Time,
	}
}

// since is when the delivery's retry span began: with its first attempt, or when it was made where there was none.
func (d *delivery) since() time.Time {
	if d.First.IsZero() {
		return d.Job.Created
	}
	return d.First
}

// ended begins the event of an attempt, or of a wait without one.
func (d *delivery) ended(outcome string, at time.Time) Ended {
	j := &d.Job
	return Ended{
		Delivery: j.ID, Callback: j.Callback, Rule: j.Rule, Action: j.Action, From: j.From, To: j.To,
		Attempt: d.Attempt, Parks: d.Parks, At: at.UTC(), Outcome: outcome,
	}
}
