package jetstream_test

import (
	"context"
	"strconv"
	"strings"
	"testing"

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
