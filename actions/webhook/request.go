package webhook

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"golang.org/x/net/http/httpguts"

	"github.com/aftermath-rules/aftermath/actions"
)

// message is what one delivery sends, before it is signed for an attempt.
type message struct {
	id      string
	method  string
	url     *url.URL
	headers http.Header // the configured ones; nil for none
	body    []byte      // nil for none
	media   string      // the body's content type
}

// render makes the message of a delivery. Its errors are permanent: the same delivery renders the same again.
func (w *webhook) render(d *actions.Delivery) (*message, error) {
	m := &message{id: d.ID, method: w.config.Method, url: w.target}
	var err error
	if m.url == nil {
		if m.url, err = w.renderURL(d); err != nil {
			return nil, err
		}
	}
	if len(w.config.Headers) > 0 {
		m.headers = make(http.Header, len(w.config.Headers))
	}
	for _, name := range sortedKeys(w.config.Headers) {
		value, err := w.config.Headers[name].Render(d)
		if err != nil {
			return nil, fmt.Errorf("headers.%s: %w", name, err)
		}
		if !httpguts.ValidHeaderFieldValue(value) {
			return nil, actions.Permanent(fmt.Errorf("headers.%s: a control character can't stand in a header", name))
		}
		m.headers.Set(name, value)
	}
	if sendsBody(m.method) {
		if m.body, m.media, err = w.renderBody(d); err != nil {
			return nil, err
		}
		if own := m.headers.Get("Content-Type"); own != "" {
			m.media = own // it belongs to the body, wherever that goes
		}
	}
	return m, nil
}

func (w *webhook) renderURL(d *actions.Delivery) (*url.URL, error) {
	text, err := w.config.URL.Render(d)
	if err != nil {
		return nil, fmt.Errorf("url: %w", err)
	}
	u, err := url.Parse(text)
	if err != nil {
		return nil, actions.Permanent(fmt.Errorf("url: %w", unwrapURL(err)))
	}
	return u, nil
}

func (w *webhook) renderBody(d *actions.Delivery) ([]byte, string, error) {
	if w.config.Body.IsZero() {
		body, err := appendEvent(nil, d)
		return body, mediaJSON, err
	}
	tree, err := w.config.Body.Render(d)
	if err != nil {
		return nil, "", fmt.Errorf("body: %w", err)
	}
	return encode(tree)
}

// request makes the signed request of one attempt. Each hop of a redirect makes its own.
func (w *webhook) request(ctx context.Context, m *message, at time.Time) (*http.Request, error) {
	var body io.Reader // nil, not an empty reader: a GET must not announce a body
	if m.body != nil {
		body = bytes.NewReader(m.body)
	}
	r, err := http.NewRequestWithContext(ctx, m.method, "", body)
	if err != nil {
		return nil, actions.Permanent(unwrapURL(err))
	}
	// As NewRequest would have it of the URL's text, which needs not be written and parsed again for this.
	r.URL, r.Host = m.url, strings.TrimSuffix(m.url.Host, ":")
	r.Header["User-Agent"] = w.userAgent
	if m.media != "" {
		r.Header["Content-Type"] = []string{m.media}
	}
	maps.Copy(r.Header, m.headers)
	sign(r.Header, w.keys, m.id, at, m.body)
	return r, nil
}

// unwrapURL takes off the error that net/url puts around its own: it quotes the URL.
func unwrapURL(err error) error {
	var e *url.Error
	if errors.As(err, &e) {
		return e.Err
	}
	return err
}

// Preview gives what an attempt would send, and is not a template of its own: the method, and the default body.
func (w *webhook) Preview(d *actions.Delivery) (map[string]any, error) {
	out := map[string]any{"method": w.config.Method}
	if sendsBody(w.config.Method) && w.config.Body.IsZero() {
		out["body"] = newEvent(d)
	}
	return out, nil
}

// userAgent names the program and, where the build knows it, its release.
func userAgent() string {
	const path = "github.com/aftermath-rules/aftermath"
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "aftermath"
	}
	for _, m := range append(info.Deps, &info.Main) { // another module's main has it among its dependencies
		if m.Path == path && m.Version != "" && m.Version != "(devel)" {
			return "aftermath/" + m.Version
		}
	}
	return "aftermath"
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
