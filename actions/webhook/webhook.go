package webhook

import (
	"errors"
	"fmt"
	"net/http"
	"net/textproto"
	"net/url"
	"slices"

	"golang.org/x/net/http/httpguts"

	"github.com/aftermath-rules/aftermath/actions"
)

// Config is a webhook action's configuration.
type Config struct {
	URL             actions.URL               `yaml:"url" required:"true" doc:"Where to post to: http or https. Templates may stand in the path and the query."`
	Method          string                    `yaml:"method" enum:"POST,PUT,PATCH,DELETE,GET,HEAD" doc:"The request's method; GET and HEAD send no body."`
	Headers         map[string]actions.Header `yaml:"headers" doc:"More headers of the request."`
	Body            actions.Tree              `yaml:"body" doc:"The body: a mapping or list is sent as JSON, a text as it is. By default the friend.deleted event."`
	Secrets         []actions.Secret          `yaml:"secrets" doc:"Standard Webhooks secrets, whsec_ and base64. Each adds a signature, so that one can be changed without a gap."`
	FollowRedirects bool                      `yaml:"follow_redirects" doc:"Follow up to 5 redirects, with the same method and body. By default a redirect is a permanent error."`
	CA              string                    `yaml:"ca" doc:"A PEM file of the certificate authorities to trust instead of the system's."`
	Cert            string                    `yaml:"cert" doc:"A PEM file with the client certificate to present."`
	Key             string                    `yaml:"key" doc:"A PEM file with the client certificate's private key."`
}

// Type is the action type "webhook".
func Type() actions.Type {
	return actions.Define("webhook", actions.Spec[Config]{
		Summary:  "Posts the delivery to a URL, signed as Standard Webhooks asks.",
		Defaults: func() Config { return Config{Method: http.MethodPost} },
		New:      New,
	})
}

// webhook is one configured action.
type webhook struct {
	config    Config
	target    *url.URL // nil where the configured one has templates
	keys      [][]byte
	userAgent []string // as a header has it
	transport *http.Transport
}

// New makes the action. It reads the files of ca, cert and key, and connects nowhere.
func New(c Config, env actions.Env) (actions.Action, error) {
	keys, keysErr := parseSecrets(c.Secrets)
	transport, transportErr := newTransport(c, env)
	if err := errors.Join(checkRequest(c), checkHeaders(c.Headers), keysErr, transportErr); err != nil {
		return nil, err
	}
	w := &webhook{config: c, keys: keys, userAgent: []string{userAgent()}, transport: transport}
	if text, ok := c.URL.Fixed(); ok {
		w.target, _ = url.Parse(text) // where it can't be parsed, so can no delivery's, and that one says why
	}
	return w, nil
}

func checkRequest(c Config) error {
	var errs []error
	if c.URL.IsZero() {
		errs = append(errs, fieldError("url", "is missing: a webhook needs the URL to post to"))
	}
	if !slices.Contains(methods, c.Method) {
		errs = append(errs, fieldError("method", "%q is none of %v", c.Method, methods))
	} else if !sendsBody(c.Method) && !c.Body.IsZero() {
		errs = append(errs, fieldError("body", "a %s request has no body", c.Method))
	}
	return errors.Join(errs...)
}

// Close gives up the connections that are kept for later deliveries.
func (w *webhook) Close() error {
	w.transport.CloseIdleConnections()
	return nil
}

var methods = []string{http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete, http.MethodGet, http.MethodHead}

func sendsBody(method string) bool { return method != http.MethodGet && method != http.MethodHead }

// reserved are the headers that a configuration can't set: they are the signature's, or say how the message is framed.
var reserved = []string{headerID, headerTimestamp, headerSignature, "Host", "Content-Length", "Transfer-Encoding", "Connection",
	"Keep-Alive", "Proxy-Connection", "Te", "Trailer", "Upgrade", "Expect"}

func checkHeaders(headers map[string]actions.Header) error {
	var errs []error
	seen := map[string]string{}
	for _, name := range sortedKeys(headers) {
		canonical := textproto.CanonicalMIMEHeaderKey(name)
		field := "headers." + name
		switch {
		case !httpguts.ValidHeaderFieldName(name):
			errs = append(errs, fieldError(field, "%q is no name of a header", name))
		case slices.Contains(reserved, canonical):
			errs = append(errs, fieldError(field, "%s is set by aftermath itself and can't be configured", canonical))
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
