//go:build unix

package rules

import (
	"fmt"
	"math/rand/v2"
	"os"
	"runtime"
	"syscall"
	"testing"
	"time"

	"github.com/expr-lang/expr"
	"github.com/expr-lang/expr/vm"

	"github.com/aftermath-rules/aftermath/callback"
	"github.com/aftermath-rules/aftermath/internal/lang"
)

// ruleKinds are the kinds of rules that the benchmarks are made of: condition i of n, over accounts user_0 to user_4n.
var ruleKinds = []struct {
	name      string
	condition func(i int) string
}{
	{"exact", exactCondition},
	{"prefix", func(i int) string {
		return fmt.Sprintf(`%s startsWith "user_%06d_"`, []string{"From_Account", "To_Account"}[i%2], i)
	}},
	{"mixed", mixedCondition},
	{"residual", func(i int) string { return fmt.Sprintf(`PairIndex != 0 && From_Account != "user_%d"`, i) }},
	{"thresholds", func(i int) string { return fmt.Sprintf(`len(From_Account) > %d`, 40+i) }},
	{"hot", func(i int) string { return fmt.Sprintf(`OptPlatform == "iOS" && PairCount > %d`, 5+i%3) }},
}

func exactCondition(i int) string {
	return fmt.Sprintf(`%s == "user_%06d_x"`, []string{"From_Account", "To_Account"}[i%2], i)
}

// mixedCondition is 60 % equality, 15 % in, 15 % prefixes, 10 % contains and regular expressions.
func mixedCondition(i int) string {
	field := []string{"From_Account", "To_Account"}[i/20%2]
	switch k := i % 20; {
	case k < 8:
		return exactCondition(i)
	case k < 12:
		return fmt.Sprintf(`%s == "user_%06d_x" && OptPlatform != "RESTAPI"`, field, i)
	case k < 15:
		return fmt.Sprintf(`%s in ["user_%06d_x", "user_%06d_y", "user_%06d_z"]`, field, i, i, i)
	case k < 18:
		return fmt.Sprintf(`%s startsWith "user_%06d_"`, field, i)
	case k < 19:
		return fmt.Sprintf(`%s contains "part%06d"`, field, i)
	}
	return fmt.Sprintf("%s matches `^team%06d_[0-9]+$`", field, i)
}

func indexSet(b testing.TB, n int, condition func(int) string) *RuleSet {
	scope := &lang.Scope{}
	rs := &RuleSet{}
	for i := range n {
		source := condition(i)
		c, errs := lang.CompileCondition(source, scope)
		if errs != nil {
			b.Fatal(source, errs[0])
		}
		rs.Rules = append(rs.Rules, &Rule{Name: "r", Condition: source, Enabled: true, condition: c})
	}
	rs.active = rs.Rules
	rs.buildIndex()
	return rs
}

// benchPackets are packets of one pair, of which one in four meets a rule that demands one account.
func benchPackets(n int) []*callback.Callback {
	r := rand.New(rand.NewPCG(1, 2))
	cbs := make([]*callback.Callback, 1024)
	for i := range cbs {
		cbs[i] = &callback.Callback{SdkAppid: 1400000000, CallbackCommand: callback.Command, ClientIP: "10.1.2.3", OptPlatform: "iOS",
			RequestId: fmt.Sprint("request-", i), Received: time.Unix(1.8e9, 0),
			Pairs: []callback.Pair{{From: fmt.Sprintf("user_%06d_x", r.IntN(4*n)), To: fmt.Sprintf("user_%06d_x", r.IntN(4*n))}}}
	}
	return cbs
}

func sizes() []int {
	if testing.Short() {
		return []int{1, 100, 1000}
	}
	if os.Getenv("AFTERMATH_LONG") != "" {
		return []int{1, 100, 1000, 10_000, 100_000, 1_000_000}
	}
	return []int{1, 100, 1000, 10_000, 100_000}
}

// BenchmarkIndex matches one pair against many rules (index; find is the same with scratch memory at hand), beside what it is to be compared with: two look-ups in plain maps of as many
// accounts, and the fair naive loop (a program each, one map environment, one VM), where that ends in time.
func BenchmarkIndex(b *testing.B) {
	for _, kind := range ruleKinds {
		for _, n := range sizes() {
			cbs := benchPackets(n)
			b.Run(fmt.Sprintf("%s/n=%d/index", kind.name, n), func(b *testing.B) {
				before := heap()
				rs := indexSet(b, n, kind.condition)
				perRule := float64(heap()-before) / float64(n)
				var dst []Match
				b.ReportAllocs()
				b.ResetTimer()
				timed(b, func(i int) { dst = rs.Match(dst[:0], cbs[i%len(cbs)], 0) })
				b.ReportMetric(perRule, "B/rule")
				runtime.KeepAlive(rs)
			})
			b.Run(fmt.Sprintf("%s/n=%d/find", kind.name, n), func(b *testing.B) {
				rs := indexSet(b, n, kind.condition)
				s := &search{}
				texts, numbers := rs.index.Needs()
				b.ResetTimer()
				timed(b, func(i int) {
					lang.FillEvent(&s.event, cbs[i%len(cbs)], 0, texts, numbers)
					s.hits = rs.index.Find(s.hits[:0], &s.event, &s.scratch)
				})
			})
			if kind.name == "exact" {
				b.Run(fmt.Sprintf("%s/n=%d/maps", kind.name, n), func(b *testing.B) { twoMaps(b, n, cbs) })
			}
			if n <= 10_000 && n != 1000 && (kind.name == "exact" || kind.name == "mixed") {
				b.Run(fmt.Sprintf("%s/n=%d/naive", kind.name, n), func(b *testing.B) { naiveLoop(b, n, kind.condition, cbs) })
			}
		}
	}
}

func heap() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

func twoMaps(b *testing.B, n int, cbs []*callback.Callback) {
	from, to := map[string]int{}, map[string]int{}
	for i := range n {
		[]map[string]int{from, to}[i%2][fmt.Sprintf("user_%06d_x", i)] = i
	}
	found := 0
	b.ResetTimer()
	timed(b, func(i int) {
		p := &cbs[i%len(cbs)].Pairs[0]
		if _, ok := from[p.From]; ok {
			found++
		}
		if _, ok := to[p.To]; ok {
			found++
		}
	})
}

// timed runs f and reports the processor's time of it beside the clock's, which says little where others compute too.
func timed(b *testing.B, f func(i int)) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	before := processorTime(b)
	n := 0
	for ; b.Loop(); n++ {
		f(n)
	}
	b.ReportMetric(float64((processorTime(b)-before).Nanoseconds())/float64(n), "cpu-ns/op")
}

func processorTime(b *testing.B) time.Duration {
	var u syscall.Rusage
	must(b, syscall.Getrusage(syscall.RUSAGE_SELF, &u))
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func naiveLoop(b *testing.B, n int, condition func(int) string, cbs []*callback.Callback) {
	env := naiveEnv(cbs[0], 0)
	programs := make([]*vm.Program, n)
	for i := range programs {
		p, err := expr.Compile(condition(i), expr.AsBool(), expr.Env(env))
		if err != nil {
			b.Fatal(err)
		}
		programs[i] = p
	}
	var machine vm.VM
	b.ResetTimer()
	timed(b, func(i int) {
		cb := cbs[i%len(cbs)]
		env["From_Account"], env["To_Account"], env["RequestId"] = cb.Pairs[0].From, cb.Pairs[0].To, cb.RequestId
		for _, p := range programs {
			if _, err := machine.Run(p, env); err != nil {
				b.Fatal(err)
			}
		}
	})
}
