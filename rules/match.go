package rules

import (
	"github.com/aftermath-rules/aftermath/callback"
	"github.com/aftermath-rules/aftermath/internal/lang"
	"github.com/aftermath-rules/aftermath/internal/pairindex"
)

// Match is one rule that matched one pair, or whose condition failed on it.
type Match struct {
	Rule *Rule
	Err  error // the condition failed at run time: no match, but counted
}

// search is what matching works in.
type search struct {
	event   pairindex.Event
	derived lang.Derived
	scratch pairindex.Scratch
	hits    []pairindex.Hit
	env     *lang.Env // nil until a condition needs byte code
}

// Match appends to dst the rules that match the pair, in order, honouring enabled and stop; shadow rules are included and stop
// nothing. A rule whose condition failed is appended with its error: it did not match and stops nothing. Match allocates nothing
// when nothing matches.
//
// What it gives is what evaluating every rule in turn would give, failures included.
func (rs *RuleSet) Match(dst []Match, cb *callback.Callback, pair int) []Match {
	look, _, _ := rs.index.Needs()
	if look&^lang.PlainTexts != 0 {
		return rs.matchDerived(dst, cb, pair, look)
	}
	var texts [lang.Texts]string
	if rs.index.Far() {
		rs.fetch(cb, pair, look)
	}
	lang.FillTexts(texts[:], cb, pair, look)
	var found pairindex.Found
	if !rs.index.Look(&found, texts[:]) {
		return dst
	}
	if sure, ok := rs.index.Sure(&found); ok {
		return rs.append(dst, sure)
	}
	return rs.matchUnsure(dst, &found, cb, pair)
}

// ahead is how many pairs before its turn what a pair will be compared with is fetched.
const ahead = 2

// fetch fetches what pairs that follow in the callback will be compared with: at each of them a large index would wait for memory.
func (rs *RuleSet) fetch(cb *callback.Callback, pair int, look uint32) {
	first, last := pair+ahead, min(pair+ahead, len(cb.Pairs)-1)
	if pair == 0 {
		first = 1
	}
	var texts [lang.Texts]string
	for next := first; next <= last; next++ {
		lang.FillTexts(texts[:], cb, next, look)
		rs.index.Fetch(texts[:])
	}
}

// matchUnsure is decide with memory of its own, apart from Match since a defer would cost what matches nothing.
func (rs *RuleSet) matchUnsure(dst []Match, found *pairindex.Found, cb *callback.Callback, pair int) []Match {
	s := rs.search()
	defer rs.searches.Put(s)
	return rs.decide(dst, found, s, cb, pair)
}

// matchDerived is Match where rules are found by texts that have to be made first, such as lower(From_Account).
func (rs *RuleSet) matchDerived(dst []Match, cb *callback.Callback, pair int, look uint32) []Match {
	s := rs.search()
	defer rs.searches.Put(s)
	lang.FillEvent(&s.event, &s.derived, cb, pair, look, 0)
	var found pairindex.Found
	if !rs.index.Look(&found, s.event.Texts[:]) {
		return dst
	}
	if sure, ok := rs.index.Sure(&found); ok {
		return rs.append(dst, sure)
	}
	return rs.decide(dst, &found, s, cb, pair)
}

func (rs *RuleSet) append(dst []Match, rules []uint32) []Match {
	for _, rule := range rules {
		dst = append(dst, Match{Rule: &rs.all[rule]})
	}
	return dst
}

// search gives memory to match in.
func (rs *RuleSet) search() *search {
	s, _ := rs.searches.Get().(*search)
	if s == nil {
		s = &search{}
	}
	return s
}

// decide makes matches of what was found, evaluating the conditions that the index is not sure of.
func (rs *RuleSet) decide(dst []Match, found *pairindex.Found, s *search, cb *callback.Callback, pair int) []Match {
	_, texts, numbers := rs.index.Needs()
	lang.FillEvent(&s.event, &s.derived, cb, pair, texts, numbers)
	s.hits = rs.index.Decide(s.hits[:0], found, &s.event, &s.scratch)
	set := false // the environment of byte code is set
	for _, hit := range s.hits {
		r := &rs.all[hit.Rule]
		if hit.Sure {
			dst = append(dst, Match{Rule: r})
			continue // the last hit, where it stops
		}
		if !set {
			set = true
			s.set(cb, pair)
		}
		matched, err := r.condition.Eval(s.env)
		switch {
		case err != nil:
			dst = append(dst, Match{Rule: r, Err: err})
		case matched:
			dst = append(dst, Match{Rule: r})
			if r.stops() {
				return dst
			}
		}
	}
	return dst
}

func (s *search) set(cb *callback.Callback, pair int) {
	if s.env == nil {
		s.env = lang.NewEnv()
	}
	var v lang.Vars
	FillVars(&v, cb, pair)
	s.env.Set(&v)
}

// stops tells that later rules don't see a pair that this one matched.
func (r *Rule) stops() bool { return r.Stop && !r.Shadow }

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
