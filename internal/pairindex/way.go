package pairindex

// Way is how a rule is found.
type Way struct {
	Manner Manner
	Atoms  []Atom // of which one must hold; without any the rule is never found
	Rules  int    // how many share the look-up, the test or the pass
	Value  string // the key of what is looked up, or would be if more rules asked for it
}

// Manner tells what it costs to find a rule. Of several that a rule is found in, the first counts.
type Manner uint8

const (
	ByAtoms  Manner = iota // no more than others, wherever none of its atoms holds
	LookedUp               // one look-up of a value for many rules that no atom serves
	OneTest                // one test for many, that few events pass
	OnePass                // a comparison of its own, in one pass over those of many
	Behind                 // it is run for all events that pass a test of many
	Alone                  // it is run for all events
)

// Enough is how many rules are looked up, or gone over, together.
const Enough = manyOpen

// or is what comes of a rule that is found in both ways.
func (w Way) or(other Way) Way {
	if other.Manner < w.Manner {
		return other
	}
	return w
}

// wayThrough is how rules are found that share a demand.
func (o *opener) wayThrough(demand uint32, rules int) Way {
	switch {
	case rules < manyOpen:
		return Way{Manner: Alone}
	case o.seldom(demand):
		return Way{Manner: OneTest, Rules: rules}
	}
	return Way{Manner: Behind, Rules: rules}
}

// tell says how a rule that no atom serves is found.
func (o *opener) tell(r openable, way Way) {
	if o.telling {
		o.options.Found(int(r.posting>>1), way)
	}
}
