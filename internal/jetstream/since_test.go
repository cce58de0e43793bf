package jetstream_test

import (
	"testing"
	"time"

	"github.com/aftermath-rules/aftermath/engine"
	"github.com/aftermath-rules/aftermath/engine/storetest"
	"github.com/aftermath-rules/aftermath/internal/jetstream"
)

// What was recorded of a pack or bundle is found whatever its time says: here the clock was ahead while it was stored, went back before the
// outcomes were recorded, and has come to be ahead again.
func TestSettledWhateverTheClockSays(t *testing.T) {
	o := jetstream.Options{Dir: t.TempDir(), Now: func() time.Time { return time.Now().Add(10 * time.Minute) }}
	s := open(t, o)
	ctx := ctxFor(t, time.Minute)
	end := func(id string) {
		t.Helper()
		if _, err := s.Append(ctx, []engine.Event{{Ended: &engine.Ended{Delivery: id, Outcome: engine.OutcomeDone}}}, nil); err != nil {
			t.Fatal(err)
		}
	}
	end("before")
	if err := s.Accept(ctx, storetest.NewRecord("a")); err != nil {
		t.Fatal(err)
	}
	if err := s.Park(ctx, []engine.Parked{{Job: engine.Job{ID: "parked"}, Due: time.Now()}}); err != nil {
		t.Fatal(err)
	}
	end("after")
	closeStore(t, s)
	s = open(t, o)
	pack, err := s.NextPack(ctx)
	if err != nil {
		t.Fatal(err)
	}
	bundle, err := s.NextBundle(ctx)
	if err != nil {
		t.Fatal(err)
	}
	for what, since := range map[string]engine.Moment{"pack": pack.Since, "bundle": bundle.Since} {
		since.At = time.Now().Add(5 * time.Minute)
		settled, err := s.Settled(ctx, since)
		if err != nil {
			t.Fatal(err)
		}
		if !settled.Ended("after", 0) || settled.Ended("before", 0) {
			t.Errorf("since the %s, at %+v, these have ended: %v", what, since, settled.Ends)
		}
	}
}
