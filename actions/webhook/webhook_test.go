package webhook

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"github.com/google/go-cmp/cmp"

	"github.com/aftermath-rules/aftermath/actions"
)

const (
	secretA = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
	secretB = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"
)

// received is a request as a receiver saw it.
type received struct {
	method, uri string
	header      http.Header
	body        []byte
	length      int64
}

// receiver answers every request with status, and keeps the requests.
func receiver(t *testing.T, status int) (*httptest.Server, <-chan received) {
	t.Helper()
	seen := make(chan received, 16)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		seen <- received{r.Method, r.RequestURI, r.Header.Clone(), body, r.ContentLength}
		w.WriteHeader(status)
		fmt.Fprint(w, "seen")
	}))
	t.Cleanup(s.Close)
	return s, seen
}

func TestDefaultEvent(t *testing.T) {
	s, seen := receiver(t, http.StatusOK)
	hook := mustBuild(t, "url: "+s.URL+"/hooks\nsecrets: ["+secretA+", "+secretB+"]\n")
	result, err := hook.Run(within(t, 30*time.Second), delivery())
	if err != nil {
		t.Fatal(err)
	}
	got := <-seen
	const want = `{"type":"friend.deleted","timestamp":"2026-11-22T08:00:00Z","data":{"delivery_id":"d1e2f3","rule":"vip-lost-a-friend",` +
		`"labels":{"team":"care"},"From_Account":"vip_1","To_Account":"bob","SdkAppid":1400000000,"ClientIP":"192.0.2.7",` +
		`"OptPlatform":"iOS","RequestId":"5f4d6a1e","callback_id":"cb42","rule_set":"abc123"}}`
	if diff := cmp.Diff(want, string(got.body)); diff != "" {
		t.Error(diff)
	}
	if got.method != "POST" || got.uri != "/hooks" || got.header.Get("Content-Type") != "application/json" {
		t.Errorf("got %s %s, Content-Type %s", got.method, got.uri, got.header.Get("Content-Type"))
	}
	if !strings.HasPrefix(got.header.Get("User-Agent"), "aftermath") {
		t.Errorf("User-Agent %q", got.header.Get("User-Agent"))
	}
	if id := got.header.Get("webhook-id"); id != "d1e2f3" {
		t.Errorf("webhook-id %q is not the delivery's", id)
	}
	for _, secret := range []string{secretA, secretB} {
		verifier, err := standardwebhooks.NewWebhook(secret)
		if err != nil {
			t.Fatal(err)
		}
		if err := verifier.Verify(got.body, got.header); err != nil {
			t.Errorf("%s: %v", secret, err)
		}
		if err := verifier.Verify(append(got.body, ' '), got.header); err == nil {
			t.Errorf("%s: the signature holds for another body", secret)
		}
	}
	if result.Detail != "200 OK" || string(result.Sent) != want || string(result.Received) != "seen" || result.Code != 200 {
		t.Errorf("result %+v", result)
	}
}

func TestReprocessedAndBareEvent(t *testing.T) {
	s, seen := receiver(t, http.StatusOK)
	hook := mustBuild(t, "url: "+s.URL)
	d := delivery()
	d.Reprocess, d.Rule.Labels = "run-7", nil
	if _, err := hook.Run(within(t, 30*time.Second), d); err != nil {
		t.Fatal(err)
	}
	got := <-seen
	var event struct{ Data map[string]any }
	if err := json.Unmarshal(got.body, &event); err != nil {
		t.Fatal(err)
	}
	if event.Data["reprocess"] != "run-7" || event.Data["labels"] == nil {
		t.Errorf("data %v", event.Data)
	}
	if got.header.Get("webhook-signature") != "" || got.header.Get("webhook-id") == "" {
		t.Errorf("without a secret there is an id and no signature: %v", got.header)
	}
}

func TestRequests(t *testing.T) {
	for _, tc := range []struct {
		name, yaml   string
		method, uri  string
		body, media  string
		header, want string
	}{
		{name: "a mapping", yaml: "body: {who: '{{ From_Account }}', n: '{{ SdkAppid }}', flag: true}",
			method: "POST", uri: "/", body: `{"flag":true,"n":1400000000,"who":"vip_1"}`, media: "application/json"},
		{name: "a text", yaml: "body: 'VIP {{ From_Account }}'", method: "POST", uri: "/", body: "VIP vip_1", media: "text/plain; charset=utf-8"},
		{name: "a number", yaml: "body: '{{ SdkAppid }}'", method: "POST", uri: "/", body: "1400000000", media: "application/json"},
		{name: "its own content type", yaml: "headers: {content-type: text/csv}\nbody: 'a,b'", method: "POST", uri: "/", body: "a,b", media: "text/csv"},
		{name: "another method", yaml: "method: PUT\nbody: [1, 2]", method: "PUT", uri: "/", body: "[1,2]", media: "application/json"},
		{name: "GET", yaml: "method: GET", method: "GET", uri: "/"},
		{name: "a header", yaml: "headers: {X-Who: '{{ From_Account }}'}\nbody: x", method: "POST", uri: "/", body: "x",
			media: "text/plain; charset=utf-8", header: "X-Who", want: "vip_1"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s, seen := receiver(t, http.StatusNoContent)
			hook := mustBuild(t, "url: "+s.URL+"/\n"+tc.yaml)
			result, err := hook.Run(within(t, 30*time.Second), delivery())
			if err != nil {
				t.Fatal(err)
			}
			got := <-seen
			if got.method != tc.method || got.uri != tc.uri || string(got.body) != tc.body || got.header.Get("Content-Type") != tc.media {
				t.Errorf("got %s %s, %q of %q", got.method, got.uri, got.body, got.header.Get("Content-Type"))
			}
			if got.length != int64(len(tc.body)) {
				t.Errorf("Content-Length %d", got.length)
			}
			if tc.header != "" && got.header.Get(tc.header) != tc.want {
				t.Errorf("%s: %q", tc.header, got.header.Get(tc.header))
			}
			if result.Detail != "204 No Content" {
				t.Errorf("detail %q", result.Detail)
			}
		})
	}
}

func TestHostileAccountsStayInTheirPlace(t *testing.T) {
	s, seen := receiver(t, http.StatusOK)
	hook := mustBuild(t, "url: "+s.URL+"/u/{{ From_Account }}?q={{ From_Account }}\n")
	header := mustBuild(t, "url: "+s.URL+"/\nheaders: {X-Who: '{{ From_Account }}'}\n")
	for name, account := range map[string]string{
		"quotes": `a"b'c`, "line break": "a\r\nX-Evil: 1", "HTML": "<script>", "template": "{{ Rule.Name }}", "path": "../../etc",
		"escaped path": "%2e%2e", "query": "a&b=c#d", "emoji": "😀", "line separator": "a\u2028b", "NUL": "a\x00b", "control": "a\x01b",
	} {
		t.Run(name, func(t *testing.T) {
			d := delivery()
			d.Pair.From = account
			if _, err := hook.Run(within(t, 30*time.Second), d); err != nil {
				t.Fatal(err)
			}
			got := <-seen
			var event struct{ Data map[string]any }
			if err := json.Unmarshal(got.body, &event); err != nil || event.Data["From_Account"] != account {
				t.Errorf("the receiver reads %q: %v", event.Data["From_Account"], err)
			}
			if strings.Count(got.uri, "/") != 2 || strings.Count(got.uri, "&") != 0 {
				t.Errorf("the account changed the URL: %s", got.uri)
			}
			_, err := header.Run(within(t, 30*time.Second), d)
			if strings.ContainsAny(account, "\r\n\x00\x01") {
				if !actions.IsPermanent(err) {
					t.Errorf("in a header: got %v, want a permanent error", err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if got := <-seen; got.header.Get("X-Who") != account || got.header.Get("X-Evil") != "" {
				t.Errorf("header %q", got.header.Get("X-Who"))
			}
		})
	}
	t.Run("dots", func(t *testing.T) {
		d := delivery()
		d.Pair.From = ".."
		if _, err := hook.Run(within(t, 30*time.Second), d); !actions.IsPermanent(err) {
			t.Errorf("got %v, want a permanent error", err)
		}
	})
}

func TestStatuses(t *testing.T) {
	permanent := map[int]bool{400: true, 405: true, 410: true, 413: true, 414: true, 415: true, 422: true, 431: true,
		300: true, 301: true, 302: true, 303: true, 304: true, 307: true, 308: true}
	for _, status := range []int{200, 201, 202, 204, 299, 300, 301, 302, 303, 304, 307, 308, 400, 401, 403, 404, 405, 408, 409, 410, 413,
		414, 415, 422, 425, 429, 431, 451, 500, 501, 502, 503, 504, 599} {
		t.Run(fmt.Sprint(status), func(t *testing.T) {
			s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Path == "/elsewhere" {
					t.Error("the redirect was followed")
				}
				w.Header().Set("Location", "/elsewhere")
				w.WriteHeader(status)
			}))
			defer s.Close()
			result, err := mustBuild(t, "url: "+s.URL).Run(within(t, 30*time.Second), delivery())
			if (err == nil) != (status < 300) || actions.IsPermanent(err) != permanent[status] {
				t.Errorf("got %v", err)
			}
			if result.Code != status {
				t.Errorf("code %d", result.Code)
			}
		})
	}
}

func TestRetryAfter(t *testing.T) {
	now := time.Date(2026, 11, 22, 8, 0, 0, 0, time.UTC)
	for _, tc := range []struct {
		name, value string
		status      int
		want        time.Duration
	}{
		{"seconds", "120", 503, 2 * time.Minute},
		{"on 429", "7", 429, 7 * time.Second},
		{"a day at most", "604800", 503, 24 * time.Hour},
		{"more digits than a number has", strings.Repeat("9", 40), 503, 24 * time.Hour},
		{"a date", now.Add(time.Hour).Format(http.TimeFormat), 503, time.Hour},
		{"a date that has passed", now.Add(-time.Hour).Format(http.TimeFormat), 503, 0},
		{"a date in the far future", now.AddDate(100, 0, 0).Format(http.TimeFormat), 503, 24 * time.Hour},
		{"negative", "-5", 503, 0},
		{"nonsense", "soon", 503, 0},
		{"absent", "", 503, 0},
	} {
		t.Run(tc.name, func(t *testing.T) {
			err := verdict(tc.status, http.Header{"Retry-After": {tc.value}}, now)
			if err == nil || actions.IsPermanent(err) {
				t.Fatalf("got %v, want a temporary error", err)
			}
			if got, _ := actions.RetryAfterOf(err); got != tc.want {
				t.Errorf("got %s, want %s", got, tc.want)
			}
		})
	}
}

func TestPreviewShowsTheDefaultBody(t *testing.T) {
	shown, err := mustBuild(t, "url: http://127.0.0.1:1/\nsecrets: ["+secretA+"]").Render(delivery())
	if err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(shown)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{`"POST"`, `"friend.deleted"`, `"delivery_id":"d1e2f3"`, `http://127.0.0.1:1/`} {
		if !strings.Contains(string(text), want) {
			t.Errorf("%s is not in %s", want, text)
		}
	}
	if strings.Contains(string(text), "MfKQ9") {
		t.Errorf("the secret is shown: %s", text)
	}
}
