//go:build unix

package cmd

import (
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/aftermath-rules/aftermath/internal/backtest"
)

// What is read by hand comes to the same as what the decoder makes of it, whatever a line holds; a space at its beginning keeps a line
// from being read by hand.
func TestJournalLinesByHand(t *testing.T) {
	set := loaded(t, []byte(`
actions: {note: {type: log, message: x}}
rules: [{name: all, condition: From_Account != "", actions: [note]}, {name: odd, condition: 'OptPlatform == "a\"b\u00e9"', actions: [note]}]
`))
	const query, packet = `SdkAppid=1400000000&OptPlatform=iOS&RequestId=r`, `{"CallbackCommand":"Sns.CallbackFriendDelete","PairList":[{"From_Account":"a","To_Account":"b"}]}`
	line := func(query, matches, packet string) string {
		return fmt.Sprintf(`{"id":"c1","at":"2026-11-22T08:00:00.5Z","query":"%s"%s,"packet":%s}`, query, matches, packet)
	}
	lines := map[string]string{
		"plain":              line(query, "", packet),
		"no matches":         line(query, `,"matches":[]`, packet),
		"matches":            line(query, `,"matches":[{"pair":0,"rule":"all"},{"pair":0,"rule":"odd","shadow":true,"failed":true}]`, packet),
		"escapes":            line(`SdkAppid=1400000000&OptPlatform=a\"b\u00e9`, "", packet),
		"beyond ASCII":       line(`SdkAppid=1400000000&OptPlatform=a\"bé`, "", packet),
		"no UTF-8":           line("SdkAppid=1400000000&OptPlatform=a\xff", "", packet),
		"another packet":     line(query, "", `{"a":1}`),
		"two packets":        line(query, "", packet+packet),
		"a field behind":     line(query, "", packet+`,"error":"x"`),
		"a packet replaced":  line(query, "", `{"a":1},"packet":`+packet),
		"a packet in text":   line(query, "", `"{\"a\":1}"`),
		"matches behind":     line(query, "", packet+`,"matches":[{"pair":0,"rule":"odd"}]`),
		"odd matches":        line(query, `,"matches":[{"rule":"all","pair":0}]`, packet),
		"broken matches":     line(query, `,"matches":[{"pair":x,"rule":"all"}]`, packet),
		"an unended packet":  line(query, "", packet[:len(packet)-1]),
		"an unended line":    line(query, "", packet)[:60],
		"spaces":             strings.ReplaceAll(line(query, "", packet), ",", ", "),
		"a carriage return":  line(query, "", packet) + "\r",
		"an error":           `{"error":"message 7 is damaged"}`,
		"a list":             "[" + line(query, "", packet) + ",\n" + line(query, "", packet) + "]",
		"a packet alone":     packet,
		"nothing":            "",
		"no time":            strings.Replace(line(query, "", packet), "2026-11-22T08:00:00.5Z", "noon", 1),
		"repeated names":     line(query, "", strings.Replace(packet, `{"From`, `{"From_Account":"x","From`, 1)),
		"a lone surrogate":   line(query, "", strings.Replace(packet, `"a"`, `"\ud800"`, 1)),
		"a tab in the query": line("a\tb", "", packet),
	}
	read := func(running bool, text string) string {
		var warned strings.Builder
		b := &backtester{run: backtest.New(set, set), now: time.Unix(1e9, 0).UTC(), warn: &warned, step: func(int) {}}
		if running {
			b.run, b.before.Running = backtest.NewDecided(backtest.KnownOf(set), set), true
		}
		in := newStoredReader(strings.NewReader(text))
		err := b.readAll(t.Context(), in)
		out := fmt.Sprintf("%+v\n%d callbacks, %d pairs, %d skipped\n%s", b.run.Rules(), b.run.Callbacks, b.run.Pairs, b.skipped, warned.String())
		if err != nil {
			out += fmt.Sprintf("an error in line %d", in.line(0))
		}
		return out
	}
	for name, l := range lines {
		for _, running := range []bool{false, true} {
			usual := line(query, "", packet)
			all := usual + "\n\n" + l + "\n" + usual + "\n"
			if diff := cmp.Diff(read(running, " "+all), read(running, all)); diff != "" {
				t.Errorf("%s, running %v (-decoded +by hand):\n%s", name, running, diff)
			}
		}
	}
	in := newStoredReader(strings.NewReader(lines["matches"] + "\n" + lines["escapes"] + "\n"))
	var v storedValue
	for range 2 {
		if err := in.next(&v); err != nil || !v.byHand {
			t.Errorf("a line of the journal was not read by hand: %v", err)
		}
	}
	if err := in.next(&v); err != io.EOF {
		t.Errorf("at the end: %v", err)
	}
}
