package lang

import (
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/aftermath-rules/aftermath/callback"
)

// sampleVars are the values that the tables of this package evaluate over. 2026-11-22 is a Sunday.
func sampleVars() *Vars {
	return &Vars{
		Pair:            callback.Pair{From: "vip_1", To: "bøb"},
		CallbackCommand: callback.Command,
		ClientIP:        "10.1.2.3",
		OptPlatform:     "iOS",
		RequestId:       "r-1",
		SdkAppid:        1400000000,
		PairCount:       3,
		PairIndex:       1,
		Mutual:          true,
		Time:            time.Date(2026, 11, 22, 20, 30, 0, 0, time.UTC),
		RuleName:        "vip-lost-a-friend",
		RuleLabels:      map[string]string{"team": "care"},
		DeliveryID:      "d-1",
		DeliveryAttempt: 2,
	}
}

func sampleScope() *Scope {
	return &Scope{Lists: map[string]*List{"vips": NewList([]string{"vip_1", "vip_2"}), "staff": NewList([]string{"alice"})}}
}

func mustCondition(t testing.TB, src string) *Condition {
	t.Helper()
	c, errs := CompileCondition(src, sampleScope())
	for _, e := range errs {
		t.Errorf("%s: offset %d: %s", src, e.Offset, e.Message)
	}
	if errs != nil {
		t.FailNow()
	}
	return c
}

func TestMatch(t *testing.T) {
	tests := []struct {
		name, condition string
		want            bool
	}{
		{"equal", `From_Account == "vip_1"`, true},
		{"not equal", `OptPlatform != "RESTAPI"`, true},
		{"in a list", `From_Account in vips`, true},
		{"not in a list", `To_Account not in vips`, true},
		{"not of in a list", `not (From_Account in vips)`, false},
		{"in an array", `OptPlatform in ["iOS", "Android"]`, true},
		{"in an array of one's own", `From_Account in ["vip_" + string(PairIndex)]`, true},
		{"in a mixed array", `PairCount in ["a", 3]`, true},
		{"in an array of ints", `PairCount in [1, 2]`, false},
		{"in an empty array", `From_Account in []`, false},
		{"contract example", `From_Account in vips && OptPlatform != "RESTAPI"`, true},
		{"or", `From_Account == "x" || To_Account == "bøb"`, true},
		{"and or not words", `not Mutual or PairCount == 3 and true`, true},
		{"comparison", `PairCount > 2 and PairIndex >= 1 and PairIndex <= 1 and PairIndex < PairCount`, true},
		{"chained comparison", `0 < PairIndex < PairCount <= 3`, true},
		{"strings in order", `"a" < From_Account`, true},
		{"arithmetic", `PairCount * 2 + 1 - 3 == 4`, true},
		{"division is of floats", `PairCount / 2 == 1.5`, true},
		{"remainder", `PairCount % 2 == 1`, true},
		{"power", `PairCount ** 2 == 9 && PairCount ^ 2 == 9`, true},
		{"ternary", `Mutual ? PairCount == 3 : false`, true},
		{"ternary of strings", `(Mutual ? "a" : "b") == "a"`, true},
		{"contains", `From_Account contains "p_"`, true},
		{"not contains", `From_Account not contains "p_"`, false},
		{"startsWith", `From_Account startsWith "vip_"`, true},
		{"endsWith", `From_Account endsWith "_1"`, true},
		{"matches", `From_Account matches "^vip_[0-9]+$"`, true},
		{"not matches", "From_Account not matches `\\d`", false},
		{"slice", `From_Account[0:3] == "vip"`, true},
		{"slice to the end", `From_Account[4:] == "1"`, true},
		{"slice from the end", `From_Account[-1:] == "1"`, true},
		{"slice past the end", `From_Account[3:99] == "_1"`, true},
		{"slice beyond the end", `From_Account[50:99] == ""`, true},
		{"slice upside down", `From_Account[3:1] == ""`, true},
		{"len counts characters", `len(To_Account) == 3`, true},
		{"lower", `lower(OptPlatform) == "ios"`, true},
		{"upper", `upper(To_Account) == "BØB"`, true},
		{"trim", `trim("  x ") == "x" && trim("--x-", "-") == "x"`, true},
		{"trimPrefix", `trimPrefix(From_Account, "vip_") == "1"`, true},
		{"trimSuffix", `trimSuffix(From_Account, "_1") == "vip"`, true},
		{"indexOf", `indexOf(From_Account, "_") == 3 && indexOf(From_Account, "z") == -1`, true},
		{"lastIndexOf", `lastIndexOf(To_Account, "b") == 3`, true},
		{"int of a string", `int(trimPrefix(From_Account, "vip_")) == 1`, true},
		{"int of a float", `int(2.9) == 2 && int(-2.9) == -2`, true},
		{"float of a string", `float("1.5") == 1.5`, true},
		{"float of an int", `float(PairCount) == 3.0`, true},
		{"string of an int", `string(SdkAppid) == "1400000000"`, true},
		{"string of a bool", `string(Mutual) == "true"`, true},
		{"string of a float", `string(0.5) == "0.5"`, true},
		{"string of a time", `string(Time) == "2026-11-22T20:30:00Z"`, true},
		{"abs", `abs(PairIndex - PairCount) == 2`, true},
		{"min and max", `min(PairCount, 2) == 2 && max(PairCount, 2) == 3`, true},
		{"min of many", `min(5, PairCount, 4) == 3`, true},
		{"max of int and float", `max(PairCount, 3.5) == 3.5 && max(PairCount, 0.5) == 3`, true},
		{"floor, ceil, round", `floor(1.5) == 1 && ceil(1.5) == 2 && round(1.5) == 2`, true},
		{"sdkappid", `SdkAppid == 1400000000`, true},
		{"cidr", `cidr(ClientIP, "10.0.0.0/8")`, true},
		{"cidr elsewhere", `cidr(ClientIP, "192.168.0.0/16")`, false},
		{"cidr of no address", `cidr(From_Account, "0.0.0.0/0")`, false},
		{"cidr of nothing", `cidr("", "0.0.0.0/0")`, false},
		{"cidr of a mapped address", `cidr("::ffff:10.1.2.3", "10.0.0.0/8")`, true},
		{"cidr of a mapped range", `cidr(ClientIP, "::ffff:10.0.0.0/104")`, true},
		{"cidr of IPv6", `cidr("2001:db8::1", "2001:db8::/32")`, true},
		{"cidr of IPv6 with a zone", `cidr("fe80::1%eth0", "fe80::/10")`, true},
		{"sample all", `sample(From_Account, 100)`, true},
		{"sample none", `sample(From_Account, 0)`, false},
		{"hour", `Time.Hour() == 20 && Time.Minute() == 30`, true},
		{"weekday", `Time.Weekday() == 0 && Time.Weekday() in [0, 6]`, true},
		{"date", `Time.Year() == 2026 && Time.Month() == 11 && Time.Day() == 22`, true},
		{"unix", `Time.Unix() == 1795379400`, true},
		{"zone", `inZone(Time, "Asia/Shanghai").Hour() == 4 && inZone(Time, "Asia/Shanghai").Weekday() == 1`, true},
		{"times in order", `Time >= Time`, true},
		{"time at the end of arithmetic", `Time.Hour() * 60 + Time.Minute() == 1230`, true},
		{"comment", "Mutual // as it is\n && /* and */ true", true},
		{"true", `true`, true},
		{"false", `false`, false},
		{"many lines", "From_Account == \"vip_1\"\n  && Mutual\n", true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := mustCondition(t, tt.condition).Match(sampleVars())
			if err != nil || got != tt.want {
				t.Errorf("%s = %v, %v; want %v", tt.condition, got, err, tt.want)
			}
		})
	}
}

func TestMatchFails(t *testing.T) {
	tests := []struct {
		name, condition, message string
		offset                   int
	}{
		{"int of no number", `Mutual && int(From_Account) > 0`, `int: "vip_1" is no whole number`, 10},
		{"float of no number", `float(From_Account) > 0`, `float: "vip_1" is no number`, 0},
		{"int of too large a number", `int(10.0 ** (PairCount * 10)) > 0`, "int: 1e+30 is out of range", 0},
		{"division by zero", `PairCount / (PairIndex - 1) > 0`, "division by zero", 10},
		{"remainder of a division by zero", `PairCount % (PairIndex - 1) > 0`, "division by zero", 10},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := mustCondition(t, tt.condition).Match(sampleVars())
			if got || err == nil {
				t.Fatalf("%s = %v, %v; want an error", tt.condition, got, err)
			}
			e, ok := err.(*Error)
			if !ok || e.Offset != tt.offset || e.Message != tt.message {
				t.Errorf("error %#v; want %d: %s", err, tt.offset, tt.message)
			}
		})
	}
}

func TestConditionErrors(t *testing.T) {
	tests := []struct {
		name, condition string
		at              string // the error is where this begins in the condition
		message         string // and holds this
	}{
		{"endless name", strings.Repeat("O", 600) + ` == "a"`, strings.Repeat("O", 600), "unknown name " + strings.Repeat("O", 200) + "…"},
		{"misspelt name", `From_Acount == "a"`, "From_Acount", "unknown name From_Acount; did you mean From_Account?"},
		{"name in another case", `Mutual && from_account == "a"`, "from_account", "did you mean From_Account?"},
		{"misspelt list", `From_Account in vip`, "vip", "unknown list vip; did you mean vips?"},
		{"misspelt function", `lowr(From_Account) == "a"`, "lowr", "there is no function lowr; did you mean lower?"},
		{"misspelt name after many bytes", "To_Account == \"é€😀\" &&\n\tMutal", "Mutal", "did you mean Mutual?"},
		{"not a bool", `From_Account`, "From_Account", "a condition must give true or false, this gives a string"},
		{"not a bool, a sum", ` PairCount + 1`, "PairCount", "a condition must give true or false, this gives an int"},
		{"string against int", `From_Account == 1`, "==", "== cannot compare a string with an int"},
		{"int against string", `Mutual && PairCount > "1"`, ">", "> cannot compare an int with a string"},
		{"sum of string and int", `From_Account + 1 == "a"`, "+", "+ cannot join a string and an int; string(x) makes a string"},
		{"contains on an int", `PairCount contains "1"`, "contains", "contains is between strings"},
		{"int in a list", `PairCount in vips`, "in vips", "left of in is an int"},
		{"not of a string", `!From_Account`, "!", "! needs true or false, this is a string"},
		{"single =", `From_Account = "a"`, "=", "compare with =="},
		{"single &", `Mutual & true`, "&", "&&"},
		{"ends early", `From_Account ==`, "", "this ends too early"},
		{"empty", ``, "", "this is empty"},
		{"open bracket", `(Mutual`, "", "this ends too early"},
		{"open string", `From_Account == "a`, "", "a string is opened and not closed"},
		{"open comment", `Mutual /* a`, "", "a comment is opened and not closed"},
		{"bad escape", `From_Account matches "\d"`, "", "unknown escape"},
		{"bad pattern", `Mutual && From_Account matches "a(b"`, `"a(b"`, `bad pattern: missing closing ): "a(b"`},
		{"pattern not constant", `From_Account matches To_Account`, "To_Account", "must be a string written out"},
		{"bad range", `cidr(ClientIP, "10.0.0.0/33")`, `"10.0.0.0/33"`, "is no range of addresses"},
		{"address for a range", `cidr(ClientIP, "10.0.0.1")`, `"10.0.0.1"`, `write "10.0.0.1/32"`},
		{"range not constant", `cidr(ClientIP, RequestId)`, "RequestId", "must be a string written out"},
		{"sample over 100", `sample(From_Account, 101)`, "101", "must be from 0 to 100"},
		{"sample under 0", `sample(From_Account, -1)`, "-1", "must be from 0 to 100"},
		{"sample not constant", `sample(From_Account, PairCount)`, "PairCount", "must be a number written out"},
		{"bad zone", `inZone(Time, "Mars/Olympus").Hour() == 1`, `"Mars/Olympus"`, "is no time zone"},
		{"local zone", `inZone(Time, "Local").Hour() == 1`, `"Local"`, "is no time zone"},
		{"zone not constant", `inZone(Time, RequestId).Hour() == 1`, "RequestId", "must be a string written out"},
		{"template's name", `Rule.Name == "a"`, "Rule", "Rule is known to templates only"},
		{"list as a value", `vips == "a"`, "vips", "list vips goes only right of in"},
		{"len of a list", `len(vips) > 1`, "vips", "list vips goes only right of in"},
		{"name as a list", `From_Account in To_Account`, "To_Account", "use contains"},
		{"string as a list", `"a" in From_Account`, "From_Account", "use contains"},
		{"field of a time", `"Hour" in Time`, "Time", "right of in goes a list"},
		{"array elsewhere", `["a"] == "a"`, `["a"]`, "an array goes only right of in"},
		{"map elsewhere", `{"a": 1} == "a"`, `{`, "a map is not part of the language"},
		{"in a map", `From_Account in {"vip_1": 1}`, `{`, "right of in goes a list or an array"},
		{"no such thing as null", `From_Account == null`, "null", `there is no null: what is absent is ""`},
		{"an int among texts", `PairCount in ["a", "b"]`, "in", "left of in is an int, but right of it there is only a string"},
		{"function as a value", `lower == "a"`, "lower", "lower is a function"},
		{"name as a function", `From_Account("a")`, "From_Account", "can't be called"},
		{"too few arguments", `cidr(ClientIP)`, "cidr", "not enough arguments for cidr"},
		{"too many arguments", `lower("a", "b") == ""`, "lower", "too many arguments for lower"},
		{"len of two", `len("a", "b") == 1`, "len", "takes 1 argument, not 2"},
		{"lower of an int", `lower(PairCount) == ""`, "PairCount", "lower takes a string here, not an int"},
		{"method without brackets", `Time.Hour == 1`, "Hour", "write .Hour()"},
		{"method of a string", `From_Account.Hour() == 1`, "From_Account", ".Hour() is of a time, this is a string"},
		{"element of a string", `From_Account[0] == "v"`, "", "a slice"},
		{"mixed ternary", `(Mutual ? 1 : "a") == 1`, `"a"`, "must be of one type"},
		{"zero divisor", `PairCount / 0 > 1`, "0", "division by zero"},
		{"zero remainder", `PairCount % 0 > 1`, "0", "division by zero"},
		{"invalid UTF-8", "From_Account == \"\xff\"", "\xff", "no UTF-8"},
		{"NUL", "Mutual \x00", "\x00", "unexpected character U+0000"},
		{"dot before a name", `.Mutual`, ".", "without a dot"},
		{"number too large", `PairCount == 9223372036854775808 && Mutual`, "9223372036854775808", "this number is too large"},
		{"float too large at the end", `PairCount == 1.5e400 `, "1.5e400", "this number is too large"},
		{"no number", `PairCount == 12ab`, "", "is no number"},
		{"two things", `Mutual Mutual`, "Mutual Mutual"[7:], "unexpected Mutual"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, errs := CompileCondition(tt.condition, sampleScope())
			if len(errs) != 1 {
				t.Fatalf("%s: %d errors: %v; want one", tt.condition, len(errs), messages(errs))
			}
			e := errs[0]
			if !strings.Contains(e.Message, tt.message) {
				t.Errorf("%s: %q; want it to hold %q", tt.condition, e.Message, tt.message)
			}
			if tt.at != "" && !strings.HasPrefix(tt.condition[e.Offset:], tt.at) {
				t.Errorf("%s: at %q; want at %q", tt.condition, tt.condition[e.Offset:], tt.at)
			}
			if e.Offset < 0 || e.Offset > len(tt.condition) {
				t.Errorf("%s: offset %d is outside", tt.condition, e.Offset)
			}
		})
	}
}

func messages(errs []*Error) []string {
	var m []string
	for _, e := range errs {
		m = append(m, e.Message)
	}
	return m
}

func TestAllErrorsAtOnce(t *testing.T) {
	tests := []struct {
		name, condition string
		want            []string
	}{
		{"names and functions", `From_Acount == "a" && lowr(To_Acount) == "b"`, []string{
			`unknown name From_Acount; did you mean From_Account? at From_Acount == "a" && lowr(To_Acount) == "b"`,
			`there is no function lowr; did you mean lower? at lowr(To_Acount) == "b"`,
		}},
		{"types", `From_Account == 1 && Mutual || PairCount == "a"`, []string{
			`== cannot compare a string with an int at == 1 && Mutual || PairCount == "a"`,
			`== cannot compare an int with a string at == "a"`,
		}},
		{"times", `Time - Time == Time - Time`, []string{
			`there is no arithmetic on times; use .Unix(), which is in seconds at - Time == Time - Time`,
			`there is no arithmetic on times; use .Unix(), which is in seconds at - Time`,
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, errs := CompileCondition(tt.condition, sampleScope())
			if diff := cmp.Diff(tt.want, describe(tt.condition, errs)); diff != "" {
				t.Errorf("errors (-want +got):\n%s", diff)
			}
		})
	}
}

func TestConstant(t *testing.T) {
	tests := []struct {
		condition       string
		value, constant bool
	}{
		{`true`, true, true},
		{`Mutual`, false, false},
		{`Mutual || true`, true, true},
		{`Mutual && !true`, false, true},
		{`Mutual && !Mutual`, false, true},
		{`From_Account == "a" || PairCount > 3 || From_Account != "a"`, true, true},
		{`PairCount > 3 && Mutual && not (PairCount > 3)`, false, true},
		{`Mutual && int(From_Account) > 1 && !Mutual`, false, false}, // it may fail, and that is counted
		{`Mutual && (PairCount > 3 || !Mutual)`, false, false},
		{`PairCount > 0`, true, true},
		{`PairCount < 1 && Mutual`, false, true},
		{`1 < 2`, true, true},
		{`"a" != "b" || Mutual`, true, true},
		{`"a" in ["b"] && Mutual`, false, true},
		{`lower("A") == "a"`, true, true},
		{`Mutual && lower("A") == "a"`, false, false},
		{`cidr("10.0.0.1", "10.0.0.0/8")`, true, true},
		{`"alice" in staff`, true, true},
	}
	for _, tt := range tests {
		t.Run(tt.condition, func(t *testing.T) {
			c := mustCondition(t, tt.condition)
			if value, constant := c.Constant(); value != tt.value || constant != tt.constant {
				t.Errorf("constant %v, %v; want %v, %v", value, constant, tt.value, tt.constant)
			}
		})
	}
}

func TestAlwaysFails(t *testing.T) {
	_, errs := CompileCondition(`Mutual && int("x") > 0`, nil)
	if got := describe(`Mutual && int("x") > 0`, errs); len(got) != 1 || got[0] != `int: "x" is no whole number at int("x") > 0` {
		t.Errorf("errors %q; want one, of what can only fail", got)
	}
}

func TestLists(t *testing.T) {
	c := mustCondition(t, `From_Account in vips && To_Account not in staff || To_Account in vips`)
	if diff := cmp.Diff([]string{"staff", "vips"}, c.Lists()); diff != "" {
		t.Error(diff)
	}
	tmpl, errs := CompileTemplate(`{{ From_Account in vips }} {{ To_Account in staff ? "s" : "" }}`, sampleScope())
	if errs != nil {
		t.Fatal(messages(errs))
	}
	if diff := cmp.Diff([]string{"staff", "vips"}, tmpl.Lists()); diff != "" {
		t.Error(diff)
	}
}

func TestValidListName(t *testing.T) {
	for _, name := range []string{"vips", "a", "a_1", "vip_list"} {
		if err := ValidListName(name); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, name := range []string{"", "Vips", "1a", "_a", "a-b", "é", "a b", "in", "not", "and", "or", "true", "nil", "let", "len", "lower", "cidr",
		"sample", "map", "filter", "matches", "contains", "if", "now", "int"} {
		if err := ValidListName(name); err == nil {
			t.Errorf("%q is accepted", name)
		}
	}
}

func TestSampleIsStableAndFair(t *testing.T) {
	c := mustCondition(t, `sample(From_Account, 12.5)`)
	v, hits := sampleVars(), 0
	const n = 20000
	for i := range n {
		v.Pair.From = "user" + strconv.Itoa(i)
		hit, err := c.Match(v)
		if err != nil {
			t.Fatal(err)
		}
		if hit {
			hits++
		}
	}
	if hits < n/8-n/100 || hits > n/8+n/100 {
		t.Errorf("%d of %d are in a sample of 12.5 %%", hits, n)
	}
	// The same string falls the same way in every release: these were written down once.
	for account, want := range map[string]bool{"alice": true, "bob": false, "user3": true, "": false} {
		if got := inSample(50)(account); got != want {
			t.Errorf("sample(%q, 50) = %v; want %v", account, got, want)
		}
	}
}
