package email

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"maps"
	"net/mail"
	"net/textproto"
	"slices"
	"strings"
	"unicode/utf8"

	gomail "github.com/wneessen/go-mail"
	"golang.org/x/net/idna"

	"github.com/aftermath-rules/aftermath/actions"
)

// letter is one delivery's mail, rendered: who it is from, whom it goes to, each once, and what it says.
type letter struct {
	from       string
	recipients []string
	data       []byte
	shown      strings.Builder // the same for people, and for masking secrets: without any encoding
	utf8       bool            // an address is not ASCII: only a server with SMTPUTF8 takes it
}

func (l *letter) show(name, value string) { fmt.Fprintf(&l.shown, "%s: %s\n", name, value) }

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
	if err := e.setBody(m, d, l); err != nil {
		return nil, err
	}
	var b bytes.Buffer
	if _, err := m.WriteTo(&b); err != nil {
		return nil, actions.Permanent(fmt.Errorf("the mail could not be written: %w", err))
	}
	l.data = b.Bytes()
	return l, nil
}

// address sets the addresses of the mail and of its envelopes.
func (e *email) address(m *gomail.Msg, d *actions.Delivery, l *letter) error {
	from, err := e.from.render(d)
	if err != nil {
		return fmt.Errorf("from: %w", err)
	}
	from = withASCIIDomain(from)
	l.from = from.Address
	m.SetAddrHeaderFromMailAddress(gomail.HeaderFrom, l.use("From", from))
	for _, list := range []struct {
		field     string
		header    gomail.AddrHeader
		addresses []actions.Address
	}{{"to", gomail.HeaderTo, e.config.To}, {"cc", gomail.HeaderCc, e.config.CC}, {"bcc", gomail.HeaderBcc, e.config.BCC}} {
		for i, a := range list.addresses {
			if err := l.add(m, d, list.header, a); err != nil {
				return fmt.Errorf("%s.%d: %w", list.field, i, err)
			}
		}
	}
	if e.config.ReplyTo.IsZero() {
		return nil
	}
	replyTo, err := e.config.ReplyTo.Mail(d)
	if err != nil {
		return fmt.Errorf("reply_to: %w", err)
	}
	m.SetAddrHeaderFromMailAddress(gomail.HeaderReplyTo, l.use("Reply-To", withASCIIDomain(replyTo)))
	return nil
}

// add adds a recipient: once to the envelopes, and to its header unless that is Bcc, which no mail has.
func (l *letter) add(m *gomail.Msg, d *actions.Delivery, header gomail.AddrHeader, a actions.Address) error {
	to, err := a.Mail(d)
	if err != nil {
		return err
	}
	to = withASCIIDomain(to)
	if !slices.ContainsFunc(l.recipients, func(r string) bool { return sameAddress(r, to.Address) }) {
		l.recipients = append(l.recipients, to.Address)
	}
	inHeader := l.use(string(header), to)
	if header != gomail.HeaderBcc {
		m.SetAddrHeaderFromMailAddress(header, append(m.GetAddrHeader(header), inHeader)...)
	}
	return nil
}

// maxName is how long the name beside an address may be, in bytes: it may be one word, which no folding breaks, its quotes take twice as
// much, and a line has at most 998 (RFC 5322, section 2.1.1).
const maxName = 256

// use notes whether the address is ASCII, and gives it as a header shows it: runs of spaces in its name become one, since a
// header may be folded at a space, and a folded line of nothing but spaces would be taken for the header's end. Of a name that is too long
// for a line the beginning is shown. A backslash beside what isn't ASCII becomes the wide one: Go writes it as it is into an encoded word,
// where none may stand (RFC 2047, section 5, rule 3), and whoever reads the header would find no address.
func (l *letter) use(header string, a *mail.Address) *mail.Address {
	l.utf8 = l.utf8 || !isASCII(a.Address)
	l.show(header, strings.TrimSpace(a.Name+" <"+a.Address+">"))
	name := strings.Join(strings.Fields(a.Name), " ")
	if len(name) > maxName {
		name = strings.ToValidUTF8(name[:maxName], "") + "…"
	}
	if !isASCII(name) {
		name = strings.ReplaceAll(name, `\`, "＼")
	}
	return &mail.Address{Name: name, Address: a.Address}
}

// setHeaders sets the headers that are no addresses. The date is the callback's, so that every attempt sends the same mail.
func (e *email) setHeaders(m *gomail.Msg, d *actions.Delivery, l *letter) error {
	id := d.ID + l.from[strings.LastIndexByte(l.from, '@'):]
	m.SetMessageIDWithValue(id)
	l.show("Message-ID", "<"+id+">")
	m.SetDateWithValue(d.Time.UTC())
	m.SetGenHeader("Auto-Submitted", "auto-generated") // no answer of a machine is wanted, RFC 3834
	m.SetGenHeader(gomail.HeaderUserAgent, "aftermath")
	if !e.config.Subject.IsZero() {
		if err := l.setLine(m, d, "subject", "Subject", e.config.Subject); err != nil {
			return err
		}
	}
	for _, name := range slices.Sorted(maps.Keys(e.config.Headers)) {
		if err := l.setLine(m, d, "headers."+name, name, e.config.Headers[name]); err != nil {
			return err
		}
	}
	return nil
}

// setBody sets what the mail says; with text and html, one as the alternative of the other.
func (e *email) setBody(m *gomail.Msg, d *actions.Delivery, l *letter) error {
	if !e.config.Text.IsZero() {
		text, err := e.config.Text.Render(d)
		if err != nil {
			return fmt.Errorf("text: %w", err)
		}
		m.SetBodyString(gomail.TypeTextPlain, text)
		l.shown.WriteString("\n" + text + "\n")
	}
	if e.config.HTML.IsZero() {
		return nil
	}
	html, err := e.config.HTML.Render(d)
	if err != nil {
		return fmt.Errorf("html: %w", err)
	}
	l.shown.WriteString("\n" + html + "\n")
	if e.config.Text.IsZero() {
		m.SetBodyString(gomail.TypeTextHTML, html)
	} else {
		m.AddAlternativeString(gomail.TypeTextHTML, html)
	}
	return nil
}

// setLine renders one header, encoded so that its value comes out byte for byte at the other end.
func (l *letter) setLine(m *gomail.Msg, d *actions.Delivery, field, name string, h actions.Header) error {
	value, err := h.Render(d)
	if err != nil {
		return fmt.Errorf("%s: %w", field, err)
	}
	encoded, err := encodeLine(value)
	if err != nil {
		return actions.Permanent(fmt.Errorf("%s: %w", field, err))
	}
	m.SetGenHeader(gomail.Header(textproto.CanonicalMIMEHeaderKey(name)), encoded) // so that a default is replaced
	l.show(name, value)
	return nil
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

// withASCIIDomain writes the address's domain as name servers and every mail server know it (RFC 5891), where it is a name.
func withASCIIDomain(a *mail.Address) *mail.Address {
	at := strings.LastIndexByte(a.Address, '@')
	domain, err := idna.Lookup.ToASCII(a.Address[at+1:])
	if err != nil || isASCII(a.Address[at+1:]) {
		return a
	}
	return &mail.Address{Name: a.Name, Address: a.Address[:at+1] + domain}
}

// sameAddress compares the part before the @ exactly, as only its server knows what it means, and the domain by letter case.
func sameAddress(a, b string) bool {
	i, j := strings.LastIndexByte(a, '@'), strings.LastIndexByte(b, '@')
	return i >= 0 && j >= 0 && a[:i] == b[:j] && strings.EqualFold(a[i:], b[j:])
}
