package actions

import (
	"strings"

	"gopkg.in/yaml.v3"

	"github.com/aftermath-rules/aftermath/internal/strictyaml"
)

// Header is a Text for one line of a header: CR, LF and NUL in what comes out are a Permanent error.
type Header struct{ Text }

const lineBreakers = "\r\n\x00"

// UnmarshalNode compiles the line. It is called by the decoder.
func (h *Header) UnmarshalNode(d *strictyaml.Decoder, n *yaml.Node) {
	parts, ok := compileText(d, n)
	if !ok {
		return
	}
	for _, p := range parts {
		if at := strings.IndexAny(p.text, lineBreakers); at >= 0 {
			d.ProblemAt(n, p.offset, "a header is one line: it holds no line break and no NUL (a | block ends with a line break; |- does not)")
			return
		}
	}
	h.parts = parts
}

// Render gives the line for d. Its error is Permanent.
func (h Header) Render(d *Delivery) (string, error) { return h.render(d, false) }

func (h Header) render(d *Delivery, mask bool) (string, error) {
	s, err := h.Text.render(d, mask)
	if err != nil {
		return "", err
	}
	return s, oneLine(s)
}

func (h Header) preview(d *Delivery) (any, error) { return h.render(d, true) }

func oneLine(s string) error {
	if strings.ContainsAny(s, lineBreakers) {
		return permanentf("a line break or NUL in a header: %.80q", s)
	}
	return nil
}
