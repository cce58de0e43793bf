package actions

import (
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"strings"

	"gopkg.in/yaml.v3"

	"github.com/aftermath-rules/aftermath/internal/strictyaml"
)

// URL is a Text whose scheme and host are literal, http or https; templates in the path and query are escaped, and a path
// segment that comes out as . or .. is a Permanent error. Secrets may stand anywhere, and are put in as they are.
type URL struct{ Text }

// UnmarshalNode compiles the URL. It is called by the decoder.
func (u *URL) UnmarshalNode(d *strictyaml.Decoder, n *yaml.Node) {
	parts, ok := compileText(d, n)
	if !ok {
		return
	}
	if at, err := checkURL(parts); err != nil && !scopeOf(d).ignored(parts) {
		d.ProblemAt(n, at, err.Error())
		return
	}
	u.parts = parts
}

// JSONSchema describes the field in the configuration's schema.
func (URL) JSONSchema() map[string]any { return map[string]any{"type": "string"} }

// Render gives the URL for d. Its error is Permanent.
func (u URL) Render(d *Delivery) (string, error) { return u.render(d, false) }

func (u URL) render(d *Delivery, mask bool) (string, error) {
	s, err := join(u.parts, d, mask, escapeURL)
	if err != nil {
		return "", err
	}
	if segment, bad := dotSegment(s); bad {
		return "", permanentf("a path segment of the URL came out as %q", segment)
	}
	return s, nil
}

func (u URL) preview(d *Delivery) (any, error) { return u.render(d, true) }

// escapeURL writes s so that it is one piece of a path segment or of a query value: all but RFC 3986's unreserved characters
// are percent-encoded, so that neither "/" nor "&", "=", "+" or "#" of a value means anything.
func escapeURL(s string) string {
	const hex = "0123456789ABCDEF"
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		c := s[i]
		if 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || strings.IndexByte("-._~", c) >= 0 {
			b.WriteByte(c)
			continue
		}
		b.Write([]byte{'%', hex[c>>4], hex[c&15]})
	}
	return b.String()
}

// dotSegment finds a path segment that a receiver may take for "." or "..", written plainly or percent-encoded.
func dotSegment(s string) (string, bool) {
	_, rest, _ := strings.Cut(s, "://")
	if end := strings.IndexAny(rest, "?#"); end >= 0 {
		rest = rest[:end]
	}
	segments := strings.Split(rest, "/")
	for _, segment := range segments[1:] {
		plain, err := url.PathUnescape(segment)
		if err == nil && (plain == "." || plain == "..") {
			return segment, true
		}
	}
	return "", false
}

// checkURL judges the URL that the parts make, with the offset of what is wrong.
func checkURL(parts []part) (int, error) {
	var sample strings.Builder
	for _, p := range parts {
		if p.program != nil {
			if err := templateMayFollow(sample.String()); err != nil {
				return p.offset, err
			}
			sample.WriteString("x")
			continue
		}
		if err := checkURLText(p); err != nil {
			return p.offset, err
		}
		sample.WriteString(p.text)
	}
	return 0, checkWholeURL(sample.String())
}

// templateMayFollow tells whether a template may stand after the text before it: the host must be complete.
func templateMayFollow(before string) error {
	_, rest, ok := strings.Cut(before, "://")
	if !ok || !strings.ContainsAny(rest, "/?") {
		return errors.New("the scheme and host of a URL take no template: write them out, and end the host with /")
	}
	if strings.Contains(rest, "#") {
		return errors.New("the fragment of a URL takes no template: it is never sent")
	}
	return nil
}

// checkURLText looks for what would change the meaning of the URL around it: characters that must be encoded, and a percent
// sign that would take the first characters of a template for its digits.
func checkURLText(p part) error {
	what := "the URL"
	if p.secret {
		what = "a secret of the URL"
	}
	for i := 0; i < len(p.text); i++ {
		switch c := p.text[i]; {
		case c <= ' ' || c == 0x7f:
			return fmt.Errorf("%s holds a space, a line break or a control character: write it percent-encoded", what)
		case c == '\\':
			return fmt.Errorf("%s holds a backslash: write %%5C, or / if that is meant", what)
		case c == '%' && !(i+2 < len(p.text) && isHex(p.text[i+1]) && isHex(p.text[i+2])):
			return fmt.Errorf("%s holds a %% without two hexadecimal digits after it: write %%25", what)
		}
	}
	return nil
}

func isHex(c byte) bool { return strings.IndexByte("0123456789abcdefABCDEF", c) >= 0 }

// checkWholeURL judges a URL. Its error never shows the URL, which may hold secrets.
func checkWholeURL(s string) error {
	if s == "" {
		return errors.New("the URL is empty")
	}
	scheme, _, ok := strings.Cut(s, "://")
	if scheme = strings.ToLower(scheme); !ok || scheme != "http" && scheme != "https" {
		return errors.New("a URL begins with http:// or https://")
	}
	u, err := url.Parse(s)
	if err != nil {
		var parse *url.Error
		if errors.As(err, &parse) {
			err = parse.Err
		}
		return fmt.Errorf("no URL: %w", err)
	}
	if u.User != nil {
		return errors.New("a URL holds no user and password here: put them into an Authorization header")
	}
	if u.Hostname() == "" {
		return errors.New("the URL has no host")
	}
	if port := u.Port(); port != "" {
		if n, err := strconv.Atoi(port); err != nil || n < 1 || n > 65535 {
			return errors.New("the URL's port is not from 1 to 65535")
		}
	}
	if segment, bad := dotSegment(s); bad {
		return fmt.Errorf("a path segment of the URL is %q: write the path that is meant", segment)
	}
	return nil
}
