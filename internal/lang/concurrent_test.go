package lang

import (
	"fmt"
	"sync"
	"testing"
)

// One scope and one condition serve any number of goroutines that compile, match and explain.
func TestConcurrentUse(t *testing.T) {
	scope := sampleScope()
	shared, errs := CompileCondition(`From_Account in vips && To_Account matches "^b" && inZone(Time, "Asia/Shanghai").Hour() == 4`, scope)
	if errs != nil {
		t.Fatal(messages(errs))
	}
	var wg sync.WaitGroup
	for g := range 8 {
		wg.Add(1)
		go func() {
			defer wg.Done()
			v := sampleVars()
			for i := range 200 {
				v.Pair.From = fmt.Sprintf("vip_%d", i%4)
				want := i%4 == 1 || i%4 == 2
				if got, err := shared.Match(v); got != want || err != nil {
					t.Errorf("goroutine %d: %s gives %v, %v", g, v.Pair.From, got, err)
				}
				if i%50 == 0 {
					if parts := shared.Explain(v); parts[0].Value != want {
						t.Errorf("goroutine %d: explained as %v", g, parts[0].Value)
					}
					if _, errs := CompileTemplate(`{{ From_Account + Rule.Name }}`, scope); errs != nil {
						t.Error(messages(errs))
					}
				}
			}
		}()
	}
	wg.Wait()
}

// An Env that was set for one pair gives nothing of it to the next.
func TestEnvIsSetAnew(t *testing.T) {
	c := mustCondition(t, `From_Account + To_Account + ClientIP + OptPlatform + RequestId + CallbackCommand == "" && SdkAppid + PairCount + PairIndex == 0
		&& not Mutual && Time.Year() == 1`)
	env := NewEnv()
	for _, step := range []struct {
		name string
		vars *Vars
		want bool
	}{{"full", sampleVars(), false}, {"empty", &Vars{}, true}, {"full again", sampleVars(), false}, {"empty again", &Vars{}, true}} {
		env.Set(step.vars)
		if got, err := c.Eval(env); got != step.want || err != nil {
			t.Errorf("%s: %v, %v; want %v", step.name, got, err, step.want)
		}
	}
}

func TestEvalAllocatesNothing(t *testing.T) {
	env := NewEnv()
	env.Set(sampleVars())
	for _, bc := range benchConditions {
		c := mustCondition(t, bc.condition)
		allocs := testing.AllocsPerRun(100, func() {
			if _, err := c.Eval(env); err != nil {
				t.Error(err)
			}
		})
		if allocs != 0 {
			t.Errorf("%s: %v allocations", bc.condition, allocs)
		}
	}
}
