package engine

import (
	"math"
	"time"
)

// A breaker spares a receiver that keeps failing: after so many failures in a row it is open for a cool-down, then lets one attempt
// through at a time until one succeeds. The cool-down grows with each failed probe. After a success the number of attempts at
// once grows again step by step. Where one of the first probes succeeds the receiver was not dead, but fails now and then, or each
// delivery a few times: then it bears twice as many failures as before, until a receiver is dead for long. It is guarded by its runner's
// lock.
type breaker struct {
	failures int           // in a row
	borne    int           // failures in a row that open it; 0: breakerFailures
	since    time.Time     // when the first of them was
	until    time.Time     // open until then, and probing from then on; zero: closed
	cool     time.Duration // of the last opening
	slow     int           // attempts at once while it starts slowly; 0: any number
}

const (
	breakerFailures  = 5
	breakerBorneMost = 1024        // failures in a row that open it at last
	breakerPatience  = time.Minute // after which the first few open it, however many it bears
	breakerCoolMin   = time.Second
	breakerCoolSoon  = 8 * time.Second // a probe that succeeds after no longer a cool-down is one of the first
	breakerCoolMax   = 30 * time.Second
	breakerSlowMax   = 64 // attempts at once from which the start is over
)

func (b *breaker) open(now time.Time) bool { return now.Before(b.until) }

// spares tells whether it is open, or what it lets through is but a probe.
func (b *breaker) spares() bool { return !b.until.IsZero() }

// limit is how many attempts the breaker lets run at once.
func (b *breaker) limit(now time.Time) int {
	switch {
	case b.open(now):
		return 0
	case !b.until.IsZero():
		return 1
	case b.slow > 0:
		return b.slow
	}
	return math.MaxInt
}

func (b *breaker) success() {
	b.failures = 0
	switch {
	case !b.until.IsZero():
		if b.cool <= breakerCoolSoon {
			b.borne, b.cool = min(2*b.bears(), breakerBorneMost), 0
		}
		b.until, b.slow = time.Time{}, 2
	case b.slow >= breakerSlowMax:
		b.slow, b.cool = 0, 0
	default:
		b.slow *= 2
	}
}

// failure counts a failure. One that comes while the breaker is open was under way before and says nothing new.
func (b *breaker) failure(now time.Time) {
	if b.failures++; b.failures == 1 {
		b.since = now
	}
	switch {
	case b.open(now):
	case !b.until.IsZero(), b.failures >= b.bears(), b.failures >= breakerFailures && now.Sub(b.since) >= breakerPatience:
		if b.cool = min(max(2*b.cool, breakerCoolMin), breakerCoolMax); b.cool == breakerCoolMax {
			b.borne = 0
		}
		b.until, b.slow = now.Add(b.cool), 0
	}
}

// bears is how many failures in a row open it.
func (b *breaker) bears() int { return max(b.borne, breakerFailures) }

// state names the breaker's state.
func (b *breaker) state(now time.Time) string {
	switch {
	case b.open(now):
		return "open"
	case !b.until.IsZero():
		return "probing"
	case b.slow > 0:
		return "slow start"
	}
	return "closed"
}
