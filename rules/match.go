package rules

import (
	"github.com/aftermath-rules/aftermath/callback"
	"github.com/aftermath-rules/aftermath/internal/lang"
)

// Match is one rule that matched one pair, or whose condition failed on it.
type Match struct {
	Rule *Rule
	Err  error // the condition failed at run time: no match, but counted
}

// Match appends to dst the rules that match the pair, in order, honouring enabled and stop; shadow rules are included and stop
// nothing. A rule whose condition failed is appended with its error: it did not match and stops nothing. However many rules there
// are, nothing is allocated for one that does not match; the names are set once for a pair, which costs an allocation for each
// that differs from those of the pair before.
func (rs *RuleSet) Match(dst []Match, cb *callback.Callback, pair int) []Match {
	if len(rs.active) == 0 {
		return dst
	}
	env, _ := rs.envs.Get().(*lang.Env)
	if env == nil {
		env = lang.NewEnv()
	}
	var v lang.Vars
	FillVars(&v, cb, pair)
	env.Set(&v)
	for _, r := range rs.active {
		matched, err := r.condition.Eval(env)
		if err != nil {
			dst = append(dst, Match{Rule: r, Err: err})
			continue
		}
		if !matched {
			continue
		}
		dst = append(dst, Match{Rule: r})
		if r.Stop && !r.Shadow {
			break
		}
	}
	rs.envs.Put(env)
	return dst
}

// Explain evaluates the rule's condition part by part for one pair, whether the rule is enabled or not.
func (r *Rule) Explain(cb *callback.Callback, pair int) []lang.Part {
	var v lang.Vars
	FillVars(&v, cb, pair)
	return r.condition.Explain(&v)
}

// FillVars sets v to what a condition sees of one pair of the callback.
func FillVars(v *lang.Vars, cb *callback.Callback, pair int) {
	*v = lang.Vars{
		Pair:            cb.Pairs[pair],
		CallbackCommand: cb.CallbackCommand,
		ClientIP:        cb.ClientIP,
		OptPlatform:     cb.OptPlatform,
		RequestId:       cb.RequestId,
		SdkAppid:        cb.SdkAppid,
		PairCount:       len(cb.Pairs),
		PairIndex:       pair,
		Mutual:          cb.Mutual(pair),
		Time:            cb.Received.UTC(),
	}
}
