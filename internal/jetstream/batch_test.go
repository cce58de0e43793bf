package jetstream_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/aftermath-rules/aftermath/engine"
	"github.com/aftermath-rules/aftermath/internal/jetstream"
)

// A callback whose caller has left is not stored; those around it are, whole and in order.
func TestCallersThatHaveLeft(t *testing.T) {
	gone, leave := context.WithCancel(context.Background())
	leave()
	for _, left := range []string{"....", "x...", "...x", ".xx.", "x.x.", "xxx.", "xxxx"} {
		t.Run(left, func(t *testing.T) {
			var ctxs []context.Context
			var rs []*engine.Record
			var want []string
			for i, c := range left {
				ctx, body := gone, strings.Repeat(strconv.Itoa(i), 10*(i+1))
				if c == '.' {
					ctx, want = context.Background(), append(want, body)
				}
				ctxs, rs = append(ctxs, ctx), append(rs, &engine.Record{Query: "q", Body: []byte(body)})
			}
			pack := jetstream.PackOf(ctxs, rs)
			got, err := jetstream.DecodeCallbacks(pack)
			if len(want) == 0 {
				if err == nil || !strings.Contains(err.Error(), "without callbacks") {
					t.Errorf("%v, %v", got, err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if len(got) != len(want) {
				t.Fatalf("%d callbacks, want %d", len(got), len(want))
			}
			for i, r := range got {
				if string(r.Body) != want[i] || r.Query != "q" {
					t.Errorf("callback %d: %q %q, want %q", i, r.Query, r.Body, want[i])
				}
			}
		})
	}
}

// What compresses takes less of the journal than it is long, and what doesn't no more; both come back as they were, after a restart too.
func TestAcceptedAreCompressed(t *testing.T) {
	dir := t.TempDir()
	s := open(t, jetstream.Options{Dir: dir})
	ctx := ctxFor(t, time.Minute)
	noise := make([]byte, 100_000)
	rand.Read(noise)
	bodies := [][]byte{bytes.Repeat([]byte(`{"From_Account":"alice","To_Account":"bob"},`), 20_000), noise, []byte("small")}
	for i, body := range bodies {
		if err := s.Accept(ctx, &engine.Record{Key: engine.Key{byte(i)}, Received: time.Now(), Query: "q", Body: body}); err != nil {
			t.Fatal(err)
		}
	}
	closeStore(t, s)
	s = open(t, jetstream.Options{Dir: dir})
	for i, body := range bodies {
		p, err := s.NextPack(ctx)
		if err != nil {
			t.Fatal(err)
		}
		if r := p.Records[0]; !bytes.Equal(r.Body, body) || r.Query != "q" || r.Key != (engine.Key{byte(i)}) {
			t.Errorf("callback %d came back changed", i)
		}
		p.Ack()
	}
	if st := s.Status(); st.Bytes < 100_000 || st.Bytes > 300_000 {
		t.Errorf("the journal takes %d bytes", st.Bytes)
	}
	closeStore(t, s)
}
