// Package actions says what an action is, and how a Go developer adds a type of it: a configuration struct, a function that
// makes the action, a Run method. The built-in types use this door and nothing else.
package actions

import (
	"context"
	"time"

	"github.com/aftermath-rules/aftermath/callback"
	"github.com/aftermath-rules/aftermath/internal/lang"
)

// Delivery is one match on its way to one action.
type Delivery struct {
	ID        string // the same on every attempt and replay: [a-z0-9]+
	Attempt   int    // from 1
	Action    string // the action's name
	Rule      Rule
	RuleSet   string // hash of the rule set that matched
	Reprocess string // the reprocessing run that made this delivery; "" for none
	State     []byte // Result.State of the attempt before; nil on the first
	Created   time.Time

	CallbackID      string
	Pair            callback.Pair
	SdkAppid        int64
	CallbackCommand string
	ClientIP        string
	OptPlatform     string
	RequestId       string
	PairCount       int
	PairIndex       int
	Mutual          bool
	Time            time.Time // when the callback arrived, UTC
}

// vars gives the delivery as the language's names.
func (d *Delivery) vars() *lang.Vars {
	return &lang.Vars{
		Pair:            d.Pair,
		CallbackCommand: d.CallbackCommand,
		ClientIP:        d.ClientIP,
		OptPlatform:     d.OptPlatform,
		RequestId:       d.RequestId,
		SdkAppid:        d.SdkAppid,
		PairCount:       d.PairCount,
		PairIndex:       d.PairIndex,
		Mutual:          d.Mutual,
		Time:            d.Time,
		RuleName:        d.Rule.Name,
		RuleLabels:      d.Rule.Labels,
		DeliveryID:      d.ID,
		DeliveryAttempt: d.Attempt,
	}
}

// Rule names the rule that matched.
type Rule struct {
	Name   string
	Labels map[string]string
}

// Action runs deliveries. Run is called from many goroutines at once, up to the action's concurrency. Its context ends at the
// action's time-out. A nil error is success; an error is retried; a Permanent one is not. An action that is also an io.Closer is
// closed after its last delivery.
type Action interface {
	Run(ctx context.Context, d *Delivery) (Result, error)
}

// Previewer is an action that sends more than its configured templates: what it adds by itself, by field, such as a default body.
// A preview reads no network.
type Previewer interface {
	Preview(d *Delivery) (map[string]any, error)
}

// Result is what an attempt leaves behind, whether it succeeded or not.
type Result struct {
	Detail   string // one line for the log and the history, such as "200 OK"
	Sent     []byte // what was sent; kept in the history up to 4 KiB, secrets masked
	Received []byte // what came back; kept up to 1 KiB
	State    []byte // given to the next attempt as Delivery.State; at most 64 KiB
	Code     int    // the receiver's status or reply code, for retry.permanent; 0 for none
}
