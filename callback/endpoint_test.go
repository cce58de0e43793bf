package callback

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"
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
