package adminclient

import (
	"context"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
)

// The client asks below /api/v1/ with its token, and decodes the answer.
func TestClient(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if got := r.Header.Get("Authorization"); got != "Bearer s3cret" {
			t.Errorf("Authorization: %q", got)
		}
		if got := r.URL.RequestURI(); got != "/api/v1/callbacks/a%2Fb?since=x+y" {
			t.Errorf("asked for %s", got)
		}
		_, _ = w.Write([]byte(`{"id": "a/b"}`))
	}))
	t.Cleanup(server.Close)
	c, err := New(server.URL+"/", "s3cret")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	var got struct{ ID string }
	if err := c.Get(t.Context(), "callbacks/a%2Fb", url.Values{"since": {"x y"}}, &got); err != nil || got.ID != "a/b" {
		t.Errorf("got %+v, %v", got, err)
	}
}

// What goes wrong is a sentence that says what to do, and never holds the token.
func TestClientErrors(t *testing.T) {
	redirected := false
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/api/v1/token":
			http.Error(w, `{"error": "a bearer token is needed"}`, http.StatusUnauthorized)
		case "/api/v1/sentence":
			http.Error(w, `{"error": "there is no such thing"}`, http.StatusNotFound)
		case "/api/v1/redirect":
			http.Redirect(w, r, "/elsewhere", http.StatusFound)
		case "/elsewhere":
			redirected = true
		case "/api/v1/html":
			_, _ = w.Write([]byte("<html>"))
		default:
			http.NotFound(w, r)
		}
	}))
	t.Cleanup(server.Close)
	for _, tt := range []struct{ name, base, token, path, want string }{
		{"no token", server.URL, "", "token", "wants a token: give its admin.token with --token"},
		{"a wrong token", server.URL, "t0ken-value", "token", "refuses the token"},
		{"an error of its own", server.URL, "", "sentence", "says: there is no such thing"},
		{"another server", server.URL, "", "nothing", "is no admin port of aftermath that knows this: it answers 404 Not Found"},
		{"another server that answers", server.URL, "", "html", "is no admin port of aftermath: its answer is not what it should be"},
		{"a redirect", server.URL, "t0ken-value", "redirect", "it answers 302 Found"},
		{"down", "http://127.0.0.1:1", "t0ken-value", "status", "does not answer"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c, err := New(tt.base, tt.token)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(c.Close)
			err = c.Get(t.Context(), tt.path, nil, &struct{}{})
			if err == nil || !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), "t0ken-value") {
				t.Errorf("got %v", err)
			}
		})
	}
	if redirected {
		t.Error("a redirect was followed")
	}
	for _, base := range []string{"", "127.0.0.1:9090", "ftp://x", "http://"} {
		if _, err := New(base, ""); err == nil {
			t.Errorf("%q was taken for an address", base)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	c, err := New(server.URL, "")
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Get(ctx, "status", nil, &struct{}{}); err != context.Canceled {
		t.Errorf("after the context ended: %v", err)
	}
}
