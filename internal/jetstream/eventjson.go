package jetstream

import (
	"encoding/base64"
	"maps"
	"slices"
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/aftermath-rules/aftermath/engine"
)

// outcome is a record of the outcomes stream: an event or, last in its pack, the totals.
type outcome struct {
	Matched   *engine.Matched   `json:"matched,omitempty"`
	Unmatched *engine.Unmatched `json:"unmatched,omitempty"`
	Ended     *storedEnded      `json:"ended,omitempty"`
	Made      *engine.Made      `json:"made,omitempty"`
	Totals    *engine.Totals    `json:"totals,omitempty"`
	RulesAt   uint64            `json:"rules_at,omitempty"` // with totals: the pack that has the counts of the rules
}

// storedEnded is an Ended as it is stored. What was sent and received stands there as text where it is one: that is shorter than base64,
// and alike from one delivery to the next, so that it compresses.
type storedEnded struct {
	engine.Ended
	SentText     string `json:"sent_text,omitempty"`
	ReceivedText string `json:"received_text,omitempty"`
}

// event gives what appendEvent was given.
func (o *outcome) event() engine.Event {
	ev := engine.Event{Matched: o.Matched, Unmatched: o.Unmatched, Made: o.Made}
	if d := o.Ended; d != nil {
		if d.SentText != "" {
			d.Sent = []byte(d.SentText)
		}
		if d.ReceivedText != "" {
			d.Received = []byte(d.ReceivedText)
		}
		ev.Ended = &d.Ended
	}
	return ev
}

// appendEvent appends the JSON that outcome reads: what encoding/json makes of it, at a fraction of the price, since several are
// written for each delivery.
func appendEvent(b []byte, ev *engine.Event) []byte {
	o := object{b: append(b, '{'), empty: true}
	switch {
	case ev.Matched != nil:
		o.key("matched")
		o.b = appendMatched(o.b, ev.Matched)
	case ev.Unmatched != nil:
		o.key("unmatched")
		o.b = appendUnmatched(o.b, ev.Unmatched)
	case ev.Ended != nil:
		o.key("ended")
		o.b = appendEnded(o.b, ev.Ended)
	case ev.Made != nil:
		o.key("made")
		m := object{b: append(o.b, '{'), empty: true}
		m.time("at", ev.Made.At)
		m.key("job")
		m.b = appendJob(m.b, &ev.Made.Job)
		o.b = append(m.b, '}')
	}
	return append(o.b, '}')
}

func appendMatched(b []byte, c *engine.Matched) []byte {
	o := object{b: append(b, '{'), empty: true}
	o.text("callback", c.Callback)
	o.number("seq", int64(c.Seq))
	o.number("index", int64(c.Index))
	o.someNumber("first_pair", int64(c.FirstPair))
	o.flag("more", c.More)
	o.time("received", c.Received)
	o.number("pairs", int64(c.Pairs))
	o.text("rule_set", c.RuleSet)
	for i, hit := range c.Matches {
		o.element("matches", i)
		h := object{b: append(o.b, '{'), empty: true}
		h.text("rule", hit.Rule)
		h.number("pair", int64(hit.Pair))
		h.flag("shadow", hit.Shadow)
		o.b = append(h.b, '}')
	}
	o.endList(len(c.Matches))
	for i := range c.Deliveries {
		o.element("deliveries", i)
		o.b = appendJob(o.b, &c.Deliveries[i])
	}
	o.endList(len(c.Deliveries))
	o.someText("error", c.Error)
	o.flag("repeat", c.Repeat)
	o.someNumber("condition_errors", int64(c.ConditionErrs))
	return append(o.b, '}')
}

func appendUnmatched(b []byte, u *engine.Unmatched) []byte {
	o := object{b: append(b, '{'), empty: true}
	o.number("seq", int64(u.Seq))
	o.text("first", u.First)
	o.text("rule_set", u.RuleSet)
	o.number("pairs", int64(u.Pairs))
	for i, run := range u.Runs {
		o.element("runs", i)
		o.b = strconv.AppendInt(append(o.b, '['), int64(run[0]), 10)
		o.b = append(strconv.AppendInt(append(o.b, ','), int64(run[1]), 10), ']')
	}
	o.endList(len(u.Runs))
	return append(o.b, '}')
}

func appendJob(b []byte, j *engine.Job) []byte {
	o := object{b: append(b, '{'), empty: true}
	o.text("id", j.ID)
	o.text("callback", j.Callback)
	o.text("rule", j.Rule)
	if len(j.Labels) > 0 {
		o.key("labels")
		o.b = append(o.b, '{')
		for i, name := range slices.Sorted(maps.Keys(j.Labels)) {
			if i > 0 {
				o.b = append(o.b, ',')
			}
			o.b = appendText(append(appendText(o.b, name), ':'), j.Labels[name])
		}
		o.b = append(o.b, '}')
	}
	o.text("action", j.Action)
	o.text("rule_set", j.RuleSet)
	o.someText("reprocess", j.Reprocess)
	o.text("from", j.From)
	o.text("to", j.To)
	o.number("sdkappid", j.SdkAppid)
	o.text("command", j.CallbackCommand)
	o.someText("client_ip", j.ClientIP)
	o.someText("opt_platform", j.OptPlatform)
	o.someText("request_id", j.RequestId)
	o.number("pair_count", int64(j.PairCount))
	o.number("pair_index", int64(j.PairIndex))
	o.flag("mutual", j.Mutual)
	o.time("time", j.Time)
	o.time("created", j.Created)
	return append(o.b, '}')
}

// appendParked appends the JSON that engine.Parked reads, as appendEvent does it: behind a dead receiver each delivery is written many times.
func appendParked(b []byte, p *engine.Parked) []byte {
	o := object{b: append(b, '{'), empty: true}
	o.key("job")
	o.b = appendJob(o.b, &p.Job)
	o.time("due", p.Due)
	o.number("attempt", int64(p.Attempt))
	o.time("first", p.First)
	o.number("parks", int64(p.Parks))
	o.someText("error", p.Error)
	if len(p.State) > 0 {
		o.base64("state", p.State)
	}
	o.someNumber("span_ns", int64(p.Span))
	o.someText("order", p.Order)
	return append(o.b, '}')
}

func appendEnded(b []byte, d *engine.Ended) []byte {
	o := object{b: append(b, '{'), empty: true}
	o.text("delivery", d.Delivery)
	o.text("callback", d.Callback)
	o.text("rule", d.Rule)
	o.text("action", d.Action)
	o.someText("type", d.Type)
	o.text("from", d.From)
	o.text("to", d.To)
	o.number("attempt", int64(d.Attempt))
	o.number("parks", int64(d.Parks))
	o.time("at", d.At)
	o.number("took_ns", d.Took)
	o.text("outcome", d.Outcome)
	if !d.Next.IsZero() {
		o.time("next", d.Next)
	}
	o.someText("detail", d.Detail)
	o.someText("error", d.Error)
	o.bytes("sent", "sent_text", d.Sent)
	o.bytes("received", "received_text", d.Received)
	o.flag("dry_run", d.DryRun)
	return append(o.b, '}')
}

// object is a JSON object that is being written.
type object struct {
	b     []byte
	empty bool
}

// key writes a field's name, which needs no escaping.
func (o *object) key(name string) {
	if !o.empty {
		o.b = append(o.b, ',')
	}
	o.empty = false
	o.b = append(o.b, '"')
	o.b = append(o.b, name...)
	o.b = append(o.b, '"', ':')
}

func (o *object) text(name, s string) {
	o.key(name)
	o.b = appendText(o.b, s)
}

func (o *object) someText(name, s string) {
	if s != "" {
		o.text(name, s)
	}
}

func (o *object) number(name string, n int64) {
	o.key(name)
	o.b = strconv.AppendInt(o.b, n, 10)
}

func (o *object) someNumber(name string, n int64) {
	if n != 0 {
		o.number(name, n)
	}
}

func (o *object) flag(name string, set bool) {
	if set {
		o.key(name)
		o.b = append(o.b, "true"...)
	}
}

func (o *object) time(name string, t time.Time) {
	o.key(name)
	o.b = append(o.b, '"')
	o.b = t.AppendFormat(o.b, time.RFC3339Nano)
	o.b = append(o.b, '"')
}

// bytes writes bytes as a text of its own name where they are one, as base64 where not.
func (o *object) bytes(name, asText string, v []byte) {
	switch {
	case len(v) == 0:
	case utf8.Valid(v):
		o.key(asText)
		o.b, _ = jsontext.AppendQuote(o.b, v) // it gives an error for what is no UTF-8
	default:
		o.base64(name, v)
	}
}

func (o *object) base64(name string, v []byte) {
	o.key(name)
	o.b = append(o.b, '"')
	o.b = base64.StdEncoding.AppendEncode(o.b, v)
	o.b = append(o.b, '"')
}

// element begins an element of a list, and with the first one the list.
func (o *object) element(name string, i int) {
	if i > 0 {
		o.b = append(o.b, ',')
		return
	}
	o.key(name)
	o.b = append(o.b, '[')
}

func (o *object) endList(elements int) {
	if elements > 0 {
		o.b = append(o.b, ']')
	}
}

// appendText appends a string. What is no UTF-8 in it is replaced, as by encoding/json.
func appendText(b []byte, s string) []byte {
	b, _ = jsontext.AppendQuote(b, s)
	return b
}
