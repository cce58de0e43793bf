package rules

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/aftermath-rules/aftermath/callback"
	"github.com/aftermath-rules/aftermath/internal/lang"
)

func TestFillVars(t *testing.T) {
	cb := packet(t, "SdkAppid=1400000000&CallbackCommand=Sns.CallbackFriendDelete&ClientIP=127.0.0.1&OptPlatform=iOS&RequestId=r-1",
		`{"CallbackCommand":"Sns.CallbackFriendDelete","PairList":[{"From_Account":"a","To_Account":"b"},{"From_Account":"c","To_Account":"c"},{"From_Account":"b","To_Account":"a"}]}`)
	v := lang.Vars{RuleName: "left over"}
	FillVars(&v, cb, 2)
	want := lang.Vars{
		Pair: callback.Pair{From: "b", To: "a"}, CallbackCommand: "Sns.CallbackFriendDelete", ClientIP: "127.0.0.1", OptPlatform: "iOS",
		RequestId: "r-1", SdkAppid: 1400000000, PairCount: 3, PairIndex: 2, Mutual: true, Time: time.Date(2026, 11, 22, 8, 0, 0, 0, time.UTC),
	}
	if diff := cmp.Diff(want, v); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if FillVars(&v, cb, 1); v.Mutual {
		t.Error("an account's pair with itself is no mutual one")
	}
}

func TestExplain(t *testing.T) {
	f, err := Parse("r.yaml", []byte("rules:\n  - name: r\n    condition: From_Account == \"a\" && PairCount > 1\n    actions: [{type: note, message: hi}]\n    enabled: false\n"))
	must(t, err)
	set, err := Compile([]*File{f}, Options{Registry: registry(t)})
	must(t, err)
	r, ok := set.Rule("r")
	if !ok {
		t.Fatal("there is no rule r")
	}
	parts := r.Explain(packet(t, "SdkAppid=1", `{"CallbackCommand":"Sns.CallbackFriendDelete","PairList":[{"From_Account":"a","To_Account":"b"}]}`), 0)
	if len(parts) < 3 || parts[0].Value != false || parts[0].Depth != 0 {
		t.Errorf("the whole comes first, and is false: %+v", parts)
	}
}

// The line break that ends a | block is no part of a condition: 4 KiB of source are 4 KiB however they are written.
func TestConditionInABlock(t *testing.T) {
	longest := `From_Account == "` + strings.Repeat("a", 4096-len(`From_Account == ""`)) + `"`
	for _, source := range []string{longest, longest + " "} {
		f, err := Parse("r.yaml", []byte("rules:\n  - name: r\n    condition: |\n      "+source+"\n    actions: [{type: note, message: hi}]\n"))
		must(t, err)
		set, err := Compile([]*File{f}, Options{Registry: registry(t)})
		if len(source) > 4096 {
			if err == nil || !strings.Contains(err.Error(), "r.yaml:4:4103: too long: 4097 bytes, the most is 4096") {
				t.Errorf("a byte too many: got %v", err)
			}
			continue
		}
		must(t, err)
		if r, _ := set.Rule("r"); r.Condition != source {
			t.Errorf("the condition is %q", r.Condition)
		}
	}
}

// A pair that nothing matches costs no memory.
func TestMatchAllocatesNothing(t *testing.T) {
	if raceDetector {
		t.Skip("the race detector empties pools at random")
	}
	rs := indexSet(t, 2000, func(i int) string {
		return []string{mixedCondition(i), residualCondition(i), hotCondition(i), casedCondition(i)}[i%4]
	})
	cb := manyPairs(5000, false)
	var dst []Match
	i := 0
	if n := testing.AllocsPerRun(200, func() { dst = rs.Match(dst[:0], cb, i); i++ }); n >= 1 {
		t.Errorf("%v allocations", n)
	}
	if len(dst) != 0 {
		t.Errorf("%d matches", len(dst))
	}
}

// What is fetched ahead from a large index changes no match, and ends with the callback's pairs.
func TestMatchFetchesAhead(t *testing.T) {
	const n = 120_000
	rs := indexSet(t, n, exactCondition)
	if !rs.index.Far() {
		t.Fatal("nothing is fetched")
	}
	for pairs := range 8 {
		cb := &callback.Callback{}
		for i := range pairs {
			cb.Pairs = append(cb.Pairs, callback.Pair{From: account(2 * i * 777), To: account(n + i)})
		}
		for i := range pairs {
			got := rs.Match(nil, cb, i)
			if len(got) != 1 || got[0].Rule != rs.Rules[2*i*777] {
				t.Errorf("pair %d of %d: %v", i, pairs, shown(got))
			}
		}
	}
}

// How a rule is found is said as it is.
func TestFoundBy(t *testing.T) {
	tests := []struct{ condition, want string }{
		{`From_Account == "a"`, "equality on From_Account"},
		{`lower(From_Account) == "a"`, "equality on lower(From_Account)"},
		{`"a" == upper(From_Account)`, foundNever},
		{`lower(OptPlatform) in ["ios", "iPad"]`, "equality on lower(OptPlatform)"},
		{`upper(To_Account) startsWith "VIP_"`, "prefix of upper(To_Account)"},
		{`lower(To_Account) endsWith "_bot" && lower(OptPlatform) == "ios"`, "suffix of lower(To_Account)"},
		{`lower(To_Account) contains "bot"`, "part of lower(To_Account)"},
		{`lower(To_Account)[:4] == "vip_"`, "prefix of lower(To_Account)"},
		{`From_Account matches "(?i)^vip_"`, "prefix of From_Account in any case"},
		{`lower(From_Account) matches "^vip_"`, "prefix of lower(From_Account)"},
		{`lower(From_Account) matches "(?i)^vip_"`, "prefix of lower(From_Account)"},
		{`lower(From_Account) matches "(?i)^s"`, foundEach}, // or ſ, which is lower too
		{`not (lower(From_Account) == "a")`, foundEach},
		{`lower(From_Account) == lower(To_Account)`, foundEach},
	}
	for _, tt := range tests {
		rs := indexSet(t, 1, func(int) string { return tt.condition })
		if got := rs.Rules[0].FoundBy; got != tt.want {
			t.Errorf("%s is found by %s, want %s", tt.condition, got, tt.want)
		}
	}
}
