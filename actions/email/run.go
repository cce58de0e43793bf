package email

import (
	"context"
	"errors"
	"fmt"
	"net/textproto"
	"strconv"
	"strings"

	"github.com/aftermath-rules/aftermath/actions"
	"github.com/aftermath-rules/aftermath/internal/netguard"
)

// maxReply is how much of a server's reply is kept for a recipient.
const maxReply = 160

// Run makes one attempt: a transaction for each recipient who is not settled yet.
func (e *email) Run(ctx context.Context, d *actions.Delivery) (actions.Result, error) {
	l, err := e.compose(d)
	if err != nil {
		return actions.Result{}, err
	}
	p, err := readProgress(d.State, d.Attempt, l.recipients)
	if err != nil {
		return actions.Result{Sent: []byte(l.shown.String()), State: d.State}, actions.Permanent(err)
	}
	a := &attempt{server: e.server, letter: l, progress: p, why: map[string]string{}}
	defer a.hangUp()
	for _, recipient := range p.pending(l.recipients) {
		if err := a.send(ctx, recipient); err != nil {
			return a.result(), a.outcome(err)
		}
	}
	return a.result(), a.outcome(nil)
}

// attempt is one attempt under way.
type attempt struct {
	server   *server
	letter   *letter
	progress *progress
	session  *session          // nil while there is no connection
	why      map[string]string // who has to wait for the next attempt, and why
	reply    string            // the last of the server's
	code     int               // of the last that refused, or else of the last
}

// send tries one recipient. An error means that the others need not be tried now.
func (a *attempt) send(ctx context.Context, recipient string) error {
	if a.session == nil {
		s, err := a.server.connect(ctx)
		if err != nil {
			var refused *noSession
			if errors.As(err, &refused) && refused.reply != nil {
				a.note(refused.reply.Code, clip(refused.reply.Msg))
			}
			return err
		}
		a.session = s
	}
	reply, err := a.session.transact(a.letter, recipient)
	if err == nil {
		a.progress.Done = append(a.progress.Done, recipient)
		a.note(250, reply)
		return nil
	}
	var refused *textproto.Error
	if !errors.As(err, &refused) {
		a.session.abort()
		a.session = nil
		a.why[recipient] = plain(ctx, err)
		return ctx.Err()
	}
	a.note(refused.Code, refused.Msg)
	text := fmt.Sprintf("%d %s", refused.Code, clip(refused.Msg))
	if refused.Code >= 500 && refused.Code <= 599 {
		a.progress.refuse(recipient, text)
	} else {
		a.why[recipient] = text
	}
	if err := a.session.reset(); err != nil {
		a.hangUp() // the next recipient gets a connection of its own
	}
	return nil
}

func (a *attempt) note(code int, reply string) {
	a.reply = strconv.Itoa(code) + " " + reply
	if code >= 400 || a.code < 400 {
		a.code = code
	}
}

func (a *attempt) hangUp() {
	if a.session != nil {
		a.session.close()
		a.session = nil
	}
}

func (a *attempt) result() actions.Result {
	recipients := a.letter.recipients
	return actions.Result{
		Detail:   fmt.Sprintf("%d of %d accepted by %s", a.accepted(), len(recipients), a.server.host),
		Sent:     []byte(a.letter.shown.String()),
		Received: []byte(a.reply),
		State:    a.progress.state(),
		Code:     a.code,
	}
}

func (a *attempt) accepted() (n int) {
	for _, r := range a.letter.recipients {
		if a.progress.isDone(r) {
			n++
		}
	}
	return n
}

// outcome is what the attempt comes to: nil where everybody has the mail, a permanent error where nobody is left to wait for. A
// cause is why the attempt ended early.
func (a *attempt) outcome(cause error) error {
	recipients := a.letter.recipients
	if a.accepted() == len(recipients) {
		return nil
	}
	if cause != nil && !errors.Is(cause, context.Canceled) && !errors.Is(cause, context.DeadlineExceeded) {
		for _, r := range a.progress.pending(recipients) {
			if a.why[r] == "" {
				a.why[r] = cause.Error()
			}
		}
	}
	err := fmt.Errorf("%d of %d recipients did not get the mail: %s", len(recipients)-a.accepted(), len(recipients),
		a.progress.missing(recipients, a.why))
	if len(a.progress.pending(recipients)) == 0 || errors.Is(cause, netguard.ErrDenied) {
		return actions.Permanent(err)
	}
	return err
}

// clip shortens a reply to one line.
func clip(reply string) string {
	reply = strings.ToValidUTF8(strings.Join(strings.Fields(reply), " "), "?")
	if len(reply) > maxReply {
		reply = strings.ToValidUTF8(reply[:maxReply], "") + "…"
	}
	return reply
}
