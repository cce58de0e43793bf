package webhook

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/aftermath-rules/aftermath/actions"
)

// maxRetryAfter is the longest wait that a receiver may ask for.
const maxRetryAfter = 24 * time.Hour

// verdict is what a status says of the delivery: nil for done, a permanent error, or one that asks for another attempt.
func verdict(status int, header http.Header, now time.Time) error {
	if status >= 200 && status <= 299 {
		return nil
	}
	err := fmt.Errorf("the receiver answered %s", statusLine(status))
	if isPermanent(status) {
		return actions.Permanent(err)
	}
	if wait := retryAfter(header.Get("Retry-After"), now); wait > 0 {
		return actions.RetryAfter(err, wait)
	}
	return err
}

// isPermanent tells whether the same request would get the same answer: the receiver has understood it and wants none like it.
func isPermanent(status int) bool {
	switch status {
	case http.StatusBadRequest, http.StatusMethodNotAllowed, http.StatusGone, http.StatusRequestEntityTooLarge,
		http.StatusRequestURITooLong, http.StatusUnsupportedMediaType, http.StatusUnprocessableEntity,
		http.StatusRequestHeaderFieldsTooLarge:
		return true
	}
	return status >= 300 && status <= 399
}

// retryAfter reads a Retry-After header, seconds or a date (RFC 9110, 10.2.3): 0 for none, or one that makes no sense.
func retryAfter(value string, now time.Time) time.Duration {
	value = strings.TrimSpace(value)
	if value == "" {
		return 0
	}
	if strings.Trim(value, "0123456789") == "" {
		seconds, err := strconv.ParseInt(value, 10, 64)
		if err != nil || seconds > int64(maxRetryAfter/time.Second) { // too many digits are a long time, too
			return maxRetryAfter
		}
		return time.Duration(seconds) * time.Second
	}
	at, err := http.ParseTime(value)
	if err != nil {
		return 0
	}
	return min(max(at.Sub(now), 0), maxRetryAfter)
}

// statusLine writes a status as people know it, such as "204 No Content".
func statusLine(status int) string {
	return strings.TrimSpace(strconv.Itoa(status) + " " + http.StatusText(status))
}
