package admin

import (
	"encoding/json"
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/aftermath-rules/aftermath/engine"
)

const (
	maxWatchers  = 64
	watcherQueue = 256 // events that wait for a slow client; beyond it they are left out, and it is told how many
	beatEvery    = 15 * time.Second
	writeTime    = 10 * time.Second // for one write to a client
)

// Feed tells the clients of GET events what happens. Its methods are safe for concurrent use and never wait for a client.
type Feed struct {
	mu       sync.Mutex
	watchers map[*watcher]struct{}
	closed   chan struct{}
	once     sync.Once
}

type watcher struct {
	queue chan []byte
	lost  int // guarded by Feed.mu
}

// NewFeed makes one.
func NewFeed() *Feed {
	return &Feed{watchers: make(map[*watcher]struct{}), closed: make(chan struct{})}
}

// Close ends all clients.
func (f *Feed) Close() { f.once.Do(func() { close(f.closed) }) }

// feedOutcome is an outcome as it is told.
type feedOutcome struct {
	Delivery string    `json:"id"`
	Callback string    `json:"callback_id"`
	Rule     string    `json:"rule"`
	Action   string    `json:"action"`
	Type     string    `json:"type"`
	From     string    `json:"From_Account"`
	To       string    `json:"To_Account"`
	Outcome  string    `json:"outcome"`
	Attempt  int       `json:"attempt"`
	At       time.Time `json:"at"`
	Took     float64   `json:"took_ms"`
	Error    string    `json:"error"`
}

// Outcomes tells how attempts ended.
func (f *Feed) Outcomes(events []engine.Event) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.watchers) == 0 {
		return
	}
	for i := range events {
		d := events[i].Ended
		if d == nil || d.Outcome == engine.OutcomeParked {
			continue
		}
		f.tell("outcome", feedOutcome{
			Delivery: d.Delivery, Callback: d.Callback, Rule: d.Rule, Action: d.Action, Type: d.Type, From: d.From, To: d.To,
			Outcome: d.Outcome, Attempt: d.Attempt, At: d.At, Took: float64(d.Took) / 1e6, Error: d.Error,
		})
	}
}

// Reload tells that the rules were read.
func (f *Feed) Reload(state any) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.tell("reload", state)
}

// tell is called with the lock held.
func (f *Feed) tell(event string, v any) {
	data, err := json.Marshal(v)
	if err != nil { // no value of this package's can do that
		return
	}
	message := fmt.Appendf(nil, "event: %s\ndata: %s\n\n", event, data)
	for w := range f.watchers {
		select {
		case w.queue <- message:
		default:
			w.lost++
		}
	}
}

func (f *Feed) join() (*watcher, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.watchers) >= maxWatchers {
		return nil, false
	}
	w := &watcher{queue: make(chan []byte, watcherQueue)}
	f.watchers[w] = struct{}{}
	return w, true
}

func (f *Feed) leave(w *watcher) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.watchers, w)
}

// missed gives how many events the client was not told since it was last asked.
func (f *Feed) missed(w *watcher) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	n := w.lost
	w.lost = 0
	return n
}

// serve sends one client what happens until it leaves or the feed is closed.
func (f *Feed) serve(w http.ResponseWriter, r *http.Request) {
	client, ok := f.join()
	if !ok {
		Error(w, http.StatusServiceUnavailable, fmt.Sprintf("%d clients watch already", maxWatchers))
		return
	}
	defer f.leave(client)
	out := http.NewResponseController(w)
	_ = out.SetReadDeadline(time.Time{}) // where it can't be set the server has none
	h := w.Header()
	h.Set("Content-Type", "text/event-stream")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Cache-Control", "no-store")
	send := func(message []byte) bool {
		_ = out.SetWriteDeadline(time.Now().Add(writeTime))
		_, err := w.Write(message)
		return err == nil && out.Flush() == nil
	}
	beat := time.NewTicker(beatEvery)
	defer beat.Stop()
	for message := []byte(": hello\n\n"); send(message); {
		if n := f.missed(client); n > 0 {
			message = fmt.Appendf(nil, "event: lost\ndata: {\"events\":%d}\n\n", n)
			continue
		}
		select {
		case message = <-client.queue:
		case <-beat.C:
			message = []byte(":\n\n")
		case <-r.Context().Done():
			return
		case <-f.closed:
			return
		}
	}
}
