package pairindex

// Hit is a rule that matches the event or, where it is not sure, on which the caller must decide.
type Hit struct {
	Rule int
	Sure bool
}

// Index is made of rules once and is safe for concurrent use.
type Index struct {
	programs
	table    table
	equal    []lookup
	prefixes []lookup
	suffixes []lookup
	grams    []lookup
	lists    []uint32 // each posting list of more than one: its length, then its postings
	parts    []part   // that rules look for within texts

	sets    []setIndex
	byValue map[number][]uint32
	limits  []limitIndex

	always []residual // rules that no atom serves
	entry  []uint32   // where each rule's program begins
	stops  []uint64   // a bit for each rule that hides what comes after it
	texts  uint32     // the texts that any test looks at
	needs  uint32     // the numbers that any test looks at
	valued uint32     // the numbers that are in byValue
}

// A posting is twice the number of a rule, plus one where the atom is all that the rule demands; or, with the highest bit, the
// number of a set, whose postings then all count.
const setPosting = 1 << 31

// noProgram is the entry of a rule that never needs one.
const noProgram = 1<<32 - 1

// lookup is what is looked up for one text.
type lookup struct {
	field   uint8
	key     uint16 // of a gram: its length is lengths[0]
	seed    uint64
	lengths []int // that occur, ascending
}

// residual is a rule that is run for every event: its posting and its program.
type residual struct{ posting, entry uint32 }

// setIndex is one set that rules look one text up in.
type setIndex struct {
	set      Set
	field    uint8
	expanded bool // its values are in the table
	rules    []uint32
}

type number struct {
	field uint8
	value int64
}

// limitIndex is the limits of one number, ascending, and the posting beside each.
type limitIndex struct {
	field             uint8
	atLeast, atMost   []int64
	leastRules, rules []uint32 // of atLeast and of atMost
}

// part is a text that rules look for within another, found by one gram of it.
type part struct {
	text   string
	offset uint32 // of the gram in the text
	list   list
}

// Needs has a bit for each of an event's texts and numbers that some rule looks at: the others need not be set.
func (x *Index) Needs() (texts, numbers uint32) { return x.texts, x.needs }

// Len is the number of rules.
func (x *Index) Len() int { return len(x.entry) }
