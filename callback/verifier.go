package callback

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"time"
	"unicode/utf8"
)

// Defaults of VerifierOptions.
const (
	DefaultMaxBody = 1 << 20 // bytes
	DefaultMaxAge  = time.Minute
)

const maxToken = 128 // characters, as in the console

// App is one app of Chat, and the tokens that its callbacks may be signed with. While a token is being rotated there are two.
// Without any, unsigned callbacks are accepted.
type App struct {
	SdkAppid int64
	Tokens   []string
}

// VerifierOptions are what may be set of a Verifier. The zero value is usable.
type VerifierOptions struct {
	Path    string           // of the callback URL; "" is /
	MaxBody int64            // bytes; 0 is DefaultMaxBody
	MaxAge  time.Duration    // how far RequestTime may be from now, in whole seconds; 0 is DefaultMaxAge
	Now     func() time.Time // nil is time.Now
}

// Verifier tells authentic callbacks from all else. It is safe for concurrent use.
type Verifier struct {
	path    string
	maxBody int64
	maxAge  time.Duration
	now     func() time.Time
	apps    atomic.Pointer[map[int64][]string]
}

// NewVerifier makes a Verifier for apps.
func NewVerifier(apps []App, o VerifierOptions) (*Verifier, error) {
	v := &Verifier{path: o.Path, maxBody: o.MaxBody, maxAge: o.MaxAge, now: o.Now}
	if v.path == "" {
		v.path = "/"
	}
	if v.maxBody == 0 {
		v.maxBody = DefaultMaxBody
	}
	if v.maxAge == 0 {
		v.maxAge = DefaultMaxAge
	}
	if v.now == nil {
		v.now = time.Now
	}
	switch {
	case v.path[0] != '/':
		return nil, fmt.Errorf("path %q does not begin with /", v.path)
	case v.maxBody < 0:
		return nil, fmt.Errorf("max body %d is negative", v.maxBody)
	case v.maxAge < time.Second:
		return nil, fmt.Errorf("max age %v is less than a second", v.maxAge)
	}
	if err := v.SetApps(apps); err != nil {
		return nil, err
	}
	return v, nil
}

// SetApps makes apps the ones whose callbacks are accepted, all at once. After an error those before stay.
func (v *Verifier) SetApps(apps []App) error {
	if len(apps) == 0 {
		return errors.New("no app: every callback would be refused")
	}
	tokens := make(map[int64][]string, len(apps))
	for _, a := range apps {
		if a.SdkAppid <= 0 {
			return fmt.Errorf("SdkAppid %d is not a positive number", a.SdkAppid)
		}
		if _, ok := tokens[a.SdkAppid]; ok {
			return fmt.Errorf("app %d is there twice", a.SdkAppid)
		}
		for i, token := range a.Tokens {
			if n := utf8.RuneCountInString(token); n < 1 || n > maxToken {
				return fmt.Errorf("token %d of app %d has %d characters instead of 1 to %d", i+1, a.SdkAppid, n, maxToken)
			}
		}
		tokens[a.SdkAppid] = slices.Clone(a.Tokens)
	}
	v.apps.Store(&tokens)
	return nil
}

// Read gives the callback that r is. It checks r from the outside in, and reads no more of it than the next check needs. The
// error is an [*Error]; its outcome is [Ignored] where r is an authentic callback of another command.
func (v *Verifier) Read(r *http.Request) (*Callback, error) {
	q, err := v.head(r)
	if err != nil {
		return nil, err
	}
	body, err := v.body(r, func(int64) error { return nil })
	if err != nil {
		return nil, err
	}
	c := new(Callback)
	if err := q.packet(c, body, v.now().UTC()); err != nil {
		return nil, err
	}
	return c, nil
}

// head checks all that can be checked without the body.
func (v *Verifier) head(r *http.Request) (query, *Error) {
	path := r.URL.Path
	if path == "" {
		path = "/"
	}
	if path != v.path {
		return query{}, &Error{Status: http.StatusNotFound, Outcome: NotFound, Text: "there is no callback endpoint at this path"}
	}
	if r.Method != http.MethodPost {
		return query{}, &Error{Status: http.StatusMethodNotAllowed, Outcome: MethodNotAllowed, Text: "a callback is sent with POST"}
	}
	q := parseQuery(r.URL.RawQuery)
	id, ok := q.sdkAppid.number()
	tokens, known := (*v.apps.Load())[id]
	if !ok || !known {
		return q, &Error{Status: http.StatusForbidden, Outcome: Forbidden, Text: "SdkAppid is missing or not one that is accepted here"}
	}
	if len(tokens) > 0 {
		signed, fresh := q.signed(tokens), q.fresh(v.now(), v.maxAge)
		if !signed || !fresh {
			return q, &Error{Status: http.StatusUnauthorized, Outcome: Unauthorized, Text: "Sign or RequestTime is missing, wrong or expired"}
		}
	}
	return q, q.foreign()
}

// smallBody is what a body may take without asking, some 40 pairs: no more than its connection takes anyway, whose number is bounded. So
// senders that announce large bodies, and hold what there is for them without sending anything, delay no usual callback.
const smallBody = 2 << 10 // bytes

// body reads the body. It asks reserve for its memory before it takes it, but for smallBody; the error of reserve is the outcome
// Unavailable.
func (v *Verifier) body(r *http.Request, reserve func(n int64) error) ([]byte, *Error) {
	switch n := r.ContentLength; {
	case n > v.maxBody:
		return nil, v.tooLarge()
	case n >= 0:
		if n > smallBody {
			if err := reserve(n); err != nil {
				return nil, unavailable(err)
			}
		}
		b := make([]byte, n)
		if _, err := io.ReadFull(r.Body, b); err != nil {
			return nil, v.incomplete(err)
		}
		return b, nil
	}
	return v.chunked(r.Body, reserve)
}

// chunked reads a body whose length nobody has said.
func (v *Verifier) chunked(r io.Reader, reserve func(n int64) error) ([]byte, *Error) {
	b := make([]byte, 0, min(smallBody, v.maxBody+1))
	for {
		if len(b) == cap(b) {
			more := min(int64(cap(b)), v.maxBody+1-int64(len(b)))
			if err := reserve(more); err != nil {
				return nil, unavailable(err)
			}
			b = append(make([]byte, 0, int64(len(b))+more), b...)
		}
		n, err := r.Read(b[len(b):cap(b)])
		b = b[:len(b)+n]
		switch {
		case int64(len(b)) > v.maxBody:
			return nil, v.tooLarge()
		case err == io.EOF:
			return b, nil
		case err != nil:
			return nil, v.incomplete(err)
		}
	}
}

func (v *Verifier) tooLarge() *Error {
	return &Error{Status: http.StatusRequestEntityTooLarge, Outcome: TooLarge, Text: fmt.Sprintf("the body is longer than %d bytes", v.maxBody)}
}

// incomplete is the answer to a body that did not arrive, if there is still someone to answer.
func (v *Verifier) incomplete(err error) *Error {
	if tooLarge := new(http.MaxBytesError); errors.As(err, &tooLarge) {
		return v.tooLarge()
	}
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return &Error{Status: http.StatusRequestTimeout, Outcome: Incomplete, Text: "the body did not arrive in time", Err: err}
	}
	return &Error{Status: http.StatusBadRequest, Outcome: Incomplete, Text: "the body did not arrive whole", Err: err}
}

func unavailable(err error) *Error {
	return &Error{Status: http.StatusServiceUnavailable, Outcome: Unavailable, Text: "the callback could not be stored: send it again later", Err: err}
}

// encodingHint says what may be behind a body that cannot be read.
func encodingHint(r *http.Request) string {
	if e := r.Header.Get("Content-Encoding"); e != "" && !strings.EqualFold(e, "identity") {
		return "; it came with a Content-Encoding, and is read as it came"
	}
	return ""
}
