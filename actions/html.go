package actions

import (
	"errors"
	"strings"

	"gopkg.in/yaml.v3"

	"github.com/aftermath-rules/aftermath/internal/strictyaml"
)

// HTML is a Text whose values are escaped for text and for quoted attributes that hold no URL, event handler or style; a
// template anywhere else in HTML is a load error.
type HTML struct{ Text }

// UnmarshalNode compiles the text and looks where in HTML its templates stand. It is called by the decoder.
func (h *HTML) UnmarshalNode(d *strictyaml.Decoder, n *yaml.Node) {
	parts, ok := compileText(d, n)
	if !ok {
		return
	}
	var s htmlScanner
	for _, p := range parts {
		if p.program == nil {
			s.read(p.text)
			continue
		}
		if err := s.template(); err != nil {
			d.ProblemAt(n, p.offset, err.Error())
			ok = false
		}
	}
	if ok {
		h.parts = parts
	}
}

// JSONSchema describes the field in the configuration's schema.
func (HTML) JSONSchema() map[string]any { return map[string]any{"type": "string"} }

// Render gives the HTML for d. Its error is Permanent.
func (h HTML) Render(d *Delivery) (string, error) { return h.render(d, false) }

func (h HTML) render(d *Delivery, mask bool) (string, error) {
	return join(h.parts, d, mask, htmlEscaper.Replace)
}

func (h HTML) preview(d *Delivery) (any, error) { return h.render(d, true) }

// htmlEscaper takes from a value what could end a text or a quoted attribute. NUL is no character of HTML.
var htmlEscaper = strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;", `"`, "&#34;", "'", "&#39;", "\x00", "\uFFFD")

// htmlState is where in HTML the scanner stands; the names are those of the tokenization section of the HTML standard.
type htmlState int

const (
	inData htmlState = iota
	inTagOpen
	inEndTagOpen
	inTagName
	beforeAttr
	inAttrName
	afterAttrName
	beforeValue
	inDoubleQuoted
	inSingleQuoted
	inUnquoted
	afterQuoted
	inMarkup // after <!
	inComment
	inBogusComment
	inRawText // of script, title and their like
)

// htmlScanner follows the literal text of a template as a browser's tokenizer would, to know the place of each template. Where it
// cannot be sure it says no: a template is allowed only in places whose values cannot leave them.
type htmlScanner struct {
	state   htmlState
	endTag  bool
	tag     string          // the tag that is being read, lower case
	attr    string          // the attribute that is being read, lower case
	raw     string          // the element whose raw text is being read
	buf     strings.Builder // what was read of a tag's name, an attribute's name, a comment or a possible end tag
	foreign int             // svg and math elements around: other rules hold in them
	lost    string          // why nothing that follows can be judged
}

// rawElements are the elements whose text is no HTML, and whether escaping still holds in it (RCDATA does, in the standard's
// words).
var rawElements = map[string]bool{
	"title": true, "textarea": true,
	"script": false, "style": false, "xmp": false, "iframe": false, "noembed": false, "noframes": false, "noscript": false,
	"plaintext": false,
}

// unsafeAttrs hold a URL, HTML or a style. Event handlers, names with a prefix (xlink:href) and names with src, url or uri in
// them are found by their form.
var unsafeAttrs = map[string]bool{
	"href": true, "action": true, "formaction": true, "poster": true, "cite": true, "data": true, "background": true,
	"manifest": true, "ping": true, "longdesc": true, "usemap": true, "codebase": true, "classid": true, "archive": true,
	"profile": true, "icon": true, "style": true, "content": true, "code": true, "xmlns": true, "itemid": true, "itemtype": true,
}

// template tells why no template may stand where the scanner is; nil where one may.
func (s *htmlScanner) template() error {
	switch {
	case s.lost != "":
		return errors.New("no template can stand here: " + s.lost)
	case s.foreign > 0:
		return errors.New("no template can stand inside svg or math")
	}
	switch s.state {
	case inData:
		return nil
	case inDoubleQuoted, inSingleQuoted:
		return s.attribute()
	case inRawText:
		if !rawElements[s.raw] {
			return errors.New("no template can stand inside a " + s.raw + " element: its text is no HTML")
		}
		if s.buf.Len() > 0 {
			return errors.New("no template can stand in a tag, only in text and in quoted attributes")
		}
		return nil
	case inUnquoted, beforeValue:
		return errors.New(`put the attribute's value in quotes: attr="{{ … }}"`)
	case inComment, inBogusComment, inMarkup:
		return errors.New("no template can stand in an HTML comment or declaration")
	}
	return errors.New("no template can stand in a tag, only in text and in quoted attributes")
}

func (s *htmlScanner) attribute() error {
	name := strings.TrimPrefix(s.attr, "data-")
	switch {
	case strings.HasPrefix(name, "on"):
		return errors.New("no template can stand in the event handler " + s.attr)
	case unsafeAttrs[name] || strings.Contains(name, ":") || strings.Contains(name, "src") || strings.Contains(name, "url") || strings.Contains(name, "uri"):
		return errors.New("no template can stand in the attribute " + s.attr + ": it holds a URL, a style or HTML")
	}
	return nil
}

// read follows literal text.
func (s *htmlScanner) read(text string) {
	for i := 0; i < len(text); i++ {
		s.step(text[i])
	}
}

// step moves by one byte. The standard's "reconsume" is a further step of the same byte.
func (s *htmlScanner) step(c byte) {
	switch s.state {
	case inData:
		if c == '<' {
			s.state = inTagOpen
		}
	case inTagOpen, inEndTagOpen:
		s.openTag(c)
	case inTagName:
		s.tagName(c)
	case beforeAttr, inAttrName, afterAttrName, afterQuoted:
		s.attrName(c)
	case beforeValue, inDoubleQuoted, inSingleQuoted, inUnquoted:
		s.attrValue(c)
	case inMarkup, inComment, inBogusComment:
		s.comment(c)
	case inRawText:
		s.rawText(c)
	}
}

func (s *htmlScanner) openTag(c byte) {
	s.buf.Reset()
	switch {
	case isLetter(c):
		s.endTag = s.state == inEndTagOpen
		s.state = inTagName
		s.tagName(c)
	case s.state == inEndTagOpen && c == '>':
		s.state = inData
	case s.state == inEndTagOpen:
		s.state = inBogusComment
	case c == '/':
		s.state = inEndTagOpen
	case c == '!':
		s.state = inMarkup
	case c == '?':
		s.state = inBogusComment
	case c != '<': // a second < may open a tag itself
		s.state = inData
	}
}

func (s *htmlScanner) tagName(c byte) {
	if !isSpace(c) && c != '/' && c != '>' {
		s.buf.WriteByte(lower(c))
		return
	}
	s.tag = s.buf.String()
	s.state = beforeAttr
	s.step(c)
}

func (s *htmlScanner) attrName(c byte) {
	switch {
	case s.state == inAttrName && !isSpace(c) && c != '/' && c != '>' && c != '=':
		s.buf.WriteByte(lower(c))
		return
	case s.state == inAttrName:
		s.attr = s.buf.String()
		s.state = afterAttrName
	}
	switch {
	case c == '>':
		s.closeTag()
	case c == '/':
		s.state = beforeAttr
	case isSpace(c):
		if s.state == afterQuoted {
			s.state = beforeAttr
		}
	case c == '=' && s.state == afterAttrName:
		s.state = beforeValue
	default:
		s.state = inAttrName
		s.buf.Reset()
		s.buf.WriteByte(lower(c))
	}
}

func (s *htmlScanner) attrValue(c byte) {
	switch {
	case s.state == inDoubleQuoted && c == '"', s.state == inSingleQuoted && c == '\'':
		s.state = afterQuoted
	case s.state == inDoubleQuoted, s.state == inSingleQuoted:
	case c == '>':
		s.closeTag()
	case isSpace(c):
		if s.state == inUnquoted {
			s.state = beforeAttr
		}
	case s.state == beforeValue && c == '"':
		s.state = inDoubleQuoted
	case s.state == beforeValue && c == '\'':
		s.state = inSingleQuoted
	default:
		s.state = inUnquoted
	}
}

// closeTag does what the end of a tag means for the text after it.
func (s *htmlScanner) closeTag() {
	s.buf.Reset()
	s.state = inData
	_, raw := rawElements[s.tag]
	switch {
	case s.tag == "svg" || s.tag == "math":
		if s.endTag {
			s.foreign = max(s.foreign-1, 0)
		} else {
			s.foreign++
		}
	case !s.endTag && s.tag == "plaintext":
		s.lost = "plaintext has no end"
	case !s.endTag && raw:
		s.state, s.raw = inRawText, s.tag
	}
}

func (s *htmlScanner) comment(c byte) {
	s.buf.WriteByte(c)
	text := s.buf.String()
	switch {
	case s.state == inMarkup && text == "--":
		s.state = inComment
		s.buf.Reset()
	case s.state == inMarkup && text != "-":
		s.state = inBogusComment
		fallthrough
	case s.state == inBogusComment:
		if c == '>' {
			s.state = inData
		}
	case s.state == inComment && c == '>':
		body := text[:len(text)-1]
		if body == "" || body == "-" || strings.HasSuffix(body, "--") || strings.HasSuffix(body, "--!") {
			s.state = inData
		}
	}
}

// rawText looks for the end tag of the element.
func (s *htmlScanner) rawText(c byte) {
	end := "</" + s.raw
	got := s.buf.String()
	switch {
	case got == end && (isSpace(c) || c == '/' || c == '>'):
		s.endTag, s.tag = true, s.raw
		s.state = beforeAttr
		s.step(c)
	case strings.HasPrefix(end, got+string(lower(c))):
		s.buf.WriteByte(lower(c))
	case s.raw == "script" && got == "<" && c == '!':
		s.lost = "a script with <! in it can end in more than one place"
	default:
		s.buf.Reset()
		if c == '<' {
			s.buf.WriteByte(c)
		}
	}
}

func isLetter(c byte) bool { return 'a' <= lower(c) && lower(c) <= 'z' }

func isSpace(c byte) bool { return c == ' ' || c == '\t' || c == '\n' || c == '\r' || c == '\f' }

func lower(c byte) byte {
	if 'A' <= c && c <= 'Z' {
		return c + 'a' - 'A'
	}
	return c
}
