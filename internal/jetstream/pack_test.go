package jetstream_test

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"hash/crc32"
	"strings"
	"testing"
	"time"

	"github.com/aftermath-rules/aftermath/engine"
	"github.com/aftermath-rules/aftermath/internal/jetstream"
)

func fixedRecords() []*engine.Record {
	at := time.Unix(1669872112, 123456789).UTC()
	r := &engine.Record{Window: 10 * time.Minute, Received: at, Query: "a=b", Body: []byte("{\"x\":\"\xe2\x80\xa8\"}")}
	for i := range r.Key {
		r.Key[i] = byte(i)
	}
	return []*engine.Record{r, {Received: at.Add(time.Nanosecond), Body: []byte{}}}
}

func fixedPack() []byte {
	written := time.Unix(1669872113, 0)
	return jetstream.EncodeCallbacks(42, jetstream.Options{Now: func() time.Time { return written }}, fixedRecords()...)
}

// TestPackBytes pins the form that doc.go tells of: what was stored in it must be read for ever.
func TestPackBytes(t *testing.T) {
	want := strings.Join([]string{
		"414d504b", "01", "01", "0000", "00000002", "00000060", // magic, version, kind, flags, count, length
		"000000000000002a", "172c93d6e3b22a00", "411b3b44", // ordinal 42, written, CRC-32C
		"00000033", "01", "000102030405060708090a0b0c0d0e0f", // length, version, key
		"0000008bb2c97000", "172c93d6af732d15", "00000003", "613d62", "7b2278223a22e280a8227d", // window, received, query, body
		"00000025", "01", "00000000000000000000000000000000",
		"0000000000000000", "172c93d6af732d16", "00000000",
	}, "")
	got := fixedPack()
	if hex.EncodeToString(got) != want {
		t.Errorf("the pack is\n%x, want\n%s", got, want)
	}
	rs, err := jetstream.DecodeCallbacks(got)
	if err != nil || len(rs) != 2 {
		t.Fatalf("%d records, %v", len(rs), err)
	}
	for i, w := range fixedRecords() {
		g := rs[i]
		if g.Key != w.Key || g.Window != w.Window || !g.Received.Equal(w.Received) || g.Query != w.Query || !bytes.Equal(g.Body, w.Body) {
			t.Errorf("record %d is %+v, want %+v", i, g, w)
		}
	}
}

// sealed puts the right checksum on a pack that a test changed.
func sealed(b []byte) []byte {
	sum := crc32.MakeTable(crc32.Castagnoli)
	binary.BigEndian.PutUint32(b[32:], crc32.Update(crc32.Checksum(b[:32], sum), sum, b[36:]))
	return b
}

func TestPackRefused(t *testing.T) {
	change := func(at int, v byte) func([]byte) []byte {
		return func(b []byte) []byte { b[at] = v; return sealed(b) }
	}
	for _, c := range []struct {
		name   string
		change func([]byte) []byte
		want   string
	}{
		{"nothing", func([]byte) []byte { return nil }, "no pack"},
		{"another magic", change(0, 'X'), "no pack"},
		{"a newer version", change(4, 7), "pack of version 7: a newer release"},
		{"a newer callback", change(40, 9), "callback of version 9: a newer release"},
		{"version 0", change(4, 0), "version 0"},
		{"another kind", change(5, 4), "pack of dead letter"},
		{"unknown flags", change(7, 2), "flags 0x2"},
		{"compressed records that are none", change(7, 1), "compressed bytes"},
		{"a flipped bit in a body", func(b []byte) []byte { b[80] ^= 1; return b }, "checksum"},
		{"a flipped bit in the head", func(b []byte) []byte { b[20] ^= 1; return b }, "checksum"},
		{"cut off", func(b []byte) []byte { return b[:len(b)-1] }, "its head says"},
		{"more behind it", func(b []byte) []byte { return append(b, 0) }, "its head says"},
		{"one record too many", change(11, 3), "cut off"},
		{"one record too few", change(11, 1), "after its last record"},
		{"a count beyond all bytes", change(8, 0xff), "records in"},
		{"a query longer than its record", change(36+4+33, 0xff), "query is cut off"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if _, err := jetstream.DecodeCallbacks(c.change(fixedPack())); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %q", err, c.want)
			}
		})
	}
}

func FuzzPack(f *testing.F) {
	f.Add(fixedPack(), true)
	f.Add(fixedPack()[:40], true)
	f.Add([]byte("AMPK"), false)
	f.Fuzz(func(t *testing.T, b []byte, seal bool) {
		if seal && len(b) >= 36 {
			b = sealed(bytes.Clone(b))
		}
		rs, err := jetstream.DecodeCallbacks(b)
		if err != nil || b[7] != 0 { // compression knows many forms of the same
			return
		}
		// What is read is what it would be written as: there is one form of everything.
		var again []*engine.Record
		for i := range rs {
			again = append(again, &rs[i])
		}
		written := time.Unix(0, int64(binary.BigEndian.Uint64(b[24:])))
		o := jetstream.Options{Now: func() time.Time { return written }}
		if got := jetstream.EncodeCallbacks(binary.BigEndian.Uint64(b[16:]), o, again...); !bytes.Equal(got, b) {
			t.Errorf("read\n%x\nwritten\n%x", b, got)
		}
	})
}
