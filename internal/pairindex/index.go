package pairindex

// Hit is a rule that matches the event or, where it is not sure, on which the caller must decide.
type Hit struct {
	Rule int
	Sure bool
}

// Index is made of rules once and is safe for concurrent use.
type Index struct {
	programs
	lists
	equal    []lookup
	prefixes []lookup
	suffixes []lookup
	grams    []lookup
	parts    []part // that rules look for within texts
	sets     []setIndex
	large    []uint32 // the sets whose texts are in no table
	byValue  map[number][]uint32
	lengths  []limitIndex[int64]  // of the lengths of texts in bytes
	limits   []limitIndex[int64]  // of other numbers
	orders   []limitIndex[string] // of texts
	spans    []spanIndex[int64]   // of numbers that are bounded on both sides
	ranges   []spanIndex[string]  // of texts that are

	openings []opening // of rules that no atom serves, and behind these of those that are found by what very many are found by
	opened   uint32    // how many of them the first are
	groups   []group   // of the others
	series   []series  // of openings
	always   []uint32  // postings of rules that no atom serves, nor an opening
	entry    []uint32  // where each rule's program begins
	stops    []uint64  // a bit for each rule that hides what comes after it
	looked   uint32    // the texts that atoms look at
	texts    uint32    // the texts that any test looks at
	needs    uint32    // the numbers that any test looks at
	valued   uint32    // the numbers that are in byValue
	far      bool      // there are tables for equality that no small cache holds
	stopping bool      // there are rules that hide what comes after them
	more     bool      // there are rules that are not found by texts
}

// A posting is twice the number of a rule, plus one where the atom is all that the rule demands. What stands for more has one of
// the highest bits, and a number beside it.
const (
	setPosting  = 1 << 30                  // the rules of this set
	listPosting = 1 << 31                  // the list that begins here
	openPosting = listPosting | setPosting // the rules of this group of openings
)

// noProgram is the entry of a rule that never needs one.
const noProgram = 1<<32 - 1

// noRule is the number of no rule.
const noRule = 1<<32 - 1

// lookup is a table, and what of an event is looked up in it.
type lookup struct {
	table
	field   uint8
	length  uint8 // of grams
	seed    uint64
	lengths []int // of prefixes and suffixes, ascending
}

// setIndex is one set that rules look one text up in.
type setIndex struct {
	set   Set
	field uint8
	rules []uint32
}

// group is a range of openings.
type group struct{ begin, end uint32 }

type number struct {
	field uint8
	value int64
}

// part is a text that rules look for within another, found by one gram of it.
type part struct {
	text   string
	offset uint32 // of the gram in the text
	value  uint32
}

// Needs has a bit for each of an event's texts and numbers that some rule looks at: the others need not be set. Of the texts,
// Look needs only those that have a bit in look.
func (x *Index) Needs() (look, texts, numbers uint32) { return x.looked, x.texts, x.needs }

// Len is the number of rules.
func (x *Index) Len() int { return len(x.entry) }
