package lang

import (
	"errors"
	"reflect"
	"strings"
	"testing"
	"unicode/utf8"

	"pgregory.net/rapid"
)

// checkErrors holds what is true of every list of errors.
func checkErrors(t *testing.T, src string, errs []*Error) {
	t.Helper()
	for _, e := range errs {
		if e.Offset < 0 || e.Offset > len(src) {
			t.Errorf("%q: offset %d is outside", src, e.Offset)
		}
		if e.Message == "" || strings.Contains(e.Message, "\n") || !utf8.ValidString(e.Message) || len(e.Message) > 500 {
			t.Errorf("%q: message %q", src, e.Message)
		}
		for _, internal := range []string{"ast.", "reflect", "goroutine", "cannot be compiled", "interface conversion", "nil pointer"} {
			if strings.Contains(e.Message, internal) && !strings.Contains(src, internal) {
				t.Errorf("%q: message %q shows our insides", src, e.Message)
			}
		}
	}
}

func fuzzVars(from, to string) *Vars {
	v := sampleVars()
	v.Pair.From, v.Pair.To = from, to
	return v
}

// checkCondition holds what is true of every source: it compiles or says why not within it, and what compiles gives the same
// answer each time and explains it.
func checkCondition(t *testing.T, src, from, to string) {
	c, errs := CompileCondition(src, sampleScope())
	checkErrors(t, src, errs)
	if (c == nil) != (errs != nil) {
		t.Fatalf("%q: condition %v, errors %v", src, c, errs)
	}
	if c == nil {
		return
	}
	v := fuzzVars(from, to)
	got, err := c.Match(v)
	again, errAgain := c.Match(v)
	if got != again || (err == nil) != (errAgain == nil) {
		t.Errorf("%q: first %v, %v, then %v, %v", src, got, err, again, errAgain)
	}
	if value, constant := c.Constant(); constant && (err != nil || got != value) {
		t.Errorf("%q: constant %v, but gives %v, %v", src, value, got, err)
	}
	if err != nil {
		checkRuntimeError(t, src, err)
	}
	checkExplain(t, src, c.Explain(v), got, err)
}

func checkRuntimeError(t *testing.T, src string, err error) {
	var e *Error
	if !errors.As(err, &e) {
		t.Fatalf("%q: %T: %v", src, err, err)
	}
	checkErrors(t, src, []*Error{e})
}

func checkExplain(t *testing.T, src string, parts []Part, matched bool, err error) {
	if len(parts) == 0 || parts[0].Depth != 0 || parts[0].Source != src {
		t.Fatalf("%q: explain gives %+v", src, parts)
	}
	if err == nil && parts[0].Value != matched || err != nil && parts[0].Error != err.Error() {
		t.Errorf("%q: explained as %v, %s; matches %v, %v", src, parts[0].Value, parts[0].Error, matched, err)
	}
	for i, p := range parts[1:] {
		if p.Source == "" || !strings.Contains(src, p.Source) || p.Depth < 1 || p.Depth > parts[i].Depth+1 {
			t.Errorf("%q: part %+v", src, p)
		}
		if p.Error != "" && p.Value != nil {
			t.Errorf("%q: part %+v failed and has a value", src, p)
		}
	}
}

func FuzzCondition(f *testing.F) {
	for _, src := range seeds {
		f.Add(src, "vip_1", "bøb")
	}
	f.Add(`int(From_Account) > 0`, "\xff\xfe", "\r\n{{ x }}")
	f.Fuzz(checkCondition)
}

func FuzzTemplate(f *testing.F) {
	for _, src := range seeds {
		f.Add("a {{ "+src+" }} b", "vip_1", "bøb")
	}
	f.Add("{{ Rule.Labels.team }}{{ Rule.Labels }} {{ Delivery.ID + \"}}\" }} }} {{ \"{{\" }}", "\xff", "\u2028")
	f.Fuzz(func(t *testing.T, src, from, to string) {
		tmpl, errs := CompileTemplate(src, sampleScope())
		checkErrors(t, src, errs)
		if (tmpl == nil) != (errs != nil) {
			t.Fatalf("%q: template %v, errors %v", src, tmpl, errs)
		}
		if tmpl == nil {
			return
		}
		v := fuzzVars(from, to)
		for _, s := range tmpl.Segments {
			if s.Program == nil {
				if !strings.HasPrefix(src[s.Offset:], s.Literal) {
					t.Errorf("%q: literal %q is not at %d", src, s.Literal, s.Offset)
				}
				continue
			}
			if !strings.HasPrefix(src[s.Offset:], s.Program.Source()) {
				t.Errorf("%q: expression %q is not at %d", src, s.Program.Source(), s.Offset)
			}
			value, err := s.Program.Eval(v)
			again, errAgain := s.Program.Eval(v)
			if !reflect.DeepEqual(value, again) || (err == nil) != (errAgain == nil) {
				t.Errorf("%q: first %v, %v, then %v, %v", src, value, err, again, errAgain)
			}
			if err != nil {
				checkRuntimeError(t, s.Program.Source(), err)
			} else if kindOf(reflect.TypeOf(value)) != s.Program.Kind() {
				t.Errorf("%q: %T, but its kind is %v", src, value, s.Program.Kind())
			}
		}
	})
}

// seeds hold every word of the language, and some that are not.
var seeds = []string{
	`From_Account in vips && OptPlatform != "RESTAPI"`,
	`To_Account not in staff or not Mutual and PairCount >= 2`,
	`From_Account matches "^vip_[0-9]+$" || To_Account contains 'b' && RequestId startsWith "r"`,
	`From_Account not matches "x" && ClientIP endsWith ".3" == true`,
	`cidr(ClientIP, "10.0.0.0/8") && sample(From_Account, 12.5) || sample(To_Account, 3)`,
	`inZone(Time, "Asia/Shanghai").Hour() >= 22 || Time.Weekday() in [0, 6]`,
	`Time.Minute() + Time.Day() * Time.Month() - Time.Year() / Time.Unix() % 7 > 0`,
	`PairCount % (PairIndex - 1) == 0 ? Mutual : PairCount ** 2 ^ 3 < 10.5`,
	`len(trim(From_Account)) > 3 && trimPrefix(To_Account, "b") == trimSuffix("x", "x")`,
	`indexOf(lower(From_Account), "_") == lastIndexOf(upper(To_Account), "B")`,
	`int("7") + abs(-3) == min(1, 2, 3.5) + max(float(SdkAppid), floor(1.5), ceil(1.5), round(2.5))`,
	`string(Time) + string(1.5) + string(true) + From_Account[0:3] + To_Account[-2:] == CallbackCommand[:4]`,
	`0 < PairIndex < PairCount <= 3 && "a" in ["a", "b"]`,
	"From_Account == `back``tick` /* a */ // b",
	`"\u{1F600}\x41\n" == "é😀"`,
	`Rule.Name + Delivery.ID`, `Delivery.Attempt`, `Rule.Labels["team"]`,
	`let x = 1; x`, `map(1..3, # + 1)`, `$env.Time`, `a?.b ?? nil`, `b"x"`, `((((`, `!!!!-+-1`, `1 ? : 2`, `::x | y`,
	`(Time - Time) * 2 == Time`, `-9223372036854775808 / -1`, `0x7f + 1e400`, `1_000 == 0b11 + 0o7`,
}

// TestExplainAgreesWithMatch builds conditions that are right by type and holds them against what is true of all.
func TestExplainAgreesWithMatch(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		src := boolSource(rt, 4)
		c, errs := CompileCondition(src, sampleScope())
		for _, e := range errs {
			if e.Message != "division by zero" && !strings.Contains(e.Message, "is no whole number") {
				rt.Fatalf("%s: %s", src, e.Message)
			}
		}
		if errs != nil {
			return
		}
		from := rapid.SampledFrom([]string{"vip_1", "7", "bob", "é\x00", ""}).Draw(rt, "from")
		checkCondition(t, c.source, from, "bob")
	})
}

func boolSource(rt *rapid.T, depth int) string {
	if depth == 0 {
		return rapid.SampledFrom([]string{`Mutual`, `true`, `false`, `From_Account in vips`, `To_Account not in ["bob", "al"]`}).Draw(rt, "bool")
	}
	a, b := func() string { return boolSource(rt, depth-1) }, func() string { return boolSource(rt, depth-1) }
	switch rapid.IntRange(0, 8).Draw(rt, "kind") {
	case 0:
		return a() + " && " + b()
	case 1:
		return "(" + a() + " || " + b() + ")"
	case 2:
		return "not (" + a() + ")"
	case 3:
		return "(" + a() + " ? " + b() + " : " + a() + ")"
	case 4:
		return intSource(rt, depth-1) + rapid.SampledFrom([]string{" < ", " == ", " != ", " >= "}).Draw(rt, "op") + intSource(rt, depth-1)
	case 5:
		return stringSource(rt, depth-1) + rapid.SampledFrom([]string{" contains ", " == ", " startsWith ", " not endsWith "}).Draw(rt, "op") +
			stringSource(rt, depth-1)
	case 6:
		return stringSource(rt, depth-1) + " matches `[a-z]+_?[0-9]*$`"
	case 7:
		return intSource(rt, depth-1) + " in [1, 2, PairCount]"
	}
	return "sample(" + stringSource(rt, depth-1) + ", 40)"
}

func intSource(rt *rapid.T, depth int) string {
	if depth == 0 {
		return rapid.SampledFrom([]string{"0", "1", "-2", "PairCount", "PairIndex", "SdkAppid", "Time.Hour()"}).Draw(rt, "int")
	}
	a := func() string { return intSource(rt, depth-1) }
	switch rapid.IntRange(0, 5).Draw(rt, "kind") {
	case 0:
		return "(" + a() + rapid.SampledFrom([]string{" + ", " - ", " * ", " % "}).Draw(rt, "op") + a() + ")"
	case 1:
		return "len(" + stringSource(rt, depth-1) + ")"
	case 2:
		return "int(" + stringSource(rt, depth-1) + ")"
	case 3:
		return "max(" + a() + ", " + a() + ")"
	case 4:
		return "indexOf(" + stringSource(rt, depth-1) + ", \"b\")"
	}
	return "abs(" + a() + ")"
}

func stringSource(rt *rapid.T, depth int) string {
	if depth == 0 {
		return rapid.SampledFrom([]string{`"b"`, `"7"`, `""`, "From_Account", "To_Account", "OptPlatform"}).Draw(rt, "string")
	}
	a := func() string { return stringSource(rt, depth-1) }
	switch rapid.IntRange(0, 4).Draw(rt, "kind") {
	case 0:
		return "(" + a() + " + " + a() + ")"
	case 1:
		return "lower(" + a() + ")"
	case 2:
		return a() + "[" + intSource(rt, 0) + ":" + intSource(rt, 0) + "]"
	case 3:
		return "string(" + intSource(rt, depth-1) + ")"
	}
	return "(" + boolSource(rt, depth-1) + " ? " + a() + " : " + a() + ")"
}
