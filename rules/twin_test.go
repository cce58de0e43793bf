package rules

import (
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/aftermath-rules/aftermath/callback"
	"github.com/aftermath-rules/aftermath/internal/lang"
)

// plainMatch is what Match must be equal to: every rule evaluated in turn.
func plainMatch(rs *RuleSet, env *lang.Env, cb *callback.Callback, pair int) []Match {
	var out []Match
	var v lang.Vars
	FillVars(&v, cb, pair)
	env.Set(&v)
	for _, r := range rs.Rules {
		if !r.Enabled {
			continue
		}
		switch matched, err := r.condition.Eval(env); {
		case err != nil:
			out = append(out, Match{Rule: r, Err: err})
		case matched:
			out = append(out, Match{Rule: r})
			if r.Stop && !r.Shadow {
				return out
			}
		}
	}
	return out
}

// maker makes random rules and packets of one small vocabulary, so that they meet often. pick gives a number below n.
type maker struct {
	pick func(n int) int
}

var words = []string{"", "a", "b", "ab", "abc", "aab", "bob", "vip_1", "vip_12", "vip_", "alice", "xalicex", "k", "K", "\u212a",
	"s", "\u017f", "\xff", "a\xffb", "\ufffd", "é", "e\u0301", "ÀB", "10.1.2.3", "fe80::1", "iOS", "ios", "12", "-7", "007", " a ", "10.2.0.1", "::ffff:10.1.2.9", "255.255.255.255", "fe80::2%eth0", "ffff::",
	"aaaaaaaaaaaaaaaaaaaaaaaa", "abcdefgh", "i", "I", "\u0130", "\u0131", "ß", "ẞ", "ǅ", "ǆ", "\u023a", "\u2c65", "VIP_1", "ALICE", "aLiCe\xff", "Σς", "σ", "abcdefghijklmnop", "a\nb", "x\x00y", "日本語", "\xe6\x97"}

var patterns = []string{`^vip_`, `(?i)k`, `(?i)^vip`, `(?m)^b`, `(?m)a$`, `a|b`, `^(alice|bob)$`, `^alice|bob$`, `\x{FFFD}`, `[ab]+c`, `.*`,
	`^a.*b$`, `(ab)+`, `^(ab)+$`, `^(a|ab)(b|)$`, `a{2,3}`, `\Aab\z`, `b$`, `(?s)a.b`, `\Qa.b\E`, `\b1`, `[^\x00-\x{10FFFF}]`, `^$`, `ſ`, `K`,
	`a*b?`, `\pL+`, `(?:^a|b)c`, `x?abc`, ``, `^^a`, `a$b`, `日`, `\d+$`, `^.{3}$`, `[^a]`, `é`, `^abcdefgh`, `cdefghij`, `^(?:vip|bob)_\d`, `(^a)+`,
	`(?i)^alice$`, `(?i)^(ALICE|bob)`, `(?i)i`, `(?i)\x{130}`, `(?i)ß`, `(?i)vip_\d`, `(?i)ǆ$`, `(?i)\x{FFFD}`, `(?i)alice\x{FFFD}`, `[Aa]lice`, `(?i)σ`, `a(?i)b`, `(?i)a{2}s?`, `(?i:vip)_1`, `(?i)ⱥ`, `(?im)^k`}

func (m maker) of(options ...string) string { return options[m.pick(len(options))] }

func (m maker) word() string { return words[m.pick(len(words))] }

func (m maker) literal() string { return strconv.Quote(m.word()) }

func (m maker) field() string {
	return m.of("From_Account", "To_Account", "From_Account", "To_Account", "OptPlatform", "ClientIP", "RequestId", "CallbackCommand")
}

// cased is a field in one case.
func (m maker) cased() string { return m.of("lower", "upper") + "(" + m.field() + ")" }

// alike makes tests that compare the same, made of texts or numbers, with what is written out.
func (m maker) alike() func() string {
	text := fmt.Sprintf(m.of("trim(%s)", "%s[1:3]", "%s[:-1]", `trimPrefix(%s, "a")`, "%s"), m.of("From_Account", "To_Account", "ClientIP"))
	number := m.of("PairCount", "PairIndex", "SdkAppid", "len(From_Account)")
	other := m.of("", "", "PairCount + ", "PairIndex - ")
	k := func() string { return strconv.Itoa(m.pick(9) - 4) }
	order := func() string { return m.of(" < ", " <= ", " > ", " >= ") }
	switch m.pick(12) {
	case 10:
		field, numbers := m.of(m.field(), m.cased()), m.of("PairCount", "SdkAppid", "len(From_Account)", "Time.Hour()")
		return func() string {
			if m.pick(2) == 0 {
				return numbers + m.of(" > ", " >= ") + k() + " && " + numbers + m.of(" < ", " <= ") + k()
			}
			return field + m.of(" > ", " >= ") + m.literal() + m.of(" && ", " and Mutual && ") + m.of(m.literal()+" >= "+field, field+" < "+m.literal())
		}
	case 0:
		return func() string {
			return text + m.of(" in ", " in ", " not in ") + m.of("few", "["+m.literal()+", "+m.literal()+"]", `["a", "ab", "vip_1"]`)
		}
	case 1:
		return func() string { return number + " * " + k() + " == " + other + k() }
	case 2:
		return func() string { return number + " % " + m.of("1", "2", "3", "4", "-3") + " == " + other + k() }
	case 3:
		return func() string { return m.of("len", "1 + len") + "(" + text + ") == " + k() }
	case 4:
		return func() string { return "cidr(" + text + ", " + strconv.Quote(m.of(ranges...)) + ")" }
	case 5:
		return func() string { return text + order() + m.literal() }
	case 6:
		return func() string {
			return text + m.of(" startsWith ", " endsWith ", " contains ", " not startsWith ", " not contains ") + m.literal()
		}
	case 7:
		return func() string {
			return fmt.Sprintf(m.of("len(%s)", `indexOf(%s, "a")`, "1 + len(%s)"), text) + order() + k()
		}
	case 8:
		percent := func() string { return m.of("0", "100", "50", "25", "75.5", "0.00000001", "99.99999999") }
		return func() string { return m.of("", "", "not ") + "sample(" + text + ", " + percent() + ")" }
	case 9:
		return func() string { return other + number + m.of(" * ", " % ") + m.of("3", "-2", "7") + order() + k() }
	}
	return func() string { return text + m.of(" == ", " == ", " == ", " != ") + m.literal() }
}

var ranges = []string{"10.0.0.0/8", "10.1.0.0/16", "10.2.0.0/16", "10.1.2.3/32", "0.0.0.0/0", "128.0.0.0/1", "fe80::/10", "fc00::/7", "fe80::/64", "::/0", "fe80::1/128",
	"::ffff:10.1.0.0/112", "255.255.255.255/32", "10.1.2.0/24", "fe80::/63"}

func (m maker) text(depth int) string {
	if depth <= 0 || m.pick(3) > 0 {
		return m.of(m.field(), m.field(), m.cased(), m.literal())
	}
	t := m.text(depth - 1)
	switch m.pick(8) {
	case 0:
		return "lower(" + t + ")"
	case 1:
		return "upper(" + t + ")"
	case 2:
		return "trim(" + t + ")"
	case 3:
		return "trimPrefix(" + t + ", " + m.literal() + ")"
	case 4:
		return fmt.Sprintf("(%s)[%d:%d]", t, m.pick(5)-2, m.pick(6)-2)
	case 5:
		return t + " + " + m.literal()
	case 6:
		return fmt.Sprintf("%s[:%d]", m.field(), m.pick(4))
	}
	return "(" + m.condition(depth-1) + " ? " + t + " : " + m.text(depth-1) + ")"
}

func (m maker) number(depth int) string {
	if depth <= 0 || m.pick(2) > 0 {
		return m.of("PairCount", "PairIndex", "SdkAppid", "len("+m.field()+")", strconv.Itoa(m.pick(9)-3), "Time.Hour()", "Time.Weekday()")
	}
	switch m.pick(8) {
	case 0:
		return "int(" + m.text(depth-1) + ")"
	case 1:
		return "len(" + m.text(depth-1) + ")"
	case 2:
		return `inZone(Time, "Asia/Shanghai").Hour()`
	case 3:
		return "indexOf(" + m.text(depth-1) + ", " + m.text(depth-1) + ")"
	case 4:
		return "min(" + m.number(depth-1) + ", 4)"
	}
	return "(" + m.number(depth-1) + m.of(" + ", " - ", " * ", " % ", " / ") + m.number(depth-1) + ")"
}

func (m maker) condition(depth int) string {
	if depth > 0 {
		switch m.pick(9) {
		case 0, 1:
			return "(" + m.condition(depth-1) + ") && (" + m.condition(depth-1) + ")"
		case 2, 3:
			return "(" + m.condition(depth-1) + ") || (" + m.condition(depth-1) + ")"
		case 4:
			return "not (" + m.condition(depth-1) + ")"
		case 5:
			return "(" + m.condition(depth-1) + ") ? (" + m.condition(depth-1) + ") : (" + m.condition(depth-1) + ")"
		}
	}
	return m.test(depth)
}

func (m maker) test(depth int) string {
	switch m.pick(27) {
	case 26:
		return m.of(m.field()+m.of(" < ", " <= ", " > ", " >= ")+m.literal(), m.literal()+m.of(" < ", " >= ")+m.of(m.field(), m.cased()),
			m.cased()+m.of(" < ", " <= ", " > ", " >= ")+m.literal())
	case 24, 25:
		return m.alike()()
	case 20:
		return m.cased() + m.of(" == ", " != ", " startsWith ", " endsWith ", " contains ", " not contains ") + m.literal()
	case 21:
		return m.cased() + m.of(" in ", " not in ") + m.of("few", "many", "none", "["+m.literal()+", "+m.literal()+"]")
	case 22:
		return m.cased() + m.of(" matches ", " not matches ") + strconv.Quote(m.of(patterns...))
	case 23:
		return m.literal() + " == " + m.cased()
	case 0, 1, 2:
		return m.field() + m.of(" == ", " == ", " != ") + m.literal()
	case 3, 4:
		return m.field() + m.of(" startsWith ", " endsWith ", " contains ", " not contains ") + m.literal()
	case 5, 6:
		return m.field() + m.of(" matches ", " not matches ") + strconv.Quote(m.of(patterns...))
	case 7:
		return m.field() + m.of(" in ", " not in ") + m.of("few", "many", "none")
	case 8:
		return m.field() + m.of(" in ", " not in ") + "[" + m.literal() + ", " + m.of(m.literal(), "1", `"a" + "b"`) + "]"
	case 9:
		return m.number(depth) + m.of(" < ", " <= ", " > ", " >= ", " == ", " != ") + m.number(depth)
	case 10:
		return m.of("PairCount", "PairIndex", "len(From_Account)") + m.of(" < ", " <= ", " > ", " >= ", " == ") + strconv.Itoa(m.pick(5)-1)
	case 11:
		return m.text(depth) + m.of(" == ", " < ", " >= ", " startsWith ", " contains ", " endsWith ") + m.text(depth)
	case 12:
		return m.of("Mutual", "true", "false", "Mutual == true", "Mutual != (PairIndex > 0)")
	case 13:
		return "cidr(" + m.field() + `, "10.0.0.0/8")`
	case 14:
		return "sample(" + m.field() + ", 50)"
	case 15:
		return m.text(depth) + " in " + m.of("few", "many", `["a", "ab"]`, `["a", 1, "bob"]`)
	case 16:
		return m.number(depth) + " in [1, 2, " + m.of("3", `"a"`) + "]"
	case 17:
		return m.text(depth) + " matches " + strconv.Quote(m.of(patterns...))
	case 18:
		return "float(" + m.text(depth) + ") > 1.5"
	}
	return m.field() + " == " + m.field()
}

// set makes a rule set of n rules.
func (m maker) set(n int) *RuleSet {
	many := lang.NewList(append([]string{"zz"}, words[:20]...))
	rs := &RuleSet{all: make([]Rule, 0, n), lists: map[string]*list{
		"few": {List: lang.NewList([]string{"a", "bob", "\xff"})}, "many": {List: many}, "none": {List: lang.NewList(nil)}}}
	scope := &lang.Scope{Lists: map[string]*lang.List{}}
	for name, l := range rs.lists {
		scope.Lists[name] = l.List
	}
	shared := m.of("", "", "Mutual && ", "PairCount == 1 && ", "From_Account in few && ", `To_Account startsWith "a" && `, `To_Account == "bob" && `)
	alike, often := m.alike(), m.pick(3) == 0
	for len(rs.Rules) < n {
		source := shared + "(" + m.condition(m.pick(5)) + ")"
		if often && m.pick(2) == 0 {
			source = shared + alike() + m.of("", " && "+m.test(0), " && ("+m.condition(2)+")", " || "+alike())
		}
		c, errs := lang.CompileCondition(source, scope)
		if errs != nil { // a part that can only fail, types that don't fit: never loaded
			n--
			continue
		}
		rs.add(&Rule{Name: fmt.Sprint("r", len(rs.Rules)), Condition: source, Enabled: m.pick(20) > 0, Stop: m.pick(30) == 0, Shadow: m.pick(10) == 0, condition: c})
	}
	rs.buildIndex()
	return rs
}

func (m maker) packet() *callback.Callback {
	cb := &callback.Callback{SdkAppid: int64(m.pick(4)), CallbackCommand: callback.Command, ClientIP: m.word(), OptPlatform: m.word(), RequestId: m.word(),
		Received: time.Unix(int64(m.pick(1<<31)), int64(m.pick(1e9)))}
	for range 1 + m.pick(3) {
		p := callback.Pair{From: m.account(), To: m.account()}
		cb.Pairs = append(cb.Pairs, p)
		if m.pick(3) == 0 {
			cb.Pairs = append(cb.Pairs, callback.Pair{From: p.To, To: p.From})
		}
	}
	return cb
}

func (m maker) account() string {
	switch m.pick(40) {
	case 39: // not 0, which is what fuzzing picks where its bytes end
		return strings.Repeat("ab", lang.MaxSubject/2) + "c" // beyond what matches looks at
	case 1, 2, 3, 4, 5, 6, 7, 8:
		return m.word() + m.word()
	}
	return m.word()
}

// compare holds Match against the plain loop, and gives the number of comparisons: of one rule on one pair.
func compare(t rapid.TB, m maker, rules, packets int) int {
	rs := m.set(rules)
	env := lang.NewEnv()
	done := 0
	for range packets {
		cb := m.packet()
		for pair := range cb.Pairs {
			got, want := rs.Match(nil, cb, pair), plainMatch(rs, env, cb, pair)
			if a, b := shown(got), shown(want); a != b {
				t.Fatalf("pair %d of %+v %q:\nindex: %s\nplain: %s", pair, cb.Pairs, []string{cb.ClientIP, cb.OptPlatform, cb.RequestId}, a, b)
			}
			done += len(rs.all)
		}
	}
	return done
}

func shown(ms []Match) string {
	var b strings.Builder
	for _, m := range ms {
		fmt.Fprintf(&b, "\n  %s found by %s: %s %v", m.Rule.Name, m.Rule.FoundBy, m.Rule.Condition, m.Err)
	}
	return b.String()
}

// Match gives what evaluating every rule in turn gives: the same rules, in the same order, with the same failures.
func TestMatchEqualsPlainLoop(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		compare(t, maker{func(n int) int { return rapid.IntRange(0, n-1).Draw(t, "") }}, 8, 3)
	})
}

// The same with far more rules and pairs. AFTERMATH_COMPARISONS=10000000 makes it as many comparisons.
func TestMatchEqualsPlainLoopOften(t *testing.T) {
	want := 200_000
	if s := os.Getenv("AFTERMATH_COMPARISONS"); s != "" {
		n, err := strconv.Atoi(s)
		must(t, err)
		want = n
	}
	seed := uint64(time.Now().UnixNano())
	done := 0
	for i := uint64(0); done < want; i++ {
		r := rand.New(rand.NewPCG(seed, i))
		done += compare(named{t, fmt.Sprintf("seed %d, %d: ", seed, i)}, maker{r.IntN}, 1+r.IntN(300), 40)
	}
	t.Logf("%d comparisons", done)
}

// named is a test whose failures say which of many it was.
type named struct {
	*testing.T
	name string
}

func (n named) Fatalf(format string, args ...any) {
	n.T.Helper()
	n.T.Fatalf(n.name+format, args...)
}

func FuzzMatchEqualsPlainLoop(f *testing.F) {
	f.Add([]byte("the index and the plain loop"))
	f.Add([]byte{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 250, 251, 252, 253, 254, 255})
	f.Fuzz(func(t *testing.T, data []byte) {
		at := 0
		compare(t, maker{func(n int) int {
			if at >= len(data) {
				return 0
			}
			at++
			return int(data[at-1]) % n
		}}, 6, 3)
	})
}
