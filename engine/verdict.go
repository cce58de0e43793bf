package engine

import (
	"fmt"
	"slices"
	"time"

	"github.com/aftermath-rules/aftermath/actions"
)

// verdict is what becomes of a delivery after an attempt.
type verdict struct {
	outcome string    // OutcomeDone, OutcomeRetry or OutcomeDead
	next    time.Time // of OutcomeRetry: not before this
	why     string    // of OutcomeRetry and OutcomeDead: one line
}

// judge is the one place that says what an attempt's result and error mean. p.Attempt counts the attempt that ended; chance, in
// [0,1), spreads deliveries that failed together.
func judge(retry actions.Retry, p *Parked, res actions.Result, err error, now time.Time, chance float64) verdict {
	if err == nil {
		return verdict{outcome: OutcomeDone}
	}
	dead := func(format string, args ...any) verdict {
		why := err.Error()
		if format != "" {
			why += "; " + fmt.Sprintf(format, args...)
		}
		return verdict{outcome: OutcomeDead, why: why}
	}
	switch {
	case actions.IsPermanent(err):
		return dead("")
	case res.Code != 0 && slices.Contains(retry.Permanent, res.Code):
		return dead("code %d is permanent here", res.Code)
	case retry.MaxAttempts == 1 && p.Attempt == 1:
		return dead("gave up after 1 attempt")
	case retry.MaxAttempts > 0 && p.Attempt >= retry.MaxAttempts:
		return dead("gave up after %d attempts", p.Attempt)
	}
	next := now.Add(pause(retry, p.Attempt, err, chance))
	if next.After(p.First.Add(retry.For)) {
		return dead("gave up: no attempt may start later than %s after the first", retry.For)
	}
	return verdict{outcome: OutcomeRetry, next: next, why: err.Error()}
}

// pause is the wait after a failed attempt: what the receiver asked for, spread upwards by an eighth and at most a minute, whatever
// retry.max says; else min, doubled with each attempt up to max, spread downwards by a half.
func pause(retry actions.Retry, attempt int, err error, chance float64) time.Duration {
	if after, ok := actions.RetryAfterOf(err); ok && after > 0 {
		return after + time.Duration(chance*float64(min(after/8, time.Minute)))
	}
	wait := retry.Min
	for range attempt - 1 {
		if wait >= retry.Max {
			break
		}
		wait *= 2
	}
	wait = min(wait, retry.Max)
	return wait - time.Duration(chance*float64(wait/2))
}

// dueAfter rounds a time up so that deliveries that wait about as long fall due together and can be stored as one: to a power of
// two times 250 ms, at most a sixteenth of the wait where that is more, and at most 256 s.
func dueAfter(now, next time.Time) time.Time {
	grain := 250 * time.Millisecond
	for wait := min(next.Sub(now), 256*16*time.Second); 2*grain <= wait/16; {
		grain *= 2
	}
	if due := next.UTC().Truncate(grain); !due.Before(next) {
		return due
	}
	return next.UTC().Truncate(grain).Add(grain)
}
