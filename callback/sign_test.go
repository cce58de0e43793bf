package callback

import (
	"crypto/sha256"
	"fmt"
	"net/url"
	"strings"
	"testing"
	"time"
)

func TestSignVendorExample(t *testing.T) {
	const want = "17773bc39a671d7b9aa835458704d2a6db81360a5940292b587d6d760d484061"
	if got := Sign("xxxxyyyy", "1669872112"); got != want {
		t.Errorf("Sign = %s, want %s", got, want)
	}
}

func TestSignLongestToken(t *testing.T) {
	const at = "1669872112"
	for _, token := range []string{strings.Repeat("t", maxToken), strings.Repeat("é", maxToken)} {
		if got, want := Sign(token, at), fmt.Sprintf("%x", sha256.Sum256([]byte(token+at))); got != want {
			t.Errorf("Sign = %s, want %s", got, want)
		}
	}
}

func TestFresh(t *testing.T) {
	now := time.Unix(1669872112, 900_000_000)
	for at, want := range map[string]bool{
		"1669872112": true, "1669872052": true, "1669872172": true,
		"1669872051": false, "1669872173": false,
		"01669872112": false, "+1669872112": false, "-1": false, "": false, "1669872112.0": false, " 1669872112": false,
		"9223372036854775807": false, "99999999999999999999": false, "0": false, "１６６９８７２１１２": false,
	} {
		q := parseQuery("RequestTime=" + url.QueryEscape(at))
		if got := q.fresh(now, time.Minute); got != want {
			t.Errorf("RequestTime %q: fresh = %v, want %v", at, got, want)
		}
	}
}

// No query gets past the check unless it holds exactly one Sign and one RequestTime, and the Sign is a live token's.
func FuzzSign(f *testing.F) {
	f.Add("Sign=17773bc39a671d7b9aa835458704d2a6db81360a5940292b587d6d760d484061&RequestTime=1669872112")
	f.Add("RequestTime=1669872112&Sign=%3117773bc39a671d7b9aa835458704d2a6db81360a5940292b587d6d760d48406")
	f.Add("S%69gn=a&Sign=b&RequestTime=1;RequestTime=2")
	f.Add("Sign&RequestTime&%&%zz=%&+=+")
	tokens := []string{"other", "xxxxyyyy"}
	f.Fuzz(func(t *testing.T, raw string) {
		q := parseQuery(raw)
		if !q.signed(tokens) {
			return
		}
		if q.sign.count != 1 || q.requestTime.count != 1 {
			t.Errorf("%q: a repeated parameter was let through", raw)
		}
		sum := func(token string) string {
			return fmt.Sprintf("%x", sha256.Sum256([]byte(token+q.requestTime.last)))
		}
		if q.sign.last != sum(tokens[0]) && q.sign.last != sum(tokens[1]) {
			t.Errorf("%q: no token made this Sign", raw)
		}
	})
}
