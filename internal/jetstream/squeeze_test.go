package jetstream

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"reflect"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/aftermath-rules/aftermath/engine"
)

// A bundle of deliveries that are alike is compressed, comes back as it was, and is refused where its bytes were changed; one that an
// earlier release wrote, without compression, is read too.
func TestBundle(t *testing.T) {
	var records [][]byte
	size := 0
	for i := range maxBundle {
		r := fmt.Appendf(nil, `{"job":{"id":"%032x","callback":"%032x","rule":"vip-lost-a-friend","action":"crm","from":"user-%d"},"due":"2026-11-22T08:00:00Z"}`, i*i, i, i)
		records, size = append(records, r), size+len(r)
	}
	at := time.Unix(1669872112, 0).UTC()
	b := encodeBundle(at, records)
	if 3*len(b) > size {
		t.Errorf("%d bytes of deliveries take %d", size, len(b))
	}
	for name, data := range map[string][]byte{"compressed": b, "not compressed": encodePack(kindParked, 0, at, records), "one": encodeBundle(at, records[:1])} {
		p, err := decodePack(kindParked, data)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if want := records[:len(p.records)]; len(p.records) < 1 || !p.written.Equal(at) || !reflect.DeepEqual(p.records, want) {
			t.Errorf("%s: %d records came back changed", name, len(p.records))
		}
	}
	for name, change := range map[string]func([]byte){
		"says it is huge":  func(b []byte) { copy(b[headSize:], "\xff\xff\xff\xff\x7f") },
		"is cut off":       func(b []byte) { clear(b[len(b)-200:]) },
		"is of other kind": func(b []byte) { b[5] = byte(kindDead) },
	} {
		bad := bytes.Clone(b)
		change(bad)
		binary.BigEndian.PutUint32(bad[crcAt:], packSum(bad))
		if p, err := decodePack(kind(bad[5]), bad); err == nil && reflect.DeepEqual(p.records, records) {
			t.Errorf("a bundle that %s was read", name)
		}
	}
}

// A pack of outcomes is compressed too, and comes back as it was; one that would not be smaller is stored as it is.
func TestSqueezedEvents(t *testing.T) {
	d := newDraft(nil)
	var want []engine.Event
	for i := range 20 {
		for _, ev := range finished(i) {
			d.addEvent(&ev)
			want = append(want, ev)
		}
	}
	small := d.squeezed(nil)
	if 3*len(small.b) > len(d.b) {
		t.Errorf("%d bytes of outcomes take %d", len(d.b), len(small.b))
	}
	p, err := decodeOutcomes(&stored{data: small.seal(kindEvents, 7, time.Time{})})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, p.Events); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	short := newDraft(nil)
	short.add([]byte("{}"))
	if short.squeezed(nil) != short {
		t.Error("two bytes were compressed")
	}
}
