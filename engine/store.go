package engine

import (
	"context"
	"errors"
	"iter"
	"time"
)

// Key tells repeats of a callback from new ones: the first 16 bytes of SHA-256 over app, command, RequestId and body, or random.
type Key [16]byte

// Record is one callback as it is stored: raw, so that every later release can read it anew.
type Record struct {
	Key      Key
	Window   time.Duration // a record of the same Key that was received within it is a repeat; 0: nothing is
	Received time.Time     // UTC
	Query    string
	Body     []byte

	// Repeat is set by the store on reading: an earlier record, in stream order, has the same Key within the Window.
	Repeat bool
}

// Pack is a run of records that were stored together.
type Pack struct {
	Seq     uint64    // of the pack in the accept stream, from 1
	Ordinal uint64    // of its first record: how many callbacks were stored before it
	Stored  time.Time // by the store's clock
	Since   Moment    // when it was stored: nothing of it was recorded before
	Records []Record
	// Again says that this pack may have been read before, by this process or another: ask Settled before acting on it.
	Again bool
	// Held tells whether no other process can have been given the pack: once that is so, what becomes of it here must not be stored. nil: it
	// never is.
	Held func() bool
	// Ack says that everything of the pack is settled: it is never read again. It does not wait.
	Ack func()
}

// Moment is when something was stored: the time by the store's clock, and, where the store is alone with its streams, how far those had come,
// which holds however clocks jump.
type Moment struct {
	At    time.Time
	Exact bool      // After is known
	After [3]uint64 // the last numbers that were given to what is parked, to what has ended, and to dead letters
}

// Before tells whether what was recorded since m may be more than what was since o.
func (m Moment) Before(o Moment) bool {
	if !m.Exact || !o.Exact {
		return m.At.Before(o.At)
	}
	return m.After[0] < o.After[0] || m.After[1] < o.After[1] || m.After[2] < o.After[2]
}

// Parked is one delivery that waits for its next attempt. Its fields are stored: add to them, never change or take away.
type Parked struct {
	Job     Job       `json:"job"`
	Due     time.Time `json:"due"`
	Attempt int       `json:"attempt"` // attempts that have run
	First   time.Time `json:"first"`   // when the first attempt started
	Parks   int       `json:"parks"`   // how often it was parked: a later copy of the same delivery has a higher number
	Error   string    `json:"error,omitempty"`
	State   []byte    `json:"state,omitempty"`
	// Span is the retry span (retry.for) of its action at the last attempt, or when it was last put off, by which it ends even where the action is gone since;
	// 0 where there was none.
	Span  time.Duration `json:"span_ns,omitempty"`
	Order string        `json:"order,omitempty"` // OrderReplay and so on: what is to be recorded before anything else is done with this copy
}

// Bundle is a run of parked deliveries that fell due together.
type Bundle struct {
	Since      Moment // when it was parked
	Deliveries []Parked
	Again      bool        // as in Pack
	Held       func() bool // as in Pack
	Ack        func()      // as in Pack
}

// DeadLetter is a delivery that was given up.
type DeadLetter struct {
	Parked
	At time.Time `json:"at"`
}

// Event is an entry of the outcomes stream: exactly one of its fields is set.
type Event struct {
	Matched   *Matched   `json:"matched,omitempty"`
	Unmatched *Unmatched `json:"unmatched,omitempty"`
	Ended     *Ended     `json:"ended,omitempty"`
	Made      *Made      `json:"made,omitempty"`
}

// Matched says what the rules made of one callback, or why they made nothing of it. Where they made very much of it there are several, one after
// the other, each of some pairs.
type Matched struct {
	Callback      string    `json:"callback"`             // id
	Seq           uint64    `json:"seq"`                  // the pack's
	Index         int       `json:"index"`                // the record's place in it
	FirstPair     int       `json:"first_pair,omitempty"` // that this is of; those before it are in others
	More          bool      `json:"more,omitempty"`       // another one is of the pairs behind these
	Received      time.Time `json:"received"`
	Pairs         int       `json:"pairs"` // that this is of
	RuleSet       string    `json:"rule_set"`
	Matches       []Hit     `json:"matches,omitempty"` // shadow matches too
	Deliveries    []Job     `json:"deliveries,omitempty"`
	Error         string    `json:"error,omitempty"`  // why the stored callback could not be read
	Repeat        bool      `json:"repeat,omitempty"` // the callback was a repeat: nothing was matched
	ConditionErrs int       `json:"condition_errors,omitempty"`
}

// Made says that reprocessing made a delivery.
type Made struct {
	At  time.Time `json:"at"`
	Job Job       `json:"job"`
}

// Hit is one rule that matched one pair.
type Hit struct {
	Rule   string `json:"rule"`
	Pair   int    `json:"pair"`
	Shadow bool   `json:"shadow,omitempty"`
}

// Outcomes of an attempt, and of what people do with dead letters.
const (
	OutcomeDone   = "done"   // it succeeded
	OutcomeRetry  = "retry"  // it failed and was parked for another attempt
	OutcomeParked = "parked" // no attempt was made: its action had no room, or is gone
	OutcomeDead   = "dead"   // it failed for good

	OutcomeReplayed  = "replayed"  // the dead letter is pending again
	OutcomeDiscarded = "discarded" // the dead letter was taken away
)

// Ended says how one attempt ended.
type Ended struct {
	Delivery string    `json:"delivery"` // id
	Callback string    `json:"callback"`
	Rule     string    `json:"rule"`
	Action   string    `json:"action"`
	Type     string    `json:"type,omitempty"`
	From     string    `json:"from"`
	To       string    `json:"to"`
	Attempt  int       `json:"attempt"`
	Parks    int       `json:"parks"`
	At       time.Time `json:"at"`
	Took     int64     `json:"took_ns"`
	Outcome  string    `json:"outcome"`
	Next     time.Time `json:"next,omitzero"`
	Detail   string    `json:"detail,omitempty"`
	Error    string    `json:"error,omitempty"`
	Sent     []byte    `json:"sent,omitempty"`
	Received []byte    `json:"received,omitempty"`
	DryRun   bool      `json:"dry_run,omitempty"`
}

// Job is a delivery as it is stored: all that an attempt needs but the action's configuration.
type Job struct {
	ID              string            `json:"id"`
	Callback        string            `json:"callback"`
	Rule            string            `json:"rule"`
	Labels          map[string]string `json:"labels,omitempty"`
	Action          string            `json:"action"`
	RuleSet         string            `json:"rule_set"`
	Reprocess       string            `json:"reprocess,omitempty"`
	From            string            `json:"from"`
	To              string            `json:"to"`
	SdkAppid        int64             `json:"sdkappid"`
	CallbackCommand string            `json:"command"`
	ClientIP        string            `json:"client_ip,omitempty"`
	OptPlatform     string            `json:"opt_platform,omitempty"`
	RequestId       string            `json:"request_id,omitempty"`
	PairCount       int               `json:"pair_count"`
	PairIndex       int               `json:"pair_index"`
	Mutual          bool              `json:"mutual,omitempty"`
	Time            time.Time         `json:"time"`
	Created         time.Time         `json:"created"`
}

// Totals are cumulative counts. They are stored with every pack of outcomes, so that they outlive restarts and purges.
type Totals struct {
	Callbacks     uint64 `json:"callbacks"`
	Unmatched     uint64 `json:"unmatched"` // callbacks none of whose pairs matched a rule
	Pairs         uint64 `json:"pairs"`
	Matches       uint64 `json:"matches"`
	ShadowMatches uint64 `json:"shadow_matches"`
	Refused       uint64 `json:"refused"`
	Quarantined   uint64 `json:"quarantined"`
	Created       uint64 `json:"created"`
	Done          uint64 `json:"done"`
	// Dead is how many deliveries are dead letters now. One node's may be below zero, wrapped around, where it replays what
	// another has buried: the sum is right.
	Dead            uint64                `json:"dead"`
	Discarded       uint64                `json:"discarded"`
	Repeats         uint64                `json:"repeats"`
	ConditionErrors uint64                `json:"condition_errors"`
	Rules           map[string]RuleTotals `json:"rules,omitempty"` // by name
}

// RuleTotals counts one rule's matches.
type RuleTotals struct {
	Matches uint64    `json:"matches"`
	Last    time.Time `json:"last"`
}

// Quarantined is an authentic packet that was refused with 400.
type Quarantined struct {
	At    time.Time `json:"at"`
	Query string    `json:"query"`
	Body  []byte    `json:"body"`
	Error string    `json:"error"`
}

// EventPack is a run of events that one node appended together, and its totals after them.
type EventPack struct {
	Seq    uint64    // in the outcomes stream, from 1; there may be gaps
	Node   string    // who appended it
	Stored time.Time // by the store's clock
	Events []Event
	Totals *Totals // nil where none were given
}

// PackIndex is the place of a record in the accept stream, and of a pair in that.
type PackIndex struct {
	Seq   uint64
	Index int
	Pair  int
}

// ErrNotFound says that a store has no dead letter of that delivery.
var ErrNotFound = errors.New("not found")

// ErrLeased says that somebody else has a lease.
var ErrLeased = errors.New("somebody else has the lease")

// Lease is the right to do something that one process of all does at a time.
type Lease interface {
	// Renew keeps the lease for another minute; after an error it is lost, or will be.
	Renew(ctx context.Context) error
	// Release gives it up. Where that fails it ends by itself.
	Release(ctx context.Context) error
}

// ErrClosed says that the store was closed.
var ErrClosed = errors.New("the store is closed")

// Store is the one door to what is kept. Its methods are safe for concurrent use; all that take a context keep to its deadline.
type Store interface {
	// Accept returns nil once r is on stable storage.
	Accept(ctx context.Context, r *Record) error
	// NextPack waits for the next pack that is not acked. Packs come in the stream's order, but for those that come again.
	NextPack(ctx context.Context) (*Pack, error)
	// NextBundle waits for the next bundle that is due and not acked.
	NextBundle(ctx context.Context) (*Bundle, error)
	// Park stores deliveries until they are due, bundled by Due. After an error they may be stored: calling it again with the same ones, within
	// some minutes, stores none of them twice.
	Park(ctx context.Context, ps []Parked) error
	// ParkedDeliveries gives what is parked, or due and not acked, in no order. A delivery that moves on meanwhile is given at least once.
	ParkedDeliveries(ctx context.Context) iter.Seq2[*Parked, error]
	// Lease gives the lease of that name for a minute; ErrLeased where another process has it.
	Lease(ctx context.Context, name string) (Lease, error)
	// Bury stores a dead letter; one of the same delivery is replaced.
	Bury(ctx context.Context, d *DeadLetter) error
	// DeadLetters gives the dead letters, in no order.
	DeadLetters(ctx context.Context) iter.Seq2[*DeadLetter, error]
	// Append stores events and this node's totals after them, on stable storage. It gives the number of their pack, as Events does; 0 where they
	// took more than one. Each pack is stored as a whole, with the totals up to it.
	Append(ctx context.Context, events []Event, totals *Totals) (seq uint64, err error)
	// Fits tells whether an event can be appended, however large it is.
	Fits(ev *Event) bool
	// Totals gives this node's totals, as last appended, and the sum of the other nodes'.
	Totals(ctx context.Context) (own, others *Totals, err error)
	// Settled reads what was recorded since the moment; where that is not exact, and its time is yet to come, all there is, since then the clock
	// was put back.
	Settled(ctx context.Context, since Moment) (*Settled, error)
	// DeadLetter gives the dead letter of one delivery; ErrNotFound where there is none.
	DeadLetter(ctx context.Context, delivery string) (*DeadLetter, error)
	// Exhume takes this dead letter away, once it is replayed or discarded; ErrNotFound where it is gone, or where another of the
	// same delivery has taken its place.
	Exhume(ctx context.Context, d *DeadLetter) error
	// Events gives what was appended, by all nodes, in order, from the sequence number on (0: from the oldest kept) to the
	// newest there is when it gets there; it does not wait for more.
	Events(ctx context.Context, from uint64) iter.Seq2[*EventPack, error]
	// Journal gives the packs stored since the time, acked or not, in order, up to the newest. Their Ack does nothing.
	Journal(ctx context.Context, since time.Time) iter.Seq2[*Pack, error]
	// Quarantine keeps a refused packet, up to the bound of the configuration.
	Quarantine(ctx context.Context, q *Quarantined) error
	// QuarantinedPackets gives the packets that Quarantine kept, oldest first.
	QuarantinedPackets(ctx context.Context) iter.Seq2[*Quarantined, error]
	// Status says how the store is.
	Status() StoreStatus
	// Close writes what is under way and stops.
	Close(ctx context.Context) error
}

// SpoolStatus says what this node keeps alone until the cluster takes it.
type SpoolStatus struct {
	Callbacks uint64    `json:"callbacks"`
	Bytes     uint64    `json:"bytes"`
	Oldest    time.Time `json:"oldest,omitzero"` // when the oldest of them was received, about
	Since     time.Time `json:"since,omitzero"`  // when the cluster stopped taking callbacks; absent while it takes them
	Away      string    `json:"away,omitempty"`  // why it takes none: matching and deliveries wait for it
}

// StoreStatus is the store's part of status.
type StoreStatus struct {
	OK        bool   `json:"ok"` // callbacks can be stored
	Error     string `json:"error,omitempty"`
	Kind      string `json:"kind"`      // embedded or nats
	Packs     uint64 `json:"packs"`     // in the journal
	Callbacks uint64 `json:"callbacks"` // ever stored: the next ordinal
	Bytes     uint64 `json:"bytes"`
	DiskFree  uint64 `json:"disk_free,omitempty"`
	Waiting   uint64 `json:"waiting"` // packs not yet acked or read
	Damage    string `json:"damage,omitempty"`
	Gone      uint64 `json:"gone,omitempty"`    // of Callbacks: lost to damage before any rules saw them
	Warning   string `json:"warning,omitempty"` // what is odd of the cluster

	Spool *SpoolStatus `json:"spool,omitempty"` // of a node with a spool
}
