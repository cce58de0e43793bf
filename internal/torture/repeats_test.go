package torture

import (
	"context"
	"encoding/json"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"
)

// What a receiver sees twice after a kill -9 is bounded by what it takes at once, and by what it takes in 5 ms, however slow the disk is: of
// deliveries whose outcome is not yet on stable storage there are no more. All of it comes under the id it had. This receiver takes 5 ms
// for each, or longer: so the bound is twice its concurrency, on any machine.
//
//	go test ./internal/torture -run TestTortureRepeats -v -timeout 0 -torture.rounds 100
//
// How long before the kill the first of them had arrived, it prints: that is the disk's doing.
func TestTortureRepeats(t *testing.T) {
	const concurrency, takes = 16, 5 * time.Millisecond
	const most = 2 * concurrency
	l := newLedger()
	seen := newWitness(t, l, takes)
	dir := newFolder(t, `
rules:
  - name: all
    condition: PairCount > 0
    actions: [{type: webhook, name: hook, concurrency: `+strconv.Itoa(concurrency)+`, url: `+seen.URL+`}]
`, "")
	send := newSender(t, l, 64)
	s := built.Start(t, dir)
	var repeats []int
	var windows []time.Duration
	for range rounds(5) {
		var killed time.Time
		killWhen(t, s, send, func(ctx context.Context) {
			pass(ctx, 200*time.Millisecond+time.Duration(rand.Int64N(int64(500*time.Millisecond))))
			killed = time.Now()
		})
		s = built.Start(t, dir)
		handled(t, s)
		n, window := seen.repeatsAfter(killed)
		repeats, windows = append(repeats, n), append(windows, window)
		if n > most {
			t.Errorf("%d deliveries came again after a kill, more than %d", n, most)
		}
	}
	t.Logf("%d kills: at most %d deliveries came again after one, %d in the middle, of %d that may; they had arrived within %s before it, %s in the middle; %s",
		len(repeats), slices.Max(repeats), slices.Sorted(slices.Values(repeats))[len(repeats)/2], most, slices.Max(windows),
		slices.Sorted(slices.Values(windows))[len(windows)/2], l.check(t, s, "hook"))
}

// witness is a receiver that knows when what arrived, and takes its time.
type witness struct {
	URL string

	mu    sync.Mutex
	first map[string]time.Time // by id
	again map[string]time.Time
}

func newWitness(t testing.TB, l *ledger, takes time.Duration) *witness {
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
		w.arrived(l, event.Data.From, r.Header.Get("Webhook-Id"))
		time.Sleep(takes)
	}))
	t.Cleanup(server.Close)
	w.URL = server.URL
	return w
}

func (w *witness) arrived(l *ledger, account, id string) {
	l.arrived("hook", account, id)
	w.mu.Lock()
	defer w.mu.Unlock()
	if _, known := w.first[id]; known {
		w.again[id] = time.Now()
	} else {
		w.first[id] = time.Now()
	}
}

// repeatsAfter gives how many came again after the time, and how long before it the first of them had arrived.
func (w *witness) repeatsAfter(killed time.Time) (n int, window time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for id, at := range w.again {
		if at.After(killed) {
			n++
			window = max(window, killed.Sub(w.first[id]))
		}
	}
	return n, window
}
