package torture

import (
	"encoding/json"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"testing"
	"time"
)

// What a receiver sees twice after a kill -9 is what ran at that moment, and what had arrived so shortly before that its outcome was not yet on
// stable storage: 5 ms, and as long as the disk takes. All of it comes under the id it had.
//
//	go test ./internal/torture -run TestTortureRepeats -v -timeout 0 -torture.rounds 100
//
// It can't tell how long a write to this disk took at the moment of a kill: so it allows for slow ones, and prints what it saw.
func TestTortureRepeats(t *testing.T) {
	const concurrency, slowest = 16, time.Second
	l := newLedger()
	seen := newWitness(t, l)
	dir := newFolder(t, `
rules:
  - name: all
    condition: PairCount > 0
    actions: [{type: webhook, name: hook, concurrency: 16, url: `+seen.URL+`}]
`, "")
	send := newSender(t, l, 64)
	s := built.Start(t, dir)
	var repeats []int
	var windows []time.Duration
	for range rounds(5) {
		killAfter(t, s, 200*time.Millisecond+time.Duration(rand.Int64N(int64(500*time.Millisecond))), send)
		killed := time.Now()
		s = built.Start(t, dir)
		handled(t, s)
		n, window := seen.repeatsAfter(killed, concurrency)
		repeats, windows = append(repeats, n), append(windows, window)
		if window > slowest {
			t.Errorf("%d deliveries came again after a kill, more than %d and what had arrived in the %s before it", n, concurrency, slowest)
		}
	}
	t.Logf("%d kills: at most %d deliveries came again after one, half of the time %d; beyond the concurrency they had arrived within %s before it, half of the time %s; %s",
		len(repeats), slices.Max(repeats), slices.Sorted(slices.Values(repeats))[len(repeats)/2], slices.Max(windows),
		slices.Sorted(slices.Values(windows))[len(windows)/2], l.check(t, s, "hook"))
}

// witness is a receiver that knows when what arrived.
type witness struct {
	URL string

	mu    sync.Mutex
	first map[string]time.Time // by id
	again map[string]time.Time
}

func newWitness(t testing.TB, l *ledger) *witness {
	w := &witness{first: map[string]time.Time{}, again: map[string]time.Time{}}
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		var event struct {
			Data struct {
				From string `json:"From_Account"`
			}
		}
		if err := json.NewDecoder(r.Body).Decode(&event); err != nil { // the sender was killed meanwhile
			return
		}
		id := r.Header.Get("Webhook-Id")
		l.arrived("hook", event.Data.From, id)
		w.mu.Lock()
		defer w.mu.Unlock()
		if _, known := w.first[id]; known {
			w.again[id] = time.Now()
		} else {
			w.first[id] = time.Now()
		}
	}))
	t.Cleanup(server.Close)
	w.URL = server.URL
	return w
}

// repeatsAfter gives how many came again after the time, and, where these are more than can have been running, how long before it the
// first of them had arrived.
func (w *witness) repeatsAfter(killed time.Time, concurrency int) (n int, window time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	var before []time.Duration
	for id, at := range w.again {
		if at.After(killed) {
			before = append(before, killed.Sub(w.first[id]))
		}
	}
	if len(before) > concurrency { // else all of them may have been running
		window = slices.Max(before)
	}
	return len(before), window
}
