package jetstream

import (
	"cmp"
	"context"
	"errors"
	"slices"

	"github.com/nats-io/nats.go/jetstream"
)

// ensureStream makes a stream, or brings it to cfg. One that is so already is left alone: the server syncs the description of a stream
// whenever it is told one, and a start would take half a second for that.
func ensureStream(ctx context.Context, js jetstream.JetStream, cfg jetstream.StreamConfig) (jetstream.Stream, error) {
	st, err := js.Stream(ctx, cfg.Name)
	switch {
	case err == nil && streamIs(st.CachedInfo().Config, cfg):
		return st, nil
	case err == nil, errors.Is(err, jetstream.ErrStreamNotFound):
		return js.CreateOrUpdateStream(ctx, cfg)
	}
	return nil, err
}

// streamIs compares what makeStreams sets. The server says -1 for no bound, and has metadata of its own.
func streamIs(have, want jetstream.StreamConfig) bool {
	for key, value := range want.Metadata {
		if have.Metadata[key] != value {
			return false
		}
	}
	bound := func(n int64) int64 { return cmp.Or(n, -1) }
	return slices.Equal(have.Subjects, want.Subjects) && have.Retention == want.Retention && have.Discard == want.Discard &&
		have.Storage == want.Storage && have.Replicas == max(want.Replicas, 1) && have.AllowDirect == want.AllowDirect &&
		have.AllowMsgSchedules == want.AllowMsgSchedules && (want.Duplicates == 0 || have.Duplicates == want.Duplicates) &&
		bound(have.MaxBytes) == bound(want.MaxBytes) && bound(have.MaxMsgs) == bound(want.MaxMsgs) &&
		bound(have.MaxMsgsPerSubject) == bound(want.MaxMsgsPerSubject)
}

// ensureConsumer is ensureStream for a durable consumer.
func ensureConsumer(ctx context.Context, st jetstream.Stream, cfg jetstream.ConsumerConfig) (jetstream.Consumer, error) {
	cons, err := st.Consumer(ctx, cfg.Durable)
	switch {
	case err == nil && consumerIs(cons.CachedInfo().Config, cfg):
		return cons, nil
	case err == nil, errors.Is(err, jetstream.ErrConsumerNotFound):
		return st.CreateOrUpdateConsumer(ctx, cfg)
	}
	return nil, err
}

// consumerIs compares what makeConsumers sets.
func consumerIs(have, want jetstream.ConsumerConfig) bool {
	return have.AckPolicy == want.AckPolicy && have.AckWait == want.AckWait && have.MaxAckPending == want.MaxAckPending &&
		have.DeliverPolicy == want.DeliverPolicy && have.FilterSubject == want.FilterSubject
}
