package admin

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"
)

// browser speaks with an admin port as a browser does: with a header or two of its own and the cookie that it was given.
type browser struct {
	t      *testing.T
	server *httptest.Server
	cookie *http.Cookie
}

func (b *browser) send(method, path, body string, header ...string) *http.Response {
	b.t.Helper()
	req, err := http.NewRequestWithContext(b.t.Context(), method, b.server.URL+path, strings.NewReader(body))
	if err != nil {
		b.t.Fatal(err)
	}
	for i := 0; i < len(header); i += 2 {
		if header[i] == "Host" {
			req.Host = header[i+1]
		} else {
			req.Header.Set(header[i], header[i+1])
		}
	}
	if b.cookie != nil {
		req.AddCookie(b.cookie)
	}
	resp, err := b.server.Client().Do(req)
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(func() { _ = resp.Body.Close() })
	return resp
}

func newPort(t *testing.T, token *string, tls bool) *browser {
	t.Helper()
	h := New(Options{
		Token: func() string { return *token }, Gatherer: prometheus.NewRegistry(), Status: func() Status { return Status{} },
		Ready: func() Readiness { return Readiness{} }, Reload: func(context.Context) (Rules, error) { return Rules{}, nil }, Logger: zap.NewNop(),
	})
	var server *httptest.Server
	if tls {
		server = httptest.NewTLSServer(h)
	} else {
		server = httptest.NewServer(h)
	}
	t.Cleanup(server.Close)
	return &browser{t: t, server: server}
}

// partsOfThePage gives the address of its script, and its style.
func partsOfThePage(t *testing.T, b *browser) (script, style string) {
	t.Helper()
	page, err := io.ReadAll(b.send("GET", "/", "").Body)
	if err != nil {
		t.Fatal(err)
	}
	m := regexp.MustCompile(`(?s)<style>(.+)</style>.*<script type="module" src="(/page/main-[A-Z0-9]+\.js)">`).FindSubmatch(page)
	if m == nil {
		t.Fatalf("the page has no style or no script:\n%s", page)
	}
	return string(m[2]), string(m[1])
}

func TestPageIsServedStrictly(t *testing.T) {
	token := "s3cret-token"
	b := newPort(t, &token, false)
	script, style := partsOfThePage(t, b)
	sum := sha256.Sum256([]byte(style))
	for path, want := range map[string]struct{ kind, style, keep string }{
		"/":              {"text/html; charset=utf-8", "'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'", "no-cache"},
		script:           {"text/javascript; charset=utf-8", "'none'", "public, max-age=31536000, immutable"},
		"/page/icon.svg": {"image/svg+xml", "'none'", "no-cache"},
	} {
		resp := b.send("GET", path, "")
		body, err := io.ReadAll(resp.Body)
		if err != nil || resp.StatusCode != 200 || resp.Header.Get("Content-Type") != want.kind || resp.Header.Get("Cache-Control") != want.keep || len(body) == 0 {
			t.Errorf("%s: %d, %v, %d bytes, %v", path, resp.StatusCode, resp.Header, len(body), err)
		}
		policy := resp.Header.Get("Content-Security-Policy")
		for _, part := range []string{"default-src 'none'", "script-src 'self'", "style-src " + want.style, "connect-src 'self'", "frame-ancestors 'none'", "base-uri 'none'", "form-action 'none'"} {
			if !strings.Contains(policy+";", part+";") {
				t.Errorf("%s: the policy %q lacks %q", path, policy, part)
			}
		}
		if strings.Contains(policy, "unsafe") || resp.Header.Get("X-Content-Type-Options") != "nosniff" {
			t.Errorf("%s: %v", path, resp.Header)
		}
		if path == "/" && (bytes.Count(body, []byte("<script")) != bytes.Count(body, []byte("<script type=\"module\" src=\"/page/")) || bytes.Contains(body, []byte("style=")) || bytes.Contains(body, []byte("onload="))) {
			t.Errorf("the page has something inline:\n%s", body)
		}
	}
	if resp := b.send("GET", "/nothing", ""); resp.StatusCode != 401 {
		t.Errorf("/nothing with a token set: %d", resp.StatusCode)
	}
	if resp := b.send("POST", "/", ""); resp.StatusCode == 200 {
		t.Error("POST / was answered")
	}
	token = ""
	if resp := b.send("GET", "/", "", "Host", "evil.example.com"); resp.StatusCode != 403 {
		t.Errorf("the page under a rebound name: %d", resp.StatusCode)
	}
}

func TestPageIsCompressedAndCached(t *testing.T) {
	token := ""
	b := newPort(t, &token, false)
	script, _ := partsOfThePage(t, b)
	plain, err := io.ReadAll(b.send("GET", script, "", "Accept-Encoding", "identity").Body)
	if err != nil {
		t.Fatal(err)
	}
	packed := b.send("GET", script, "", "Accept-Encoding", "gzip")
	zip, err := gzip.NewReader(packed.Body)
	if err != nil {
		t.Fatal(err)
	}
	if body, err := io.ReadAll(zip); err != nil || !bytes.Equal(body, plain) {
		t.Errorf("%d bytes, %d compressed, %v", len(plain), len(body), err)
	}
	again := b.send("GET", script, "", "Accept-Encoding", "gzip", "If-None-Match", packed.Header.Get("ETag"))
	if again.StatusCode != 304 {
		t.Errorf("asked again: %d", again.StatusCode)
	}
}

func TestSession(t *testing.T) {
	token := "s3cret-token"
	b := newPort(t, &token, false)
	if resp := b.send("POST", "/api/v1/session", `{"token":"wrong"}`); resp.StatusCode != 401 || len(resp.Cookies()) != 0 {
		t.Fatalf("a wrong token: %d, %v", resp.StatusCode, resp.Cookies())
	}
	if resp := b.send("POST", "/api/v1/session", `{"token":"s3cret-token"}`, "Sec-Fetch-Site", "cross-site"); resp.StatusCode != 403 {
		t.Errorf("a log-in from another site: %d", resp.StatusCode)
	}
	resp := b.send("POST", "/api/v1/session", `{"token":"s3cret-token"}`)
	if resp.StatusCode != 200 || len(resp.Cookies()) != 1 {
		t.Fatalf("the right token: %d, %v", resp.StatusCode, resp.Cookies())
	}
	c := resp.Cookies()[0]
	if !c.HttpOnly || c.Secure || c.SameSite != http.SameSiteStrictMode || c.MaxAge != 12*60*60 || c.Path != "/" || strings.Contains(c.Value, token) {
		t.Errorf("the cookie is %+v", c)
	}
	if got := b.send("GET", "/api/v1/status", "").StatusCode; got != 401 {
		t.Errorf("without the cookie: %d", got)
	}
	b.cookie = c
	if got := b.send("GET", "/api/v1/status", "").StatusCode; got != 200 {
		t.Errorf("with the cookie: %d", got)
	}
	if got := b.send("POST", "/api/v1/reload", "", "Origin", "https://evil.example.com").StatusCode; got != 403 {
		t.Errorf("a change from another site with the cookie: %d", got)
	}
	token = "another"
	if got := b.send("GET", "/api/v1/status", "").StatusCode; got != 401 {
		t.Errorf("the session outlived its token: %d", got)
	}
	token = "s3cret-token"
	if gone := b.send("DELETE", "/api/v1/session", "").Cookies(); len(gone) != 1 || gone[0].MaxAge != -1 {
		t.Errorf("logging out left %v", gone)
	}
	if got := b.send("GET", "/api/v1/status", "").StatusCode; got != 401 {
		t.Errorf("the cookie works after logging out: %d", got)
	}
}

func TestSessionCookieIsSecureWithTLS(t *testing.T) {
	token := "s3cret-token"
	for _, c := range []struct {
		name   string
		tls    bool
		header []string
		secure bool
	}{
		{"plain", false, nil, false}, {"TLS", true, nil, true}, {"behind a proxy with TLS", false, []string{"X-Forwarded-Proto", "https"}, true},
	} {
		resp := newPort(t, &token, c.tls).send("POST", "/api/v1/session", `{"token":"s3cret-token"}`, c.header...)
		if len(resp.Cookies()) != 1 || resp.Cookies()[0].Secure != c.secure {
			t.Errorf("%s: %v", c.name, resp.Cookies())
		}
	}
}

func TestSessionsEndAndAreBounded(t *testing.T) {
	now := time.Now()
	s := newSessions(func() string { return "t" })
	s.now = func() time.Time { return now }
	request := func(cookie string) *http.Request {
		r := httptest.NewRequest("GET", "/", nil)
		r.AddCookie(&http.Cookie{Name: sessionCookie, Value: cookie})
		return r
	}
	s.open("first", "t")
	now = now.Add(sessionLife - time.Second)
	if !s.allows(request("first"), "t") {
		t.Error("a session ended early")
	}
	now = now.Add(2 * time.Second)
	if s.allows(request("first"), "t") {
		t.Error("a session does not end")
	}
	for i := range maxSessions + 50 {
		now = now.Add(time.Millisecond)
		s.open(strings.Repeat("x", i+1), "t")
	}
	if len(s.live) != maxSessions || !s.allows(request(strings.Repeat("x", maxSessions+50)), "t") || s.allows(request("x"), "t") {
		t.Errorf("there are %d sessions", len(s.live))
	}
}

func TestWrongTokensAreSlowedDown(t *testing.T) {
	token := "s3cret-token"
	b := newPort(t, &token, false)
	var last *http.Response
	for range 30 {
		last = b.send("POST", "/api/v1/session", `{"token":"wrong"}`)
	}
	if last.StatusCode != 429 || last.Header.Get("Retry-After") == "" {
		t.Errorf("after 30 wrong tokens: %d", last.StatusCode)
	}
	if got := b.send("POST", "/api/v1/session", `{"token":"s3cret-token"}`).StatusCode; got != 200 {
		t.Errorf("the right token is locked out: %d", got)
	}
}

func TestSessionState(t *testing.T) {
	token := ""
	b := newPort(t, &token, false)
	for _, c := range []struct {
		token string
		want  map[string]bool
	}{{"", map[string]bool{"token": false, "in": true}}, {"s3cret", map[string]bool{"token": true, "in": false}}} {
		token = c.token
		var got map[string]bool
		if err := json.NewDecoder(b.send("GET", "/api/v1/session", "").Body).Decode(&got); err != nil || got["token"] != c.want["token"] || got["in"] != c.want["in"] {
			t.Errorf("with the token %q: %v, %v", c.token, got, err)
		}
	}
}
