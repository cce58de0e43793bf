package admin

import (
	"bufio"
	"bytes"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/aftermath-rules/aftermath/callback"
	"github.com/aftermath-rules/aftermath/engine"
	"github.com/aftermath-rules/aftermath/internal/backtest"
	"github.com/aftermath-rules/aftermath/rules"
)

func wantsLines(r *http.Request) bool { return strings.Contains(r.Header.Get("Accept"), jsonLines) }

// export answers with every stored callback that fits, oldest first and repeats left out, as JSON lines {id, at, query, packet}: what
// backtest runs, and a file of packets for it. What cannot be read is a line {error} in its place. With matches, each line also has
// what the rules that run now make of the callback, and a first line names them.
func (a *api) export(w http.ResponseWriter, r *http.Request, q *callbackQuery, matches bool) {
	var set *rules.RuleSet
	if matches {
		if set = a.Engine.RuleSet(); set == nil {
			Error(w, http.StatusServiceUnavailable, "no rule set runs yet")
			return
		}
	}
	long := startLong(w, r)
	control := http.NewResponseController(w)
	out := bufio.NewWriterSize(w, 64<<10)
	if set != nil {
		long.line(runningSet{set.Hash, backtest.KnownOf(set)})
	}
	var line exportLine
	for p, err := range a.Engine.Store.Journal(r.Context(), q.since) {
		if r.Context().Err() != nil {
			return
		}
		_ = control.SetWriteDeadline(time.Now().Add(writeTime)) // where it can't be set the server has none
		if err != nil {
			if out.Flush() != nil {
				return
			}
			long.line(map[string]string{"error": firstLine(err)})
			continue
		}
		for i := range p.Records {
			if !q.exported(&p.Records[i]) {
				continue
			}
			line.write(&p.Records[i], set)
			if _, err := out.Write(line.text); err != nil {
				return // the client has gone
			}
		}
	}
	_ = out.Flush() // the client has gone: nobody is left to tell
}

// runningSet is the first line of an export with matches.
type runningSet struct {
	RuleSet string           `json:"rule_set"`
	Rules   []backtest.Known `json:"rules"`
}

// exported tells whether a stored callback fits.
func (q *callbackQuery) exported(r *engine.Record) bool {
	return !r.Repeat && !r.Received.Before(q.since) && (q.until.IsZero() || r.Received.Before(q.until)) && hasAccount(r, q.account)
}

// exportLine is the line of one callback. Its memory is used again.
type exportLine struct {
	text    []byte
	decided []backtest.Decided
}

// write makes the line of a callback, with what set makes of it where it is not nil.
func (l *exportLine) write(r *engine.Record, set *rules.RuleSet) {
	b := append(l.text[:0], `{"id":"`...)
	b = append(b, r.ID()...)
	b = append(b, `","at":"`...)
	b = r.Received.UTC().AppendFormat(b, time.RFC3339Nano)
	b = append(b, `","query":`...)
	b, _ = jsontext.AppendQuote(b, r.Query) // what is no UTF-8 is replaced
	if set != nil {
		b = l.appendMatches(b, r, set)
	}
	b = append(b, `,"packet":`...)
	at := len(b)
	b = append(b, r.Body...)             // sound JSON, or it had not been accepted
	for _, end := range []byte("\r\n") { // between values, where spaces do
		for body := b[at:]; ; {
			i := bytes.IndexByte(body, end)
			if i < 0 {
				break
			}
			body[i] = ' '
		}
	}
	l.text = append(b, "}\n"...)
}

// appendMatches appends what set makes of the callback; nothing where it is one that can't be read any more.
func (l *exportLine) appendMatches(b []byte, r *engine.Record, set *rules.RuleSet) []byte {
	cb, err := callback.Parse(r.Query, r.Body, r.Received)
	if err != nil {
		return b
	}
	l.decided = backtest.AppendDecided(l.decided[:0], set, cb)
	b = append(b, `,"matches":[`...)
	for i, d := range l.decided {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, `{"pair":`...)
		b = strconv.AppendInt(b, int64(d.Pair), 10)
		b = append(b, `,"rule":"`...)
		b = append(b, d.Rule...) // of letters, digits, _ . and - alone
		b = append(b, '"')
		if d.Shadow {
			b = append(b, `,"shadow":true`...)
		}
		if d.Failed {
			b = append(b, `,"failed":true`...)
		}
		b = append(b, '}')
	}
	return append(b, ']')
}

// hasAccount tells whether an account is on either side of one of the pairs.
func hasAccount(r *engine.Record, account string) bool {
	return account == "" || showStored(r).has(account)
}
