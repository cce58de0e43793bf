package lang

import (
	"fmt"
	"testing"
	"time"

	"github.com/expr-lang/expr"
	"github.com/expr-lang/expr/vm"
)

// benchConditions are of the kinds that rules are made of. The twin column is the same in plain expr.
var benchConditions = []struct{ name, condition, twin string }{
	{"equal", `From_Account == "vip_1"`, `From_Account == "vip_1"`},
	{"in-array", `OptPlatform in ["iOS", "Android"]`, `OptPlatform in ["iOS", "Android"]`},
	{"in-list", `From_Account in vips`, `From_Account in vips`},
	{"prefix-and", `From_Account startsWith "vip_" && OptPlatform != "RESTAPI"`, `From_Account startsWith "vip_" && OptPlatform != "RESTAPI"`},
	{"matches", `From_Account matches "^vip_[0-9]+$"`, `From_Account matches "^vip_[0-9]+$"`},
	{"hour", `Time.Hour() >= 20 && Mutual`, `Time.Hour() >= 20 && Mutual`},
}

// twinEnv is what one would hand to expr without thinking: a struct.
type twinEnv struct {
	From_Account, To_Account, CallbackCommand, ClientIP, OptPlatform, RequestId string
	SdkAppid, PairCount, PairIndex                                              int
	Mutual                                                                      bool
	Time                                                                        time.Time
	Vips                                                                        map[string]bool `expr:"vips"`
}

func newTwinEnv() *twinEnv {
	v := sampleVars()
	return &twinEnv{
		From_Account: v.Pair.From, To_Account: v.Pair.To, CallbackCommand: v.CallbackCommand, ClientIP: v.ClientIP,
		OptPlatform: v.OptPlatform, RequestId: v.RequestId, SdkAppid: int(v.SdkAppid), PairCount: v.PairCount,
		PairIndex: v.PairIndex, Mutual: v.Mutual, Time: v.Time, Vips: map[string]bool{"vip_1": true, "vip_2": true},
	}
}

// BenchmarkEval evaluates one condition: over an Env that was set before, as rules do; by Match; and the naive way, a fresh VM
// of plain expr over a struct.
func BenchmarkEval(b *testing.B) {
	for _, bc := range benchConditions {
		c := mustCondition(b, bc.condition)
		b.Run(bc.name+"/env", func(b *testing.B) {
			env := NewEnv()
			env.Set(sampleVars())
			b.ReportAllocs()
			for b.Loop() {
				if ok, err := c.Eval(env); !ok || err != nil {
					b.Fatal(ok, err)
				}
			}
		})
		b.Run(bc.name+"/match", func(b *testing.B) {
			v := sampleVars()
			b.ReportAllocs()
			for b.Loop() {
				if ok, err := c.Match(v); !ok || err != nil {
					b.Fatal(ok, err)
				}
			}
		})
		b.Run(bc.name+"/naive", func(b *testing.B) {
			env := newTwinEnv()
			p, err := expr.Compile(bc.twin, expr.Env(env), expr.AsBool())
			if err != nil {
				b.Fatal(err)
			}
			b.ReportAllocs()
			for b.Loop() {
				if out, err := vm.Run(p, env); out != true || err != nil {
					b.Fatal(out, err)
				}
			}
		})
	}
}

// BenchmarkSet sets an Env for pairs of one callback, one after the other.
func BenchmarkSet(b *testing.B) {
	env := NewEnv()
	v := sampleVars()
	accounts := make([]string, 64)
	for i := range accounts {
		accounts[i] = fmt.Sprintf("account_%d", i)
	}
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		v.Pair.From = accounts[i%len(accounts)]
		v.PairIndex = i % 64
		env.Set(v)
	}
}

// BenchmarkCompile compiles one condition in a scope that is shared, beside expr.Compile.
func BenchmarkCompile(b *testing.B) {
	for _, bc := range benchConditions {
		b.Run(bc.name+"/lang", func(b *testing.B) {
			s := sampleScope()
			b.ReportAllocs()
			for b.Loop() {
				if _, errs := CompileCondition(bc.condition, s); errs != nil {
					b.Fatal(messages(errs))
				}
			}
		})
		b.Run(bc.name+"/expr", func(b *testing.B) {
			env := newTwinEnv()
			b.ReportAllocs()
			for b.Loop() {
				if _, err := expr.Compile(bc.twin, expr.Env(env), expr.AsBool()); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
