package lang

import (
	"fmt"
	"regexp"
	"regexp/syntax"
	"strings"
	"testing"
	"unicode"

	"github.com/aftermath-rules/aftermath/internal/pairindex"
)

// What a pattern's matches must have in them, as an index is told it.
func TestLiteralsOfPatterns(t *testing.T) {
	tests := []struct{ pattern, want string }{
		{`lower:(?i)^VIP`, "prefix lower(From_Account) vip"},
		{`lower:(?i)^vips_1$`, "prefix lower(From_Account) vip"}, // or ſ
		{`lower:(?i)s_ABC`, "part lower(From_Account) _abc"},
		{`lower:(?i)s`, "nothing"},
		{`upper:(?i)vip$`, "suffix upper(From_Account) VIP"},
		{`upper:(?i)^ab$`, "equal upper(From_Account) AB"},
		{`upper:(?i)akab`, "part upper(From_Account) AB"}, // or the Kelvin sign
		{`^vip_`, "prefix vip_"},
		{`\Avip_[0-9]+`, "prefix vip_"},
		{`_x$`, "suffix _x"},
		{`^alice$`, "equal alice"},
		{`^(alice|bob)$`, "equal alice, equal bob"},
		{`^alice|bob$`, "prefix alice, suffix bob"},
		{`team7`, "part team7"},
		{`(abc)+`, "part abc"},
		{`^(abc)+$`, "prefix abc"}, // or suffix; not equal
		{`(?i)vip`, "part From_Account in any case vip"},
		{`(?i)^K$`, "equal From_Account in any case k"},
		{`(?i)^VIP\x{17F}_\d`, "prefix From_Account in any case vips_"},
		{`^[Aa]`, "prefix From_Account in any case a"},
		{`ſ(?i)ß`, "part ſ"},
		{`\x{FFFD}`, "nothing"},
		{`(?m)^vip`, "part vip"},
		{`(?m)vip$`, "part vip"},
		{`abc?`, "part ab"},
		{`(abc)?`, "nothing"},
		{`a*`, "nothing"},
		{``, "nothing"},
		{`a|`, "nothing"},
	}
	for _, tt := range tests {
		t.Run(tt.pattern, func(t *testing.T) {
			field, pattern := uint8(fromAccount), tt.pattern
			if function, rest, ok := strings.Cut(pattern, ":"); ok && caseFunctions[function] != 0 {
				field, pattern = field+caseFunctions[function], rest
			}
			re, err := syntax.Parse(pattern, syntax.Perl)
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			pairindex.Build(1, func(int) pairindex.Rule {
				return pairindex.Rule{Formula: literalsOf(field).within(re.Simplify())}
			}, pairindex.Options{Found: func(_ int, way pairindex.Way) {
				if way.Manner == pairindex.Alone {
					got = append(got, "nothing")
				}
				for _, a := range way.Atoms {
					kind := map[pairindex.Kind]string{pairindex.Equal: "equal", pairindex.Prefix: "prefix", pairindex.Suffix: "suffix", pairindex.Contains: "part"}[a.Kind]
					if a.Field >= kinds {
						kind += " " + TextName(a.Field)
					}
					got = append(got, kind+" "+a.Text)
				}
			}})
			if s := strings.Join(got, ", "); s != tt.want {
				t.Errorf("%s, want %s", s, tt.want)
			}
		})
	}
}

// Whatever matches a pattern has its literals.
func FuzzLiterals(f *testing.F) {
	f.Add(`^(a|bc)+d$`, "abcd")
	f.Add(`(?i)K`, "\u212a")
	f.Add(`\x{FFFD}b`, "\xffb")
	f.Add(`(?i)^sak$`, "\u017fak")
	f.Add(`(?i)σǆß`, "ΣǅẞS")
	f.Fuzz(func(t *testing.T, source, text string) {
		parsed, err := syntax.Parse(source, syntax.Perl)
		if err != nil || len(source) > 200 {
			return
		}
		re, err := regexp.Compile(source)
		if err != nil {
			return
		}
		for _, field := range []uint8{fromAccount, fromAccount + lowered, fromAccount + raised} {
			ev := pairindex.Event{}
			ev.Texts[fromAccount] = text
			(&Derived{}).fill(&ev.Texts, 1<<(fromAccount+lowered)|1<<(fromAccount+raised)|1<<(fromAccount+folded))
			if !re.MatchString(ev.Texts[field]) {
				continue
			}
			x := pairindex.Build(1, func(int) pairindex.Rule {
				return pairindex.Rule{Formula: literalsOf(field).within(parsed.Simplify())}
			}, pairindex.Options{})
			if hits := x.Find(nil, &ev, &pairindex.Scratch{}); len(hits) != 1 {
				t.Errorf("%q matches %s of %q but lacks its literals", source, TextName(field), text)
			}
		}
	})
}

// A character in one case is in that case, which is what the literals of texts in one case build on.
func TestCaseOfCase(t *testing.T) {
	for r := range unicode.MaxRune + 1 {
		for _, to := range []func(rune) rune{unicode.ToLower, unicode.ToUpper} {
			if once := to(r); to(once) != once {
				t.Errorf("%U becomes %U and that %U", r, once, to(once))
			}
		}
	}
}

// A list gives back what it was made of, in its order, however long its values are.
func TestListHoldsItsValues(t *testing.T) {
	values := []string{"", "a", "é", "\xff", "a\x00b", strings.Repeat("x", 127), strings.Repeat("x", 128), strings.Repeat("y", 70_000)}
	for i := range 5000 {
		values = append(values, fmt.Sprint("account_", i))
	}
	l := NewList(append(values, values...))
	if l.Len() != len(values) {
		t.Errorf("%d values, want %d", l.Len(), len(values))
	}
	i := 0
	for v := range l.All {
		if v != values[i] {
			t.Fatalf("value %d is %q, want %q", i, v, values[i])
		}
		i++
	}
	for _, v := range values {
		if !l.Has(v) || l.Has(v+"\x01") {
			t.Fatalf("has %q: %v; %q: %v", v, l.Has(v), v+"\x01", l.Has(v+"\x01"))
		}
	}
}
