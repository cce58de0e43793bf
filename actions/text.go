package actions

import (
	"fmt"
	"strings"

	"gopkg.in/yaml.v3"

	"github.com/aftermath-rules/aftermath/internal/lang"
	"github.com/aftermath-rules/aftermath/internal/strictyaml"
)

// Text is a text field with {{ expressions }} and ${secrets}. A number, bool or time is written as text; a template that gives
// nothing of these is a load error.
type Text struct{ parts []part }

// part is a piece of a text: a literal, a secret, or an expression.
type part struct {
	offset  int    // of the piece within the source, for load errors
	text    string // where program is nil
	secret  bool
	program *lang.Program
}

// Literal makes a Text of a fixed string, for defaults.
func Literal(s string) Text { return Text{[]part{{text: s}}} }

// Render gives the text for d. Its error is Permanent.
func (t Text) Render(d *Delivery) (string, error) { return t.render(d, false) }

// Masked gives the text for d with each secret as [secret]: for what is written for people to read.
func (t Text) Masked(d *Delivery) (string, error) { return t.render(d, true) }

// Fixed gives the text where it is the same for every delivery.
func (t Text) Fixed() (string, bool) { return fixed(t.parts) }

// IsZero tells that the field was absent.
func (t Text) IsZero() bool { return t.parts == nil }

// UnmarshalNode compiles the text. It is called by the decoder.
func (t *Text) UnmarshalNode(d *strictyaml.Decoder, n *yaml.Node) {
	if parts, ok := compileText(d, n); ok {
		t.parts = parts
	}
}

// JSONSchema describes the field in the configuration's schema.
func (Text) JSONSchema() map[string]any {
	return map[string]any{"type": []string{"string", "number", "boolean"}}
}

func (t Text) render(d *Delivery, mask bool) (string, error) { return join(t.parts, d, mask, nil) }

// preview gives the text with its secrets masked.
func (t Text) preview(d *Delivery) (any, error) { return t.Masked(d) }

// join renders the parts one after the other. Only values go through escape: the literals around them are the author's.
func join(parts []part, d *Delivery, mask bool, escape func(string) string) (string, error) {
	if len(parts) == 1 && parts[0].program == nil && !parts[0].secret {
		return parts[0].text, nil
	}
	var b strings.Builder
	vars := d.vars()
	for _, p := range parts {
		switch {
		case p.program == nil && p.secret && mask:
			b.WriteString(masked)
		case p.program == nil:
			b.WriteString(p.text)
		default:
			value, err := p.program.Eval(vars)
			if err != nil {
				return "", permanentf("{{ %s }}: %w", p.program.Source(), err)
			}
			s := lang.Format(value)
			if escape != nil {
				s = escape(s)
			}
			b.WriteString(s)
		}
	}
	return b.String(), nil
}

// compileText gives the parts of the scalar n, each of which can be written as text. What is wrong goes to d, and then ok is
// false.
func compileText(d *strictyaml.Decoder, n *yaml.Node) (parts []part, ok bool) {
	return compileParts(d, n, true)
}

// compileParts gives the parts of the scalar n; an expression that is all of it may be of any type unless scalar is set.
func compileParts(d *strictyaml.Decoder, n *yaml.Node, scalar bool) (parts []part, ok bool) {
	src, ok := d.Text(n)
	if !ok {
		return nil, false
	}
	sc := scopeOf(d)
	template, errs := lang.CompileTemplate(src, sc.lang)
	for _, e := range errs {
		d.ProblemAt(n, e.Offset, e.Message)
	}
	if len(errs) > 0 {
		return nil, false
	}
	sc.noteLists(template.Lists())
	for _, seg := range template.Segments {
		if seg.Program == nil {
			literal, good := compileLiteral(d, n, seg)
			parts, ok = append(parts, literal...), ok && good
			continue
		}
		if at := secretInExpression(seg.Program.Source()); at >= 0 {
			d.ProblemAt(n, seg.Offset+at, "a secret cannot stand inside {{ }}: write it outside, in the text itself")
			ok = false
		}
		if seg.Program.Kind() == lang.Map && (scalar || len(template.Segments) > 1) {
			d.ProblemAt(n, seg.Offset, "this gives a map; a text takes a string, number, bool or time")
			ok = false
		}
		parts = append(parts, part{offset: seg.Offset, program: seg.Program})
	}
	return merge(parts), ok
}

// compileLiteral puts the secrets into a literal.
func compileLiteral(d *strictyaml.Decoder, n *yaml.Node, seg lang.Segment) ([]part, bool) {
	pieces, err := scopeOf(d).split(seg.Literal)
	if err != nil {
		d.ExpandProblems(n, seg.Offset, err)
		return nil, false
	}
	parts := make([]part, len(pieces))
	for i, piece := range pieces {
		parts[i] = part{offset: seg.Offset, text: piece.Text, secret: piece.Secret}
	}
	return parts, true
}

// secretInExpression gives the offset of a secret in the source of an expression, -1 for none.
func secretInExpression(source string) int {
	for _, opening := range []string{"${env:", "${file:"} {
		if at := strings.Index(source, opening); at == 0 || at > 0 && source[at-1] != '$' {
			return at
		}
	}
	return -1
}

// merge joins neighbouring literals. An empty text is one empty literal, so that it differs from an absent one.
func merge(parts []part) []part {
	out := parts[:0]
	for _, p := range parts {
		if p.program == nil && p.text == "" {
			continue
		}
		if last := len(out) - 1; last >= 0 && p.program == nil && out[last].program == nil && p.secret == out[last].secret {
			out[last].text += p.text
			continue
		}
		out = append(out, p)
	}
	if len(out) == 0 {
		return []part{{}}
	}
	return out
}

// fixed gives the text where it holds no expression.
func fixed(parts []part) (string, bool) {
	var b strings.Builder
	for _, p := range parts {
		if p.program != nil {
			return "", false
		}
		b.WriteString(p.text)
	}
	return b.String(), true
}

// Format writes what the field is, never its value, whatever the verb: it may hold secrets.
func (t Text) Format(f fmt.State, _ rune) { fmt.Fprintf(f, "[text of %d parts]", len(t.parts)) }
