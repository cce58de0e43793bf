package email

import (
	"errors"
	"fmt"
	"maps"
	"net"
	"net/textproto"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/net/http/httpguts"

	"github.com/aftermath-rules/aftermath/actions"
)

// maxRecipients keeps the note of who has had a mail within what a delivery may store.
const maxRecipients = 100

// Config is an email action's configuration.
type Config struct {
	To      []actions.Address         `yaml:"to" doc:"Who the mail is for."`
	CC      []actions.Address         `yaml:"cc" doc:"Who gets a copy, for all to see."`
	BCC     []actions.Address         `yaml:"bcc" doc:"Who gets a copy that the others don't see."`
	Subject actions.Header            `yaml:"subject" doc:"The subject."`
	Text    actions.Text              `yaml:"text" doc:"The mail as plain text. One of text and html is needed; with both, the reader's program chooses."`
	HTML    actions.HTML              `yaml:"html" doc:"The mail as HTML; values are escaped."`
	From    actions.Address           `yaml:"from" doc:"The sender; by default that of the configuration's smtp section."`
	ReplyTo actions.Address           `yaml:"reply_to" doc:"Where answers go."`
	Headers map[string]actions.Header `yaml:"headers" doc:"More headers of the mail."`
	Server  `yaml:",inline"`
	SMTP    SMTP `yaml:"smtp" doc:"The same settings of the mail server, as a section of their own."`
}

// Server is how to reach the mail server. What is absent is taken from the smtp section of the configuration.
type Server struct {
	Host     string         `yaml:"host" doc:"The mail server's name. Another one than the configuration's does not get its login."`
	Port     int            `yaml:"port" doc:"Its port: 587 by default, 465 with tls: implicit."`
	TLS      string         `yaml:"tls" enum:"starttls,implicit,none" doc:"starttls is required, never downgraded."`
	Username string         `yaml:"username" doc:"The name to log in with; without one, no login."`
	Password actions.Secret `yaml:"password" doc:"The password to log in with."`
	CA       string         `yaml:"ca" doc:"A PEM file of the certificate authorities to trust instead of the system's."`
}

// SMTP is a Server and the sender, as the smtp section of the configuration has them.
type SMTP struct {
	Server `yaml:",inline"`
	From   actions.Address `yaml:"from" doc:"The sender."`
}

// Type is the action type "email".
func Type() actions.Type {
	return actions.Define("email", actions.Spec[Config]{
		Summary: "Sends the delivery as mail, in one SMTP transaction a recipient.",
		New:     New,
	})
}

// email is one configured action.
type email struct {
	config Config
	from   sender
	server *server
}

// New makes the action. It reads the file of ca, and connects nowhere.
func New(c Config, env actions.Env) (actions.Action, error) {
	from, fromErr := newSender(c, env)
	server, serverErr := newServer(c, env)
	if err := errors.Join(checkContent(c), checkHeaders(c.Headers), fromErr, serverErr); err != nil {
		return nil, err
	}
	return &email{config: c, from: from, server: server}, nil
}

// checkContent finds what is missing in the mail itself.
func checkContent(c Config) error {
	var errs []error
	switch n := len(c.To) + len(c.CC) + len(c.BCC); {
	case n == 0:
		errs = append(errs, fieldError("to", "is missing: a mail needs a recipient in to, cc or bcc"))
	case n > maxRecipients:
		errs = append(errs, fieldError("to", "to, cc and bcc name %d recipients, and at most %d are possible: use a mailing list", n, maxRecipients))
	}
	if c.Text.IsZero() && c.HTML.IsZero() {
		errs = append(errs, fieldError("text", "is missing: a mail needs text, html or both"))
	}
	return errors.Join(errs...)
}

// Preview gives the sender where the configuration's smtp section names it, and the server.
func (e *email) Preview(d *actions.Delivery) (map[string]any, error) {
	from, err := e.from.render(d)
	if err != nil {
		return nil, fmt.Errorf("from: %w", err)
	}
	return map[string]any{"from": from.String(), "server": net.JoinHostPort(e.server.host, strconv.Itoa(e.server.port))}, nil
}

// reserved are the headers that other fields or the program itself write.
var reserved = []string{"From", "Sender", "To", "Cc", "Bcc", "Reply-To", "Subject", "Date", "Message-Id", "Mime-Version",
	"Return-Path", "Received", "Dkim-Signature"}

func checkHeaders(headers map[string]actions.Header) error {
	var errs []error
	seen := map[string]string{}
	for _, name := range slices.Sorted(maps.Keys(headers)) {
		canonical := textproto.CanonicalMIMEHeaderKey(name)
		field := "headers." + name
		switch {
		case !httpguts.ValidHeaderFieldName(name) || len(name) > 70:
			errs = append(errs, fieldError(field, "%q is no name of a mail header", name))
		case slices.Contains(reserved, canonical), strings.HasPrefix(canonical, "Content-"), strings.HasPrefix(canonical, "Resent-"):
			errs = append(errs, fieldError(field, "%s can't be set here: use the action's own fields, or leave it to aftermath", canonical))
		case seen[canonical] != "":
			errs = append(errs, fieldError(field, "is the same header as %s", seen[canonical]))
		}
		seen[canonical] = name
	}
	return errors.Join(errs...)
}

func fieldError(field, format string, args ...any) error {
	return &actions.FieldError{Field: field, Err: fmt.Errorf(format, args...)}
}
