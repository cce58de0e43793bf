package jetstream_test

import (
	"archive/tar"
	"compress/gzip"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"testing"
	"time"

	"github.com/aftermath-rules/aftermath/engine"
	"github.com/aftermath-rules/aftermath/internal/jetstream"
)

// goldenUpdate writes the golden store anew. Only a new one, beside those of earlier releases, should ever need it.
var goldenUpdate = flag.Bool("golden.update", false, "write testdata/golden/v1.tar.gz anew")

const goldenFile = "testdata/golden/v1.tar.gz"

var goldenTime = time.Unix(1669872112, 123456789).UTC()

func goldenJob(id string) engine.Job {
	return engine.Job{
		ID: id, Callback: "c0", Rule: "vip-lost-a-friend", Labels: map[string]string{"team": "care"}, Action: "crm", RuleSet: "set1",
		From: "alice\u2028", To: `b"<{{ x }}`, SdkAppid: 1400000000, CallbackCommand: "Sns.CallbackFriendDelete", ClientIP: "127.0.0.1",
		OptPlatform: "iOS", RequestId: "r1", PairCount: 2, PairIndex: 1, Mutual: true, Time: goldenTime, Created: goldenTime,
	}
}

func goldenParked(id string) engine.Parked {
	return engine.Parked{
		Job: goldenJob(id), Due: time.Date(2100, 1, 1, 0, 0, 0, 0, time.UTC), Attempt: 2, First: goldenTime, Parks: 3,
		Error: "connection refused", State: []byte{0, 1, 255},
	}
}

func goldenRecords() []engine.Record {
	a := engine.Record{
		Key: engine.Key{1, 2, 3}, Window: 10 * time.Minute, Received: goldenTime, Query: "SdkAppid=1400000000&OptPlatform=iOS",
		Body: []byte(`{"CallbackCommand":"Sns.CallbackFriendDelete","PairList":[{"From_Account":"alice","To_Account":"bob"}]}`),
	}
	b, c := a, a
	b.Key, b.Window, b.Body = engine.Key{4}, 0, []byte{0, 0xff}
	c.Received, c.Repeat = goldenTime.Add(time.Second), true
	return []engine.Record{a, b, c}
}

func goldenEvents() []engine.Event {
	return []engine.Event{
		{Matched: &engine.Matched{
			Callback: "c0", Seq: 1, Index: 0, Received: goldenTime, Pairs: 2, RuleSet: "set1",
			Matches: []engine.Hit{{Rule: "vip-lost-a-friend", Pair: 1}, {Rule: "s", Shadow: true}}, Deliveries: []engine.Job{goldenJob("d1")},
		}},
		{Ended: &engine.Ended{
			Delivery: "d1", Callback: "c0", Rule: "vip-lost-a-friend", Action: "crm", Type: "webhook", From: "alice", To: "bob",
			Attempt: 1, At: goldenTime, Took: 17, Outcome: engine.OutcomeDead, Detail: "HTTP 400", Error: "bad request",
			Sent: []byte("x"), Received: []byte("y"),
		}},
	}
}

func goldenTotals() *engine.Totals {
	return &engine.Totals{Callbacks: 3, Pairs: 6, Matches: 1, Created: 1, Dead: 1, Rules: map[string]engine.RuleTotals{"vip-lost-a-friend": {Matches: 1, Last: goldenTime}}}
}

// writeGolden fills a store as the first release does: three callbacks of which the first pack is acked, and one of everything else.
func writeGolden(t *testing.T) {
	dir := t.TempDir()
	s := open(t, jetstream.Options{Dir: dir, Keep: goldenKeep()})
	ctx := ctxFor(t, time.Minute)
	check := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, r := range goldenRecords() {
		check(s.Accept(ctx, &r))
	}
	p, err := s.NextPack(ctx)
	check(err)
	p.Ack()
	check(s.Park(ctx, []engine.Parked{goldenParked("d2"), goldenParked("d3")}))
	check(s.Bury(ctx, &engine.DeadLetter{Parked: goldenParked("d1"), At: goldenTime}))
	_, err = s.Append(ctx, goldenEvents(), goldenTotals())
	check(err)
	check(s.Quarantine(ctx, &engine.Quarantined{At: goldenTime, Query: "a=b", Body: []byte{0xff}, Error: "bad UTF-8"}))
	closeStore(t, s)
	check(os.MkdirAll(filepath.Dir(goldenFile), 0o755))
	check(packFolder(goldenFile, dir))
}

// goldenKeep keeps everything for ever.
func goldenKeep() jetstream.Keep {
	return jetstream.Keep{Callbacks: 200 * 365 * 24 * time.Hour, Deliveries: 200 * 365 * 24 * time.Hour, Disk: 256 << 20}
}

func packFolder(file, dir string) (err error) {
	f, err := os.Create(file)
	if err != nil {
		return err
	}
	gz := gzip.NewWriter(f)
	tw := tar.NewWriter(gz)
	defer func() { err = errors.Join(err, tw.Close(), gz.Close(), f.Close()) }()
	return tw.AddFS(os.DirFS(dir))
}

func unpackFolder(t *testing.T, file string) string {
	t.Helper()
	dir := t.TempDir()
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	gz, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	for tr := tar.NewReader(gz); ; {
		h, err := tr.Next()
		if err == io.EOF {
			return dir
		}
		if err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(dir, filepath.FromSlash(h.Name))
		if h.FileInfo().Mode().Type() == fs.ModeDir {
			continue
		}
		b, err := io.ReadAll(tr)
		if err == nil {
			err = os.MkdirAll(filepath.Dir(path), 0o700)
		}
		if err == nil {
			err = os.WriteFile(path, b, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

// TestGolden opens a store that the first release wrote. If it fails, what users have stored can't be read any more.
func TestGolden(t *testing.T) {
	if *goldenUpdate {
		writeGolden(t)
	}
	s := open(t, jetstream.Options{Dir: unpackFolder(t, goldenFile), Keep: goldenKeep()})
	ctx := ctxFor(t, time.Minute)
	if st := s.Status(); !st.OK || st.Callbacks != 3 || st.Damage != "" {
		t.Errorf("status %+v", st)
	}
	want := goldenRecords()
	var got []engine.Record
	for p, err := range s.Journal(ctx, time.Time{}) {
		if err != nil {
			t.Fatal(err)
		}
		if p.Seq != uint64(len(got)+1) || p.Ordinal != uint64(len(got)) {
			t.Errorf("pack %d begins at %d", p.Seq, p.Ordinal)
		}
		got = append(got, p.Records...)
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("the journal has\n%+v\nwant\n%+v", got, want)
	}
	for _, w := range want[1:] {
		p, err := s.NextPack(ctx)
		if err != nil {
			t.Fatal(err)
		}
		if !p.Again || !reflect.DeepEqual(p.Records, []engine.Record{w}) {
			t.Errorf("unhandled pack %+v, want %+v", p, w)
		}
	}
	goldenOutcomes(t, ctx, s)
}

func goldenOutcomes(t *testing.T, ctx context.Context, s *jetstream.Store) {
	packs, quarantined := 0, 0
	for p, err := range s.Events(ctx, 0) {
		if err != nil {
			t.Fatal(err)
		}
		if packs++; p.Node != "embedded" || !reflect.DeepEqual(p.Events, goldenEvents()) {
			t.Errorf("events %+v", p)
		}
	}
	own, _, err := s.Totals(ctx)
	if err != nil || !reflect.DeepEqual(own, goldenTotals()) {
		t.Errorf("totals %+v, %v", own, err)
	}
	d, err := s.DeadLetter(ctx, "d1")
	if err != nil || !reflect.DeepEqual(d, &engine.DeadLetter{Parked: goldenParked("d1"), At: goldenTime}) {
		t.Errorf("dead letter %+v, %v", d, err)
	}
	st, err := s.Settled(ctx, engine.Moment{At: time.Time{}.Add(time.Hour)})
	if err != nil {
		t.Fatal(err)
	}
	if fmt.Sprint(st.Parks) != "map[d1:0 d2:3 d3:3]" || !st.Ended("d1", 0) || st.Matched[engine.PackIndex{Seq: 1}] == nil || st.Dead["d1"] == nil {
		t.Errorf("settled %+v", st)
	}
	for q, err := range s.QuarantinedPackets(ctx) {
		quarantined++
		if want := (&engine.Quarantined{At: goldenTime, Query: "a=b", Body: []byte{0xff}, Error: "bad UTF-8"}); err != nil || !reflect.DeepEqual(q, want) {
			t.Errorf("quarantine %+v, %v", q, err)
		}
	}
	if packs != 1 || quarantined != 1 {
		t.Errorf("%d packs of outcomes and %d quarantined packets, want one each", packs, quarantined)
	}
}
