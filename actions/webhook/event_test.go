package webhook

import (
	"testing"
	"time"

	"github.com/aftermath-rules/aftermath/actions"
	"github.com/aftermath-rules/aftermath/callback"
)

// FuzzEvent holds the default body against what encoding/json makes of the same event.
func FuzzEvent(f *testing.F) {
	for _, s := range []string{"", "alice", `"quoted\"`, "<b>&amp;</b>", "line\r\nbreak\x00\x1f\x7f", "张三", "bad \xff utf-8", "\u2028\u2029", "\xed\xa0\x80"} {
		f.Add(s, "bob", int64(1669872112), int64(0))
		f.Add("vip", s, int64(-62135596801), int64(999_999_999))
	}
	f.Add("a", "b", int64(253402300800), int64(1))
	f.Fuzz(func(t *testing.T, one, other string, seconds, nanos int64) {
		d := &actions.Delivery{
			ID: one, Rule: actions.Rule{Name: other, Labels: map[string]string{one: other, other: one, "team": "care"}}, RuleSet: one,
			Reprocess: other, CallbackID: one, Pair: callback.Pair{From: one, To: other}, SdkAppid: seconds, ClientIP: other, OptPlatform: one,
			RequestId: other, Time: time.Unix(seconds%(1<<40), nanos%1e9),
		}
		for range 2 {
			got, gotErr := appendEvent(nil, d)
			want, _, wantErr := encode(newEvent(d))
			if string(got) != string(want) || (gotErr == nil) != (wantErr == nil) || actions.IsPermanent(gotErr) != actions.IsPermanent(wantErr) {
				t.Fatalf("appendEvent gives %s, %v\nencoding/json %s, %v", got, gotErr, want, wantErr)
			}
			d.Rule.Labels, d.Reprocess = nil, ""
		}
	})
}
