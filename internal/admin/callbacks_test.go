package admin

import (
	"encoding/json"
	"strings"
	"testing"
	"unicode/utf8"
)

func TestAShownPacketNeverSpoilsTheAnswer(t *testing.T) {
	nested := func(n int) string { return strings.Repeat(`{"a":`, n-1) + "{}" + strings.Repeat("}", n-1) }
	for _, c := range []struct {
		name, body string
		asJSON     bool
	}{
		{"a packet", `{"PairList":[{"From_Account":"a","To_Account":"b"}]}`, true},
		{"a packet that says a thing twice", `{"a":1,"a":2}`, true},
		{"nested as deeply as one that is stored", nested(64), true},
		{"no JSON", `{"a":`, false},
		{"two values", `{} {}`, false},
		{"nothing", ``, false},
		{"no UTF-8 in a value", "{\"a\":\"\xff\"}", false},
		{"no UTF-8 in a name", "{\"\xed\xa0\x80\":1}", false},
		{"a lone surrogate", `{"a":"\ud800"}`, false},
		{"nested more deeply than readers read", nested(5000), false},
	} {
		t.Run(c.name, func(t *testing.T) {
			shown, err := json.Marshal(&storedCallback{Packet: packetOf([]byte(c.body))})
			if err != nil || !utf8.Valid(shown) {
				t.Fatalf("%v: %q", err, shown)
			}
			var got struct{ Packet any }
			if err := json.Unmarshal(shown, &got); err != nil {
				t.Fatal(err)
			}
			text, isText := got.Packet.(string)
			if isText == c.asJSON || isText && text != strings.ToValidUTF8(c.body, "\uFFFD") && utf8.ValidString(c.body) {
				t.Errorf("shown as %.100s", shown)
			}
		})
	}
}
