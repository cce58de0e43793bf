package torture

import (
	"context"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/aftermath-rules/aftermath/internal/e2e/program"
	"github.com/aftermath-rules/aftermath/internal/load"
)

// sender posts the callbacks of a ledger over keep-alive connections.
type sender struct {
	ledger *ledger
	client *http.Client
	failed func(error) // told of requests that got no answer; nil for nobody
}

// newSender makes a sender with so many connections at most.
func newSender(t testing.TB, l *ledger, connections int) *sender {
	transport := &http.Transport{MaxIdleConnsPerHost: connections, MaxConnsPerHost: connections}
	t.Cleanup(transport.CloseIdleConnections)
	return &sender{ledger: l, client: &http.Client{Transport: transport, Timeout: 5 * time.Second}}
}

// run posts callbacks to url as the plan says, or until ctx ends, and notes their answers.
func (s *sender) run(ctx context.Context, url string, plan load.Plan) *load.Histogram {
	return plan.Run(ctx, func(context.Context, int) {
		n, packet := s.ledger.next()
		a, err := s.post(url, packet)
		s.ledger.answered(n, a)
		if err != nil && s.failed != nil {
			s.failed(err)
		}
	})
}

// post posts one packet. A request that is under way when the run ends is waited for.
func (s *sender) post(url, packet string) (answer, error) {
	return s.postTo(url, program.Query, packet)
}

func (s *sender) postTo(url, query, packet string) (answer, error) {
	req, err := http.NewRequest(http.MethodPost, url+"?"+query, strings.NewReader(packet))
	if err != nil {
		return unknown, err
	}
	// Or the client would send a request again by itself that got no answer on a connection that had been idle.
	req.GetBody = nil
	resp, err := s.client.Do(req)
	if err != nil {
		return unknown, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	switch {
	case err != nil:
		return unknown, err
	case resp.StatusCode == http.StatusOK && string(body) == program.AnswerOK:
		return accepted, nil
	}
	return refused, nil
}
