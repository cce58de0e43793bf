package callback

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"math"
	"net/http"
	"strconv"
	"time"

	"golang.org/x/sync/semaphore"
)

// Defaults of HandlerOptions.
const (
	DefaultWait       = 1600 * time.Millisecond
	DefaultRetryAfter = 5 * time.Second
	DefaultMaxHeld    = 24 << 20 // bytes
)

const (
	// Chat gives up after two seconds. What is to look to it like a time-out is closed well after that.
	unansweredFor = 2500 * time.Millisecond
	maxUnanswered = 256 // at a time

	// How much of an oversized body is read after the answer, so that a client that sends all before it listens hears of it.
	maxDrained = 8 << 20 // bytes

	// How much longer than Wait a whole request may take.
	readGrace = time.Second
)

// HandlerOptions are what may be set of a Handler. The zero value is usable.
type HandlerOptions struct {
	// Wait is how long a callback may take to be stored, from the first byte of its request (from its whole header, where
	// the Handler is not served by a [Server]). It is the deadline of accept's context. 0 is DefaultWait.
	Wait time.Duration
	// SenderRetries says that Chat's console has retries on time-out switched on: what cannot be stored is left without an
	// answer and closed after 2.5 s, so that Chat sends it again. At most 256 requests at a time; the rest are answered.
	SenderRetries bool
	// RetryAfter is what the answer to a callback that could not be stored asks for; 0 is DefaultRetryAfter.
	RetryAfter time.Duration
	// MaxHeld bounds the bytes of all bodies of more than 2 KiB that are held at a time. What goes beyond it waits up to Wait. 0 is
	// DefaultMaxHeld.
	MaxHeld int64
	// Quarantine is given every authentic packet that is refused for what it holds, before the refusal is answered.
	Quarantine func(context.Context, *Refused)
	// Observe is told how each request ended and how long it took, from its first byte.
	Observe func(Outcome, time.Duration)
}

// Refused is an authentic packet that was answered 400.
type Refused struct {
	Received time.Time
	Query    string // as it came
	Body     []byte // as it came
	Err      error  // what was wrong with it, and where: an *Error
}

// Handler is the callback endpoint.
type Handler struct {
	verifier   *Verifier
	accept     func(context.Context, *Callback) error
	o          HandlerOptions
	held       *semaphore.Weighted
	unanswered chan struct{} // one for each request that is left unanswered just now
}

// NewHandler makes the endpoint that gives every callback with at least one pair to accept, and answers OK when accept returns
// nil: it has the callback on stable storage then. accept should keep trying until its context ends, which a sender that hangs up
// does not bring about: the friend is deleted all the same. An error of accept is not shown to the sender.
func NewHandler(v *Verifier, accept func(context.Context, *Callback) error, o HandlerOptions) *Handler {
	if o.Wait == 0 {
		o.Wait = DefaultWait
	}
	if o.RetryAfter == 0 {
		o.RetryAfter = DefaultRetryAfter
	}
	if o.MaxHeld == 0 {
		o.MaxHeld = DefaultMaxHeld
	}
	if o.Quarantine == nil {
		o.Quarantine = func(context.Context, *Refused) {}
	}
	if o.Observe == nil {
		o.Observe = func(Outcome, time.Duration) {}
	}
	return &Handler{
		verifier:   v,
		accept:     accept,
		o:          o,
		held:       semaphore.NewWeighted(max(o.MaxHeld, v.maxBody+1)),
		unanswered: make(chan struct{}, maxUnanswered),
	}
}

func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	conn := connOf(r)
	start := firstByte(r, conn)
	if conn != nil {
		conn.unwatch(r)
	}
	if r.ContentLength != 0 {
		// Where a deadline cannot be set, whoever serves the handler has seen to it.
		_ = http.NewResponseController(w).SetReadDeadline(start.Add(h.o.Wait + readGrace))
	}
	outcome := OK
	q, err := h.verifier.head(r)
	if err == nil {
		outcome, err = h.take(r, &q, start)
	}
	if err != nil {
		outcome = h.refuse(w, r, err, start)
	} else {
		answerOK(w)
	}
	h.o.Observe(outcome, time.Since(start))
	if outcome == Unanswered || err != nil && !drained(w, r) {
		panic(http.ErrAbortHandler) // net/http's way to close the connection without another word
	}
}

// take reads the body of a request whose head is in order, and has the callback accepted.
func (h *Handler) take(r *http.Request, q *query, start time.Time) (Outcome, *Error) {
	ctx, cancel := context.WithDeadline(context.WithoutCancel(r.Context()), start.Add(h.o.Wait))
	defer cancel()
	var held int64
	defer func() { h.held.Release(held) }()
	body, err := h.verifier.body(r, func(n int64) error {
		if err := h.held.Acquire(ctx, n); err != nil {
			return err
		}
		held += n
		return nil
	})
	if err != nil {
		return "", err
	}
	c := new(Callback)
	if err := q.packet(c, body, start.UTC()); err != nil {
		if err.Outcome == BadRequest {
			err.Text += encodingHint(r)
			h.o.Quarantine(ctx, &Refused{Received: start.UTC(), Query: q.raw, Body: body, Err: err})
		}
		return "", err
	}
	if len(c.Pairs) == 0 {
		return Empty, nil
	}
	if err := h.accept(ctx, c); err != nil {
		return "", unavailable(err)
	}
	return OK, nil
}

// refuse answers a request that gave no callback, or leaves it unanswered.
func (h *Handler) refuse(w http.ResponseWriter, r *http.Request, e *Error, start time.Time) Outcome {
	switch e.Outcome {
	case Unavailable:
		if h.o.SenderRetries && h.leaveUnanswered(r, start) {
			return Unanswered
		}
		w.Header().Set("Retry-After", strconv.Itoa(int(math.Ceil(h.o.RetryAfter.Seconds()))))
	case MethodNotAllowed:
		w.Header().Set("Allow", http.MethodPost)
	}
	if e.Outcome == TooLarge || e.Outcome == Incomplete || r.ContentLength < 0 || r.ContentLength > h.verifier.maxBody {
		w.Header().Set("Connection", "close")
	}
	if r.ContentLength != 0 {
		// Or net/http would read the body before it sends the answer. Where it cannot be had, that is what happens.
		_ = http.NewResponseController(w).EnableFullDuplex()
	}
	answer(w, e)
	return e.Outcome
}

// drained reads what there is of the body of a request that has been refused without it, once the answer is out: closing a
// connection that has unread bytes can take the answer from the client before it has read it. The read deadline bounds it. It
// returns false where the rest of the body may come later, and would be taken for the next request.
func drained(w http.ResponseWriter, r *http.Request) bool {
	closes := w.Header().Get("Connection") == "close"
	if r.ContentLength == 0 || r.Header.Get("Expect") != "" {
		return true // net/http closes the connection where a body that it did not call for may still come
	}
	if err := http.NewResponseController(w).Flush(); err != nil {
		return closes || errors.Is(err, http.ErrNotSupported) // then net/http reads the body itself, before the answer
	}
	_, err := io.CopyN(io.Discard, r.Body, maxDrained)
	return closes || err == io.EOF
}

// leaveUnanswered waits until the sender has given up. It returns false at once where too many are waiting already.
func (h *Handler) leaveUnanswered(r *http.Request, start time.Time) bool {
	select {
	case h.unanswered <- struct{}{}:
	default:
		return false
	}
	defer func() { <-h.unanswered }()
	until := start.Add(unansweredFor)
	if conn := connOf(r); conn != nil && conn.awaitHangUp(until) {
		return true
	}
	t := time.NewTimer(time.Until(until))
	defer t.Stop()
	select {
	case <-t.C:
	case <-r.Context().Done():
	}
	return true
}

const okBody = `{"ActionStatus":"OK","ErrorCode":0,"ErrorInfo":""}`

var jsonType = []string{"application/json"} // never written to

func answerOK(w http.ResponseWriter) {
	w.Header()["Content-Type"] = jsonType
	// A sender that is gone cannot be told, and net/http closes its connection.
	_, _ = io.WriteString(w, okBody)
}

// reply is the body of an answer.
type reply struct {
	ActionStatus string
	ErrorCode    int
	ErrorInfo    string
}

func answer(w http.ResponseWriter, e *Error) {
	a := reply{ActionStatus: "FAIL", ErrorCode: 1, ErrorInfo: e.Text}
	if e.Status == http.StatusOK {
		a.ActionStatus, a.ErrorCode = "OK", 0
	}
	b, err := json.Marshal(a)
	if err != nil {
		b = []byte(`{"ActionStatus":"FAIL","ErrorCode":1,"ErrorInfo":""}`) // a struct of strings does not get here
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Content-Length", strconv.Itoa(len(b)))
	w.WriteHeader(e.Status)
	_, _ = w.Write(b)
}
