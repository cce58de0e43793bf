package torture

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aftermath-rules/aftermath/internal/e2e/program"
	"github.com/aftermath-rules/aftermath/internal/load"
)

// badKind is a kind of receiver, and what becomes of the deliveries to it.
type badKind struct {
	name   string
	action string // its configuration, but for the name; %s is the URL of handle
	handle http.HandlerFunc
	status string // of its deliveries in the end
	once   bool   // in one attempt
}

// Receivers of every bad kind slow their own action and no other: what goes to a healthy one beside them arrives at once, each of theirs
// ends as it should, and the counts balance all the while.
//
//	go test ./internal/torture -run TestTortureReceivers -v -timeout 0 -torture.for 5m
//
// It can't show third parties' actions that hang or panic, which the built program has none of: the tests of package engine have those.
func TestTortureReceivers(t *testing.T) {
	besides(t)
	kinds := badKinds(t)
	l := newLedger()
	well := newReceiver(t, l)
	mux := http.NewServeMux()
	rules, names := "actions:\n  well: {type: webhook, url: "+well.URL+"}\n", "well"
	for _, k := range kinds {
		if k.handle != nil {
			mux.HandleFunc("/"+k.name, k.handle)
		}
	}
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	for _, k := range kinds {
		rules += fmt.Sprintf("  %s: {%s}\n", k.name, strings.ReplaceAll(k.action, "URL", server.URL+"/"+k.name))
		names += ", " + k.name
	}
	dir := newFolder(t, rules+"rules: [{name: all, condition: 'true', actions: ["+names+"]}]\n", "")
	s := built.Start(t, dir)
	send := newSender(t, l, 16)

	var watching sync.WaitGroup
	stop := make(chan struct{})
	watching.Go(func() { // Status wants the counts to balance
		for {
			select {
			case <-stop:
				return
			case <-time.After(50 * time.Millisecond):
				s.Status()
			}
		}
	})
	send.run(t.Context(), s.Callback, load.Plan{Rate: 20, Concurrency: 16, For: duration(2 * time.Second)})
	sent := l.count(accepted)
	before := time.Now()
	program.Within(t, 20*time.Second, "all that goes to the healthy receiver", func() bool { return l.arrivals("hook") >= sent })
	t.Logf("the last of %d deliveries to the healthy receiver came %s after the last callback", sent, time.Since(before).Round(time.Millisecond))
	c := l.handled(t, s).Counts
	close(stop)
	watching.Wait()
	stored := int(c.Callbacks) // some of those that were refused may be
	if stored < sent || stored > sent+l.count(refused)+l.count(unknown) || int(c.Deliveries.Created) != stored*(len(kinds)+1) || int(c.Refused) > mayRefuse(16) {
		t.Errorf("of %d callbacks and %d actions the counts are %+v", sent, len(kinds)+1, c)
	}

	for _, k := range kinds {
		var all []map[string]any
		program.Eventually(t, "the history to show how the deliveries ended: "+k.name, func() bool { // it lags a little
			all = s.Deliveries("action=" + k.name)
			return len(all) >= stored && !slices.ContainsFunc(all, func(d map[string]any) bool { return d["status"] == "pending" })
		})
		other, more := 0, 0
		for _, d := range all {
			if d["status"] != k.status {
				other++
			}
			if n, _ := d["attempts"].(float64); n != 1 {
				more++
			}
		}
		if len(all) != stored || other > 0 || k.once && more > 0 {
			t.Errorf("%s: of %d deliveries, %d are not %s and %d took more than one attempt; want %d, all %s", k.name, len(all), other, k.status, more, stored, k.status)
		}
	}
}

// badKinds are the receivers. Those that never get well end with their retry span, which is short here.
func badKinds(t *testing.T) []badKind {
	const short = "type: webhook, timeout: 1s, concurrency: 4, retry: {min: 500ms, max: 1s, for: 5s}, url: "
	const patient = "type: webhook, timeout: 5s, concurrency: 4, retry: {min: 500ms, max: 1s, for: 10m}, url: "
	untrusted := httptest.NewTLSServer(http.NotFoundHandler())
	t.Cleanup(untrusted.Close)
	untrusted.Config.ErrorLog = nil
	return []badKind{
		{name: "refusing", action: short + "http://127.0.0.1:1/", status: "dead"},
		{name: "silent", action: short + "URL", handle: silent, status: "dead"},
		{name: "untrusted", action: short + untrusted.URL, status: "dead"},
		{name: "mail", action: "type: email, to: [a@example.com], from: b@example.com, subject: s, text: t, smtp: {host: 127.0.0.1, port: 1, tls: none}, timeout: 1s, retry: {min: 500ms, max: 1s, for: 5s}", status: "dead"},
		{name: "gone", action: short + "URL", handle: answering(http.StatusGone), status: "dead", once: true},
		{name: "slow", action: patient + "URL", handle: func(w http.ResponseWriter, _ *http.Request) { time.Sleep(100 * time.Millisecond) }, status: "done"},
		{name: "dripping", action: patient + "URL", handle: dripping, status: "done", once: true},
		{name: "endless", action: patient + "URL", handle: endless, status: "done", once: true},
		{name: "cut", action: patient + "URL", handle: cut, status: "done", once: true},
		{name: "later", action: patient + "URL", handle: untilWell(func(w http.ResponseWriter) {
			w.Header().Set("Retry-After", "1")
			w.WriteHeader(http.StatusTooManyRequests)
		}), status: "done"},
		{name: "later-date", action: patient + "URL", handle: untilWell(func(w http.ResponseWriter) {
			w.Header().Set("Retry-After", time.Now().Add(2*time.Second).UTC().Format(http.TimeFormat))
			w.WriteHeader(http.StatusTooManyRequests)
		}), status: "done"},
		{name: "flapping", action: patient + "URL", handle: flapping(), status: "done"},
	}
}

func answering(status int) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(status) }
}

// dripping answers 200, and a byte of the body now and then until the client leaves.
func dripping(w http.ResponseWriter, r *http.Request) {
	_, _ = io.Copy(io.Discard, r.Body)
	for {
		if _, err := w.Write([]byte("x")); err != nil || http.NewResponseController(w).Flush() != nil {
			return
		}
		select {
		case <-r.Context().Done():
			return
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// endless answers 200 with a body that does not end.
func endless(w http.ResponseWriter, r *http.Request) {
	_, _ = io.Copy(io.Discard, r.Body)
	for much := make([]byte, 16<<10); ; {
		if _, err := w.Write(much); err != nil {
			return
		}
	}
}

// cut answers 200 and resets the connection in the middle of the body.
func cut(w http.ResponseWriter, r *http.Request) {
	_, _ = io.Copy(io.Discard, r.Body)
	w.Header().Set("Content-Length", "1000")
	_, _ = w.Write([]byte("the first half"))
	_ = http.NewResponseController(w).Flush()
	hangUp(w)
}

// untilWell answers with f in the two seconds after the first request, and 200 from then on.
func untilWell(f func(http.ResponseWriter)) http.HandlerFunc {
	var once sync.Once
	var well time.Time
	return func(w http.ResponseWriter, _ *http.Request) {
		once.Do(func() { well = time.Now().Add(2 * time.Second) })
		if time.Now().Before(well) {
			f(w)
		}
	}
}

// flapping fails in every other half second.
func flapping() http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		if time.Now().UnixMilli()/500%2 == 0 {
			w.WriteHeader(http.StatusBadGateway)
		}
	}
}
