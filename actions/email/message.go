package email

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"maps"
	"net/mail"
	"slices"
	"strings"
	"unicode/utf8"

	gomail "github.com/wneessen/go-mail"

	"github.com/aftermath-rules/aftermath/actions"
)

// letter is one delivery's mail, rendered: who it is from, whom it goes to, each once, and what it says.
type letter struct {
	from       string
	recipients []string
	data       []byte
	utf8       bool // an address is not ASCII: only a server with SMTPUTF8 takes it
}

// compose renders the mail. It comes out the same on every attempt but for the boundaries between its parts. Its errors are
// permanent.
func (e *email) compose(d *actions.Delivery) (*letter, error) {
	m := gomail.NewMsg(gomail.WithNoDefaultUserAgent())
	l := &letter{}
	if err := e.address(m, d, l); err != nil {
		return nil, err
	}
	if err := e.setHeaders(m, d, l); err != nil {
		return nil, err
	}
	if err := e.setBody(m, d); err != nil {
		return nil, err
	}
	var b bytes.Buffer
	if _, err := m.WriteTo(&b); err != nil {
		return nil, actions.Permanent(fmt.Errorf("the mail could not be written: %w", err))
	}
	l.data = b.Bytes()
	return l, nil
}

// address sets the addresses. Those of bcc are in the envelopes only.
func (e *email) address(m *gomail.Msg, d *actions.Delivery, l *letter) error {
	from, err := e.from.render(d)
	if err != nil {
		return fmt.Errorf("from: %w", err)
	}
	m.SetAddrHeaderFromMailAddress(gomail.HeaderFrom, l.use(from))
	l.from = from.Address
	for _, list := range []struct {
		field     string
		header    gomail.AddrHeader
		addresses []actions.Address
	}{{"to", gomail.HeaderTo, e.config.To}, {"cc", gomail.HeaderCc, e.config.CC}, {"bcc", "", e.config.BCC}} {
		var shown []*mail.Address
		for i, a := range list.addresses {
			rendered, err := a.Mail(d)
			if err != nil {
				return fmt.Errorf("%s.%d: %w", list.field, i, err)
			}
			shown = append(shown, l.use(rendered))
			if !slices.ContainsFunc(l.recipients, func(r string) bool { return sameAddress(r, rendered.Address) }) {
				l.recipients = append(l.recipients, rendered.Address)
			}
		}
		if list.header != "" && len(shown) > 0 {
			m.SetAddrHeaderFromMailAddress(list.header, shown...)
		}
	}
	if e.config.ReplyTo.IsZero() {
		return nil
	}
	replyTo, err := e.config.ReplyTo.Mail(d)
	if err != nil {
		return fmt.Errorf("reply_to: %w", err)
	}
	m.SetAddrHeaderFromMailAddress(gomail.HeaderReplyTo, l.use(replyTo))
	return nil
}

// use notes whether the address is ASCII, and gives it as a header shows it: runs of spaces in its name become one, since a
// header may be folded at a space, and a folded line of nothing but spaces would be taken for the header's end.
func (l *letter) use(a *mail.Address) *mail.Address {
	l.utf8 = l.utf8 || !isASCII(a.Address)
	return &mail.Address{Name: strings.Join(strings.Fields(a.Name), " "), Address: a.Address}
}

func (e *email) setHeaders(m *gomail.Msg, d *actions.Delivery, l *letter) error {
	_, domain, _ := strings.Cut(l.from[strings.LastIndexByte(l.from, '@'):], "@")
	m.SetMessageIDWithValue(d.ID + "@" + domain)
	m.SetDateWithValue(d.Time.UTC())
	m.SetGenHeader("Auto-Submitted", "auto-generated") // no answer of a machine is wanted, RFC 3834
	m.SetGenHeader(gomail.HeaderUserAgent, "aftermath")
	if !e.config.Subject.IsZero() {
		subject, err := line("subject", e.config.Subject, d)
		if err != nil {
			return err
		}
		m.SetGenHeader(gomail.HeaderSubject, subject)
	}
	for _, name := range slices.Sorted(maps.Keys(e.config.Headers)) {
		value, err := line("headers."+name, e.config.Headers[name], d)
		if err != nil {
			return err
		}
		m.SetGenHeader(gomail.Header(name), value)
	}
	return nil
}

func (e *email) setBody(m *gomail.Msg, d *actions.Delivery) error {
	if !e.config.Text.IsZero() {
		text, err := e.config.Text.Render(d)
		if err != nil {
			return fmt.Errorf("text: %w", err)
		}
		m.SetBodyString(gomail.TypeTextPlain, text)
	}
	if e.config.HTML.IsZero() {
		return nil
	}
	html, err := e.config.HTML.Render(d)
	if err != nil {
		return fmt.Errorf("html: %w", err)
	}
	if e.config.Text.IsZero() {
		m.SetBodyString(gomail.TypeTextHTML, html)
	} else {
		m.AddAlternativeString(gomail.TypeTextHTML, html)
	}
	return nil
}

// line renders one header's value, encoded so that it comes out byte for byte at the other end.
func line(field string, h actions.Header, d *actions.Delivery) (string, error) {
	value, err := h.Render(d)
	if err != nil {
		return "", fmt.Errorf("%s: %w", field, err)
	}
	encoded, err := encodeLine(value)
	if err != nil {
		return "", actions.Permanent(fmt.Errorf("%s: %w", field, err))
	}
	return encoded, nil
}

// encodeLine writes a header's value as it is where that is safe to fold and to read, and as encoded words (RFC 2047) where not:
// where it is not printable ASCII, where folding at its spaces could leave an empty line, where a word is too long for a line,
// and where it looks like an encoded word itself.
func encodeLine(s string) (string, error) {
	if strings.ContainsAny(s, "\r\n\x00") {
		return "", errors.New("a line break or NUL can't stand in a header")
	}
	if s == "" || isPlain(s) {
		return s, nil
	}
	const most = 42 // bytes in a word, so that its base64 and what is around it fit into 75 characters
	var words []string
	for len(s) > 0 {
		end := min(most, len(s))
		for end < len(s) && end > most-utf8.UTFMax && !utf8.RuneStart(s[end]) {
			end--
		}
		words = append(words, "=?utf-8?b?"+base64.StdEncoding.EncodeToString([]byte(s[:end]))+"?=")
		s = s[end:]
	}
	return strings.Join(words, " "), nil
}

func isPlain(s string) bool {
	if strings.Contains(s, "=?") {
		return false
	}
	for word := range strings.SplitSeq(s, " ") {
		if word == "" || len(word) > 60 || strings.ContainsFunc(word, func(r rune) bool { return r <= ' ' || r > '~' }) {
			return false
		}
	}
	return true
}

func isASCII(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return r >= utf8.RuneSelf })
}

// sameAddress compares the part before the @ exactly, as only its server knows what it means, and the domain by letter case.
func sameAddress(a, b string) bool {
	i, j := strings.LastIndexByte(a, '@'), strings.LastIndexByte(b, '@')
	return i >= 0 && j >= 0 && a[:i] == b[:j] && strings.EqualFold(a[i:], b[j:])
}
