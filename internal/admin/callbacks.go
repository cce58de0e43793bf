package admin

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"net/http"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/aftermath-rules/aftermath/callback"
	"github.com/aftermath-rules/aftermath/engine"
)

// Journal is where callbacks are shown from.
type Journal interface {
	JournalBack(ctx context.Context, before uint64) iter.Seq2[*engine.Pack, error]
	QuarantinedPackets(ctx context.Context) iter.Seq2[*engine.Quarantined, error]
}

const (
	stored      = "stored"
	quarantined = "quarantined"

	// pageTime is how long a page of callbacks is looked for. What was found by then is answered, and next goes on from there.
	pageTime = 5 * time.Second
	// findTime is how long one callback is looked for: nothing says where it is.
	findTime = 30 * time.Second
)

type pair struct {
	From string `json:"From_Account"`
	To   string `json:"To_Account"`
}

// storedCallback is one as it is shown.
type storedCallback struct {
	ID     string    `json:"id"`
	At     time.Time `json:"at"`
	Query  string    `json:"query"`
	Packet any       `json:"packet"` // as JSON where it is sound JSON, else a text
	Pairs  []pair    `json:"pairs"`  // of a quarantined packet the sound ones
	Status string    `json:"status"`
	Error  string    `json:"error"`
}

func showStored(r *engine.Record) *storedCallback {
	c := &storedCallback{ID: r.ID(), At: r.Received.UTC(), Query: r.Query, Packet: packetOf(r.Body), Pairs: []pair{}, Status: stored}
	cb, err := callback.Parse(r.Query, r.Body, r.Received)
	if err != nil {
		c.Error = err.Error()
		return c
	}
	c.Pairs = pairsOf(cb.Pairs)
	return c
}

func showQuarantined(q *engine.Quarantined) *storedCallback {
	return &storedCallback{
		ID: q.ID(), At: q.At.UTC(), Query: q.Query, Packet: packetOf(q.Body), Pairs: pairsOf(callback.SoundPairs(q.Body)),
		Status: quarantined, Error: q.Error,
	}
}

// maxShownDepth is how deeply a packet may be nested that is shown as JSON: more than one that is stored, and less than any client
// stumbles over.
const maxShownDepth = 100

// packetOf gives a packet as it is shown. Where it is no JSON, has ill-formed text or is nested too deeply, the answer that it stands
// in would be unreadable too: such a one is a text.
func packetOf(body []byte) any {
	if json.Valid(body) && plainJSON(body) {
		return json.RawMessage(body)
	}
	return string(body)
}

// plainJSON tells whether all text of a valid JSON value is well-formed, and nothing nested too deeply.
func plainJSON(body []byte) bool {
	d := jsontext.NewDecoder(bytes.NewReader(body), jsontext.AllowDuplicateNames(true))
	for d.StackDepth() <= maxShownDepth {
		if _, err := d.ReadToken(); err != nil {
			return err == io.EOF
		}
	}
	return false
}

func pairsOf(list []callback.Pair) []pair {
	out := make([]pair, len(list))
	for i, p := range list {
		out[i] = pair{p.From, p.To}
	}
	return out
}

func (c *storedCallback) has(account string) bool {
	if account == "" {
		return true
	}
	for _, p := range c.Pairs {
		if p.From == account || p.To == account {
			return true
		}
	}
	return false
}

func (a *api) callbacks(w http.ResponseWriter, r *http.Request) {
	p := paramsOf(r, "status", "account", "since", "until", "cursor", "limit", "matches")
	q := &callbackQuery{account: p.text("account"), since: p.time("since"), until: p.time("until"), limit: p.limit()}
	q.seq, q.index = p.numbers("cursor")
	list := a.storedPage
	switch status := p.text("status"); status {
	case "", stored:
	case quarantined:
		list = a.quarantinedPage
	default:
		p.fail("status is stored or quarantined, not %.40q", status)
	}
	if wantsLines(r) && (p.text("status") == quarantined || p.text("cursor")+p.text("limit") != "") {
		p.fail("as JSON lines all stored callbacks come at once: leave out status, cursor and limit")
	}
	matches := p.flag("matches")
	if matches && !wantsLines(r) {
		p.fail("matches are told in JSON lines only: ask with Accept: %s", jsonLines)
	}
	if p.err != nil {
		Error(w, http.StatusBadRequest, p.err.Error())
		return
	}
	if wantsLines(r) {
		a.export(w, r, q, matches)
		return
	}
	page, next, err := list(r.Context(), q)
	if err != nil {
		a.storeError(w, "reading callbacks", err)
		return
	}
	JSON(w, http.StatusOK, struct {
		Callbacks []*storedCallback `json:"callbacks"`
		Next      string            `json:"next"`
	}{orEmpty(page), next})
}

// callbackQuery says which callbacks are asked for: those before the place (seq, index), 0 for all.
type callbackQuery struct {
	account      string
	since, until time.Time
	limit        int
	seq          uint64
	index        int
}

func (q *callbackQuery) fits(c *storedCallback) bool {
	return !c.At.Before(q.since) && (q.until.IsZero() || c.At.Before(q.until)) && c.has(q.account)
}

// storedPage gives a page of the journal, newest first and repeats left out: a repeat is one callback with the first.
func (a *api) storedPage(ctx context.Context, q *callbackQuery) (page []*storedCallback, next string, err error) {
	ctx, cancel := context.WithTimeout(ctx, findTime)
	defer cancel()
	deadline := time.Now().Add(pageTime)
	before := q.seq
	if before > 0 {
		before++ // the rest of the pack that the last page ended in
	}
	l := listing{query: q, firsts: make(map[engine.Key][]*listed)}
	for p, err := range a.Journal.JournalBack(ctx, before) {
		if err != nil {
			return nil, "", err
		}
		// A pack is stored after its callbacks have come, all of them within seconds.
		if !l.full && p.Stored.Before(q.since) {
			l.full, l.next = true, ""
		}
		if l.full && l.sure(p.Stored) || time.Now().After(deadline) {
			return l.page(), l.next, nil
		}
		for i := len(p.Records) - 1; i >= 0; i-- {
			if q.seq != p.Seq || i < q.index {
				l.take(p.Seq, i, &p.Records[i])
			}
		}
	}
	if !l.full {
		l.next = ""
	}
	return l.page(), l.next, nil
}

// quarantinedPage pages by time, since a packet has no number: seq is the time of the last page's last one, index its place among
// those of the same time.
func (a *api) quarantinedPage(ctx context.Context, q *callbackQuery) (page []*storedCallback, next string, err error) {
	ctx, cancel := context.WithTimeout(ctx, findTime)
	defer cancel()
	var all []*engine.Quarantined // a thousand or so
	for p, err := range a.Journal.QuarantinedPackets(ctx) {
		if err != nil {
			return nil, "", err
		}
		all = append(all, p)
	}
	same := 0
	for i := len(all) - 1; i >= 0; i-- {
		if i+1 < len(all) && all[i].At.Equal(all[i+1].At) {
			same++
		} else {
			same = 0
		}
		at := uint64(all[i].At.UnixNano())
		if q.seq > 0 && (at > q.seq || at == q.seq && same <= q.index) {
			continue
		}
		c := showQuarantined(all[i])
		if !q.fits(c) {
			continue
		}
		if len(page) == q.limit {
			return page, next, nil
		}
		page, next = append(page, c), seqCursor(at, same)
	}
	return page, "", nil
}

func (a *api) callback(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), findTime)
	defer cancel()
	id := r.PathValue("id")
	c, err := a.findCallback(ctx, id)
	switch {
	case errors.Is(err, engine.ErrNotFound):
		Error(w, http.StatusNotFound, fmt.Sprintf("there is no callback %.140q, or it is kept no more", id))
	case err != nil:
		a.storeError(w, "looking for the callback", err)
	default:
		JSON(w, http.StatusOK, c)
	}
}

// findCallback looks through the quarantine, and then through the journal from its end.
func (a *api) findCallback(ctx context.Context, id string) (*storedCallback, error) {
	if !plainID.MatchString(id) {
		return nil, engine.ErrNotFound
	}
	for q, err := range a.Journal.QuarantinedPackets(ctx) {
		if err != nil {
			return nil, err
		}
		if q.ID() == id {
			return showQuarantined(q), nil
		}
	}
	for p, err := range a.Journal.JournalBack(ctx, 0) {
		if err != nil {
			return nil, err
		}
		for i := range p.Records {
			if p.Records[i].ID() == id {
				return showStored(&p.Records[i]), nil
			}
		}
	}
	return nil, engine.ErrNotFound
}

// reprocess runs stored callbacks through the rules of today.
func (a *api) reprocess(w http.ResponseWriter, r *http.Request) {
	var in struct {
		Since  string `json:"since"`
		Until  string `json:"until"`
		Status string `json:"status"`
		Force  bool   `json:"force"`
	}
	err := readJSON(w, r, &in)
	o := engine.ReprocessOptions{Force: in.Force, Quarantined: in.Status == quarantined}
	now := time.Now()
	if err == nil {
		if o.Since, err = parseTime(in.Since, now); err != nil {
			err = fmt.Errorf("since: %w", err)
		}
	}
	if err == nil {
		if o.Until, err = parseTime(in.Until, now); err != nil {
			err = fmt.Errorf("until: %w", err)
		}
	}
	if err == nil && in.Status != "" && in.Status != stored && in.Status != quarantined {
		err = fmt.Errorf("status is stored or quarantined, not %.40q", in.Status)
	}
	if err != nil {
		refuse(w, err, "")
		return
	}
	long := startLong(w, r)
	got, err := a.Engine.Reprocess(r.Context(), o, func(p engine.Reprocessed) { long.progress(p) })
	code, sentence := http.StatusOK, ""
	switch {
	case errors.Is(err, engine.ErrReprocessing):
		code, sentence = http.StatusConflict, err.Error()
	case err != nil:
		code, sentence = http.StatusServiceUnavailable, "it ended early; what it made stays, and running it again skips that: "+firstLine(err)
	default:
		a.History.CatchUp(r.Context(), catchUpTime)
	}
	long.end(code, struct {
		engine.Reprocessed
		Error string `json:"error,omitempty"`
	}{got, sentence})
}
