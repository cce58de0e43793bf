package actions

import (
	"errors"
	"net/mail"
	"strings"
	"unicode"

	"gopkg.in/yaml.v3"

	"github.com/aftermath-rules/aftermath/internal/strictyaml"
)

// Address is one mail address, with or without a display name; its domain takes no template, and what comes out must be
// exactly one address.
type Address struct {
	Text
	name, local []part // of an address with templates
	domain      string
	whole       *mail.Address // of one without
}

// UnmarshalNode compiles the address. It is called by the decoder.
func (a *Address) UnmarshalNode(d *strictyaml.Decoder, n *yaml.Node) {
	parts, ok := compileText(d, n)
	if !ok {
		return
	}
	out := Address{Text: Text{parts}}
	if at, err := out.layOut(); err != nil && !scopeOf(d).ignored(parts) {
		d.ProblemAt(n, at, err.Error())
		return
	}
	*a = out
}

// JSONSchema describes the field in the configuration's schema.
func (Address) JSONSchema() map[string]any { return map[string]any{"type": "string"} }

// Mail gives the address for d. Its error is Permanent.
func (a Address) Mail(d *Delivery) (*mail.Address, error) {
	if a.whole != nil || a.parts == nil {
		return a.whole, nil
	}
	name, err := join(a.name, d, false, nil)
	if err != nil {
		return nil, err
	}
	local, err := join(a.local, d, false, nil)
	if err != nil {
		return nil, err
	}
	if err := oneLine(name); err != nil {
		return nil, err
	}
	if !isDotAtom(local) {
		return nil, permanentf("%.80q is not the part before the @ of exactly one mail address", local)
	}
	out := &mail.Address{Name: name, Address: local + "@" + a.domain}
	if back, err := mail.ParseAddress(out.String()); err != nil || back.Address != out.Address {
		return nil, permanentf("%.80q is not exactly one mail address", out.Address)
	}
	return out, nil
}

// Render gives the address for d as a mail header writes it, its display name quoted or encoded where it has to be. Its error is
// Permanent.
func (a Address) Render(d *Delivery) (string, error) {
	m, err := a.Mail(d)
	if err != nil || m == nil {
		return "", err
	}
	if m.Name == "" {
		return m.Address, nil
	}
	return m.String(), nil
}

func (a Address) preview(d *Delivery) (any, error) {
	if m, err := a.Mail(d); err != nil || m == nil {
		return "", err
	}
	for _, p := range a.parts {
		if p.secret {
			return a.Text.preview(d)
		}
	}
	return a.Render(d)
}

// layOut finds the display name, the local part and the domain, and the offset of what is wrong with them.
func (a *Address) layOut() (int, error) {
	if s, ok := fixed(a.parts); ok {
		m, err := mail.ParseAddress(s)
		if err != nil {
			return 0, errors.New("this is not exactly one mail address, such as ops@example.com or Ops <ops@example.com>")
		}
		a.whole = m
		return 0, nil
	}
	at := len(a.parts) - 1
	last := a.parts[at]
	sign := strings.LastIndexByte(last.text, '@')
	if last.program != nil || sign < 0 {
		return last.offset, errors.New("the domain of a mail address takes no template: write it out after the @")
	}
	before, domain := last.text[:sign], strings.TrimSpace(last.text[sign+1:])
	front := append(append([]part{}, a.parts[:at]...), part{offset: last.offset, text: before, secret: last.secret})
	if inner, ok := strings.CutSuffix(domain, ">"); ok {
		domain = inner
		if a.name, a.local, ok = cutParts(front, '<'); !ok {
			return 0, errors.New("a mail address with > has a < before it")
		}
		a.name = displayName(a.name)
	} else {
		a.local = front
	}
	a.domain = domain
	if _, err := mail.ParseAddress("x@" + domain); err != nil || strings.ContainsAny(domain, "<>(),;: ") {
		return last.offset + sign, errors.New("the domain of a mail address is a name such as example.com, at its end")
	}
	for _, p := range a.local {
		if i := strings.IndexFunc(p.text, notAtom); i >= 0 && p.program == nil {
			return p.offset, errors.New("a mail address with a template is one of user@example.com or Name <user@example.com>")
		}
	}
	return 0, nil
}

// cutParts cuts the parts at the last sep of a literal.
func cutParts(parts []part, sep byte) (before, after []part, ok bool) {
	for i := len(parts) - 1; i >= 0; i-- {
		p := parts[i]
		at := strings.LastIndexByte(p.text, sep)
		if p.program != nil || at < 0 {
			continue
		}
		before = append(append(before, parts[:i]...), part{text: p.text[:at], secret: p.secret, offset: p.offset})
		after = append(append(after, part{text: p.text[at+1:], secret: p.secret, offset: p.offset + at + 1}), parts[i+1:]...)
		return before, after, true
	}
	return nil, nil, false
}

// displayName drops the space around a name and the quotes that the author put around it; they are written anew as needed.
func displayName(parts []part) []part {
	out := append([]part{}, parts...)
	first, last := &out[0], &out[len(out)-1]
	first.text = strings.TrimLeft(first.text, " \t")
	last.text = strings.TrimRight(last.text, " \t")
	if strings.HasPrefix(first.text, `"`) && strings.HasSuffix(last.text, `"`) && (len(out) > 1 || len(first.text) > 1) {
		first.text = first.text[1:]
		last.text = last.text[:len(last.text)-1]
		for i := range out {
			out[i].text = unquote(out[i].text)
		}
	}
	return out
}

// unquote drops the backslashes of a quoted string.
func unquote(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+1 < len(s) {
			i++
		}
		b.WriteByte(s[i])
	}
	return b.String()
}

// isDotAtom tells whether s can stand before the @ as it is (RFC 5322's dot-atom, with RFC 6532's letters).
func isDotAtom(s string) bool {
	if s == "" || strings.HasPrefix(s, ".") || strings.HasSuffix(s, ".") || strings.Contains(s, "..") {
		return false
	}
	return strings.IndexFunc(s, notAtom) < 0
}

func notAtom(r rune) bool {
	if r < 0x80 {
		return !('a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9' || strings.ContainsRune("!#$%&'*+-/=?^_`{|}~.", r))
	}
	return r == unicode.ReplacementChar || !unicode.IsGraphic(r) || unicode.IsSpace(r)
}
