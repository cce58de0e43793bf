package engine

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aftermath-rules/aftermath/actions"
)

func TestJudge(t *testing.T) {
	now := time.Date(2026, 11, 22, 8, 0, 0, 0, time.UTC)
	down := errors.New("connection refused")
	day := actions.Retry{For: 72 * time.Hour, Min: time.Second, Max: time.Hour, Permanent: []int{403}}
	few := actions.Retry{For: 72 * time.Hour, Min: time.Second, Max: time.Hour, MaxAttempts: 3}
	short := actions.Retry{For: 10 * time.Second, Min: time.Second, Max: time.Hour}
	tests := []struct {
		name    string
		retry   actions.Retry
		attempt int
		since   time.Duration // the first attempt
		code    int
		err     error
		chance  float64
		outcome string
		wait    time.Duration
		why     string
	}{
		{"success", day, 1, 0, 200, nil, 0, OutcomeDone, 0, ""},
		{"success beyond the span", short, 9, time.Hour, 200, nil, 0, OutcomeDone, 0, ""},
		{"first failure", day, 1, 0, 500, down, 0, OutcomeRetry, time.Second, "connection refused"},
		{"first failure, spread", day, 1, 0, 500, down, 0.999999, OutcomeRetry, 500 * time.Millisecond, ""},
		{"fourth failure", day, 4, time.Minute, 500, down, 0, OutcomeRetry, 8 * time.Second, ""},
		{"hundredth failure", day, 100, time.Hour, 500, down, 0, OutcomeRetry, time.Hour, ""},
		{"last attempt", few, 3, time.Minute, 500, down, 0, OutcomeDead, 0, "connection refused; gave up after 3 attempts"},
		{"one before the last", few, 2, time.Minute, 500, down, 0, OutcomeRetry, 2 * time.Second, ""},
		{"span over", short, 4, 5 * time.Second, 500, down, 0, OutcomeDead, 0, "later than 10s after the first"},
		{"no span", actions.Retry{Min: time.Second, Max: time.Second}, 1, 0, 0, down, 0, OutcomeDead, 0, "later than 0s"},
		{"permanent", day, 1, 0, 400, actions.Permanent(down), 0, OutcomeDead, 0, "connection refused"},
		{"permanent inside another", day, 1, 0, 0, fmt.Errorf("to b: %w", actions.Permanent(down)), 0, OutcomeDead, 0, "to b: connection refused"},
		{"permanent code", day, 1, 0, 403, down, 0, OutcomeDead, 0, "code 403 is permanent here"},
		{"permanent code, but success", day, 1, 0, 403, nil, 0, OutcomeDone, 0, ""},
		{"no code", day, 1, 0, 0, down, 0, OutcomeRetry, time.Second, ""},
		{"retry after", day, 1, 0, 429, actions.RetryAfter(down, 90*time.Second), 0, OutcomeRetry, 90 * time.Second, ""},
		{"retry after, spread upwards", day, 1, 0, 429, actions.RetryAfter(down, 80*time.Second), 0.5, OutcomeRetry, 85 * time.Second, ""},
		{"retry after a day, spread by a minute", day, 1, 0, 429, actions.RetryAfter(down, 24*time.Hour), 0.5, OutcomeRetry, 24*time.Hour + 30*time.Second, ""},
		{"the only attempt", actions.Retry{For: time.Hour, Min: time.Second, Max: time.Second, MaxAttempts: 1}, 1, 0, 500, down, 0, OutcomeDead, 0, "gave up after 1 attempt"},
		{"retry after beyond retry.max", day, 1, 0, 429, actions.RetryAfter(down, 24*time.Hour), 0, OutcomeRetry, 24 * time.Hour, ""},
		{"retry after beyond 24 h", day, 1, 0, 429, actions.RetryAfter(down, 48*time.Hour), 0, OutcomeRetry, 24 * time.Hour, ""},
		{"retry after nothing", day, 2, 0, 429, actions.RetryAfter(down, 0), 0, OutcomeRetry, 2 * time.Second, ""},
		{"retry after beyond the span", short, 1, 0, 429, actions.RetryAfter(down, time.Minute), 0, OutcomeDead, 0, "later than 10s"},
		{"permanent wins over retry after", day, 1, 0, 429, actions.Permanent(actions.RetryAfter(down, time.Minute)), 0, OutcomeDead, 0, ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			p := &Parked{Attempt: test.attempt, First: now.Add(-test.since)}
			v := judge(test.retry, p, actions.Result{Code: test.code}, test.err, now, test.chance)
			if v.outcome != test.outcome || !strings.Contains(v.why, test.why) {
				t.Errorf("got %s (%s), want %s (%s)", v.outcome, v.why, test.outcome, test.why)
			}
			if test.outcome == OutcomeRetry {
				if got := v.next.Sub(now).Round(10 * time.Millisecond); got != test.wait {
					t.Errorf("it waits %s, want %s", got, test.wait)
				}
			}
		})
	}
}

func TestDueAfter(t *testing.T) {
	now := time.Date(2026, 11, 22, 8, 0, 0, 17, time.UTC)
	for _, wait := range []time.Duration{0, time.Millisecond, time.Second, 5 * time.Second, time.Minute, time.Hour, 24 * time.Hour} {
		due := dueAfter(now, now.Add(wait))
		late := due.Sub(now.Add(wait))
		if late < 0 || late > min(max(250*time.Millisecond, wait/16), 256*time.Second) {
			t.Errorf("after %s it falls due %s later", wait, late)
		}
		if other := dueAfter(now.Add(time.Millisecond), now.Add(wait+time.Millisecond)); wait > 0 && other.Sub(due) > max(250*time.Millisecond, wait/16) {
			t.Errorf("after %s: %s and %s", wait, due, other)
		}
	}
	bundles := make(map[time.Time]bool)
	for i := range 1000 { // failed within a second, and wait a minute
		at := now.Add(time.Duration(i) * time.Millisecond)
		bundles[dueAfter(at, at.Add(time.Minute))] = true
	}
	if len(bundles) > 2 {
		t.Errorf("a thousand deliveries fall due at %d times", len(bundles))
	}
}

func TestBreaker(t *testing.T) {
	now := time.Date(2026, 11, 22, 8, 0, 0, 0, time.UTC)
	var b breaker
	for range breakerFailures - 1 {
		b.failure(now)
	}
	b.success()
	for range breakerFailures - 1 {
		b.failure(now)
	}
	if b.open(now) {
		t.Fatal("it is open though a success came between")
	}
	b.failure(now)
	if !b.open(now) || b.limit(now) != 0 {
		t.Fatal("five failures in a row did not open it")
	}
	until := b.until
	b.failure(now)
	if b.until != until {
		t.Error("an attempt that was under way when it opened made it longer")
	}
	cool := until.Sub(now)
	for range 20 { // each probe fails
		now = b.until
		if b.limit(now) != 1 {
			t.Fatalf("%d attempts at once after the cool-down, want one", b.limit(now))
		}
		b.failure(now)
		if next := b.until.Sub(now); next < cool || next > breakerCoolMax {
			t.Fatalf("the cool-down went from %s to %s", cool, next)
		} else {
			cool = next
		}
	}
	if cool != breakerCoolMax {
		t.Errorf("the cool-down stopped at %s", cool)
	}
	now = b.until
	last := 1
	for b.state(now) != "closed" {
		b.success()
		if n := b.limit(now); n <= last {
			t.Fatalf("after a success %d attempts at once, before it %d", n, last)
		} else {
			last = n
		}
	}
}

// drainThrough lets so many deliveries, which fail a few times each and then succeed, through a breaker as a runner would, and gives how
// long that takes and how many attempts. Each attempt takes 10 ms.
func drainThrough(deliveries, fails, concurrency int, most time.Duration) (took time.Duration, attempts int) {
	const step = 10 * time.Millisecond
	start := time.Date(2026, 11, 22, 8, 0, 0, 0, time.UTC)
	var b breaker
	type one struct {
		due   time.Time
		tried int
	}
	waiting := make([]one, deliveries)
	for i := range waiting {
		waiting[i].due = start
	}
	now := start
	for turn := 0; len(waiting) > 0 && now.Sub(start) < most; now = now.Add(step) {
		if next := slices.MinFunc(waiting, func(x, y one) int { return x.due.Compare(y.due) }).due; next.After(now) {
			now = next
		}
		if turn++; turn%2 == 1 { // as takeBundle does
			slices.SortStableFunc(waiting, func(x, y one) int { return cmp.Compare(y.tried, x.tried) })
		}
		var left []one
		room := min(b.limit(now), concurrency)
		for _, d := range waiting {
			switch {
			case d.due.After(now):
			case b.open(now): // put off, as park does
				d.due = now.Add(now.Sub(b.since) / 2)
				if b.until.After(d.due) {
					d.due = b.until
				}
			case room > 0:
				room--
				attempts++
				if d.tried++; d.tried > fails {
					b.success()
					continue
				}
				b.failure(now)
				d.due = now.Add(time.Second << d.tried)
			}
			left = append(left, d)
		}
		waiting = left
	}
	return now.Sub(start), attempts
}

// A breaker does not starve a receiver that fails each delivery a few times: a thousand are through within minutes. One that is dead gets
// no more than a few attempts, and then probes.
func TestBreakerOfFailingDeliveries(t *testing.T) {
	for fails := 1; fails <= 3; fails++ {
		took, attempts := drainThrough(1000, fails, 8, time.Hour)
		t.Logf("a thousand deliveries that fail %d times: %s, %d attempts", fails, took, attempts)
		if took > 3*time.Minute {
			t.Errorf("a thousand deliveries that fail %d times take %s", fails, took)
		}
		if want := 1000 * (fails + 1); attempts != want {
			t.Errorf("a thousand deliveries that fail %d times: %d attempts, want %d", fails, attempts, want)
		}
	}
	if _, attempts := drainThrough(1000, 1000, 8, time.Hour); attempts > breakerFailures+8+int(time.Hour/breakerCoolMax) {
		t.Errorf("a dead receiver had %d attempts within an hour", attempts)
	}
}

// A receiver that turned out to be well again and again, and then is dead, is spared after a minute, and as any other after that.
func TestBreakerOfFlappingReceiver(t *testing.T) {
	now := time.Date(2026, 11, 22, 8, 0, 0, 0, time.UTC)
	var b breaker
	for range 20 { // openings that the first probe ends
		for !b.open(now) {
			b.failure(now)
		}
		now = b.until
		b.success()
	}
	if n := b.bears(); n != breakerBorneMost {
		t.Fatalf("it bears %d failures, want %d at last", n, breakerBorneMost)
	}
	for failed := 0; !b.open(now); failed++ {
		if now = now.Add(15 * time.Second); failed > 2*breakerFailures {
			t.Fatalf("it is not open after %d failures in four minutes", failed)
		}
		b.failure(now)
	}
	for b.cool < breakerCoolMax {
		now = b.until
		b.failure(now)
	}
	if b.bears() != breakerFailures {
		t.Errorf("it bears %d failures although the receiver is dead, want %d", b.bears(), breakerFailures)
	}
}
