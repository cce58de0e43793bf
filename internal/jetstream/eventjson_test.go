package jetstream

import (
	"encoding/json"
	"math/rand/v2"
	"reflect"
	"testing"
	"time"

	gojson "github.com/go-json-experiment/json"
	"github.com/google/go-cmp/cmp"

	"github.com/aftermath-rules/aftermath/engine"
)

// fill sets all fields of v, those of structs within too, to random values.
func fill(rnd *rand.Rand, v reflect.Value, texts []string) {
	text := func() string { return texts[rnd.IntN(len(texts))] }
	switch v.Interface().(type) {
	case time.Time:
		v.Set(reflect.ValueOf(time.Unix(rnd.Int64N(4e9), rnd.Int64N(2)*rnd.Int64N(1e9)).UTC()))
		return
	case []byte:
		if b := []byte(text()); len(b) > 0 {
			v.SetBytes(b)
		}
		return
	}
	switch v.Kind() {
	case reflect.String:
		v.SetString(text())
	case reflect.Int, reflect.Int64:
		v.SetInt(rnd.Int64N(3) * rnd.Int64())
	case reflect.Uint64:
		v.SetUint(rnd.Uint64() >> 1)
	case reflect.Bool:
		v.SetBool(rnd.IntN(2) == 0)
	case reflect.Array:
		for i := range v.Len() {
			fill(rnd, v.Index(i), texts)
		}
	case reflect.Struct:
		for i := range v.NumField() {
			fill(rnd, v.Field(i), texts)
		}
	case reflect.Slice:
		if n := rnd.IntN(3); n > 0 {
			v.Set(reflect.MakeSlice(v.Type(), n, n))
			for i := range n {
				fill(rnd, v.Index(i), texts)
			}
		}
	case reflect.Map:
		for range rnd.IntN(3) {
			if v.IsNil() {
				v.Set(reflect.MakeMap(v.Type()))
			}
			v.SetMapIndex(reflect.ValueOf(text()), reflect.ValueOf(text()))
		}
	default:
		panic(v.Type())
	}
}

// An event comes back as it was stored, whatever its fields hold, as it does from encoding/json, which is the twin; and one that an
// earlier release wrote with that is read too.
func TestEventJSON(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	texts := []string{"", "id", `"quoted" \ <&> ` + "\u2028", "日本\x00\x7f\n", "not \xff UTF-8", "\ufffd"}
	for i := range 3000 {
		all := texts
		if i/4%2 == 0 {
			all = texts[:4] // what is no UTF-8 is replaced, which only the twin knows about
		}
		var ev engine.Event
		switch i % 4 {
		case 0:
			ev.Matched = &engine.Matched{}
			fill(rnd, reflect.ValueOf(ev.Matched).Elem(), all)
		case 1:
			ev.Ended = &engine.Ended{}
			fill(rnd, reflect.ValueOf(ev.Ended).Elem(), all)
		case 2:
			ev.Unmatched = &engine.Unmatched{}
			fill(rnd, reflect.ValueOf(ev.Unmatched).Elem(), all)
		case 3:
			ev.Made = &engine.Made{}
			fill(rnd, reflect.ValueOf(ev.Made).Elem(), all)
		}
		slow, err := json.Marshal(&ev)
		if err != nil {
			t.Fatal(err)
		}
		var got, twin, before outcome
		if err := gojson.Unmarshal(appendEvent([]byte("before"), &ev)[len("before"):], &got, asWritten); err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(slow, &twin); err != nil {
			t.Fatal(err)
		}
		if err := gojson.Unmarshal(slow, &before, asWritten); err != nil {
			t.Fatal(err)
		}
		want := twin.event()
		if diff := cmp.Diff(want, got.event()); diff != "" {
			t.Fatalf("event %d (-want +got):\n%s", i, diff)
		}
		if diff := cmp.Diff(want, before.event()); diff != "" {
			t.Fatalf("event %d of an earlier release (-want +got):\n%s", i, diff)
		}
		if diff := cmp.Diff(ev, want); diff != "" && i/4%2 == 0 {
			t.Fatalf("event %d (-before +after):\n%s", i, diff)
		}
	}
}

// A parked delivery comes back as it was stored, as TestEventJSON has it of events.
func TestParkedJSON(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 3))
	texts := []string{"", "id", `"quoted" \ <&> ` + "\u2028", "日本\x00\x7f\n", "not \xff UTF-8", "\ufffd"}
	for i := range 1000 {
		var p, got, twin, before engine.Parked
		fill(rnd, reflect.ValueOf(&p).Elem(), texts)
		slow, err := json.Marshal(&p)
		if err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(slow, &twin); err != nil {
			t.Fatal(err)
		}
		if err := gojson.Unmarshal(slow, &before, asWritten); err != nil {
			t.Fatal(err)
		}
		if err := gojson.Unmarshal(appendParked([]byte("before"), &p)[len("before"):], &got, asWritten); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(twin, got); diff != "" {
			t.Fatalf("delivery %d (-want +got):\n%s", i, diff)
		}
		if diff := cmp.Diff(twin, before); diff != "" {
			t.Fatalf("delivery %d of an earlier release (-want +got):\n%s", i, diff)
		}
	}
}

// BenchmarkParkedPack writes 500 parked deliveries as one message and reads it. The twin is encoding/json.
func BenchmarkParkedPack(b *testing.B) {
	var ps []engine.Parked
	for i := range 500 {
		job := finished(i)[0].Matched.Deliveries[0]
		ps = append(ps, engine.Parked{Job: job, Due: time.Unix(1669872172, 0), Parks: 3, Error: "action hook is spared since it keeps failing", Span: 72 * time.Hour})
	}
	report := func(b *testing.B) {
		b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/500, "ns/delivery")
	}
	b.Run("write", func(b *testing.B) {
		for b.Loop() {
			_, records, err := bundle(ps)
			if err != nil {
				b.Fatal(err)
			}
			encodeBundle(time.Time{}, records)
		}
		report(b)
	})
	_, records, err := bundle(ps)
	if err != nil {
		b.Fatal(err)
	}
	pack := encodeBundle(time.Time{}, records)
	b.Run("read", func(b *testing.B) {
		for b.Loop() {
			if _, _, err := decodeJSON[engine.Parked](kindParked, pack); err != nil {
				b.Fatal(err)
			}
		}
		report(b)
	})
	b.Run("twin", func(b *testing.B) {
		for b.Loop() {
			for i := range ps {
				var p engine.Parked
				raw, err := json.Marshal(&ps[i])
				if err == nil {
					err = json.Unmarshal(raw, &p)
				}
				if err != nil {
					b.Fatal(err)
				}
			}
		}
		report(b)
	})
}

// finished is what is recorded of a delivery that succeeds at once.
func finished(i int) []engine.Event {
	at := time.Unix(1669872112, int64(i)*1e6).UTC()
	j := engine.Job{
		ID: id32(i), Callback: id32(i + 1), Rule: "all", Action: "hook", RuleSet: "0123456789abcdef", From: "alice", To: "bob", SdkAppid: 1400000000,
		CallbackCommand: "Sns.CallbackFriendDelete", ClientIP: "127.0.0.1", OptPlatform: "iOS", PairCount: 1, Time: at, Created: at,
	}
	body := `{"type":"friend.deleted","timestamp":"2026-11-22T08:00:00.123456789Z","data":{"delivery_id":"` + j.ID + `","rule":"all","labels":{},` +
		`"From_Account":"alice","To_Account":"bob","SdkAppid":1400000000,"ClientIP":"127.0.0.1","OptPlatform":"iOS","RequestId":"","callback_id":"` +
		j.Callback + `","rule_set":"0123456789abcdef"}}`
	return []engine.Event{
		{Matched: &engine.Matched{
			Callback: j.Callback, Seq: 1, Index: i, Received: at, Pairs: 1, RuleSet: j.RuleSet, Matches: []engine.Hit{{Rule: "all"}}, Deliveries: []engine.Job{j},
		}},
		{Ended: &engine.Ended{
			Delivery: j.ID, Callback: j.Callback, Rule: j.Rule, Action: j.Action, Type: "webhook", From: j.From, To: j.To, Attempt: 1, At: at,
			Took: 1234567, Outcome: engine.OutcomeDone, Detail: "204 No Content", Sent: []byte(body),
		}},
	}
}

func id32(i int) string {
	rnd := rand.New(rand.NewPCG(uint64(i), 1))
	const digits = "0123456789abcdef"
	b := make([]byte, 32)
	for i := range b {
		b[i] = digits[rnd.IntN(16)]
	}
	return string(b)
}

// BenchmarkEventPack writes what is recorded of 500 deliveries as one message, and says how large it is for each. The twin is
// encoding/json without compression.
func BenchmarkEventPack(b *testing.B) {
	var events []engine.Event
	for i := range 500 {
		events = append(events, finished(i)...)
	}
	report := func(b *testing.B, pack []byte) {
		b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/500, "ns/delivery")
		b.ReportMetric(float64(len(pack))/500, "bytes/delivery")
	}
	b.Run("append", func(b *testing.B) {
		var plain, small, pack []byte
		for b.Loop() {
			d := newDraft(plain)
			for i := range events {
				d.addEvent(&events[i])
			}
			s := d.squeezed(small)
			plain, small = d.b, s.b
			pack = s.seal(kindEvents, 0, time.Time{})
		}
		report(b, pack)
	})
	b.Run("twin", func(b *testing.B) {
		var pack []byte
		for b.Loop() {
			var records [][]byte
			for i := range events {
				r, err := json.Marshal(&events[i])
				if err != nil {
					b.Fatal(err)
				}
				records = append(records, r)
			}
			pack = encodePack(kindEvents, 0, time.Time{}, records)
		}
		report(b, pack)
	})
}
