package jetstream

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// What a cluster's replicas answer may lag behind what is stored: any of them answers a direct get, one too that has just come back.
// Where what was stored last must not be missed, the leader is asked.

// leaderRequest is a request for one message (STREAM.MSG.GET), which only the leader answers.
type leaderRequest struct {
	Seq     uint64 `json:"seq,omitempty"`
	NextFor string `json:"next_by_subj,omitempty"`
	LastFor string `json:"last_by_subj,omitempty"`
}

// atLeader gives one message; errNoMessage where there is none.
func (s *session) atLeader(ctx context.Context, stream string, req leaderRequest) (*stored, error) {
	body, err := json.Marshal(req)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, scanWait)
	defer cancel()
	m, err := s.nc.RequestWithContext(ctx, "$JS.API.STREAM.MSG.GET."+stream, body)
	if err != nil {
		return nil, err
	}
	var answer struct {
		Message *struct {
			Subject string    `json:"subject"`
			Seq     uint64    `json:"seq"`
			Header  []byte    `json:"hdrs"`
			Data    []byte    `json:"data"`
			Time    time.Time `json:"time"`
		} `json:"message"`
		Error *jetstream.APIError `json:"error"`
	}
	if err := json.Unmarshal(m.Data, &answer); err != nil {
		return nil, fmt.Errorf("stream %s: %w", stream, err)
	}
	switch {
	case answer.Error != nil && answer.Error.Code == http.StatusNotFound:
		return nil, errNoMessage
	case answer.Error != nil:
		return nil, fmt.Errorf("stream %s: %w", stream, answer.Error)
	case answer.Message == nil:
		return nil, fmt.Errorf("stream %s: the server's answer has no message", stream)
	}
	got := answer.Message
	st := &stored{seq: got.Seq, subject: got.Subject, at: got.Time, data: got.Data}
	if len(got.Header) > 0 {
		if st.header, err = nats.DecodeHeadersMsg(got.Header); err != nil {
			return nil, fmt.Errorf("stream %s, message %d: %w", stream, got.Seq, err)
		}
	}
	return st, nil
}

// lastOfEach gives the last message of each subject that fits the pattern.
func (s *session) lastOfEach(ctx context.Context, stream, pattern string, f func(*stored) error) error {
	if s.srv != nil {
		return s.lastOfEachDirect(ctx, stream, pattern, f)
	}
	st, err := s.js.Stream(ctx, stream)
	if err != nil {
		return fmt.Errorf("stream %s: %w", stream, err)
	}
	info, err := st.Info(ctx, jetstream.WithSubjectFilter(pattern))
	if err != nil {
		return fmt.Errorf("stream %s: %w", stream, err)
	}
	for subject := range info.State.Subjects {
		m, err := s.atLeader(ctx, stream, leaderRequest{LastFor: subject})
		if errors.Is(err, errNoMessage) {
			continue
		}
		if err == nil {
			err = f(m)
		}
		if err != nil {
			return err
		}
	}
	return nil
}
