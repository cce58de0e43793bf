package admin

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"net/http"
	"strings"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

const (
	sessionCookie = "aftermath_session"
	sessionLife   = 12 * time.Hour
	maxSessions   = 1000 // the oldest ends where there would be more
	maxLogin      = 4 << 10
)

// sessions are the people who logged in to the page: a browser has a cookie instead of the token, so that no script can read it.
// They end with the process, with the token, and after sessionLife.
type sessions struct {
	token func() string
	now   func() time.Time
	wrong *rate.Limiter // of log-ins with a wrong token

	mu   sync.Mutex
	live map[[sha256.Size]byte]session // by the hash of the cookie
}

type session struct {
	token   [sha256.Size]byte // the hash of the token that it was opened with
	expires time.Time
}

func newSessions(token func() string) *sessions {
	return &sessions{token: token, now: time.Now, wrong: rate.NewLimiter(1, 20), live: map[[sha256.Size]byte]session{}}
}

// state answers whether a token is set, and whether this browser has logged in: what the page asks first.
func (s *sessions) state(w http.ResponseWriter, r *http.Request) {
	want := s.token()
	JSON(w, http.StatusOK, map[string]bool{"token": want != "", "in": want == "" || s.allows(r, want)})
}

// login opens a session for whoever knows the token.
func (s *sessions) login(w http.ResponseWriter, r *http.Request) {
	var in struct {
		Token string `json:"token"`
	}
	if !decode(w, r, maxLogin, &in, `the body must be JSON, {"token": …}`) {
		return
	}
	want := s.token()
	if want == "" {
		Error(w, http.StatusConflict, "no token is set: there is nothing to log in to")
		return
	}
	if !same(strings.TrimSpace(in.Token), want) {
		if !s.wrong.Allow() {
			w.Header().Set("Retry-After", "5")
			Error(w, http.StatusTooManyRequests, "too many wrong tokens: wait a few seconds")
			return
		}
		Error(w, http.StatusUnauthorized, "this is not the token: it is admin.token of aftermath.yaml")
		return
	}
	cookie := rand.Text()
	s.open(cookie, want)
	http.SetCookie(w, newCookie(r, cookie, int(sessionLife.Seconds())))
	JSON(w, http.StatusOK, map[string]bool{"token": true, "in": true})
}

// logout ends the session of this browser.
func (s *sessions) logout(w http.ResponseWriter, r *http.Request) {
	for _, c := range r.CookiesNamed(sessionCookie) {
		s.mu.Lock()
		delete(s.live, sha256.Sum256([]byte(c.Value)))
		s.mu.Unlock()
	}
	http.SetCookie(w, newCookie(r, "", -1))
	JSON(w, http.StatusOK, map[string]bool{"token": s.token() != "", "in": false})
}

// newCookie is never sent to another site, nor shown to scripts; nor sent in the clear where TLS is there, be it a proxy's.
func newCookie(r *http.Request, value string, maxAge int) *http.Cookie {
	return &http.Cookie{
		Name: sessionCookie, Value: value, Path: "/", MaxAge: maxAge, HttpOnly: true, SameSite: http.SameSiteStrictMode,
		Secure: r.TLS != nil || r.Header.Get("X-Forwarded-Proto") == "https",
	}
}

func (s *sessions) open(cookie, token string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.now()
	var oldest [sha256.Size]byte
	first := now.Add(2 * sessionLife)
	for id, one := range s.live {
		if now.After(one.expires) {
			delete(s.live, id)
		} else if one.expires.Before(first) {
			oldest, first = id, one.expires
		}
	}
	if len(s.live) >= maxSessions {
		delete(s.live, oldest)
	}
	s.live[sha256.Sum256([]byte(cookie))] = session{sha256.Sum256([]byte(token)), now.Add(sessionLife)}
}

// allows tells whether the request has the cookie of a session of the token.
func (s *sessions) allows(r *http.Request, token string) bool {
	for _, c := range r.CookiesNamed(sessionCookie) {
		s.mu.Lock()
		one, ok := s.live[sha256.Sum256([]byte(c.Value))]
		s.mu.Unlock()
		if ok && s.now().Before(one.expires) && one.token == sha256.Sum256([]byte(token)) {
			return true
		}
	}
	return false
}

// same compares two secrets in a time that does not depend on how much of them is the same.
func same(a, b string) bool {
	x, y := sha256.Sum256([]byte(a)), sha256.Sum256([]byte(b))
	return subtle.ConstantTimeCompare(x[:], y[:]) == 1
}
