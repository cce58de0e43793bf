package lang

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// What must not compile, whoever wrote it: each would let a condition exhaust memory or time, or see what is not the packet.
func TestHostileConditionsAreRefused(t *testing.T) {
	tests := []struct{ name, condition, message string }{
		// The programs of the findings.
		{"half a million brackets", strings.Repeat("(", 500_000), "too long"},
		{"memory bomb by reduce", `reduce(1..30, #acc+#acc, "abcdefgh") == ""`, "there is no function reduce"},
		{"nested all over ranges", `all(1..900, all(1..900, all(1..900, all(1..900, true))))`, "there is no function all"},
		{"map", `len(map(1..3, #)) == 3`, "there is no function map"},
		{"count", `count(["a"], true) == 1`, "there is no function count"},
		{"sum", `sum([1]) == 1`, "there is no function sum"},
		{"let", `let x = From_Account; x == x`, "let is not part of the language"},
		{"sequence", `true; true`, "; is not part of the language"},
		{"trailing semicolon", `true;`, "; is not part of the language"},
		{"if", `if Mutual { true } else { false }`, "if is not part of the language"},
		{"$env", `$env == $env`, "$env is not part of the language"},
		{"$env's member", `$env.From_Account == ""`, "$env is not part of the language"},
		{"$env's member by string", `$env["From_Account"] == ""`, "$env is not part of the language"},
		{"$env as a set", `"From_Account" in $env`, "right of in goes a list"},
		{"method of a time", `Time.Local().Hour() == 1`, "Local is no method of the language"},
		{"method of a time with arguments", `Time.Format("2006") == "2026"`, "Format is no method of the language"},
		{"method of a result", `inZone(Time, "UTC").UTC().Hour() == 1`, "UTC is no method of the language"},
		{"method by string", `Time["Local"]().Hour() == 1`, "unexpected ("},
		{"len of a list", `len(vips) == 2`, "list vips goes only right of in"},

		// Depth.
		{"65 brackets", strings.Repeat("(", 65) + "true" + strings.Repeat(")", 65), "nested too deeply"},
		{"4,000 brackets", strings.Repeat("(", 4000), "nested too deeply"},
		{"2,000 square brackets", "From_Account in " + strings.Repeat("[", 2000), "nested too deeply"},
		{"2,000 braces", strings.Repeat("{a:", 1000), "nested too deeply"},
		{"4,000 !", strings.Repeat("!", 4000) + "true", "nested too deeply"},
		{"900 not", strings.Repeat("not ", 900) + "true", "nested too deeply"},
		{"4,000 minus", strings.Repeat("-", 4000) + "1 == 1", "nested too deeply"},
		{"600 powers", "1" + strings.Repeat(" ** 1", 600) + " == 1", "nested too deeply"},
		{"600 ternaries to the right", strings.Repeat("Mutual?1:", 400) + "1 == 1", "nested too deeply"},
		{"ternaries to the left", strings.Repeat("true?", 400) + "1 == 1", "nested too deeply"},
		{"80 calls", strings.Repeat("lower(", 80) + `""` + strings.Repeat(")", 80) + ` == ""`, "nested too deeply"},
		{"80 slices", "From_Account" + strings.Repeat("[0:len(From_Account", 80) + strings.Repeat(")]", 80) + ` == ""`, "nested too deeply"},

		// A tree that doubles with each level.
		{"comparisons that double", doubling("1", "1<(", ")<1?1:2", 25) + " == 1", "comparisons such as a < b < c are nested too deeply"},
		{"elvis that doubles", doubling("Mutual", "(", "?:Mutual)", 25), "are nested too deeply"},

		// Patterns.
		{"a repetition of repetitions", "From_Account matches `((a{100}){100}){100}`", "bad pattern: invalid repeat count"},
		{"a repetition over 1000", "From_Account matches `a{1001}`", "bad pattern: invalid repeat count"},
		{"many large repetitions", "From_Account matches `" + strings.Repeat(".{1000}", 50) + "`", "patterns too large"},
		{"many patterns", strings.Repeat("From_Account matches `.{900}` || ", 20) + "Mutual", "patterns too large"},
		{"deep pattern", "From_Account matches `" + strings.Repeat("(", 2000) + strings.Repeat(")", 2000) + "`", "bad pattern: expression nests too deeply"},
		{"backreference", "From_Account matches `(a)\\1`", "bad pattern: invalid escape sequence"},
		{"lookahead", "From_Account matches `(?=a)`", "bad pattern: invalid or unsupported Perl syntax"},

		// The rest of expr.
		{"range", `PairCount in 1..1000000000`, "right of in goes a list"},
		{"range as a value", `len(1..10) == 10`, "ranges are not part of the language"},
		{"clock", `now().Hour() == 1`, "there is no function now; Time is when the callback arrived"},
		{"date", `date("2026-01-01") < Time`, "there is no function date"},
		{"repeat", `repeat("a", 1000000) == ""`, "there is no function repeat"},
		{"toJSON", `toJSON(1) == ""`, "there is no function toJSON"},
		{"fromJSON", `fromJSON("1") == 1`, "there is no function fromJSON"},
		{"get", `get(vips, "a") == 1`, "there is no function get"},
		{"type", `type(1) == ""`, "there is no function type"},
		{"pipe", `From_Account | lower() == "a"`, "pipes are not part of the language"},
		{"pipe to a predicate", `["a"] | all(true)`, "pipes are not part of the language"},
		{"namespace", `::lower("a") == "a"`, ":: is not part of the language"},
		{"predicate pointer", `# == 1`, "# is not part of the language"},
		{"coalescing", `(From_Account ?? "a") == "a"`, "?? is not part of the language"},
		{"coalescing without brackets", `From_Account ?? "a" == "a"`, "?? is not part of the language"},
		{"optional chaining", `Time?.Hour() == 1`, "?. is not part of the language"},
		{"nil", `From_Account == nil`, "there is no nil"},
		{"bytes", `b"a" == b"a"`, "bytes are not part of the language"},
		{"hasPrefix", `hasPrefix(From_Account, "a")`, "write x startsWith y"},
		{"concat", `len(concat([1], [2])) == 2`, "there is no function concat"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c, errs := within(t, 5*time.Second, func() (*Condition, []*Error) { return CompileCondition(tt.condition, sampleScope()) })
			if c != nil || len(errs) == 0 {
				t.Fatalf("it compiles")
			}
			found := false
			for _, e := range errs {
				found = found || strings.Contains(e.Message, tt.message)
				if e.Offset < 0 || e.Offset > len(tt.condition) || len(e.Message) > 300 || strings.Contains(e.Message, "\n") {
					t.Errorf("offset %d, message %q", e.Offset, e.Message)
				}
			}
			if !found {
				t.Errorf("%q; want one that holds %q", messages(errs), tt.message)
			}
		})
	}
}

func doubling(core, before, after string, levels int) string {
	return strings.Repeat(before, levels) + core + strings.Repeat(after, levels)
}

// within fails the test where f hangs. (The goroutine is lost then, and so is the test.)
func within[A, B any](t *testing.T, limit time.Duration, f func() (A, B)) (A, B) {
	t.Helper()
	var a A
	var b B
	done := make(chan struct{})
	go func() {
		defer close(done)
		a, b = f()
	}()
	select {
	case <-done:
	case <-time.After(limit):
		t.Fatalf("still running after %v", limit)
	}
	return a, b
}

// What is large or odd but bounded must work, over the largest values too.
func TestLargeConditionsWork(t *testing.T) {
	huge := strings.Repeat("a", 1<<20)
	var members []string
	for i := range 200 {
		members = append(members, fmt.Sprintf("%q", fmt.Sprintf("account_%03d", i)))
	}
	tests := []struct {
		name, condition, from string
		want                  bool
		message               string // of the run-time error
	}{
		{"64 brackets", strings.Repeat("(", 64) + "true" + strings.Repeat(")", 64), "", true, ""},
		{"120 alternatives", strings.Repeat(`From_Account == "a" || `, 120) + "Mutual", "", true, ""},
		{"bracketed alternatives", strings.Repeat(`(To_Account == "a") || `, 100) + "Mutual", "", true, ""},
		{"negated alternatives", strings.Repeat(`!(Mutual) || `, 100) + "Mutual", "", true, ""},
		{"large array", `From_Account in [` + strings.Join(members, ",") + `]`, "account_199", true, ""},
		{"catastrophic pattern elsewhere", "From_Account matches `^(a+)+$`", strings.Repeat("a", 10_000) + "b", false, ""},
		{"nested stars", "From_Account matches `^((a*)*)*b$`", strings.Repeat("a", 10_000), false, ""},
		{"pattern of the largest size", "From_Account matches `" + strings.Repeat("(a?){500}", 2) + "b`", strings.Repeat("a", MaxSubject), false, ""},
		{"pattern over a huge account", "From_Account matches `b`", huge, false, "matches looks at texts of at most 16384 bytes, this has 1048576"},
		{"equality of a huge account", `From_Account != "a"`, huge, true, ""},
		{"sums of a huge account", `len(` + strings.Repeat("From_Account+", 300) + `"") > 0`, huge, false, "+ makes a text of more than 1048576 bytes"},
		{"sums of an account", `len(` + strings.Repeat("From_Account+", 300) + `"") == 9600`, huge[:32], true, ""},
		{"calls over a huge account", `len(` + strings.Repeat("lower(upper(", 8) + "From_Account" + strings.Repeat("))", 8) + `) == 1048576`, huge, true, ""},
		{"trim of many characters", `trim(From_Account, From_Account) == ""`, strings.Repeat("é", 1<<19), false, "trim takes at most 256 bytes of characters"},
		{"power out of range", `10.0 ** 400 > 1`, "", true, ""},
		{"int overflow wraps", `SdkAppid * 9223372036854775807 != 0`, "", true, ""},
		{"control characters", `From_Account == "a\r\n\u2028\x00"`, "a\r\n\u2028\x00", true, ""},
		{"emoji", `From_Account == "😀" && len(From_Account) == 1`, "😀", true, ""},
		{"quotes and templates", "From_Account == `\"'{{ x }}` && To_Account != '\\''", "\"'{{ x }}", true, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c, errs := within(t, 5*time.Second, func() (*Condition, []*Error) { return CompileCondition(tt.condition, sampleScope()) })
			if errs != nil {
				t.Fatal(messages(errs))
			}
			v := sampleVars()
			v.Pair.From = tt.from
			got, err := within(t, 20*time.Second, func() (bool, error) { return c.Match(v) })
			if got != tt.want || (err != nil) != (tt.message != "") || err != nil && err.Error() != tt.message {
				t.Errorf("%v, %v; want %v, %q", got, err, tt.want, tt.message)
			}
			parts, _ := within(t, 20*time.Second, func() ([]Part, error) { return c.Explain(v), nil })
			if len(parts) == 0 || parts[0].Error != tt.message || tt.message == "" && parts[0].Value != tt.want {
				t.Errorf("explain's first part is %+v", parts[0])
			}
		})
	}
}

func TestHostileTemplates(t *testing.T) {
	tests := []struct{ name, template, message string }{
		{"too long", strings.Repeat("a", MaxTemplate+1), "too long"},
		{"too many expressions", strings.Repeat("{{From_Account}}", MaxExpressions+1), "too many expressions"},
		{"too long an expression", `{{ "` + strings.Repeat("a", MaxSource) + `" }}`, "too long"},
		{"deep expression", "{{ " + strings.Repeat("(", 4000) + " }}", "nested too deeply"},
		{"half a million {", strings.Repeat("{", 60_000), "{{ is not closed"},
		{"let", `{{ let x = 1; x }}`, "let is not part of the language"},
		{"predicate", `{{ map(1..3, #) }}`, "there is no function map"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			tmpl, errs := within(t, 5*time.Second, func() (*Template, []*Error) { return CompileTemplate(tt.template, sampleScope()) })
			if tmpl != nil || len(errs) == 0 || !strings.Contains(errs[0].Message, tt.message) {
				t.Errorf("%q; want one that holds %q", messages(errs), tt.message)
			}
		})
	}
}
