package jetstream

import (
	"context"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/aftermath-rules/aftermath/engine"
)

// mute is a stream whose state nobody tells who asks for the first time, as while it has no leader.
type mute struct {
	jetstream.Stream
	asked int
}

func (m *mute) Info(ctx context.Context, opts ...jetstream.StreamInfoOpt) (*jetstream.StreamInfo, error) {
	if m.asked++; m.asked == 1 {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	return m.Stream.Info(ctx, opts...)
}

// A scan that gets no answer asks again, long before its own time is over: else a node would read nothing for so long.
func TestScanAsksAgain(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	s, err := Open(ctx, Options{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Accept(ctx, &engine.Record{Received: time.Now(), Body: []byte("{}")}); err != nil {
		t.Fatal(err)
	}
	ss, found := s.session(), 0
	stream := &mute{Stream: ss.accept[0]}
	if err := ss.scan(ctx, stream, scanFrom{}, func(*stored) error { found++; return nil }); err != nil || found != 1 {
		t.Errorf("%d of 1 messages: %v", found, err)
	}
	if err := s.Close(ctx); err != nil {
		t.Error(err)
	}
}
