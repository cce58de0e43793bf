// Package trial sends one sample delivery through a configured action and shows what went out and what came back.
package trial

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"slices"
	"strings"
	"time"

	"github.com/aftermath-rules/aftermath/actions"
	"github.com/aftermath-rules/aftermath/callback"
	"github.com/aftermath-rules/aftermath/internal/secrets"
	"github.com/aftermath-rules/aftermath/rules"
)

// Report is what came of a sample delivery. Secrets are masked in all of it.
type Report struct {
	Action   string         `json:"action"`
	Type     string         `json:"type"`
	Delivery string         `json:"delivery_id"`
	Rule     string         `json:"rule"`
	From     string         `json:"From_Account"`
	To       string         `json:"To_Account"`
	DryRun   bool           `json:"dry_run"` // nothing was sent
	OK       bool           `json:"ok"`
	Rendered map[string]any `json:"rendered"`
	Sent     string         `json:"sent"`
	Received string         `json:"received"`
	Detail   string         `json:"detail"`
	Error    string         `json:"error"`
	Retried  bool           `json:"retried"` // a delivery that ends like this would be tried again
	TookMS   int64          `json:"took_ms"`
}

// Run sends one sample delivery, under the action's time-out, or only renders it: with dryRun, and where the action's own dry_run
// says so. mask hides what the action itself does not know to be secret; it may be nil.
func Run(ctx context.Context, set *rules.RuleSet, inst *actions.Instance, app int64, dryRun bool, mask *secrets.Mask) *Report {
	d := sample(set, inst.Name, app)
	r := &Report{
		Action: inst.Name, Type: inst.Type, Delivery: d.ID, Rule: d.Rule.Name, From: d.Pair.From, To: d.Pair.To,
		DryRun: dryRun || inst.Options.DryRun,
	}
	rendered, err := inst.Render(d)
	r.Rendered = mask.Value(rendered).(map[string]any)
	if !r.DryRun {
		start := time.Now()
		var res actions.Result
		res, err = run(ctx, inst, d)
		r.TookMS = time.Since(start).Milliseconds()
		r.Detail = mask.Text(res.Detail)
		r.Sent = text(mask, res.Sent)
		r.Received = text(mask, res.Received)
		r.Retried = err != nil && !actions.IsPermanent(err) && !slices.Contains(inst.Options.Retry.Permanent, res.Code)
	}
	r.OK = err == nil
	if err != nil {
		r.Error = mask.Text(err.Error())
	}
	return r
}

func run(ctx context.Context, inst *actions.Instance, d *actions.Delivery) (actions.Result, error) {
	ctx, cancel := context.WithTimeout(ctx, inst.Options.Timeout)
	defer cancel()
	return inst.Run(ctx, d)
}

func text(mask *secrets.Mask, b []byte) string {
	return strings.ToValidUTF8(mask.Text(string(b)), "\uFFFD")
}

// sample is a delivery as the first rule that names the action would make it. Its id is another one each time, as a receiver
// ignores a delivery that it has had.
func sample(set *rules.RuleSet, action string, app int64) *actions.Delivery {
	var id [8]byte
	rand.Read(id[:]) // it never gives an error
	now := time.Now().UTC()
	d := &actions.Delivery{
		ID: "test" + hex.EncodeToString(id[:]), Attempt: 1, Action: action, Rule: actions.Rule{Name: "test"}, RuleSet: set.Hash, Created: now,
		CallbackID: "test", Pair: callback.Pair{From: "alice", To: "bob"}, SdkAppid: app, CallbackCommand: callback.Command,
		ClientIP: "127.0.0.1", OptPlatform: "RESTAPI", RequestId: "test", PairCount: 1, Time: now,
	}
	for _, r := range set.Rules {
		if slices.Contains(r.Actions, action) {
			d.Rule = actions.Rule{Name: r.Name, Labels: r.Labels}
			break
		}
	}
	return d
}
