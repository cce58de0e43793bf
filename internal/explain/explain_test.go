package explain

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/aftermath-rules/aftermath/callback"
	"github.com/aftermath-rules/aftermath/internal/rulestest"
)

// outline writes what came of each rule in a word or two.
func outline(p *Pair) string {
	var all []string
	for _, r := range p.Rules {
		state := "no"
		switch {
		case r.Matched:
			state = "yes"
		case r.Error != "":
			state = "error"
		case r.StoppedBy != "":
			state = "stopped by " + r.StoppedBy
		case !r.Enabled:
			state = "off"
		}
		all = append(all, r.Rule+": "+state)
	}
	return strings.Join(all, "; ")
}

// Each rule is told as Match sees it: stopped, disabled, failed and shadow rules too.
func TestExplain(t *testing.T) {
	rs := rulestest.Compile(t, `rules:
  - {name: shadow, condition: "true", shadow: true, stop: true, actions: [{type: log}]}
  - {name: fails, condition: int(To_Account) > 1, actions: [{type: log}]}
  - {name: stops, condition: From_Account == "a", stop: true, actions: [{type: log}]}
  - {name: off, enabled: false, condition: "true", actions: [{type: log}]}
  - {name: later, condition: "true", actions: [{type: log}]}
`)
	cb := &callback.Callback{Pairs: []callback.Pair{{From: "a", To: "x"}, {From: "b", To: "2"}}}
	x, err := Explain(t.Context(), rs, cb, "")
	if err != nil {
		t.Fatal(err)
	}
	if got, want := outline(&x.Pairs[0]), "shadow: yes; fails: error; stops: yes; off: off; later: stopped by stops"; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	if got, want := outline(&x.Pairs[1]), "shadow: yes; fails: yes; stops: no; off: off; later: yes"; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	var unknown *UnknownRuleError
	if _, err := Explain(t.Context(), rs, cb, "stop"); !errors.As(err, &unknown) || !strings.Contains(err.Error(), "did you mean stops?") {
		t.Errorf("a rule that there is not: %v", err)
	}
	if x, err := Explain(t.Context(), rs, cb, "later"); err != nil || len(x.Pairs) != 2 || outline(&x.Pairs[1]) != "later: yes" {
		t.Errorf("one rule: %+v, %v", x, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Explain(ctx, rs, cb, ""); !errors.Is(err, context.Canceled) {
		t.Errorf("after its context ended: %v", err)
	}
}

// many is a set of n rules of which one matches a, and one of each thousand comes near.
func many(n int) string {
	var b strings.Builder
	b.WriteString("rules:\n")
	for i := range n {
		condition := fmt.Sprintf(`From_Account == "u%d" && To_Account == "v" && OptPlatform == "iOS"`, i)
		switch {
		case i == 500:
			condition = `From_Account == "a"`
		case i%1000 == 700:
			condition = fmt.Sprintf(`From_Account == "a" && To_Account == "b" && PairCount == %d`, i)
		}
		fmt.Fprintf(&b, "  - {name: r%d, condition: '%s', actions: [{type: log}]}\n", i, condition)
	}
	return b.String()
}

// All rules that match are shown, as long as they are not thousands; what is left out of them is counted apart.
func TestExplainManyMatches(t *testing.T) {
	var b strings.Builder
	b.WriteString("rules:\n")
	for i := range 400 {
		fmt.Fprintf(&b, "  - {name: r%d, condition: 'From_Account == \"a\" && PairCount != %d', actions: [{type: log}]}\n", i, i)
	}
	rs := rulestest.Compile(t, b.String())
	pairs := make([]callback.Pair, 20)
	for i := range pairs {
		pairs[i] = callback.Pair{From: "a", To: fmt.Sprint(i)}
	}
	for _, c := range []struct{ pairs, shown, omitted, matches int }{
		{1, 400, 0, 0},      // 399 match, and one misses
		{20, 251, 149, 149}, // 250 of the 399, and the miss
	} {
		x, err := Explain(t.Context(), rs, &callback.Callback{Pairs: pairs[:c.pairs]}, "")
		if err != nil {
			t.Fatal(err)
		}
		if p := &x.Pairs[0]; len(p.Rules) != c.shown || p.Omitted != c.omitted || p.OmittedMatches != c.matches {
			t.Errorf("%d pairs: %d rules shown, %d omitted, of which %d match, want %+v", c.pairs, len(p.Rules), p.Omitted, p.OmittedMatches, c)
		}
	}
}

// Of very many rules those that match are shown, and the nearest misses.
func TestExplainManyRules(t *testing.T) {
	rs := rulestest.Compile(t, many(2000))
	x, err := Explain(t.Context(), rs, &callback.Callback{Pairs: []callback.Pair{{From: "a", To: "b"}}}, "")
	if err != nil {
		t.Fatal(err)
	}
	p := &x.Pairs[0]
	if got := outline(p); !strings.HasPrefix(got, "r500: yes; r700: no; r1700: no; ") || len(p.Rules) != 11 || p.Omitted != 1989 || p.Unsearched != 0 {
		t.Errorf("got %s, %d omitted, %d unsearched", got, p.Omitted, p.Unsearched)
	}
	if p.Rules[1].Away != 1 || p.Rules[3].Away != 3 {
		t.Errorf("%d and %d away", p.Rules[1].Away, p.Rules[3].Away)
	}
	// A packet of very many pairs is cut, and stays quick.
	pairs := make([]callback.Pair, 5000)
	for i := range pairs {
		pairs[i] = callback.Pair{From: "a", To: fmt.Sprint(i)}
	}
	x, err = Explain(t.Context(), rs, &callback.Callback{Pairs: pairs}, "")
	if err != nil {
		t.Fatal(err)
	}
	if len(x.Pairs) != mostPairs || x.OmittedPairs != 5000-mostPairs || x.Pairs[0].Unsearched != 1999-evaluations/mostPairs || len(x.Pairs[99].Rules) != 11 {
		t.Errorf("%d pairs, %d omitted, %d unsearched", len(x.Pairs), x.OmittedPairs, x.Pairs[0].Unsearched)
	}
	// Of one rule, or of few, it shows more pairs.
	if x, err = Explain(t.Context(), rs, &callback.Callback{Pairs: pairs}, "r500"); err != nil || len(x.Pairs) != 5000 || x.OmittedPairs != 0 {
		t.Errorf("one rule: %d pairs, %v", len(x.Pairs), err)
	}
	if x, err = Explain(t.Context(), rulestest.Compile(t, many(5)), &callback.Callback{Pairs: pairs}, ""); err != nil || len(x.Pairs) != 1000 || x.OmittedPairs != 4000 {
		t.Errorf("five rules: %d pairs, %v", len(x.Pairs), err)
	}
}

// A request takes its packet and query in the ways that people have them.
func TestRequest(t *testing.T) {
	const packet = `{"CallbackCommand":"Sns.CallbackFriendDelete","PairList":[{"From_Account":"a","To_Account":"b"}]}`
	text, err := json.Marshal(packet)
	if err != nil {
		t.Fatal(err)
	}
	for _, body := range []string{
		`{"packet": ` + packet + `, "query": "SdkAppid=1400000000&OptPlatform=a%20b"}`,
		`{"packet": ` + string(text) + `, "query": {"SdkAppid": 1400000000, "OptPlatform": "a b"}, "at": "2026-11-22T08:00:00Z"}`,
	} {
		var in Request
		if err := json.Unmarshal([]byte(body), &in); err != nil {
			t.Fatal(err)
		}
		cb, err := in.Callback()
		if err != nil || cb.SdkAppid != 1400000000 || cb.OptPlatform != "a b" || len(cb.Pairs) != 1 || cb.Received.IsZero() {
			t.Errorf("%s: %+v, %v", body, cb, err)
		}
	}
	for _, body := range []string{`{}`, `{"packet": null}`, `{"packet": []}`, `{"packet": {"PairList": []}}`} {
		var in Request
		if err := json.Unmarshal([]byte(body), &in); err != nil {
			t.Fatal(err)
		}
		if _, err := in.Callback(); err == nil {
			t.Errorf("%s was taken for a packet", body)
		}
	}
}

// BenchmarkExplain explains one pair to a set of 10,000 rules.
func BenchmarkExplain(b *testing.B) {
	rs := rulestest.Compile(b, many(10_000))
	cb := &callback.Callback{Pairs: []callback.Pair{{From: "a", To: "b"}}}
	for b.Loop() {
		if _, err := Explain(b.Context(), rs, cb, ""); err != nil {
			b.Fatal(err)
		}
	}
}
