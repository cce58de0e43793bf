package admin

import (
	"cmp"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/aftermath-rules/aftermath/internal/strictyaml"
)

const (
	defaultLimit = 100
	maxLimit     = 1000
	maxRequest   = 64 << 10 // of a request's body, in bytes
)

// params reads the query of a request. The first thing that is wrong is kept.
type params struct {
	values url.Values
	err    error
}

// paramsOf takes the parameters of those names; any other is an error, since a misspelt filter would let everything through.
func paramsOf(r *http.Request, known ...string) *params {
	p := &params{}
	if p.values, p.err = url.ParseQuery(r.URL.RawQuery); p.err != nil {
		p.err = errors.New("the query cannot be read")
	}
	for name, values := range p.values {
		switch {
		case !slices.Contains(known, name):
			p.fail("there is no parameter %.40q here; there are %s", name, strings.Join(known, ", "))
		case len(values) > 1:
			p.fail("the parameter %s stands there more than once", name)
		}
	}
	return p
}

func (p *params) fail(format string, args ...any) {
	if p.err == nil {
		p.err = fmt.Errorf(format, args...)
	}
}

func (p *params) text(name string) string { return p.values.Get(name) }

func (p *params) time(name string) time.Time {
	// A space is the + of a zone, as in +08:00, that was not escaped.
	t, err := parseTime(strings.ReplaceAll(p.text(name), " ", "+"), time.Now())
	if err != nil {
		p.fail("%s: %w", name, err)
	}
	return t
}

func (p *params) flag(name string) bool {
	text := p.text(name)
	if text != "" && text != "true" && text != "false" {
		p.fail("%s is true or false, not %.40q", name, text)
	}
	return text == "true"
}

func (p *params) limit() int {
	text := p.text("limit")
	if text == "" {
		return defaultLimit
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 || n > maxLimit {
		p.fail("limit is a number from 1 to %d, not %.40q", maxLimit, text)
	}
	return n
}

// parseTime reads a time as people write it: RFC 3339, Unix seconds, or how long ago (24h, 7d). Nothing is no time.
func parseTime(text string, now time.Time) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	if t, err := time.Parse(time.RFC3339, text); err == nil {
		return t, nil
	}
	if n, err := strconv.ParseInt(text, 10, 64); err == nil && n >= 0 && n < 1<<40 {
		return time.Unix(n, 0), nil
	}
	if d, err := strictyaml.ParseDuration(text); err == nil && d >= 0 {
		return now.Add(-d), nil
	}
	return time.Time{}, fmt.Errorf("%.40q is no time: write one such as 2026-11-22T08:00:00Z, or how long ago, such as 24h or 7d", text)
}

// seqCursor makes a cursor of two numbers.
func seqCursor(a uint64, b int) string {
	return base64.RawURLEncoding.EncodeToString(fmt.Appendf(nil, "%d.%d", a, b))
}

// numbers reads such a cursor; zeros where there is none.
func (p *params) numbers(name string) (a uint64, b int) {
	text := p.text(name)
	if text == "" {
		return 0, 0
	}
	raw, err := base64.RawURLEncoding.DecodeString(text)
	if err == nil {
		_, err = fmt.Sscanf(string(raw), "%d.%d", &a, &b)
	}
	if err != nil || seqCursor(a, b) != text {
		p.fail("the cursor is not one that a page gave")
	}
	return a, b
}

// readJSON reads a request's body strictly into v. No body leaves v as it is.
func readJSON(w http.ResponseWriter, r *http.Request, v any) error {
	d := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxRequest))
	d.DisallowUnknownFields()
	err := d.Decode(v)
	if errors.Is(err, io.EOF) {
		return nil
	}
	if err == nil {
		if _, more := d.Token(); !errors.Is(more, io.EOF) {
			err = errors.New("something follows the JSON")
		}
	}
	if err != nil {
		return fmt.Errorf("the request's body: %w", jsonProblem(err))
	}
	return nil
}

// tooLong is the error of a body that is longer than so many bytes.
type tooLong int64

func (most tooLong) Error() string { return fmt.Sprintf("it is longer than %d bytes", int64(most)) }

// refuse answers a request that could not be read; hint says what it should be.
func refuse(w http.ResponseWriter, err error, hint string) {
	code := http.StatusBadRequest
	if _, ok := errors.AsType[tooLong](err); ok {
		code = http.StatusRequestEntityTooLarge
	}
	Error(w, code, err.Error()+hint)
}

// jsonProblem says what is wrong with JSON without the names of Go's types.
func jsonProblem(err error) error {
	if wrong, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
		return fmt.Errorf("%s is of the wrong type: it is a JSON %s", cmp.Or(wrong.Field, "the value"), wrong.Value)
	}
	if long, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return tooLong(long.Limit)
	}
	return errors.New(strings.TrimPrefix(err.Error(), "json: "))
}
