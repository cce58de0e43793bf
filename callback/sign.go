package callback

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"time"
)

// Sign gives the Sign of a request: the lower-case hex of SHA-256 over the token and RequestTime (Unix seconds, as it stands in
// the URL), written one after the other.
func Sign(token, requestTime string) string {
	sum := signature(token, requestTime)
	return string(sum[:])
}

func signature(token, requestTime string) (sum [2 * sha256.Size]byte) {
	var room [maxToken + 20]byte // tokens are ASCII, or nearly always
	digest := sha256.Sum256(append(append(room[:0], token...), requestTime...))
	hex.Encode(sum[:], digest[:])
	return sum
}

// signed reports whether one of the tokens made Sign. It compares with all of them, each in constant time, so that how long it
// takes tells nothing about any.
func (q *query) signed(tokens []string) bool {
	if q.sign.count != 1 || q.requestTime.count != 1 {
		return false
	}
	match := 0
	for _, token := range tokens {
		sum := signature(token, q.requestTime.last)
		match |= subtle.ConstantTimeCompare(sum[:], []byte(q.sign.last))
	}
	return match == 1
}

// fresh reports whether RequestTime is at most maxAge from now, in whole seconds, which is what it counts.
func (q *query) fresh(now time.Time, maxAge time.Duration) bool {
	t, ok := q.requestTime.number()
	if !ok {
		return false
	}
	away := now.Unix() - t
	if away < 0 {
		away = -away
	}
	return away <= int64(maxAge/time.Second)
}
