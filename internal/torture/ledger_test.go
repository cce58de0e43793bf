package torture

import (
	"fmt"
	"net/http"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aftermath-rules/aftermath/internal/e2e/program"
)

// ledger notes, callback by callback, what its sender was told and what arrived. Callbacks have numbers; the From_Account tells it.
type ledger struct {
	mu      sync.Mutex
	answers []answer // by number
	routes  map[string]*route
	matches int      // of a callback, by the test's rules
	strange []string // what arrived and is nobody's

	padding func() string // makes packets longer; nil: it does not
	ok      atomic.Int64  // accepted so far
}

// answer is what the sender of a callback knows of it.
type answer uint8

const (
	unknown  answer = iota // no answer came: it may be stored or not
	accepted               // 200 OK: on stable storage
	refused                // an answer other than OK
)

// route is one way that callbacks arrive by: an action.
type route struct {
	ids     map[int]string // the delivery's, by number
	repeats int            // arrivals beyond the first
}

func newLedger() *ledger { return &ledger{routes: map[string]*route{}, matches: 1} }

// next gives a new callback: its number and its packet, of one pair.
func (l *ledger) next() (n int, packet string) {
	l.mu.Lock()
	n = len(l.answers)
	l.answers = append(l.answers, unknown)
	l.mu.Unlock()
	packet = program.Packet("u"+strconv.Itoa(n), "friend")
	if l.padding != nil { // in a field that nobody knows
		packet = `{"Pad":"` + l.padding() + `",` + packet[1:]
	}
	return n, packet
}

// answered notes what the sender of a callback was told.
func (l *ledger) answered(n int, a answer) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.answers[n] = a
	if a == accepted {
		l.ok.Add(1)
	}
}

// arrived notes the arrival of a delivery.
func (l *ledger) arrived(by, account, id string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	r := l.route(by)
	n, err := strconv.Atoi(strings.TrimPrefix(account, "u"))
	switch known, again := r.ids[n]; {
	case err != nil || n < 0 || n >= len(l.answers):
		l.strange = append(l.strange, fmt.Sprintf("%s got a pair of %q, whom nobody has sent", by, account))
	case !again:
		r.ids[n] = id
	case known != id:
		l.strange = append(l.strange, fmt.Sprintf("%s got %s under the ids %s and %s", by, account, known, id))
	default:
		r.repeats++
	}
}

func (l *ledger) route(by string) *route {
	r := l.routes[by]
	if r == nil {
		r = &route{ids: map[int]string{}}
		l.routes[by] = r
	}
	return r
}

// readLog takes what arrived in the log file of a test's folder as the route "log", in place of what was read of it before.
func (l *ledger) readLog(t testing.TB, dir string) {
	t.Helper()
	l.mu.Lock()
	delete(l.routes, "log")
	l.mu.Unlock()
	type line struct{ Message, ID string }
	program.EachJSONLine(t, filepath.Join(dir, logFile), func(is line) { l.arrived("log", is.Message, is.ID) })
}

// arrivals is how many callbacks have arrived by a route.
func (l *ledger) arrivals(by string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.route(by).ids)
}

// count is how many callbacks were answered so.
func (l *ledger) count(a answer) (n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, is := range l.answers {
		if is == a {
			n++
		}
	}
	return n
}

// tally is what a check came to.
type tally struct {
	accepted, refused, unknown int
	lost                       int            // accepted, and not arrived by one of the routes
	rescued                    int            // not accepted, and arrived all the same
	repeats                    map[string]int // deliveries beyond the first, by route
}

func (c tally) String() string {
	return fmt.Sprintf("%d callbacks answered OK, %d lost; %d refused and %d without an answer, of which %d arrived; repeated deliveries: %v",
		c.accepted, c.lost, c.refused, c.unknown, c.rescued, c.repeats)
}

// handled waits until the program has handled all callbacks and deliveries that it counts. Its counts follow what it does by a moment: where
// there is a ledger, its handled waits for what that knows of.
func handled(t testing.TB, s *program.Server) program.Status {
	t.Helper()
	return handledAtLeast(t, s, 0)
}

// handled waits until the program has handled all that was answered OK, and all else that it has.
func (l *ledger) handled(t testing.TB, s *program.Server) program.Status {
	t.Helper()
	return handledAtLeast(t, s, l.ok.Load())
}

func handledAtLeast(t testing.TB, s *program.Server, callbacks int64) program.Status {
	t.Helper()
	return awaitHandled(t, s, func(st program.Status) bool {
		return int64(st.Counts.Callbacks) >= callbacks && st.Counts.Waiting == 0 && st.Counts.Deliveries.Pending == 0
	})
}

// awaitHandled waits until cond holds of the status, however long that takes while the program comes on.
func awaitHandled(t testing.TB, s *program.Server, cond func(st program.Status) bool) program.Status {
	t.Helper()
	var handled uint64
	for since := time.Now(); ; time.Sleep(20 * time.Millisecond) {
		st := s.Status()
		if cond(st) {
			return st
		}
		if n := st.Counts.Callbacks + st.Counts.Deliveries.Done + st.Counts.Deliveries.Dead; n > handled {
			handled, since = n, time.Now()
		}
		if time.Since(since) > 3*time.Minute {
			_, status := s.Request(http.MethodGet, "/api/v1/status")
			_, pending := s.Request(http.MethodGet, "/api/v1/deliveries?status=pending&limit=5")
			t.Fatalf("for 3 minutes nothing was handled of what is left; the status is %s\npending are %s", status, pending)
		}
	}
}

// check waits until the program has handled all that it has, and holds it against what was sent and what arrived by the routes. The
// sender must be silent meanwhile.
func (l *ledger) check(t testing.TB, s *program.Server, routes ...string) tally {
	t.Helper()
	return l.balance(t, l.handled(t, s), routes...)
}

// balance is check without the wait, for those who must read a log in between.
func (l *ledger) balance(t testing.TB, st program.Status, routes ...string) tally {
	t.Helper()
	c := tally{repeats: map[string]int{}}
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, what := range l.strange[:min(len(l.strange), 5)] {
		t.Error(what)
	}
	stored := 0
	for n, a := range l.answers {
		by := 0
		for _, name := range routes {
			if _, ok := l.route(name).ids[n]; ok {
				by++
			}
		}
		if by > 0 {
			stored++
		}
		switch {
		case a == accepted:
			c.accepted++
			if by < len(routes) {
				c.lost++
			}
		case by > 0:
			c.rescued++
		}
		switch a {
		case refused:
			c.refused++
		case unknown:
			c.unknown++
		}
	}
	owner := map[string]int{}
	for _, name := range routes {
		r := l.route(name)
		c.repeats[name] = r.repeats
		for n, id := range r.ids {
			if other, taken := owner[id]; taken {
				t.Errorf("u%d and u%d have arrived under the same delivery id %s", n, other, id)
			}
			owner[id] = n
		}
	}
	if c.lost > 0 {
		t.Errorf("%d of the callbacks that were answered OK have not arrived by each of %v", c.lost, routes)
	}
	if got := st.Counts; int(got.Callbacks) != stored || got.Pairs != got.Callbacks || int(got.Matches) != stored*l.matches {
		t.Errorf("%d callbacks have arrived, and the program counts %d, with %d pairs and %d matches", stored, got.Callbacks, got.Pairs, got.Matches)
	}
	if d := st.Counts.Deliveries; int(d.Created) != stored*len(routes) || d.Done != d.Created {
		t.Errorf("%d callbacks have arrived by %d routes, and the program counts %+v", stored, len(routes), d)
	}
	return c
}
