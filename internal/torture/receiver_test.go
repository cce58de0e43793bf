package torture

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
)

// receiver takes webhooks and notes them in a ledger as the route "hook".
type receiver struct {
	URL    string
	ledger *ledger
	first  atomic.Pointer[http.HandlerFunc]
}

func newReceiver(t testing.TB, l *ledger) *receiver {
	r := &receiver{ledger: l}
	r.behave(nil)
	server := httptest.NewServer(r)
	t.Cleanup(server.Close)
	r.URL = server.URL
	return r
}

// behave makes f answer from now on instead of the ledger: a receiver that is broken, slow or gone. nil makes it well again.
func (r *receiver) behave(f http.HandlerFunc) { r.first.Store(&f) }

func (r *receiver) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	if f := *r.first.Load(); f != nil {
		f(w, req)
		return
	}
	r.take(w, req)
}

// take notes the webhook and answers 200.
func (r *receiver) take(w http.ResponseWriter, req *http.Request) {
	var event struct {
		Data struct {
			From string `json:"From_Account"`
		}
	}
	body, err := io.ReadAll(req.Body)
	if err == nil {
		err = json.Unmarshal(body, &event)
	}
	if err != nil { // the sender was killed meanwhile
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	r.ledger.arrived("hook", event.Data.From, req.Header.Get("webhook-id"))
}
