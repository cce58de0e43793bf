package program

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"
)

// AnswerOK is the body of the answer to a callback that is on stable storage.
const AnswerOK = `{"ActionStatus":"OK","ErrorCode":0,"ErrorInfo":""}`

// Query is what Chat adds to the callback URL, but for what differs from one callback to the next.
const Query = "SdkAppid=1400000000&CallbackCommand=Sns.CallbackFriendDelete&contenttype=json&ClientIP=127.0.0.1&OptPlatform=iOS"

// Post sends a packet unsigned, with Query where query is "", and gives the status and body of the answer.
func (s *Server) Post(query, body string) (int, string, error) {
	if query == "" {
		query = Query
	}
	ctx, cancel := context.WithTimeout(context.Background(), Patience)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, s.Callback+"?"+query, strings.NewReader(body))
	if err != nil {
		return 0, "", err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, "", err
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	return resp.StatusCode, string(answer), err
}

// Deliver posts one pair and wants it answered OK, as PostOK does.
func (s *Server) Deliver(from, to string) {
	s.t.Helper()
	if err := s.PostOK(Packet(from, to)); err != nil {
		s.t.Fatal(err)
	}
}

// PostOK posts a packet and wants it answered OK. One that is refused, since the disk stood still for longer than a callback may wait, is
// posted again under the same RequestId: it counts once, whether it was stored or not.
func (s *Server) PostOK(packet string) error {
	query := Query + "&RequestId=" + rand.Text()
	for until := time.Now().Add(Patience); ; {
		code, answer, err := s.Post(query, packet)
		if err == nil && code == http.StatusOK && answer == AnswerOK {
			return nil
		}
		if err != nil || code != http.StatusServiceUnavailable || time.Now().After(until) {
			return fmt.Errorf("got %d %s %v", code, answer, err)
		}
	}
}

// Status is the part of GET status that the tests look at.
type Status struct {
	Rules struct {
		Running struct {
			Hash  string
			Rules int
		}
		Disk struct {
			OK     bool
			Errors []struct {
				File, Message string
				Line, Column  int
			}
		}
	}
	Counts struct {
		Callbacks, Waiting, Unmatched, Pairs, Matches uint64
		ShadowMatches                                 uint64 `json:"shadow_matches"`
		Refused, Quarantined, Repeats                 uint64
		Deliveries                                    struct{ Created, Done, Pending, Dead, Discarded uint64 }
	}
}

// Status asks for the status, and wants its counts of deliveries to balance.
func (s *Server) Status() Status {
	s.t.Helper()
	code, body := s.Request(http.MethodGet, "/api/v1/status")
	var st Status
	if err := json.Unmarshal(body, &st); code != 200 || err != nil {
		s.t.Fatalf("status: %d %s %v", code, body, err)
	}
	if d := st.Counts.Deliveries; d.Created != d.Done+d.Pending+d.Dead+d.Discarded {
		s.t.Errorf("the counts don't balance: %+v", d)
	}
	return st
}

// Request makes a request to a path of the admin port.
func (s *Server) Request(method, path string) (int, []byte) {
	s.t.Helper()
	return s.Send(method, path, "")
}

// Send is Request with a body.
func (s *Server) Send(method, path, body string) (int, []byte) {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), Patience)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, s.Admin+path, strings.NewReader(body))
	if err != nil {
		s.t.Fatal(err)
	}
	if s.Token != "" {
		req.Header.Set("Authorization", "Bearer "+s.Token)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		s.t.Fatal(err)
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	return resp.StatusCode, answer
}

// Call makes a request of the API with a JSON body, "" for none, and decodes the answer into v where that is not nil.
func (s *Server) Call(method, path, body string, v any) (code int, text string) {
	s.t.Helper()
	code, b := s.Send(method, "/api/v1/"+path, body)
	if v != nil {
		if err := json.Unmarshal(b, v); err != nil {
			s.t.Fatalf("%s %s: %d %s: %v", method, path, code, b, err)
		}
	}
	return code, string(b)
}

// Deliveries lists all that fit a filter (its query), page by page.
func (s *Server) Deliveries(filter string) (all []map[string]any) {
	s.t.Helper()
	for cursor := ""; ; {
		var page struct {
			Deliveries []map[string]any
			Next       string
		}
		if code, text := s.Call("GET", "deliveries?limit=500&"+filter+"&cursor="+cursor, "", &page); code != 200 {
			s.t.Fatalf("deliveries?%s: %d %s", filter, code, text)
		}
		all = append(all, page.Deliveries...)
		if cursor = page.Next; cursor == "" {
			return all
		}
	}
}

// Counted waits until the counts of deliveries are as cond wants them.
func (s *Server) Counted(what string, cond func(created, done, pending, dead, discarded uint64) bool) {
	s.t.Helper()
	Eventually(s.t, what, func() bool {
		d := s.Status().Counts.Deliveries
		return cond(d.Created, d.Done, d.Pending, d.Dead, d.Discarded)
	})
}
