package cmd

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aftermath-rules/aftermath/callback"
)

const sendPacket = `{"CallbackCommand":"Sns.CallbackFriendDelete","PairList":[{"From_Account":"a","To_Account":"b"}]}`

// chatEndpoint is a callback endpoint that keeps what it was sent.
type chatEndpoint struct {
	*httptest.Server

	mu   sync.Mutex
	got  []*callback.Callback
	fail error
}

func newChatEndpoint(t *testing.T, start func(*httptest.Server), apps ...callback.App) *chatEndpoint {
	t.Helper()
	v, err := callback.NewVerifier(apps, callback.VerifierOptions{Path: "/chat"})
	if err != nil {
		t.Fatal(err)
	}
	e := &chatEndpoint{}
	e.Server = httptest.NewUnstartedServer(callback.NewHandler(v, func(_ context.Context, c *callback.Callback) error {
		e.mu.Lock()
		defer e.mu.Unlock()
		if e.fail != nil {
			return e.fail
		}
		e.got = append(e.got, c)
		return nil
	}, callback.HandlerOptions{}))
	start(e.Server)
	t.Cleanup(e.Close)
	return e
}

// send runs the command and gives its exit code.
func send(t *testing.T, stdin string, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	c := newSendCommand()
	c.SetArgs(args)
	c.SetIn(strings.NewReader(stdin))
	c.SetOut(&out)
	c.SetErr(&errs)
	c.SilenceErrors, c.SilenceUsage = true, true
	err := c.ExecuteContext(context.Background())
	code = report(&errs, err)
	return code, out.String(), errs.String()
}

func packetFile(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "packet.json")
	if err := os.WriteFile(path, []byte(sendPacket), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

const answerOK = `{"ActionStatus":"OK","ErrorCode":0,"ErrorInfo":""}` + "\n"

func TestSendAsChatDoes(t *testing.T) {
	e := newChatEndpoint(t, (*httptest.Server).Start, callback.App{SdkAppid: 7, Tokens: []string{"the-token"}})
	code, stdout, stderr := send(t, "", "--url", e.URL+"/chat?own=1;x", "--sdkappid", "7", "--token", "the-token", packetFile(t))
	if code != 0 || stdout != answerOK || stderr != "" {
		t.Fatalf("exit %d, stdout %q, stderr %q", code, stdout, stderr)
	}
	c := e.got[0]
	if string(c.Body) != sendPacket || c.CallbackCommand != callback.Command || c.ClientIP != "127.0.0.1" || c.OptPlatform != "RESTAPI" {
		t.Errorf("received %+v", c)
	}
	if !regexp.MustCompile(`^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$`).MatchString(c.RequestId) {
		t.Errorf("RequestId = %q, want a UUID", c.RequestId)
	}
	if !strings.HasPrefix(c.Query, "own=1;x&SdkAppid=7&CallbackCommand=Sns.CallbackFriendDelete&contenttype=json&") {
		t.Errorf("query = %s", c.Query)
	}
}

func TestSendQuery(t *testing.T) {
	e := newChatEndpoint(t, (*httptest.Server).Start, callback.App{SdkAppid: 7}, callback.App{SdkAppid: 1400483163})
	whole := filepath.Join(t.TempDir(), "both-ways.query")
	if err := os.WriteFile(whole, []byte("SdkAppid=1400483163&CallbackCommand=Sns.CallbackFriendDelete&ClientIP=36.112.173.178&OptPlatform=iOS&RequestId=id-1\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name string
		args []string
		want string
	}{
		{"one by one", []string{"--sdkappid", "7", "--query", "RequestId=a b", "--query", "OptPlatform=iOS", "--query", "x=%zz"},
			"SdkAppid=7&CallbackCommand=Sns.CallbackFriendDelete&contenttype=json&ClientIP=127.0.0.1&RequestId=a%20b&OptPlatform=iOS&x=%zz"},
		{"a whole query", []string{"--query", "SdkAppid=7&RequestId=1&ClientIP=::1"},
			"CallbackCommand=Sns.CallbackFriendDelete&contenttype=json&OptPlatform=RESTAPI&SdkAppid=7&RequestId=1&ClientIP=::1"},
		{"a file", []string{"--query-file", whole},
			"contenttype=json&SdkAppid=1400483163&CallbackCommand=Sns.CallbackFriendDelete&ClientIP=36.112.173.178&OptPlatform=iOS&RequestId=id-1"},
		{"a file for another app", []string{"--query-file", whole, "--sdkappid", "7"},
			"SdkAppid=7&contenttype=json&CallbackCommand=Sns.CallbackFriendDelete&ClientIP=36.112.173.178&OptPlatform=iOS&RequestId=id-1"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			code, _, stderr := send(t, sendPacket, append(tt.args, "--url", e.URL+"/chat", "-")...)
			if code != 0 {
				t.Fatalf("exit %d: %s", code, stderr)
			}
			if got := e.got[len(e.got)-1].Query; got != tt.want {
				t.Errorf("query = %s\n want = %s", got, tt.want)
			}
		})
	}
}

func TestSendTokenFromTheEnvironment(t *testing.T) {
	e := newChatEndpoint(t, (*httptest.Server).Start, callback.App{SdkAppid: 7, Tokens: []string{"the-token"}})
	t.Setenv("AFTERMATH_TOKEN", "the-token")
	if code, _, stderr := send(t, sendPacket, "--url", e.URL+"/chat", "--sdkappid", "7", "-"); code != 0 {
		t.Errorf("exit %d: %s", code, stderr)
	}
	if code, _, _ := send(t, sendPacket, "--url", e.URL+"/chat", "--sdkappid", "7", "--token", "", "-"); code != 1 {
		t.Errorf("with an empty --token: exit %d, want 1", code)
	}
}

func TestSendTokenOfTheConfiguration(t *testing.T) {
	e := newChatEndpoint(t, (*httptest.Server).Start, callback.App{SdkAppid: 7, Tokens: []string{"the-token"}}, callback.App{SdkAppid: 8})
	t.Setenv("AFTERMATH_TOKEN", "another-token")
	t.Setenv("SEND_TOKEN", "the-token")
	file := filepath.Join(t.TempDir(), "aftermath.yaml")
	text := `callback: {apps: [{sdkappid: 7, tokens: ["${env:SEND_TOKEN}", b]}, {sdkappid: 8}]}` + "\nadmin: {token: '${env:NOBODY_SETS_ME}'}\n"
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name string
		args []string
		code int
		want string // on stderr
	}{
		{"an app with tokens", []string{"--sdkappid", "7", "-c", file}, 0, ""},
		{"an app without", []string{"--sdkappid", "8", "-c", file}, 0, ""},
		{"a token that is named", []string{"--sdkappid", "7", "-c", file, "--token", "x"}, 1, "401"},
		{"an app that it does not have", []string{"--sdkappid", "9", "-c", file}, 1, "has no app 9"},
		{"no app", []string{"--query", "SdkAppid=7", "-c", file}, 2, "--sdkappid"},
		{"no file", []string{"--sdkappid", "7", "-c", file + "x"}, 1, "does not exist"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			code, _, stderr := send(t, sendPacket, append(tt.args, "--url", e.URL+"/chat", "-")...)
			if code != tt.code || !strings.Contains(stderr, tt.want) || strings.Contains(stderr, "the-token") {
				t.Errorf("exit %d: %s", code, stderr)
			}
		})
	}
}

func TestSendNotOK(t *testing.T) {
	e := newChatEndpoint(t, (*httptest.Server).Start, callback.App{SdkAppid: 7, Tokens: []string{"the-token"}})
	other := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, "hello") }))
	defer other.Close()
	for _, tt := range []struct {
		name, url, token, query string
		stdout, stderr          string
	}{
		{"wrong token", e.URL + "/chat", "wrong-token", "x=1", `"ActionStatus":"FAIL"`, "HTTP/1.1 401 Unauthorized"},
		{"expired", e.URL + "/chat", "the-token", "RequestTime=1669872112", `"ActionStatus":"FAIL"`, "HTTP/1.1 401 Unauthorized"},
		{"own Sign", e.URL + "/chat", "the-token", "Sign=x", `"ActionStatus":"FAIL"`, "HTTP/1.1 401 Unauthorized"},
		{"no callback endpoint", other.URL + "/chat", "", "x=1", "hello", ""},
		{"nobody there", "http://127.0.0.1:1", "the-token", "x=1", "", "connection refused"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			code, stdout, stderr := send(t, sendPacket, "--url", tt.url, "--sdkappid", "7", "--token", tt.token, "--query", tt.query, "-")
			if code != 1 || !strings.Contains(stdout, tt.stdout) || !strings.Contains(stderr, tt.stderr) {
				t.Errorf("exit %d, stdout %q, stderr %q", code, stdout, stderr)
			}
			if strings.Contains(stdout+stderr, "-token") || strings.Contains(stderr, "Sign=") {
				t.Errorf("a secret was printed: %q %q", stdout, stderr)
			}
		})
	}
}

func TestSendUsage(t *testing.T) {
	packet := packetFile(t)
	for name, args := range map[string][]string{
		"no packet":       {"--url", "http://x", "--sdkappid", "7"},
		"two packets":     {"--url", "http://x", "--sdkappid", "7", packet, packet},
		"no url":          {"--sdkappid", "7", packet},
		"no http url":     {"--url", "ftp://x", "--sdkappid", "7", packet},
		"no host":         {"--url", "localhost:8080", "--sdkappid", "7", packet},
		"no sdkappid":     {"--url", "http://x", packet},
		"bad query":       {"--url", "http://x", "--sdkappid", "7", "--query", "x", packet},
		"no count":        {"--url", "http://x", "--sdkappid", "7", "--count", "0", packet},
		"no concurrency":  {"--url", "http://x", "--sdkappid", "7", "--concurrency", "0", packet},
		"negative rate":   {"--url", "http://x", "--sdkappid", "7", "--rate", "-1", packet},
		"cert alone":      {"--url", "http://x", "--sdkappid", "7", "--cert", packet, packet},
		"no certificate":  {"--url", "http://x", "--sdkappid", "7", "--ca", packet, packet},
		"no query file":   {"--url", "http://x", "--sdkappid", "7", "--query-file", packet + "x", packet},
		"timeout of zero": {"--url", "http://x", "--sdkappid", "7", "--timeout", "0", packet},
	} {
		t.Run(name, func(t *testing.T) {
			if code, stdout, stderr := send(t, "", args...); code != 2 || stdout != "" || stderr == "" {
				t.Errorf("exit %d, stdout %q, stderr %q", code, stdout, stderr)
			}
		})
	}
}

func TestSendWithoutItsPacket(t *testing.T) {
	missing := packetFile(t) + "x"
	code, stdout, stderr := send(t, "", "--url", "http://x", "--sdkappid", "7", missing)
	if code != 1 || stdout != "" || !strings.Contains(stderr, missing+" does not exist") {
		t.Errorf("exit %d, stdout %q, stderr %q", code, stdout, stderr)
	}
}

func TestSendTLS(t *testing.T) {
	e := newChatEndpoint(t, (*httptest.Server).StartTLS, callback.App{SdkAppid: 7})
	if code, _, stderr := send(t, sendPacket, "--url", e.URL+"/chat", "--sdkappid", "7", "-"); code != 1 || !strings.Contains(stderr, "certificate") {
		t.Errorf("with an unknown certificate: exit %d, %q", code, stderr)
	}
	if code, _, stderr := send(t, sendPacket, "--url", e.URL+"/chat", "--sdkappid", "7", "--insecure", "-"); code != 0 {
		t.Errorf("--insecure: exit %d, %q", code, stderr)
	}
}

func TestSendLoad(t *testing.T) {
	e := newChatEndpoint(t, (*httptest.Server).Start, callback.App{SdkAppid: 7})
	args := []string{"--url", e.URL + "/chat", "--sdkappid", "7", "--count", "50", "--concurrency", "8", "--rate", "500", "-"}
	start := time.Now()
	code, stdout, stderr := send(t, sendPacket, args...)
	if code != 0 || stderr != "" || time.Since(start) < 90*time.Millisecond {
		t.Errorf("exit %d after %v, stderr %q", code, time.Since(start), stderr)
	}
	if !regexp.MustCompile(`^ *posts +OK +refused +failed +per second +p50 +p90 +p99 +max\n +50 +50 +0 +0 +\d+\.\d( +\d+\.\d\dms){4}\n$`).MatchString(stdout) {
		t.Errorf("table:\n%s", stdout)
	}
	ids := map[string]bool{}
	for _, c := range e.got {
		q, err := url.ParseQuery(c.Query)
		if err != nil {
			t.Fatal(err)
		}
		ids[q.Get("RequestId")] = true
	}
	if len(ids) != 50 {
		t.Errorf("50 posts had %d RequestIds", len(ids))
	}

	e.fail = errors.New("full")
	code, stdout, stderr = send(t, sendPacket, args...)
	if code != 1 || !regexp.MustCompile(`\n +50 +0 +50 +0 `).MatchString(stdout) || !strings.HasPrefix(stderr, "50× HTTP/1.1 503 Service Unavailable: ") {
		t.Errorf("exit %d\n%s%s", code, stdout, stderr)
	}
}
