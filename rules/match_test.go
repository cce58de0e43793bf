package rules

import (
	"fmt"
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
		{`PairCount > 5 && PairCount < 3`, foundNever},
		{`Time.Hour() >= 22 && Time.Hour() < 6`, foundNever},
		{`Time.Hour() >= 22 || Time.Hour() < 6`, "threshold on Time.Hour()"},
		{`lower(OptPlatform) in ["ios", "iPad"]`, "equality on lower(OptPlatform)"},
		{`upper(To_Account) startsWith "VIP_"`, "prefix of upper(To_Account)"},
		{`lower(To_Account) endsWith "_bot" && lower(OptPlatform) == "ios"`, "suffix of lower(To_Account)"},
		{`lower(To_Account) contains "bot"`, "part of lower(To_Account)"},
		{`lower(To_Account)[:4] == "vip_"`, "prefix of lower(To_Account)"},
		{`From_Account < "m"`, "threshold on From_Account"},
		{`not ("m" <= lower(To_Account))`, "threshold on lower(To_Account)"},
		{`From_Account >= "a" && From_Account < "b"`, "range of From_Account"},
		{`PairCount > 3 && PairCount <= 9`, "range of PairCount"},
		{`Time.Hour() > 20 and Time.Hour() < 9`, foundNever},
		{`OptPlatform >= ""`, foundAlways},
		{`OptPlatform < ""`, foundNever},
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

// Of rules that no atom serves it is said what many of them share, and what each of them costs.
func TestFoundTogether(t *testing.T) {
	each := func(format string) func(int) string {
		return func(i int) string { return fmt.Sprintf(format, i) }
	}
	const webEach = `OptPlatform != "Web" && `
	tests := []struct {
		name      string
		condition func(i int) string
		rules     int
		want      string
	}{
		{"a made text", each(`trim(From_Account) == "%d"`), 4, "one look-up of trim(From_Account) for 4 rules"},
		{"a made text, of which there are few", each(`trim(From_Account) == "%d"`), 3, "evaluated for every pair, as fewer than 4 rules like it ask for trim(From_Account)"},
		{"part of a text", each(`To_Account[1:-2] == "%d"`), 5, "one look-up of To_Account[1:-2] for 5 rules"},
		{"lists of their own", each(`trim(From_Account) in ["%d", "a"]`), 4, "one look-up of trim(From_Account) for 4 rules"},
		{"a place", each(`indexOf(From_Account, "\n") == %d`), 4, `one look-up of indexOf(From_Account, "\n") for 4 rules`},
		{"ranges", each(`cidr(ClientIP, "10.%d.0.0/16")`), 4, "one look-up of the first 16 of 32 bits of ClientIP for 4 rules"},
		{"a range alone", each(`cidr(ClientIP, "10.%d.0.0/16")`), 1, "evaluated for every pair, as fewer than 4 rules like it ask for the first 16 of 32 bits of ClientIP"},
		{"a zone's hours", each(`inZone(Time, "Asia/Shanghai").Hour() == %d`), 4, `one look-up of inZone(Time, "Asia/Shanghai").Hour() for 4 rules`},
		{"a value that several rules demand", func(i int) string { return fmt.Sprintf(`trim(From_Account) == "%d" && PairCount != %d`, i/2, i) }, 8, "one look-up of trim(From_Account) for 8 rules"},
		{"a long name", each(`trim(trimPrefix(From_Account, "` + strings.Repeat("é", 40) + `")) == "%d"`), 4,
			`one look-up of trim(trimPrefix(From_Account, "` + strings.Repeat("é", 14) + `… for 4 rules`},
		{"behind a test that most pairs pass", each(webEach + `trim(From_Account) == "%d"`), 5, "one look-up of trim(From_Account) for 5 rules"},
		{"a made text's order", func(i int) string {
			return fmt.Sprintf(`trim(From_Account) %s "%d"`, []string{"<", ">=", "<=", ">"}[i%4], i)
		}, 8, "one look-up of trim(From_Account) for 8 rules"},
		{"what made texts begin with", each(`trim(From_Account) startsWith "%d"`), 4, "one look-up of trim(From_Account) for 4 rules"},
		{"what made texts end with", each(webEach + `trim(From_Account) endsWith "%d"`), 4, "one look-up of trim(From_Account) for 4 rules"},
		{"what made texts have in them", each(`trim(From_Account) contains "%d"`), 4, "one look-up of trim(From_Account) for 4 rules"},
		{"all that is asked of made texts", func(i int) string {
			return fmt.Sprintf(`trim(From_Account) %s "%d"`, []string{"==", "startsWith", "endsWith", "contains", "<", ">"}[i%6], i)
		}, 12, "one look-up of trim(From_Account) for 12 rules"},
		{"what made texts don't begin with", each(`trim(From_Account) not startsWith "%d"`), 4, "evaluated for every pair"},
		{"a made number's limits", func(i int) string {
			return fmt.Sprintf(`len(trim(From_Account)) %s %d`, []string{"<", ">=", "<=", ">"}[i%4], i)
		}, 8, "one look-up of len(trim(From_Account)) for 8 rules"},
		{"limits behind a test that most pairs pass", each(webEach + `len(trim(From_Account)) > %d`), 4, "one look-up of len(trim(From_Account)) for 4 rules"},
		{"limits beside a test that few pairs pass", each(`len(trim(From_Account)) > 1%d && From_Account[1:] == "%[1]d"`), 4, "one look-up of From_Account[1:] for 4 rules"},
		{"samples", each(`sample(From_Account, 1%d)`), 4, "one look-up of sample(From_Account) for 4 rules"},
		{"samples turned round", each(`not sample(trim(From_Account), 0.%d1)`), 4, "one look-up of sample(trim(From_Account)) for 4 rules"},
		{"few samples", each(`sample(From_Account, 1%d)`), 3, "evaluated for every pair, as fewer than 4 rules like it ask for sample(From_Account)"},
		{"sums", each(`PairCount * 1%d == PairIndex - 7`), 4, "evaluated for every pair, in one pass over 4 rules like it"},
		{"remainders", each(`len(From_Account) %% 1%d == 3`), 4, "evaluated for every pair, in one pass over 4 rules like it"},
		{"a remainder", each(`len(From_Account) %% 1%d == 3`), 1, "evaluated for every pair"},
		{"a test that few pairs pass", each(`From_Account == To_Account && PairCount != %d`), 4, "one test for 4 rules"},
		{"a test that few pairs pass, of few rules", each(`From_Account == To_Account && PairCount != %d`), 3, "evaluated for every pair"},
		{"a test that most pairs pass", each(webEach + `PairCount != %d`), 4, "evaluated for every pair that passes a test of 4 rules"},
		{"equal calls", each(`inZone(Time, "Asia/Shanghai").Hour() > 5 && PairCount != %d`), 4, "evaluated for every pair that passes a test of 4 rules"},
		{"equal calls, and a test that few pairs pass", each(`inZone(Time, "Asia/Shanghai").Hour() > 5 && From_Account == To_Account && PairCount != %d`), 4, "one test for 4 rules"},
		{"what is not as the others", each(`From_Account != "%d"`), 9, "evaluated for every pair"},
		{"what may fail", each(`int(From_Account) == %d`), 9, "evaluated for every pair"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			for i, r := range indexSet(t, tt.rules, tt.condition).Rules {
				if r.FoundBy != tt.want {
					t.Errorf("rule %d, %s, is found by %q, want %q", i, r.Condition, r.FoundBy, tt.want)
				}
			}
		})
	}
}
