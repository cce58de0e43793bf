package webhook

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/aftermath-rules/aftermath/actions"
	"github.com/aftermath-rules/aftermath/internal/netguard"
)

const (
	maxRedirects = 5
	maxReceived  = 1 << 10  // of the answer, kept
	maxAnswer    = 64 << 10 // of the answer, read, so that its connection can be used again
	// answerTime is how long the answer's body may take once its status is known. The status alone decides.
	answerTime = 2 * time.Second
)

// Run makes one attempt.
func (w *webhook) Run(ctx context.Context, d *actions.Delivery) (actions.Result, error) {
	m, err := w.render(d)
	if err != nil {
		return actions.Result{}, err
	}
	result := actions.Result{Sent: m.body}
	for hop := 0; ; hop++ {
		next, err := w.attempt(ctx, m, &result)
		if next == nil {
			return result, err
		}
		if hop == maxRedirects {
			return result, actions.Permanent(fmt.Errorf("more than %d redirects", maxRedirects))
		}
		m = next
	}
}

// attempt sends m and reads the answer. It gives the message of the next hop where the answer is a redirect to follow.
func (w *webhook) attempt(ctx context.Context, m *message, result *actions.Result) (*message, error) {
	r, err := w.request(ctx, m, time.Now())
	if err != nil {
		return nil, err
	}
	answer, err := w.transport.RoundTrip(r)
	if err != nil {
		return nil, explain(ctx, m, err)
	}
	defer answer.Body.Close()
	receive(answer, result)
	result.Code, result.Detail = answer.StatusCode, statusLine(answer.StatusCode)
	if w.config.FollowRedirects && isRedirect(answer.StatusCode) {
		return redirected(m, answer)
	}
	return nil, verdict(answer.StatusCode, answer.Header, time.Now())
}

// receive reads what the answer says, for as long as it may take.
func receive(answer *http.Response, result *actions.Result) {
	if answer.Body == http.NoBody || answer.StatusCode == http.StatusSwitchingProtocols {
		return // the latter's body is the bare connection, and ends for no context
	}
	slow := time.AfterFunc(answerTime, func() { _ = answer.Body.Close() }) // which ends a Read that waits
	defer slow.Stop()
	// An error here changes nothing: the status is known, and tells whether the receiver has the delivery.
	result.Received, _ = io.ReadAll(io.LimitReader(answer.Body, maxReceived))
	_, _ = io.Copy(io.Discard, io.LimitReader(answer.Body, maxAnswer-maxReceived))
}

func isRedirect(status int) bool {
	switch status {
	case http.StatusMovedPermanently, http.StatusFound, http.StatusSeeOther, http.StatusTemporaryRedirect, http.StatusPermanentRedirect:
		return true
	}
	return false
}

// redirected gives the message of the next hop. The method and body stay, as a delivery must arrive whole; only "see other"
// asks for a GET (RFC 9110, 15.4). Another host gets none of the configured headers, which may hold its credentials; the
// signature goes along, as it is good for this message alone.
func redirected(m *message, answer *http.Response) (*message, error) {
	to, err := answer.Location()
	if err != nil {
		return nil, actions.Permanent(fmt.Errorf("the receiver answered %s with no usable Location", statusLine(answer.StatusCode)))
	}
	if to.Scheme != "https" && to.Scheme != m.url.Scheme {
		return nil, actions.Permanent(fmt.Errorf("the receiver redirects from %s to %s, which is not followed", m.url.Scheme, to.Scheme))
	}
	next := *m
	next.url = to
	if to.Host != m.url.Host {
		next.headers = http.Header{}
	}
	if answer.StatusCode == http.StatusSeeOther && m.method != http.MethodHead {
		next.method, next.body, next.media = http.MethodGet, nil, ""
	}
	return &next, nil
}

// explain says in plain words why there was no answer. It names the host and never the rest of the URL, which may hold secrets.
func explain(ctx context.Context, m *message, err error) error {
	switch {
	case errors.Is(err, netguard.ErrDenied):
		return actions.Permanent(err)
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		return fmt.Errorf("no answer from %s within the time-out", m.url.Host)
	case errors.Is(err, io.EOF):
		return fmt.Errorf("no answer from %s: it closed the connection", m.url.Host)
	}
	return fmt.Errorf("no answer from %s: %w", m.url.Host, err)
}
