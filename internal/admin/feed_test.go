package admin

import (
	"bufio"
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/aftermath-rules/aftermath/engine"
)

// A client that does not read holds neither the feed nor the others, and what it missed is counted for it.
func TestFeedIsBounded(t *testing.T) {
	f := NewFeed()
	slow, ok := f.join()
	if !ok {
		t.Fatal("no room for the first client")
	}
	begin := time.Now()
	const n = watcherQueue + 1000
	for i := range n {
		f.Outcomes([]engine.Event{
			{Ended: &engine.Ended{Delivery: fmt.Sprint("d", i), Outcome: engine.OutcomeDone}},
			{Ended: &engine.Ended{Outcome: engine.OutcomeParked}}, // no attempt: it is not told
			{Matched: &engine.Matched{}},
		})
	}
	if took := time.Since(begin); took > 10*time.Second {
		t.Errorf("the feed waited for a client: %s", took)
	}
	if held := len(slow.queue); held != watcherQueue {
		t.Errorf("%d events held, want %d", held, watcherQueue)
	}
	if lost := f.missed(slow); lost != n-watcherQueue {
		t.Errorf("%d events missed, want %d", lost, n-watcherQueue)
	}
	for range maxWatchers - 1 {
		if _, ok := f.join(); !ok {
			t.Fatal("too little room for clients")
		}
	}
	rec := httptest.NewRecorder()
	f.serve(rec, httptest.NewRequest(http.MethodGet, "/api/v1/events", nil))
	if rec.Code != http.StatusServiceUnavailable || !strings.Contains(rec.Body.String(), `"error"`) {
		t.Errorf("one client too many: %d %s", rec.Code, rec.Body)
	}
}

func TestFeedTells(t *testing.T) {
	f := NewFeed()
	server := httptest.NewServer(http.HandlerFunc(f.serve))
	defer server.Close()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, server.URL, nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	lines := bufio.NewScanner(resp.Body)
	next := func() string {
		for lines.Scan() {
			if line := lines.Text(); line != "" {
				return line
			}
		}
		t.Fatalf("the stream ended: %v", lines.Err())
		return ""
	}
	if got := next(); got != ": hello" {
		t.Errorf("it begins with %q", got)
	}
	f.Outcomes([]engine.Event{{Ended: &engine.Ended{Delivery: "d1", From: "a\n\nevent: forged", Outcome: engine.OutcomeDead, Error: "410"}}})
	if event, data := next(), next(); event != "event: outcome" || !strings.Contains(data, `"id":"d1"`) || !strings.Contains(data, `a\n\nevent: forged`) {
		t.Errorf("%q %q", event, data)
	}
	f.Reload(map[string]bool{"ok": true})
	if event, data := next(), next(); event != "event: reload" || data != `data: {"ok":true}` {
		t.Errorf("%q %q", event, data)
	}
	f.Close()
	if lines.Scan() && lines.Text() != "" {
		t.Errorf("after the end: %q", lines.Text())
	}
}
