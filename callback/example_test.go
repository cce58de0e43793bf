package callback_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"time"

	"github.com/aftermath-rules/aftermath/callback"
)

// Reading one request in a handler of one's own.
func Example() {
	verifier, err := callback.NewVerifier([]callback.App{{SdkAppid: 1400000000, Tokens: []string{"xxxxyyyy"}}}, callback.VerifierOptions{
		Now: func() time.Time { return time.Unix(1669872112, 0) }, // leave it out, but in examples
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	read := func(sign string) {
		r := httptest.NewRequest(http.MethodPost,
			"/?SdkAppid=1400000000&CallbackCommand=Sns.CallbackFriendDelete&OptPlatform=iOS&RequestTime=1669872112&Sign="+sign,
			strings.NewReader(`{"CallbackCommand":"Sns.CallbackFriendDelete","PairList":[
				{"From_Account":"211172","To_Account":"425214"},
				{"From_Account":"425214","To_Account":"211172"}]}`))
		c, err := verifier.Read(r)
		if refused := new(callback.Error); errors.As(err, &refused) {
			fmt.Println(refused.Status, refused.Text)
			return
		}
		for i, p := range c.Pairs {
			fmt.Println(c.OptPlatform, p.From, "lost", p.To, "mutual:", c.Mutual(i))
		}
	}
	read(callback.Sign("xxxxyyyy", "1669872112"))
	read(callback.Sign("guessed", "1669872112"))
	// Output:
	// iOS 211172 lost 425214 mutual: true
	// iOS 425214 lost 211172 mutual: true
	// 401 Sign or RequestTime is missing, wrong or expired
}

// The whole endpoint, as it would be served by callback.NewServer.
func ExampleNewHandler() {
	verifier, err := callback.NewVerifier([]callback.App{{SdkAppid: 1400000000}}, callback.VerifierOptions{Path: "/chat"})
	if err != nil {
		fmt.Println(err)
		return
	}
	accept := func(ctx context.Context, c *callback.Callback) error {
		fmt.Println("stored:", len(c.Pairs), "pairs") // on stable storage, before ctx ends
		return nil
	}
	h := callback.NewHandler(verifier, accept, callback.HandlerOptions{})

	for _, body := range []string{`{"PairList":[{"From_Account":"a","To_Account":"b"}]}`, `{"PairList":[{"From_Account":"a"}]}`} {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest(http.MethodPost, "/chat?SdkAppid=1400000000&CallbackCommand=Sns.CallbackFriendDelete", strings.NewReader(body)))
		fmt.Println(w.Code, w.Body)
	}
	// Output:
	// stored: 1 pairs
	// 200 {"ActionStatus":"OK","ErrorCode":0,"ErrorInfo":""}
	// 400 {"ActionStatus":"FAIL","ErrorCode":1,"ErrorInfo":"PairList[0].To_Account (at byte 13) is missing"}
}
