//go:build unix

package rules

import (
	"fmt"
	"math/rand/v2"
	"os"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/expr-lang/expr"
	"github.com/expr-lang/expr/vm"

	"github.com/aftermath-rules/aftermath/callback"
	"github.com/aftermath-rules/aftermath/internal/lang"
	"github.com/aftermath-rules/aftermath/internal/pairindex"
)

func account(i int) string { return fmt.Sprintf("user_%07d_x", i) }

func fieldOf(i int) string { return []string{"From_Account", "To_Account"}[i%2] }

func exactCondition(i int) string { return fmt.Sprintf(`%s == "%s"`, fieldOf(i), account(i)) }

func prefixCondition(i int) string {
	return fmt.Sprintf(`%s startsWith "%s"`, fieldOf(i), strings.TrimSuffix(account(i), "x"))
}

// mixedCondition is 60 % equality, 15 % in, 15 % prefixes, 10 % contains and regular expressions.
func mixedCondition(i int) string {
	field := fieldOf(i / 20)
	switch k := i % 20; {
	case k < 8:
		return exactCondition(i)
	case k < 12:
		return fmt.Sprintf(`%s == "%s" && OptPlatform != "RESTAPI"`, field, account(i))
	case k < 15:
		return fmt.Sprintf(`%s in ["%s", "%[2]sy", "%[2]sz"]`, field, account(i))
	case k < 18:
		return prefixCondition(i)
	case k < 19:
		return fmt.Sprintf(`%s contains "part%07d"`, field, i)
	}
	return fmt.Sprintf("%s matches `^team%07d_[0-9]+$`", field, i)
}

// casedCondition ignores case in the ways that operators do.
func casedCondition(i int) string {
	field := fieldOf(i / 4)
	switch i % 4 {
	case 0:
		return fmt.Sprintf(`lower(%s) == "%s"`, field, account(i))
	case 1:
		return fmt.Sprintf(`lower(OptPlatform) == "ios" && upper(%s) in ["%s", "%[2]sY"]`, field, strings.ToUpper(account(i)))
	case 2:
		return fmt.Sprintf(`lower(%s) startsWith "%s"`, field, strings.TrimSuffix(account(i), "x"))
	}
	return fmt.Sprintf("%s matches `(?i)^team%07d_[0-9]+$`", field, i)
}

// residualCondition is one that no atom serves.
func residualCondition(i int) string {
	switch i % 4 {
	case 0:
		return fmt.Sprintf(`OptPlatform != "iOS" && From_Account != "%s"`, account(i))
	case 1:
		return fmt.Sprintf(`From_Account == To_Account && PairCount != %d`, i)
	case 2:
		return fmt.Sprintf(`Mutual == false && OptPlatform not in ["iOS", "Android"] && RequestId != "%d"`, i)
	}
	return fmt.Sprintf(`PairIndex != SdkAppid && PairCount < PairIndex && ClientIP != "10.0.%d.1"`, i)
}

func thresholdCondition(i int) string {
	return fmt.Sprintf([]string{`len(From_Account) > %d`, `SdkAppid > 2%09d`}[i%2], 40+i)
}

// distinctCondition is one that no atom serves, and that shares no test with others.
func distinctCondition(i int) string {
	return fmt.Sprintf(`len(From_Account) != %d && To_Account not startsWith "user_" && From_Account == To_Account`, 100+i)
}

// callCondition is one that no atom serves, and that is a test of its own.
func callCondition(i int) string { return fmt.Sprintf(`PairCount * %d == PairIndex - 7`, i+1) }

// apartCondition is one that no atom serves, and of whose own tests the last decides.
func apartCondition(i int) string {
	return fmt.Sprintf(`OptPlatform != "Web" && From_Account != "%s" && PairCount * %d == PairIndex - 7`, account(i), i+1)
}

// madeCondition is one that no atom serves: it compares what is made of a text, or of a number.
func madeCondition(i int) string {
	switch i % 4 {
	case 0:
		return fmt.Sprintf(`trim(From_Account) == "%s"`, account(i))
	case 1:
		return fmt.Sprintf(`OptPlatform != "Web" && To_Account[5:12] == "%07d"`, i)
	case 2:
		return fmt.Sprintf(`indexOf(From_Account, "@") == %d`, i)
	}
	return fmt.Sprintf(`cidr(ClientIP, "10.%d.%d.0/24")`, 2+i>>16, i>>8&255)
}

// sharedCondition is one that no atom serves, and part of which is a function that others share.
func sharedCondition(i int) string {
	return fmt.Sprintf(`inZone(Time, "Asia/Shanghai").Hour() > 5 && not sample(To_Account, 1) && PairCount != %d && From_Account == To_Account`, i)
}

// remainderCondition is one that no atom serves, and that is a division of its own.
func remainderCondition(i int) string {
	return fmt.Sprintf(`OptPlatform != "Web" && len(From_Account) %% %d == 3`, 20+i)
}

// memberCondition is one that no atom serves: it looks for what is made of a text in a list of its own.
func memberCondition(i int) string {
	return fmt.Sprintf(`trim(From_Account) in ["%s", "%[1]sy"]`, account(i))
}

// functionCondition is one that no atom serves: it compares what a function gives with a constant.
func functionCondition(i int) string {
	return fmt.Sprintf(`sample(From_Account, 0.%06d)`, i)
}

// orderCondition compares a text for its order.
func orderCondition(i int) string {
	return fmt.Sprintf([]string{`From_Account < "a%07d"`, `To_Account >= "z%07d"`, `"a%07d" > lower(From_Account)`}[i%3], i)
}

// spanCondition bounds a text, or a number, on both sides.
func spanCondition(i int) string {
	return fmt.Sprintf([]string{`From_Account >= "user_%07d" && From_Account < "user_%07d"`, `SdkAppid > 2%09d && SdkAppid <= 2%09d`}[i%2], i, i+2)
}

// madeOrderCondition is one that no atom serves: it compares what is made of a text for its order, or a number that is made of one.
func madeOrderCondition(i int) string {
	return fmt.Sprintf([]string{`trim(From_Account) < "a%07d"`, `OptPlatform != "Web" && To_Account[5:] > "z%07d"`, `len(trim(From_Account)) > 1%05d`,
		`OptPlatform != "Web" && indexOf(To_Account, "@") > %d`}[i%4], i)
}

// partCondition is one that no atom serves: it looks for a part of what is made of a text.
func partCondition(i int) string {
	return fmt.Sprintf([]string{`trim(From_Account) contains "vip%07d_"`, `OptPlatform != "Web" && To_Account[2:] contains "_vip%07d"`}[i%2], i)
}

// beginningCondition is one that no atom serves: it looks at how what is made of a text begins or ends.
func beginningCondition(i int) string {
	return fmt.Sprintf([]string{`trim(From_Account) startsWith "vip%07d_"`, `OptPlatform != "Web" && trim(To_Account) endsWith "_vip%07d"`}[i%2], i)
}

// hotCondition is found for every pair, and holds for none.
func hotCondition(i int) string {
	return fmt.Sprintf(`OptPlatform == "iOS" && From_Account == To_Account && SdkAppid != %d`, i)
}

func indexSet(b testing.TB, n int, condition func(int) string) *RuleSet {
	scope := &lang.Scope{}
	rs := &RuleSet{all: make([]Rule, 0, n)}
	for i := range n {
		source := condition(i)
		c, errs := lang.CompileCondition(source, scope)
		if errs != nil {
			b.Fatal(source, errs[0])
		}
		rs.add(&Rule{Name: "r", Condition: source, Enabled: true, condition: c})
	}
	rs.buildIndex()
	return rs
}

// manyPairs is a packet of so many pairs that they, and what is looked up for them, lie in no small cache. Where they hit, both
// accounts are what a rule of n exact ones demands; else neither is.
func manyPairs(n int, hit bool) *callback.Callback {
	pairs := 1 << 16
	if testing.Short() {
		pairs = 1 << 8
	}
	r := rand.New(rand.NewPCG(1, 2))
	cb := &callback.Callback{SdkAppid: 1400000000, CallbackCommand: callback.Command, ClientIP: "10.1.2.3", OptPlatform: "iOS",
		RequestId: "request", Received: time.Unix(1.8e9, 0), Pairs: make([]callback.Pair, pairs)}
	for i := range cb.Pairs {
		from, to := r.IntN(n), r.IntN(n)
		if hit {
			from, to = from&^1, to|1
		} else {
			from, to = from+n, to+n
		}
		cb.Pairs[i] = callback.Pair{From: account(from), To: account(to)}
	}
	return cb
}

func hitOrMiss(hit bool) string {
	if hit {
		return "hit"
	}
	return "miss"
}

// contestant is one of several ways to do the same for each pair of a packet.
type contestant struct {
	name  string
	turn  int // how many pairs it does at a time; 0 for all
	do    func(pair int)
	times []float64
}

// contest lets contestants take turns, so that what else the machine does falls on all alike. It reports the median of each in
// nanoseconds of processor time a pair, and that of the first divided by each other's.
func contest(b *testing.B, pairs int, cs ...*contestant) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	next := make([]int, len(cs))
	for b.Loop() {
		for i, c := range cs {
			turn := c.turn
			if turn == 0 {
				turn = pairs
			}
			begun := processorTime(b)
			for range turn {
				c.do(next[i])
				if next[i]++; next[i] == pairs {
					next[i] = 0
				}
			}
			c.times = append(c.times, float64(processorTime(b)-begun)/float64(turn))
		}
	}
	b.ReportMetric(0, "ns/op")
	for _, c := range cs {
		slices.Sort(c.times)
		b.ReportMetric(c.median(), c.name+"-ns")
	}
	for _, c := range cs[1:] {
		b.ReportMetric(cs[0].median()/c.median(), cs[0].name+"/"+c.name)
	}
}

func (c *contestant) median() float64 { return c.times[len(c.times)/2] }

func processorTime(b *testing.B) time.Duration {
	var u syscall.Rusage
	must(b, syscall.Getrusage(syscall.RUSAGE_SELF, &u))
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// matching is Match as a whole.
func matching(rs *RuleSet, cb *callback.Callback) *contestant {
	var dst []Match
	return &contestant{name: "match", do: func(i int) { dst = rs.Match(dst[:0], cb, i) }}
}

// indexing is the index alone.
func indexing(rs *RuleSet, cb *callback.Callback) *contestant {
	s := &search{}
	_, texts, numbers := rs.index.Needs()
	return &contestant{name: "index", do: func(i int) {
		lang.FillEvent(&s.event, &s.derived, cb, i, texts, numbers)
		var f pairindex.Found
		if rs.index.Look(&f, s.event.Texts[:]) {
			s.hits = rs.index.Decide(s.hits[:0], &f, &s.event, &s.scratch)
		}
	}}
}

// twoMaps is what somebody would write for rules that demand one account each.
func twoMaps(rs *RuleSet, cb *callback.Callback) *contestant {
	from, to := map[string]*Rule{}, map[string]*Rule{}
	for i, r := range rs.Rules {
		[]map[string]*Rule{from, to}[i%2][account(i)] = r
	}
	var dst []Match
	return &contestant{name: "maps", do: func(i int) {
		p := &cb.Pairs[i]
		dst = dst[:0]
		if r := from[p.From]; r != nil {
			dst = append(dst, Match{Rule: r})
		}
		if r := to[p.To]; r != nil {
			dst = append(dst, Match{Rule: r})
		}
	}}
}

// naive is the fair naive loop: a program each, one environment, one VM.
func naive(b *testing.B, rs *RuleSet, cb *callback.Callback) *contestant {
	env := naiveEnv(cb, 0)
	programs := make([]*vm.Program, len(rs.Rules))
	for i, r := range rs.Rules {
		p, err := expr.Compile(r.Condition, expr.AsBool(), expr.Env(env))
		must(b, err)
		programs[i] = p
	}
	var machine vm.VM
	return &contestant{name: "naive", turn: max(1, 10_000/len(rs.Rules)), do: func(i int) {
		env["From_Account"], env["To_Account"], env["PairIndex"] = cb.Pairs[i].From, cb.Pairs[i].To, i
		for _, p := range programs {
			if _, err := machine.Run(p, env); err != nil {
				b.Fatal(err)
			}
		}
	}}
}

// sizes are numbers of rules: few in short runs, up to a million in long ones.
func sizes(ns ...int) []int {
	most := 100_000
	if testing.Short() {
		most = 1000
	}
	if os.Getenv("AFTERMATH_LONG") != "" {
		most = 1_000_000
	}
	return slices.DeleteFunc(ns, func(n int) bool { return n > most })
}

// BenchmarkIndex matches pairs that no rule wants, and pairs whose accounts are two rules', beside two look-ups in plain maps of as
// many accounts. At most 1.2 times as much for exact rules and 2 times for prefixes is what we want.
func BenchmarkIndex(b *testing.B) {
	for _, kind := range []struct {
		name      string
		condition func(i int) string
	}{{"exact", exactCondition}, {"prefix", prefixCondition}, {"mixed", mixedCondition}, {"cased", casedCondition}} {
		for _, n := range sizes(1000, 10_000, 100_000, 1_000_000) {
			rs := indexSet(b, n, kind.condition)
			for _, hit := range []bool{false, true} {
				cb := manyPairs(n, hit)
				b.Run(fmt.Sprintf("%s/n=%d/%s", kind.name, n, hitOrMiss(hit)), func(b *testing.B) {
					b.ReportAllocs()
					contest(b, len(cb.Pairs), matching(rs, cb), indexing(rs, cb), twoMaps(rs, cb))
				})
			}
		}
	}
}

// BenchmarkNaive matches beside the fair naive loop. At most a 10,000th of it for 10,000 exact rules, a 250,000th for 100,000, and a
// 5,000th for 10,000 mixed ones is what we want.
func BenchmarkNaive(b *testing.B) {
	for _, kind := range []struct {
		name      string
		condition func(i int) string
		sizes     []int
	}{{"exact", exactCondition, sizes(1000, 10_000, 100_000)}, {"mixed", mixedCondition, sizes(1000, 10_000)}} {
		for _, n := range kind.sizes {
			b.Run(fmt.Sprintf("%s/n=%d", kind.name, n), func(b *testing.B) {
				rs, cb := indexSet(b, n, kind.condition), manyPairs(n, false)
				m, loop := matching(rs, cb), naive(b, rs, cb)
				contest(b, len(cb.Pairs), loop, m)
			})
		}
	}
}

// BenchmarkGrowth matches against many rules beside a thousand of the same kind. At most 5 times as much for exact rules, 8 times for
// mixed ones, and hardly more for thresholds, from a thousand to a million, is what we want.
func BenchmarkGrowth(b *testing.B) {
	for _, kind := range []struct {
		name      string
		condition func(i int) string
	}{{"exact", exactCondition}, {"mixed", mixedCondition}, {"thresholds", thresholdCondition}} {
		for _, n := range sizes(10_000, 100_000, 1_000_000) {
			large, small := indexSet(b, n, kind.condition), indexSet(b, 1000, kind.condition)
			for _, hit := range []bool{false, true} {
				b.Run(fmt.Sprintf("%s/n=%d/%s", kind.name, n, hitOrMiss(hit)), func(b *testing.B) {
					cb, few := manyPairs(n, hit), manyPairs(1000, hit)
					many, thousand := matching(large, cb), matching(small, few)
					thousand.name = "thousand"
					contest(b, len(cb.Pairs), many, thousand)
				})
			}
		}
	}
}

// BenchmarkResidual matches against rules that no hash table finds, or that every pair has what they are found by. At most 3 ns a rule is
// what we want.
func BenchmarkResidual(b *testing.B) {
	for _, kind := range []struct {
		name      string
		condition func(i int) string
		ours      bool // it calls what expr itself does not have
	}{{"residual", residualCondition, false}, {"distinct", distinctCondition, false}, {"calls", callCondition, false}, {"apart", apartCondition, false},
		{"hot", hotCondition, false}, {"made", madeCondition, true}, {"shared", sharedCondition, true}, {"remainders", remainderCondition, false},
		{"members", memberCondition, false}, {"functions", functionCondition, true}, {"order", orderCondition, false}, {"spans", spanCondition, false},
		{"made order", madeOrderCondition, false},
		{"beginnings", beginningCondition, false}, {"parts", partCondition, false}} {
		for _, n := range sizes(100, 1000, 10_000, 100_000) {
			b.Run(fmt.Sprintf("%s/n=%d", kind.name, n), func(b *testing.B) {
				rs, cb := indexSet(b, n, kind.condition), manyPairs(n, false)
				m := matching(rs, cb)
				m.turn = max(1, 1_000_000/n)
				if kind.ours {
					contest(b, len(cb.Pairs), m)
				} else {
					loop := naive(b, rs, cb)
					contest(b, len(cb.Pairs), m, loop)
					b.ReportMetric(loop.median()/float64(n), "naive-ns/rule")
				}
				b.ReportMetric(m.median()/float64(n), "match-ns/rule")
			})
		}
	}
}

// BenchmarkIndexSize tells how much memory a rule takes in the index, and its condition besides. At most 200 bytes in the index is what
// we want for mixed rules.
func BenchmarkIndexSize(b *testing.B) {
	for _, kind := range []struct {
		name      string
		condition func(i int) string
	}{{"exact", exactCondition}, {"prefix", prefixCondition}, {"mixed", mixedCondition}, {"residual", residualCondition}, {"thresholds", thresholdCondition}} {
		for _, n := range sizes(1000, 100_000, 1_000_000) {
			b.Run(fmt.Sprintf("%s/n=%d", kind.name, n), func(b *testing.B) {
				for b.Loop() {
					before := heap()
					rs := indexSet(b, n, kind.condition)
					both := heap() - before
					rs.index = nil
					conditions := heap() - before
					b.ReportMetric(float64(both-conditions)/float64(n), "index-B/rule")
					b.ReportMetric(float64(conditions)/float64(n), "condition-B/rule")
					start := processorTime(b)
					rs.buildIndex()
					b.ReportMetric(float64(processorTime(b)-start)/float64(n), "build-ns/rule")
				}
			})
		}
	}
}

func heap() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}
