package admin

import (
	"bufio"
	"net/http"
	"strings"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/aftermath-rules/aftermath/engine"
)

func wantsLines(r *http.Request) bool { return strings.Contains(r.Header.Get("Accept"), jsonLines) }

// export answers with every stored callback that fits, oldest first and repeats left out, as JSON lines {id, at, query, packet}: what
// backtest runs, and a file of packets for it. What cannot be read is a line {error} in its place.
func (a *api) export(w http.ResponseWriter, r *http.Request, q *callbackQuery) {
	long := startLong(w, r)
	control := http.NewResponseController(w)
	out := bufio.NewWriterSize(w, 64<<10)
	var line []byte
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
			line = q.appendLine(line[:0], &p.Records[i])
			if _, err := out.Write(line); err != nil {
				return // the client has gone
			}
		}
	}
	_ = out.Flush() // the client has gone: nobody is left to tell
}

// appendLine appends the line of a callback, if it fits.
func (q *callbackQuery) appendLine(b []byte, r *engine.Record) []byte {
	if r.Repeat || r.Received.Before(q.since) || !q.until.IsZero() && !r.Received.Before(q.until) || !hasAccount(r, q.account) {
		return b
	}
	b = append(b, `{"id":"`...)
	b = append(b, r.ID()...)
	b = append(b, `","at":"`...)
	b = r.Received.UTC().AppendFormat(b, time.RFC3339Nano)
	b = append(b, `","query":`...)
	b, _ = jsontext.AppendQuote(b, r.Query) // what is no UTF-8 is replaced
	b = append(b, `,"packet":`...)
	at := len(b)
	b = append(b, r.Body...) // sound JSON, or it had not been accepted
	for i, c := range b[at:] {
		if c == '\n' || c == '\r' { // between values, where spaces do
			b[at+i] = ' '
		}
	}
	return append(b, "}\n"...)
}

// hasAccount tells whether an account is on either side of one of the pairs.
func hasAccount(r *engine.Record, account string) bool {
	return account == "" || showStored(r).has(account)
}
