package callback

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	appUnsigned = 1400000000
	appSigned   = 1400000001
)

// endpoint is a served Handler and what became of its requests.
type endpoint struct {
	addr     string
	server   *Server
	verifier *Verifier

	mu       sync.Mutex
	accepted []*Callback
	refused  []*Refused
	outcomes []Outcome
}

func serveEndpoint(t testing.TB, accept func(context.Context, *Callback) error, ho HandlerOptions, so ServerOptions) *endpoint {
	t.Helper()
	v, err := NewVerifier([]App{{SdkAppid: appUnsigned}, {SdkAppid: appSigned, Tokens: []string{"old", "new"}}}, VerifierOptions{Path: "/chat", MaxBody: 4096})
	if err != nil {
		t.Fatal(err)
	}
	e := &endpoint{verifier: v}
	if accept == nil {
		accept = func(_ context.Context, c *Callback) error {
			e.mu.Lock()
			defer e.mu.Unlock()
			e.accepted = append(e.accepted, c)
			return nil
		}
	}
	ho.Quarantine = func(_ context.Context, r *Refused) {
		e.mu.Lock()
		defer e.mu.Unlock()
		e.refused = append(e.refused, r)
	}
	ho.Observe = func(o Outcome, took time.Duration) {
		e.mu.Lock()
		defer e.mu.Unlock()
		e.outcomes = append(e.outcomes, o)
	}
	e.serve(t, NewHandler(v, accept, ho), so)
	return e
}

func (e *endpoint) serve(t testing.TB, h http.Handler, so ServerOptions) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	e.addr = ln.Addr().String()
	e.server = NewServer(h, so)
	served := make(chan error, 1)
	go func() { served <- e.server.Serve(ln) }()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		if err := e.server.Shutdown(ctx); err != nil {
			t.Errorf("Shutdown: %v", err)
		}
		if err := <-served; err != nil {
			t.Errorf("Serve: %v", err)
		}
	})
}

// eventually waits until ok says so.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%s: not within 30 s", what)
		}
	}
}

func (e *endpoint) outcome(t testing.TB, want ...Outcome) {
	t.Helper()
	eventually(t, fmt.Sprint(want), func() bool {
		e.mu.Lock()
		defer e.mu.Unlock()
		return fmt.Sprint(e.outcomes) == fmt.Sprint(want)
	})
}

// exchange sends raw bytes over a connection of its own and gives the answer.
func (e *endpoint) exchange(t testing.TB, request string) (*http.Response, string) {
	t.Helper()
	conn, err := net.Dial("tcp", e.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(conn, request); err != nil {
		t.Fatal(err)
	}
	return answerOf(t, bufio.NewReader(conn))
}

func answerOf(t testing.TB, r *bufio.Reader) (*http.Response, string) {
	t.Helper()
	res, err := http.ReadResponse(r, nil)
	if err != nil {
		t.Fatalf("no answer: %v", err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res, string(body)
}

func post(target, body string) string {
	return fmt.Sprintf("POST %s HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s", target, len(body), body)
}

func signedAt(token string, at time.Time) string {
	s := strconv.FormatInt(at.Unix(), 10)
	return "&RequestTime=" + s + "&Sign=" + Sign(token, s)
}

const (
	fail401 = `{"ActionStatus":"FAIL","ErrorCode":1,"ErrorInfo":"Sign or RequestTime is missing, wrong or expired"}`
	fail403 = `{"ActionStatus":"FAIL","ErrorCode":1,"ErrorInfo":"SdkAppid is missing or not one that is accepted here"}`
	skipped = `{"ActionStatus":"OK","ErrorCode":0,"ErrorInfo":"ignored"}`
)

// Every row of the endpoint's table but those of TLS and of what cannot be stored.
func TestEndpoint(t *testing.T) {
	const (
		plain  = "/chat?SdkAppid=1400000000&CallbackCommand=" + Command
		signed = "/chat?SdkAppid=1400000001&CallbackCommand=" + Command
	)
	now := time.Now()
	packet := packetOf(pairOf("a", "b"))
	long := `{"x":"` + strings.Repeat("x", 5000) + `"}`
	// unsent is a request whose body never comes: it is refused without it.
	unsent := func(target string) string {
		return "POST " + target + " HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n"
	}
	chunked := func(target, body string) string {
		return fmt.Sprintf("POST %s HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n", target, len(body), body)
	}
	at := strconv.FormatInt(now.Unix(), 10)
	sign := Sign("new", at)

	for _, tt := range []struct {
		name, request string
		status        int
		outcome       Outcome
		body          string // "" for any
	}{
		{"another path", unsent("/?SdkAppid=1400000000"), 404, NotFound, `{"ActionStatus":"FAIL","ErrorCode":1,"ErrorInfo":"there is no callback endpoint at this path"}`},
		{"path below", unsent("/chat/?SdkAppid=1400000000"), 404, NotFound, ""},
		{"another path, not POST", "GET / HTTP/1.1\r\nHost: x\r\n\r\n", 404, NotFound, ""},
		{"OPTIONS of the server", "OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n", 404, NotFound, ""},
		{"GET", "GET " + plain + " HTTP/1.1\r\nHost: x\r\n\r\n", 405, MethodNotAllowed, `{"ActionStatus":"FAIL","ErrorCode":1,"ErrorInfo":"a callback is sent with POST"}`},
		{"PUT", "PUT " + plain + " HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n", 405, MethodNotAllowed, ""},

		{"SdkAppid missing", unsent("/chat?CallbackCommand=" + Command), 403, Forbidden, fail403},
		{"SdkAppid wrong", unsent("/chat?SdkAppid=1400000002"), 403, Forbidden, fail403},
		{"SdkAppid empty", unsent("/chat?SdkAppid="), 403, Forbidden, fail403},
		{"SdkAppid repeated", unsent(plain + "&SdkAppid=1400000000"), 403, Forbidden, fail403},
		{"SdkAppid repeated under an escape", unsent(plain + "&SdkAppi%64=1400000000"), 403, Forbidden, fail403},
		{"SdkAppid with a plus", unsent("/chat?SdkAppid=%2B1400000000"), 403, Forbidden, fail403},
		{"SdkAppid with a space", unsent("/chat?SdkAppid=+1400000000"), 403, Forbidden, fail403},
		{"SdkAppid with leading zero", unsent("/chat?SdkAppid=01400000000"), 403, Forbidden, fail403},
		{"SdkAppid in hex", unsent("/chat?SdkAppid=0x53724e00"), 403, Forbidden, fail403},
		{"SdkAppid and a semicolon", unsent("/chat?SdkAppid=1400000000;x=1"), 403, Forbidden, fail403},
		{"SdkAppid with a broken escape", unsent("/chat?SdkAppid=1400000000%"), 403, Forbidden, fail403},
		{"SdkAppid overflowing", unsent("/chat?SdkAppid=18446744075109551616"), 403, Forbidden, fail403},
		{"SdkAppid in another case", unsent("/chat?sdkappid=1400000000"), 403, Forbidden, fail403},

		{"Sign and RequestTime missing", unsent(signed), 401, Unauthorized, fail401},
		{"Sign missing", unsent(signed + "&RequestTime=" + at), 401, Unauthorized, fail401},
		{"Sign wrong", unsent(signed + "&RequestTime=" + at + "&Sign=" + Sign("other", at)), 401, Unauthorized, fail401},
		{"Sign in upper case", unsent(signed + "&RequestTime=" + at + "&Sign=" + strings.ToUpper(sign)), 401, Unauthorized, fail401},
		{"Sign cut", unsent(signed + "&RequestTime=" + at + "&Sign=" + sign[:63]), 401, Unauthorized, fail401},
		{"Sign empty", unsent(signed + "&RequestTime=" + at + "&Sign="), 401, Unauthorized, fail401},
		{"Sign repeated", unsent(signed + signedAt("new", now) + "&Sign=" + sign), 401, Unauthorized, fail401},
		{"RequestTime repeated", unsent(signed + signedAt("new", now) + "&RequestTime=" + at), 401, Unauthorized, fail401},
		{"RequestTime missing", unsent(signed + "&Sign=" + Sign("new", "")), 401, Unauthorized, fail401},
		{"RequestTime no number", unsent(signed + "&RequestTime=x" + at + "&Sign=" + Sign("new", "x"+at)), 401, Unauthorized, fail401},
		{"RequestTime expired", unsent(signed + signedAt("new", now.Add(-62*time.Second))), 401, Unauthorized, fail401},
		{"RequestTime to come", unsent(signed + signedAt("new", now.Add(80*time.Second))), 401, Unauthorized, fail401},

		{"another command in the URL", unsent("/chat?SdkAppid=1400000000&CallbackCommand=Sns.CallbackFriendAdd"), 200, Ignored, skipped},
		{"another command in the URL, unsigned", unsent("/chat?SdkAppid=1400000001&CallbackCommand=Sns.CallbackFriendAdd"), 401, Unauthorized, fail401},
		{"another command in the body", post("/chat?SdkAppid=1400000000", `{"CallbackCommand":"Sns.CallbackFriendAdd"}`), 200, Ignored, skipped},

		{"too long by Content-Length", "POST " + plain + " HTTP/1.1\r\nHost: x\r\nContent-Length: 4097\r\nExpect: 100-continue\r\n\r\n", 413, TooLarge, `{"ActionStatus":"FAIL","ErrorCode":1,"ErrorInfo":"the body is longer than 4096 bytes"}`},
		{"too long and sent", post(plain, long), 413, TooLarge, ""},
		{"too long and chunked", chunked(plain, long), 413, TooLarge, ""},

		{"no JSON", post(plain, "x"), 400, BadRequest, `{"ActionStatus":"FAIL","ErrorCode":1,"ErrorInfo":"the packet (at byte 0) is no JSON object"}`},
		{"compressed", strings.Replace(post(plain, "\x1f\x8b\x08"), "Host", "Content-Encoding: gzip\r\nHost", 1), 400, BadRequest, `{"ActionStatus":"FAIL","ErrorCode":1,"ErrorInfo":"the packet (at byte 0) is no JSON object; it came with a Content-Encoding, and is read as it came"}`},
		{"no body", post(plain, ""), 400, BadRequest, ""},
		{"empty account", post(plain, packetOf(pairOf("a", ""))), 400, BadRequest, `{"ActionStatus":"FAIL","ErrorCode":1,"ErrorInfo":"PairList[0].To_Account (at byte 91) is empty"}`},
		{"no command anywhere", post("/chat?SdkAppid=1400000000", `{"PairList":[]}`), 400, BadRequest, `{"ActionStatus":"FAIL","ErrorCode":1,"ErrorInfo":"CallbackCommand (at byte 0) is missing, here and in the URL"}`},
		{"two commands in the URL", post(plain+"&CallbackCommand=x", packet), 400, BadRequest, `{"ActionStatus":"FAIL","ErrorCode":1,"ErrorInfo":"CallbackCommand stands more than once in the URL, with different values"}`},
		{"broken chunks", "POST " + plain + " HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", 400, Incomplete, `{"ActionStatus":"FAIL","ErrorCode":1,"ErrorInfo":"the body did not arrive whole"}`},

		{"empty PairList", post(plain, packetOf("")), 200, Empty, okBody},
		{"stored", post(plain, packet), 200, OK, okBody},
		{"stored, chunked", chunked(plain, packet), 200, OK, okBody},
		{"stored, the command in the body", post("/chat?SdkAppid=1400000000", packet), 200, OK, okBody},
		{"stored, signed with the old token", post(signed+signedAt("old", now), packet), 200, OK, okBody},
		{"stored, signed with the new token", post(signed+signedAt("new", now), packet), 200, OK, okBody},
		{"stored, signed 50 s ago", post(signed+signedAt("new", now.Add(-50*time.Second)), packet), 200, OK, okBody},
		{"stored, signed where nothing need be", post(plain+"&Sign=x&Sign=y&RequestTime=x", packet), 200, OK, okBody},
		{"stored, with strange parameters", post("/chat?own=1;2&own=%zz&%&=&a=b=c&"+plain[len("/chat?"):]+"&new=1", packet), 200, OK, okBody},
		{"stored, escaped path", post("/%63hat"+plain[len("/chat"):], packet), 200, OK, okBody},
	} {
		t.Run(tt.name, func(t *testing.T) {
			e := serveEndpoint(t, nil, HandlerOptions{}, ServerOptions{})
			res, body := e.exchange(t, tt.request)
			if res.StatusCode != tt.status || tt.body != "" && body != tt.body {
				t.Errorf("answer = %d %s\n  want = %d %s", res.StatusCode, body, tt.status, tt.body)
			}
			if got := res.Header.Get("Content-Type"); got != "application/json" {
				t.Errorf("Content-Type = %q", got)
			}
			if got := res.Header.Get("Allow"); (got == "POST") != (tt.status == 405) {
				t.Errorf("Allow = %q", got)
			}
			e.outcome(t, tt.outcome)
			if want := tt.outcome == OK; (len(e.accepted) == 1) != want {
				t.Errorf("accepted %d callbacks", len(e.accepted))
			}
			if want := tt.outcome == BadRequest; (len(e.refused) == 1) != want {
				t.Errorf("quarantined %d packets", len(e.refused))
			}
		})
	}
}

func TestQuarantineGetsTheRawPacket(t *testing.T) {
	e := serveEndpoint(t, nil, HandlerOptions{}, ServerOptions{})
	body := packetOf(pairOf("a", "b")) + "\xff"
	query := "SdkAppid=1400000000&x=%zz"
	e.exchange(t, post("/chat?"+query, body))
	e.outcome(t, BadRequest)
	r := e.refused[0]
	if r.Query != query || string(r.Body) != body || r.Err.Error() != "the packet (at byte 97) goes on after the JSON object" || time.Since(r.Received) > time.Minute {
		t.Errorf("quarantined = %+v", r)
	}
}

func TestNotStored(t *testing.T) {
	const wait = 200 * time.Millisecond
	full := func(ctx context.Context, c *Callback) error {
		<-ctx.Done()
		return errors.New("the disk /secret is full")
	}
	request := post("/chat?SdkAppid=1400000000", packetOf(pairOf("a", "b")))

	t.Run("503 after wait", func(t *testing.T) {
		e := serveEndpoint(t, full, HandlerOptions{Wait: wait, RetryAfter: 1500 * time.Millisecond}, ServerOptions{})
		start := time.Now()
		res, body := e.exchange(t, request)
		if res.StatusCode != 503 || res.Header.Get("Retry-After") != "2" || strings.Contains(body, "secret") || !strings.Contains(body, `"FAIL","ErrorCode":1`) {
			t.Errorf("answer = %d %v %s", res.StatusCode, res.Header, body)
		}
		if took := time.Since(start); took < wait {
			t.Errorf("it took %v", took)
		}
		e.outcome(t, Unavailable)
	})

	t.Run("unanswered where the sender retries", func(t *testing.T) {
		e := serveEndpoint(t, full, HandlerOptions{Wait: wait, SenderRetries: true}, ServerOptions{})
		conn, err := net.Dial("tcp", e.addr)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		start := time.Now()
		if _, err := io.WriteString(conn, request); err != nil {
			t.Fatal(err)
		}
		answer, err := io.ReadAll(conn)
		if took := time.Since(start); len(answer) != 0 || took < unansweredFor-100*time.Millisecond {
			t.Errorf("after %v: %q, %v", took, answer, err)
		}
		e.outcome(t, Unanswered)
	})

	t.Run("unanswered only until the sender hangs up", func(t *testing.T) {
		e := serveEndpoint(t, full, HandlerOptions{Wait: wait, SenderRetries: true}, ServerOptions{})
		conn, err := net.Dial("tcp", e.addr)
		if err != nil {
			t.Fatal(err)
		}
		start := time.Now()
		if _, err := io.WriteString(conn, request); err != nil {
			t.Fatal(err)
		}
		time.Sleep(wait + 100*time.Millisecond) // a sender hangs up later than that
		conn.Close()
		e.outcome(t, Unanswered)
		if took := time.Since(start); took > unansweredFor-time.Second/2 {
			t.Errorf("its place was taken for %v", took)
		}
	})

	t.Run("503 where too many are unanswered", func(t *testing.T) {
		e := &endpoint{}
		v, err := NewVerifier([]App{{SdkAppid: appUnsigned}}, VerifierOptions{Path: "/chat"})
		if err != nil {
			t.Fatal(err)
		}
		h := NewHandler(v, full, HandlerOptions{Wait: wait, SenderRetries: true})
		for range maxUnanswered {
			h.unanswered <- struct{}{}
		}
		e.serve(t, h, ServerOptions{})
		if res, _ := e.exchange(t, request); res.StatusCode != 503 {
			t.Errorf("status = %d", res.StatusCode)
		}
	})

	t.Run("503 where too many bytes are held", func(t *testing.T) {
		entered := make(chan struct{})
		once := sync.OnceFunc(func() { close(entered) })
		stuck := func(ctx context.Context, c *Callback) error {
			once()
			<-ctx.Done()
			return ctx.Err()
		}
		e := serveEndpoint(t, stuck, HandlerOptions{Wait: time.Second, MaxHeld: 1}, ServerOptions{}) // room for one body of the longest
		large := packetOf(pairOf(strings.Repeat("a", 3000), "b"))
		done := make(chan struct{})
		go func() {
			defer close(done)
			conn, err := net.Dial("tcp", e.addr)
			if err != nil {
				return
			}
			defer conn.Close()
			_, _ = io.WriteString(conn, post("/chat?SdkAppid=1400000000", large))
			_, _ = http.ReadResponse(bufio.NewReader(conn), nil)
		}()
		<-entered
		start := time.Now()
		res, _ := e.exchange(t, strings.Replace(post("/chat?SdkAppid=1400000000", large), "Content-Length", "Connection: close\r\nContent-Length", 1))
		if took := time.Since(start); res.StatusCode != 503 || took < 500*time.Millisecond {
			t.Errorf("status = %d after %v", res.StatusCode, took)
		}
		<-done
	})

	t.Run("usual callbacks pass by bodies that are announced and not sent", func(t *testing.T) {
		e := serveEndpoint(t, func(context.Context, *Callback) error { return nil }, HandlerOptions{Wait: 3 * time.Second, MaxHeld: 1}, ServerOptions{})
		conn, err := net.Dial("tcp", e.addr)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		// The server says that it waits for the body: from then on that holds all there is.
		announced := strings.Replace(post("/chat?SdkAppid=1400000000", ""), "Content-Length: 0", "Expect: 100-continue\r\nContent-Length: 4096", 1)
		if _, err := io.WriteString(conn, announced); err != nil {
			t.Fatal(err)
		}
		if line, err := bufio.NewReader(conn).ReadString('\n'); err != nil || !strings.Contains(line, "100 Continue") {
			t.Fatalf("got %q, %v", line, err)
		}
		if res, _ := e.exchange(t, request); res.StatusCode != 200 {
			t.Errorf("status = %d", res.StatusCode)
		}
	})

	t.Run("kept although the sender hung up", func(t *testing.T) {
		entered, gone := make(chan struct{}), make(chan struct{})
		result := make(chan error, 1)
		e := serveEndpoint(t, func(ctx context.Context, c *Callback) error {
			close(entered)
			<-gone
			result <- ctx.Err()
			return nil
		}, HandlerOptions{}, ServerOptions{})
		conn, err := net.Dial("tcp", e.addr)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(conn, request); err != nil {
			t.Fatal(err)
		}
		<-entered
		conn.Close()
		close(gone)
		if err := <-result; err != nil {
			t.Errorf("the context of accept ended: %v", err)
		}
		e.outcome(t, OK)
	})
}

func TestWaitCountsFromTheFirstByte(t *testing.T) {
	t.Parallel()
	const wait, pause = 10 * time.Second, 2 * time.Second
	var left time.Duration
	e := serveEndpoint(t, func(ctx context.Context, c *Callback) error {
		deadline, _ := ctx.Deadline()
		left = time.Until(deadline)
		return nil
	}, HandlerOptions{Wait: wait}, ServerOptions{})
	conn, err := net.Dial("tcp", e.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	r := bufio.NewReader(conn)
	request := post("/chat?SdkAppid=1400000000", packetOf(pairOf("a", "b")))

	for _, tt := range []struct {
		name         string
		idle, header time.Duration // before the first byte, and between two halves of the header
	}{{"slow header", 0, pause}, {"idle before", pause, 0}, {"slow header again", 0, pause}} {
		<-time.After(tt.idle)
		_, _ = io.WriteString(conn, request[:10])
		<-time.After(tt.header)
		_, _ = io.WriteString(conn, request[10:])
		if res, _ := answerOf(t, r); res.StatusCode != 200 {
			t.Fatalf("status = %d", res.StatusCode)
		}
		if slow := tt.header > 0; (left < wait-pause*9/10) != slow {
			t.Errorf("%s: accept had %v of %v", tt.name, left, wait)
		}
	}
}

func TestExpectContinue(t *testing.T) {
	e := serveEndpoint(t, nil, HandlerOptions{}, ServerOptions{})
	packet := packetOf(pairOf("a", "b"))
	ask := func(app string) (net.Conn, *bufio.Reader) {
		conn, err := net.Dial("tcp", e.addr)
		if err != nil {
			t.Fatal(err)
		}
		_ = conn.SetDeadline(time.Now().Add(10 * time.Second))
		head, _, _ := strings.Cut(post("/chat?SdkAppid="+app, packet), "\r\n\r\n")
		_, _ = io.WriteString(conn, head+"\r\nExpect: 100-continue\r\n\r\n")
		return conn, bufio.NewReader(conn)
	}
	conn, r := ask("1400000000")
	defer conn.Close()
	if line, err := r.ReadString('\n'); line != "HTTP/1.1 100 Continue\r\n" {
		t.Fatalf("a sound head was met with %q, %v", line, err)
	}
	_, _ = r.ReadString('\n')
	_, _ = io.WriteString(conn, packet)
	if res, _ := answerOf(t, r); res.StatusCode != 200 {
		t.Errorf("status = %d, want 200", res.StatusCode)
	}

	conn, r = ask("7")
	defer conn.Close()
	if res, _ := answerOf(t, r); res.StatusCode != 403 || !res.Close {
		t.Errorf("a refused head was met with %d, close = %v", res.StatusCode, res.Close)
	}
}

// What is left of the body of a refused request must not become a request of its own.
func TestLateBodyIsNoRequest(t *testing.T) {
	e := serveEndpoint(t, nil, HandlerOptions{Wait: 50 * time.Millisecond}, ServerOptions{})
	conn, err := net.Dial("tcp", e.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(10 * time.Second))
	smuggled := post("/chat?SdkAppid=1400000000", packetOf(pairOf("a", "b")))
	_, _ = io.WriteString(conn, fmt.Sprintf("POST /chat?SdkAppid=7 HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n", len(smuggled)))
	r := bufio.NewReader(conn)
	if res, _ := answerOf(t, r); res.StatusCode != 403 {
		t.Fatalf("status = %d, want 403", res.StatusCode)
	}
	if _, err := r.ReadByte(); err != io.EOF {
		t.Fatalf("the connection was not closed: %v", err)
	}
	_, _ = io.WriteString(conn, smuggled)
	if answer, _ := io.ReadAll(r); len(answer) > 0 || len(e.accepted) > 0 {
		t.Errorf("the late body was answered: %q", answer)
	}
}

func TestSlowBody(t *testing.T) {
	e := serveEndpoint(t, nil, HandlerOptions{Wait: 50 * time.Millisecond}, ServerOptions{})
	res, body := e.exchange(t, "POST /chat?SdkAppid=1400000000 HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{")
	if res.StatusCode != 408 || !res.Close || !strings.Contains(body, "did not arrive in time") {
		t.Errorf("answer = %d %s", res.StatusCode, body)
	}
	e.outcome(t, Incomplete)
}

func TestRefusalKeepsTheConnection(t *testing.T) {
	e := serveEndpoint(t, nil, HandlerOptions{}, ServerOptions{})
	conn, err := net.Dial("tcp", e.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(5 * time.Second))
	r := bufio.NewReader(conn)
	packet := packetOf(pairOf("a", "b"))
	_, _ = io.WriteString(conn, post("/chat?SdkAppid=7", packet)+post("/chat?SdkAppid=1400000000", packet))
	if res, _ := answerOf(t, r); res.StatusCode != 403 {
		t.Errorf("status = %d, want 403", res.StatusCode)
	}
	if res, _ := answerOf(t, r); res.StatusCode != 200 {
		t.Errorf("status of the next on the connection = %d, want 200", res.StatusCode)
	}
}

// A client that sends all of its body before it listens still hears that it was too long.
func TestTooLargeIsHeard(t *testing.T) {
	e := serveEndpoint(t, nil, HandlerOptions{}, ServerOptions{})
	res, _ := e.exchange(t, post("/chat?SdkAppid=1400000000", strings.Repeat("x", 4<<20)))
	if res.StatusCode != 413 || !res.Close {
		t.Errorf("answer = %d, close = %v", res.StatusCode, res.Close)
	}
}

func TestSetApps(t *testing.T) {
	e := serveEndpoint(t, nil, HandlerOptions{}, ServerOptions{})
	request := post("/chat?SdkAppid=7", packetOf(pairOf("a", "b")))
	if res, _ := e.exchange(t, request); res.StatusCode != 403 {
		t.Errorf("status = %d, want 403", res.StatusCode)
	}
	for name, apps := range map[string][]App{
		"none":        nil,
		"twice":       {{SdkAppid: 7}, {SdkAppid: 7}},
		"zero":        {{SdkAppid: 0}},
		"empty token": {{SdkAppid: 7, Tokens: []string{""}}},
		"long token":  {{SdkAppid: 7, Tokens: []string{strings.Repeat("x", 129)}}},
	} {
		if err := e.verifier.SetApps(apps); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	if res, _ := e.exchange(t, request); res.StatusCode != 403 {
		t.Errorf("status after refused apps = %d, want 403", res.StatusCode)
	}
	if err := e.verifier.SetApps([]App{{SdkAppid: 7, Tokens: []string{strings.Repeat("é", 128)}}}); err != nil {
		t.Errorf("128 characters: %v", err)
	}
	if err := e.verifier.SetApps([]App{{SdkAppid: 7}}); err != nil {
		t.Fatal(err)
	}
	if res, _ := e.exchange(t, request); res.StatusCode != 200 {
		t.Errorf("status = %d, want 200", res.StatusCode)
	}
	if err := e.verifier.SetApps([]App{{SdkAppid: math.MaxInt64}, {SdkAppid: math.MaxInt64 - 8}}); err != nil {
		t.Fatal(err)
	}
	for id, want := range map[string]int{
		"9223372036854775807": 200, "9223372036854775799": 200, "9223372036854775808": 403, "18446744073709551615": 403, "92233720368547758070": 403,
	} {
		if res, _ := e.exchange(t, post("/chat?SdkAppid="+id, packetOf(pairOf("a", "b")))); res.StatusCode != want {
			t.Errorf("SdkAppid=%s: status = %d, want %d", id, res.StatusCode, want)
		}
	}
}

func TestReadAlone(t *testing.T) {
	v, err := NewVerifier([]App{{SdkAppid: appUnsigned}}, VerifierOptions{})
	if err != nil {
		t.Fatal(err)
	}
	r, err := http.NewRequest(http.MethodPost, "http://x?SdkAppid=1400000000", io.MultiReader(bytes.NewReader([]byte(packetOf(pairOf("a", "b"))))))
	if err != nil {
		t.Fatal(err)
	}
	r.ContentLength = -1
	c, err := v.Read(r)
	if err != nil || len(c.Pairs) != 1 {
		t.Errorf("Read = %v, %v", c, err)
	}
	r.Body = http.MaxBytesReader(nil, io.NopCloser(strings.NewReader("{     }")), 3)
	var e *Error
	if _, err := v.Read(r); !errors.As(err, &e) || e.Status != 413 {
		t.Errorf("error above someone else's bound = %v, want a 413", err)
	}
}
