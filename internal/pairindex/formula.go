package pairindex

import "slices"

// Kind is what a test or an atom looks for.
type Kind uint8

// The kinds. The first twelve can be atoms.
const (
	Equal      Kind = iota + 1 // the text is this
	Prefix                     // the text begins with this
	Suffix                     // the text ends with this
	Contains                   // the text has this in it
	InSet                      // the text is in the set
	NumberIs                   // the number is this
	AtLeast                    // the number is this or more
	AtMost                     // the number is this or less
	From                       // the text is this or comes after it, byte by byte
	Before                     // the text comes before this; of atoms alone
	TextSpan                   // the text is one or comes after it, and comes before another; of atoms alone
	NumberSpan                 // the number is one or more, and less than another; of atoms alone

	pattern     // a Matcher, on texts up to a limit
	sameText    // two texts are equal
	sameNumber  // two numbers are equal
	lessNumber  // the first of two numbers is less
	sum         // the sum of two numbers, each times a constant, is a third
	remainder   // what is left of a number divided by a constant is another
	textIs      // the text that is made of the event is this
	textIn      // the text that is made of the event is in the set
	textFrom    // the text that is made of the event is this or comes after it
	textBegins  // the text that is made of the event begins with this
	textEnds    // the text that is made of the event ends with this
	textHas     // the text that is made of the event has this in it
	valueIs     // the number that is made of the event is this
	valueFrom   // the number that is made of the event is this or more
	call        // a function of the event
	opaque      // only the caller knows
	constant    // number is 1 or 0
	and         // of all that follow
	or          // of all that follow
	not         // of what follows
	conditional // of three that follow
)

// Formula is a condition over an event. It is immutable.
type Formula struct {
	nodes []node // a tree, parents first
}

type node struct {
	kind   Kind
	field  uint8
	other  uint8 // the second field
	size   int32 // of the tree that begins here, in nodes
	number int64
	text   string
	ref    any // a Set, a Matcher, a sumIs, a *Value, a valueIn or a func(*Event) bool
}

func leaf(n node) Formula {
	n.size = 1
	return Formula{[]node{n}}
}

// Constant is true or false.
func Constant(value bool) Formula {
	n := node{kind: constant}
	if value {
		n.number = 1
	}
	return leaf(n)
}

// Text is a test of a kind from Equal to Contains, or From.
func Text(kind Kind, field uint8, text string) Formula {
	if text == "" && kind != Equal {
		return Constant(true)
	}
	return leaf(node{kind: kind, field: field, text: text})
}

// In tests that the text is in the set.
func In(field uint8, set Set) Formula { return leaf(node{kind: InSet, field: field, ref: set}) }

// Number is a test of a kind from NumberIs to AtMost.
func Number(kind Kind, field uint8, k int64) Formula {
	if kind == AtMost && k == 1<<63-1 || kind == AtLeast && k == -1<<63 {
		return Constant(true)
	}
	return leaf(node{kind: kind, field: field, number: k})
}

// Longer tests that the text has more than so many bytes.
func Longer(field uint8, bytes int) Formula {
	return Number(AtLeast, MaxNumbers+field, int64(bytes)+1)
}

// Pattern runs m on the text. It fails, which makes the rule a hit that is not sure, on texts of more than limit bytes.
func Pattern(field uint8, limit int, m Matcher) Formula {
	return leaf(node{kind: pattern, field: field, number: int64(limit), ref: m})
}

// SameText tests that two texts are equal.
func SameText(a, b uint8) Formula {
	if a == b {
		return Constant(true)
	}
	return leaf(node{kind: sameText, field: a, other: b})
}

// SameNumber tests that two numbers are equal.
func SameNumber(a, b uint8) Formula {
	if a == b {
		return Constant(true)
	}
	return leaf(node{kind: sameNumber, field: a, other: b})
}

// LessNumber tests that number a is less than number b.
func LessNumber(a, b uint8) Formula {
	if a == b {
		return Constant(false)
	}
	return leaf(node{kind: lessNumber, field: a, other: b})
}

// Sum tests that number a times timesA and number b times timesB are k together, wrapping around.
func Sum(a uint8, timesA int64, b uint8, timesB, k int64) Formula {
	return leaf(node{kind: sum, field: a, other: b, ref: sumIs{timesA, timesB, k}})
}

// sumIs is what numbers are multiplied with and the sum that they must have.
type sumIs struct{ a, b, k int64 }

// Remainder tests that what is left of number a divided by the divisor, which is not 0, is k.
func Remainder(a uint8, divisor, k int64) Formula {
	return leaf(node{kind: remainder, field: a, ref: sumIs{a: divisor, k: k}})
}

// Value is a text or a number that is made of an event. To make it cannot fail, and keeps nothing of the event.
type Value struct {
	Key            string // those with the same one are the same; it says what they are
	Texts, Numbers uint32 // a bit for each text and number that it is made of
	Text           func(*Event) string
	Number         func(*Event) int
}

// IsText tests that a value is the text.
func (v *Value) IsText(text string) Formula { return leaf(node{kind: textIs, text: text, ref: v}) }

// From tests that a value is the text or comes after it, byte by byte.
func (v *Value) From(text string) Formula { return v.text(textFrom, text) }

// Begins tests that a value begins with the text.
func (v *Value) Begins(text string) Formula { return v.text(textBegins, text) }

// Ends tests that a value ends with the text.
func (v *Value) Ends(text string) Formula { return v.text(textEnds, text) }

// Has tests that a value has the text in it.
func (v *Value) Has(text string) Formula { return v.text(textHas, text) }

func (v *Value) text(kind Kind, text string) Formula {
	if text == "" {
		return Constant(true)
	}
	return leaf(node{kind: kind, text: text, ref: v})
}

// In tests that a value is a text in the set.
func (v *Value) In(set Set) Formula {
	if set.Len() == 0 {
		return Constant(false)
	}
	return leaf(node{kind: textIn, ref: valueIn{v, set}})
}

type valueIn struct {
	value *Value
	set   Set
}

// valued gives the value that a node is about.
func (n *node) valued() *Value {
	if in, ok := n.ref.(valueIn); ok {
		return in.value
	}
	return n.ref.(*Value)
}

// IsNumber tests that a value is the number.
func (v *Value) IsNumber(k int64) Formula { return leaf(node{kind: valueIs, number: k, ref: v}) }

// AtLeast tests that a value is the number or more.
func (v *Value) AtLeast(k int64) Formula { return leaf(node{kind: valueFrom, number: k, ref: v}) }

// Call is a test by a function, which cannot fail and keeps nothing of the event. texts and numbers have a bit for each text and
// number that it uses. Those with the same key, unless it is "", are the same test.
func Call(key string, texts, numbers uint32, f func(*Event) bool) Formula {
	return leaf(node{kind: call, number: int64(uint64(texts)<<32 | uint64(numbers)), text: key, ref: f})
}

// Opaque is a test that only the caller can do, and that may fail.
func Opaque() Formula { return leaf(node{kind: opaque}) }

func (f Formula) constant() (value, ok bool) {
	ok = f.nodes[0].kind == constant
	return ok && f.nodes[0].number == 1, ok
}

// Constant tells that the formula is the same for every event, and what.
func (f Formula) Constant() (value, ok bool) { return f.constant() }

// Size is the number of tests and of what joins them.
func (f Formula) Size() int { return len(f.nodes) }

// And is true where all are, evaluated from left to right up to the first that is not.
func And(fs ...Formula) Formula { return logical(and, fs) }

// Or is true where one is, evaluated from left to right up to the first that is.
func Or(fs ...Formula) Formula { return logical(or, fs) }

func logical(kind Kind, fs []Formula) Formula {
	var kept []Formula
	for _, f := range fs {
		value, isConstant := f.constant()
		switch {
		case !isConstant:
			kept = append(kept, f)
		case value == (kind == or): // it decides; what stands before it can at most fail
			kept = append(kept, f)
			return joined(kind, kept)
		}
	}
	return joined(kind, kept)
}

func joined(kind Kind, fs []Formula) Formula {
	switch len(fs) {
	case 0:
		return Constant(kind == and)
	case 1:
		return fs[0]
	}
	if opposed(kind, fs) {
		return Constant(kind == or)
	}
	return tree(node{kind: kind}, fs)
}

// opposed tells that a plain test stands beside its own negation, which decides the whole where nothing of it can fail.
func opposed(kind Kind, fs []Formula) bool {
	isNegation := func(n []node) bool { return n[0].kind == not && len(n) == 2 }
	if !slices.ContainsFunc(fs, func(f Formula) bool {
		return isNegation(f.nodes) || f.nodes[0].kind == kind && slices.ContainsFunc(f.nodes, func(n node) bool { return n.kind == not })
	}) {
		return false // nearly always
	}
	found, tests := false, map[node]bool{}
	look := func(n []node) {
		test, negated := n[len(n)-1], isNegation(n)
		if !negated && len(n) > 1 || test.ref != nil || test.kind > lessNumber || test.kind == InSet {
			return
		}
		before, seen := tests[test]
		found = found || seen && before != negated
		tests[test] = negated
	}
	for _, f := range fs {
		if slices.ContainsFunc(f.nodes, func(n node) bool { return n.kind == opaque || n.kind == pattern }) {
			return false
		}
		if f.nodes[0].kind == kind {
			within(f.nodes, look)
		} else {
			look(f.nodes)
		}
	}
	return found
}

func tree(root node, fs []Formula) Formula {
	size := 1
	for _, f := range fs {
		size += len(f.nodes)
	}
	nodes := make([]node, 1, size)
	for _, f := range fs {
		if f.nodes[0].kind == root.kind && root.kind != not && root.kind != conditional {
			nodes = append(nodes, f.nodes[1:]...) // (a && b) && c
		} else {
			nodes = append(nodes, f.nodes...)
		}
	}
	root.size = int32(len(nodes))
	nodes[0] = root
	return Formula{slices.Clip(nodes)}
}

// Not is true where f is not.
func Not(f Formula) Formula {
	if value, ok := f.constant(); ok {
		return Constant(!value)
	}
	if f.nodes[0].kind == not {
		return Formula{f.nodes[1:]}
	}
	return tree(node{kind: not}, []Formula{f})
}

// If is yes where cond is true, else no.
func If(cond, yes, no Formula) Formula {
	if value, ok := cond.constant(); ok {
		if value {
			return yes
		}
		return no
	}
	ifYes, yesConstant := yes.constant()
	ifNo, noConstant := no.constant()
	if yesConstant && noConstant && ifYes != ifNo { // else it may still fail
		if ifNo {
			return Not(cond)
		}
		return cond
	}
	return tree(node{kind: conditional}, []Formula{cond, yes, no})
}

// within calls f for each tree right below the first node.
func within(nodes []node, f func(nodes []node)) {
	for rest := nodes[1:nodes[0].size]; len(rest) > 0; rest = rest[rest[0].size:] {
		f(rest[:rest[0].size])
	}
}
