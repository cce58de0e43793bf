package jetstream

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// stored is one message of a stream.
type stored struct {
	seq     uint64
	subject string
	at      time.Time
	data    []byte
	header  nats.Header // of what atLeader gives
}

// scanFrom says where a scan begins: at a sequence number or, where since is set, at a time.
type scanFrom struct {
	seq     uint64
	since   time.Time
	subject string // only these, wildcards allowed; empty: all
}

// getRequest is the server's direct get of many messages (ADR-31).
type getRequest struct {
	Seq       uint64     `json:"seq,omitempty"`
	NextFor   string     `json:"next_by_subj,omitempty"`
	Batch     int        `json:"batch,omitempty"`
	MaxBytes  int        `json:"max_bytes,omitempty"`
	StartTime *time.Time `json:"start_time,omitempty"`
	MultiLast []string   `json:"multi_last,omitempty"`
}

const (
	scanBatch = 512
	scanBytes = 1 << 20          // and one message more: a batch lies in memory three times, at the server, on its way and here
	scanWait  = 10 * time.Second // for the next message of a batch
	infoWait  = 5 * time.Second  // for a stream's state, each of the two times that it is asked for
)

// errNoMessage says that nothing is stored there.
var errNoMessage = errors.New("no message")

// scan gives the messages from there to the newest there is when it begins, in order, until f returns an error or ctx is over.
func (s *session) scan(ctx context.Context, stream jetstream.Stream, from scanFrom, f func(*stored) error) error {
	info, err := stateOf(ctx, stream)
	if err != nil {
		return err
	}
	return s.scanTo(ctx, info, from, f)
}

// stateOf asks for a stream's state, and once more where there is no answer: nobody gives one while the stream has no leader, nor later.
func stateOf(ctx context.Context, stream jetstream.Stream) (info *jetstream.StreamInfo, err error) {
	for range 2 {
		call, cancel := context.WithTimeout(ctx, infoWait)
		info, err = stream.Info(call)
		cancel()
		if !errors.Is(err, context.DeadlineExceeded) {
			break
		}
	}
	if err != nil {
		return nil, fmt.Errorf("stream %s: %w", stream.CachedInfo().Config.Name, err)
	}
	return info, nil
}

// scanTo gives the messages up to the last of the stream as info describes it.
func (s *session) scanTo(ctx context.Context, info *jetstream.StreamInfo, from scanFrom, f func(*stored) error) error {
	end, name := info.State.LastSeq, info.Config.Name
	req := getRequest{Seq: max(from.seq, 1), NextFor: from.subject, Batch: scanBatch, MaxBytes: scanBytes}
	if req.NextFor == "" {
		req.NextFor = ">" // skips what was deleted
	}
	if from.since.After(time.Unix(0, 0)) { // the server can't count further back
		req.Seq, req.StartTime = 0, &from.since
	}
	for req.StartTime != nil || req.Seq <= end {
		last, err := s.getBatch(ctx, name, &req, func(m *stored) error {
			if m.seq > end {
				return errScanEnd
			}
			return f(m)
		})
		if errors.Is(err, errScanEnd) {
			return nil
		}
		if errors.Is(err, errNoMessage) {
			ended, err := s.atEnd(ctx, name, &req, end)
			if ended || err != nil {
				return err
			}
			continue
		}
		if err != nil {
			return fmt.Errorf("stream %s: %w", name, err)
		}
		req.StartTime, req.Seq = nil, last+1
	}
	return nil
}

// scanLive is scan up to the newest there is when it ends. So it sees at least one copy of a delivery that moves on meanwhile: the next
// copy is stored before the one before it goes.
func (s *session) scanLive(ctx context.Context, stream jetstream.Stream, from scanFrom, f func(*stored) error) error {
	for {
		info, err := stateOf(ctx, stream)
		if err != nil {
			return err
		}
		end := info.State.LastSeq
		if from.since.IsZero() && from.seq > end {
			return nil
		}
		if err := s.scanTo(ctx, info, from, f); err != nil {
			return err
		}
		from = scanFrom{seq: end + 1, subject: from.subject}
	}
}

// atEnd tells whether a scan has come to its end, where there was no message: not so where it was asked of a replica that lags.
func (s *session) atEnd(ctx context.Context, stream string, req *getRequest, end uint64) (bool, error) {
	from := req.Seq
	if req.StartTime != nil {
		from = end // what was stored last was stored after the time, or nothing was
	}
	if s.srv != nil || from > end {
		return true, nil
	}
	m, err := s.atLeader(ctx, stream, leaderRequest{Seq: from, NextFor: req.NextFor})
	switch {
	case errors.Is(err, errNoMessage):
		return true, nil
	case err != nil:
		return false, err
	case m.seq > end, req.StartTime != nil && m.at.Before(*req.StartTime):
		return true, nil
	}
	return false, wait(ctx, retryWait)
}

// wait waits; it gives an error where ctx ends before.
func wait(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

var errScanEnd = errors.New("end of the scan")

// lastOfEachDirect is lastOfEach for an embedded server; at most 1,024 subjects.
func (s *session) lastOfEachDirect(ctx context.Context, stream, pattern string, f func(*stored) error) error {
	_, err := s.getBatch(ctx, stream, &getRequest{MultiLast: []string{pattern}, Batch: 1024}, f)
	if errors.Is(err, errNoMessage) {
		return nil
	}
	return err
}

// getBatch asks for one batch and gives its messages to f. It returns the last one's sequence number.
func (s *session) getBatch(ctx context.Context, stream string, req *getRequest, f func(*stored) error) (last uint64, err error) {
	body, err := json.Marshal(req)
	if err != nil {
		return 0, err
	}
	inbox := s.nc.NewRespInbox()
	sub, err := s.nc.SubscribeSync(inbox)
	if err != nil {
		return 0, err
	}
	defer sub.Unsubscribe()
	if err := sub.SetPendingLimits(scanBatch*4, scanBytes+2*maxPayload); err != nil {
		return 0, err
	}
	if err := s.nc.PublishRequest("$JS.API.DIRECT.GET."+stream, inbox, body); err != nil {
		return 0, err
	}
	for {
		m, err := nextMsg(ctx, sub)
		if err != nil {
			return last, err
		}
		switch status := m.Header.Get("Status"); status {
		case "":
		case "204":
			return last, nil
		case "404":
			return last, errNoMessage
		default:
			return last, fmt.Errorf("the server says %s %s", status, m.Header.Get("Description"))
		}
		st, err := storedFrom(m)
		if err != nil {
			return last, err
		}
		last = st.seq
		if err := f(st); err != nil {
			return last, err
		}
	}
}

func nextMsg(ctx context.Context, sub *nats.Subscription) (*nats.Msg, error) {
	ctx, cancel := context.WithTimeout(ctx, scanWait)
	defer cancel()
	return sub.NextMsgWithContext(ctx)
}

func storedFrom(m *nats.Msg) (*stored, error) {
	seq, err := strconv.ParseUint(m.Header.Get(jetstream.SequenceHeader), 10, 64)
	if err != nil {
		return nil, fmt.Errorf("message without a sequence number: %w", err)
	}
	at, err := time.Parse(time.RFC3339Nano, m.Header.Get(jetstream.TimeStampHeaer))
	if err != nil {
		return nil, fmt.Errorf("message %d without a time: %w", seq, err)
	}
	return &stored{seq: seq, subject: m.Header.Get(jetstream.SubjectHeader), at: at, data: m.Data}, nil
}
