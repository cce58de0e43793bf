package e2e

import (
	"crypto/tls"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/aftermath-rules/aftermath/callback"
	"github.com/aftermath-rules/aftermath/internal/tlstest"
)

// Each row of the endpoint's table, against the built program.
func TestEndpoint(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "aftermath.yaml", `
callback:
  listen: 127.0.0.1:0
  path: /chat
  max_body: 4KiB
  apps:
    - sdkappid: 1400000000
      tokens: ["${env:OLD_TOKEN}", "${env:NEW_TOKEN}"]
    - sdkappid: 1400000001
admin: {listen: 127.0.0.1:0}
`)
	write(t, dir, "rules/a.yaml", "rules: []\n")
	s := start(t, dir, "OLD_TOKEN=old-token", "NEW_TOKEN=new-token")

	const command = "&CallbackCommand=Sns.CallbackFriendDelete"
	signed := func(token string, at time.Time) string {
		stamp := fmt.Sprint(at.Unix())
		return "SdkAppid=1400000000" + command + "&RequestTime=" + stamp + "&Sign=" + callback.Sign(token, stamp)
	}
	const open = "SdkAppid=1400000001" + command
	const good = `{"CallbackCommand":"Sns.CallbackFriendDelete","PairList":[{"From_Account":"a","To_Account":"b"}]}`
	now := time.Now()
	cases := []struct {
		name, method, path, query, body string
		code                            int
		info                            string // of ErrorInfo; "" where it must be empty, "*" for any text
	}{
		{"stored", "POST", "/chat", open, good, 200, ""},
		{"signed by the old token", "POST", "/chat", signed("old-token", now), good, 200, ""},
		{"signed by the new token", "POST", "/chat", signed("new-token", now), good, 200, ""},
		{"signed within max_age", "POST", "/chat", signed("new-token", now.Add(-50*time.Second)), good, 200, ""},
		{"no pairs", "POST", "/chat", open, `{"CallbackCommand":"Sns.CallbackFriendDelete","PairList":[]}`, 200, ""},
		{"unknown parameters and fields", "POST", "/chat", open + "&New=1", `{"New":{"a":[1]},` + good[1:], 200, ""},
		{"no command in the URL", "POST", "/chat", "SdkAppid=1400000001", good, 200, ""},
		{"another path", "POST", "/chat/", open, good, 404, "*"},
		{"not POST", "GET", "/chat", open, "", 405, "*"},
		{"no SdkAppid", "POST", "/chat", command[1:], good, 403, "*"},
		{"another SdkAppid", "POST", "/chat", "SdkAppid=1" + command, good, 403, "*"},
		{"a malformed SdkAppid", "POST", "/chat", "SdkAppid=1400000001x" + command, good, 403, "*"},
		{"SdkAppid twice", "POST", "/chat", "SdkAppid=1400000001&" + open, good, 403, "*"},
		{"unsigned", "POST", "/chat", "SdkAppid=1400000000" + command, good, 401, "*"},
		{"signed by another token", "POST", "/chat", signed("no-token", now), good, 401, "*"},
		{"signed too long ago", "POST", "/chat", signed("new-token", now.Add(-70*time.Second)), good, 401, "*"},
		{"signed in the future", "POST", "/chat", signed("new-token", now.Add(90*time.Second)), good, 401, "*"},
		{"Sign twice", "POST", "/chat", signed("new-token", now) + "&Sign=0", good, 401, "*"},
		{"another command", "POST", "/chat", "SdkAppid=1400000001&CallbackCommand=Sns.CallbackFriendAdd", "not even JSON", 200, "ignored"},
		{"another command in the body alone", "POST", "/chat", "SdkAppid=1400000001", `{"CallbackCommand":"Sns.CallbackFriendAdd","PairList":[]}`, 200, "ignored"},
		{"too large", "POST", "/chat", open, `{"x":"` + strings.Repeat("y", 5000) + `"}`, 413, "*"},
		{"not JSON", "POST", "/chat", open, "hello", 400, "*"},
		{"trailing data", "POST", "/chat", open, good + "{}", 400, "*"},
		{"nested too deep", "POST", "/chat", open, `{"x":` + strings.Repeat("[", 70) + strings.Repeat("]", 70) + "," + good[1:], 400, "*"},
		{"bad UTF-8", "POST", "/chat", open, strings.Replace(good, `"a"`, "\"\xff\"", 1), 400, "*"},
		{"a lone surrogate", "POST", "/chat", open, strings.Replace(good, `"a"`, `"\ud800"`, 1), 400, "*"},
		{"a repeated key", "POST", "/chat", open, `{"PairList":[],` + good[1:], 400, "*"},
		{"another command inside", "POST", "/chat", open, strings.Replace(good, "FriendDelete", "FriendAdd", 1), 400, "*"},
		{"no PairList", "POST", "/chat", open, `{"CallbackCommand":"Sns.CallbackFriendDelete"}`, 400, "*"},
		{"an empty account", "POST", "/chat", open, strings.Replace(good, `"a"`, `""`, 1), 400, "*"},
		{"keys in another case", "POST", "/chat", open, strings.Replace(good, "From_Account", "from_account", 1), 400, "*"},
	}
	base := strings.TrimSuffix(s.Callback, "/chat")
	var refused, quarantined uint64
	texts := map[string]bool{} // of all 401s
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			req, err := http.NewRequestWithContext(t.Context(), c.method, base+c.path+"?"+c.query, strings.NewReader(c.body))
			if err != nil {
				t.Fatal(err)
			}
			resp, err := http.DefaultClient.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			body, err := io.ReadAll(resp.Body)
			if err != nil {
				t.Fatal(err)
			}
			status, code := "FAIL", 1
			if c.code == 200 {
				status, code = "OK", 0
			}
			prefix := fmt.Sprintf(`{"ActionStatus":%q,"ErrorCode":%d,"ErrorInfo":"`, status, code)
			info, whole := strings.CutPrefix(strings.TrimSuffix(string(body), `"}`), prefix)
			if resp.StatusCode != c.code || !whole || c.info != "*" && info != c.info || c.info == "*" && info == "" {
				t.Errorf("got %d %s", resp.StatusCode, body)
			}
			if c.code == 401 {
				texts[info] = true
			}
		})
		if c.code != 200 {
			refused++
		}
		if c.code == 400 {
			quarantined++
		}
	}
	if len(texts) != 1 {
		t.Errorf("the 401s can be told apart: %v", texts)
	}
	eventually(t, "the counts to say so", func() bool {
		n := s.Status().Counts
		return n.Callbacks == 6 && n.Refused == refused && n.Quarantined == quarantined
	})

	// SIGHUP takes over a rotated token: the variables of a running process are as they were, so a file is used.
	write(t, dir, "token", "rotated-token\n")
	write(t, dir, "aftermath.yaml", strings.Replace(read(t, dir, "aftermath.yaml"), "${env:OLD_TOKEN}", "${file:token}", 1))
	s.Signal(syscall.SIGHUP)
	eventually(t, "the rotated token to be taken", func() bool {
		code, _, err := s.Post(signed("rotated-token", time.Now()), good)
		return err == nil && code == 200
	})
	if code, _, err := s.Post(signed("old-token", time.Now()), good); code != 401 || err != nil {
		t.Errorf("the old token still holds: %d %v", code, err)
	}
	write(t, dir, "token", "rotated-again\n")
	eventually(t, "a change of the secret's file to be taken", func() bool {
		code, _, err := s.Post(signed("rotated-again", time.Now()), good)
		return err == nil && code == 200
	})
}

func read(t *testing.T, dir, name string) string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(dir, name))
	must(t, err)
	return string(data)
}

// A callback that comes again is answered OK and handled once, over a restart too.
func TestRepeatsOverARestart(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "aftermath.yaml", config(""))
	write(t, dir, "rules/a.yaml", ruleNamed("all"))
	const query = "SdkAppid=1400000000&CallbackCommand=Sns.CallbackFriendDelete&RequestId=2ea4e023-2859-4512-b629-3089f77dff70"
	s := start(t, dir)
	again := func(body string) {
		t.Helper()
		if code, answer, err := s.Post(query, body); code != 200 || answer != answerOK || err != nil {
			t.Fatalf("%d %s %v", code, answer, err)
		}
	}
	again(packet("a", "b"))
	again(packet("a", "b"))
	// What is not recorded yet when the process dies is delivered again, under the same id: that is another test's.
	eventually(t, "the delivery to be recorded", func() bool { return s.Status().Counts.Deliveries.Done == 1 })
	s.Kill()
	s = start(t, dir)
	again(packet("a", "b"))
	again(packet("a", "c")) // the same RequestId, but another body
	eventually(t, "two callbacks and two repeats", func() bool {
		c := s.Status().Counts
		return c.Callbacks == 2 && c.Repeats == 2 && c.Deliveries.Done == 2
	})
	var listed struct {
		Callbacks []struct{ Pairs []map[string]string }
	}
	if code, text := s.Call("GET", "callbacks", "", &listed); code != 200 || len(listed.Callbacks) != 2 || listed.Callbacks[0].Pairs[0]["To_Account"] != "c" {
		t.Errorf("%d callbacks are listed: %d %s", len(listed.Callbacks), code, text)
	}
	if lines := jsonLines(t, filepath.Join(dir, "seen.jsonl")); len(lines) != 2 {
		t.Errorf("%d deliveries: %v", len(lines), lines)
	}
}

// HTTPS with a client certificate required: without one, or with another CA's, the handshake fails; without the CA, serve does
// not start.
func TestMutualTLS(t *testing.T) {
	dir := t.TempDir()
	ca, stranger := tlstest.NewAuthority(t, dir, "ca"), tlstest.NewAuthority(t, dir, "stranger")
	ca.Issue(t, "server")
	ca.Issue(t, "client")
	stranger.Issue(t, "other")
	write(t, dir, "aftermath.yaml", strings.Replace(config(""), "apps:", "tls: {cert: server.pem, key: server.key, client_ca: ca.pem}, apps:", 1))
	write(t, dir, "rules/a.yaml", "rules: []\n")
	s := start(t, dir)
	if !strings.HasPrefix(s.Callback, "https://") {
		t.Fatalf("it listens on %s", s.Callback)
	}
	post := func(client string) (int, error) {
		conf := &tls.Config{RootCAs: ca.Pool()}
		if client != "" {
			pair, err := tls.LoadX509KeyPair(filepath.Join(dir, client+".pem"), filepath.Join(dir, client+".key"))
			must(t, err)
			// It is presented whatever CA the server asks for.
			conf.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &pair, nil }
		}
		transport := &http.Transport{TLSClientConfig: conf}
		defer transport.CloseIdleConnections()
		req, err := http.NewRequestWithContext(t.Context(), "POST", s.Callback+"?SdkAppid=1400000000&CallbackCommand=Sns.CallbackFriendDelete", strings.NewReader(packet("a", "b")))
		must(t, err)
		resp, err := transport.RoundTrip(req)
		if err != nil {
			return 0, err
		}
		defer resp.Body.Close()
		return resp.StatusCode, nil
	}
	if code, err := post("client"); code != 200 || err != nil {
		t.Errorf("with the client's certificate: %d %v", code, err)
	}
	if code, err := post(""); err == nil {
		t.Errorf("without a certificate: answered %d", code)
	}
	if code, err := post("other"); err == nil {
		t.Errorf("with another CA's certificate: answered %d", code)
	}
	s.Stop()
	must(t, os.Remove(filepath.Join(dir, "ca.pem")))
	if closed := launch(t, dir, nil); closed.Exit() != 1 || !strings.Contains(closed.Log(), "ca.pem") {
		t.Errorf("without the CA: %s", closed.Log())
	}
}
