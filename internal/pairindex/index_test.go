package pairindex

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

// texts is a Set.
type textSet struct{ of []string }

func (s *textSet) Has(text string) bool { return slices.Contains(s.of, text) }
func (s *textSet) Len() int             { return len(s.of) }
func (s *textSet) All(yield func(string) bool) {
	for _, text := range s.of {
		if !yield(text) {
			return
		}
	}
}

type always bool

func (a *always) Match(string) bool { return bool(*a) }

// twin evaluates a formula as it is written: true, false or not for the index to say.
func twin(nodes []node, ev *Event) (value, sure bool) {
	n := &nodes[0]
	text := ev.Texts[n.field&(MaxTexts-1)]
	switch n.kind {
	case constant:
		return n.number == 1, true
	case Equal:
		return text == n.text, true
	case Prefix:
		return strings.HasPrefix(text, n.text), true
	case Suffix:
		return strings.HasSuffix(text, n.text), true
	case Contains:
		return strings.Contains(text, n.text), true
	case InSet:
		return n.ref.(Set).Has(text), true
	case NumberIs:
		return ev.number(n.field) == n.number, true
	case AtLeast:
		return ev.number(n.field) >= n.number, true
	case AtMost:
		return ev.number(n.field) <= n.number, true
	case From:
		return text >= n.text, true
	case sameText:
		return text == ev.Texts[n.other], true
	case sameNumber:
		return ev.Numbers[n.field] == ev.Numbers[n.other], true
	case lessNumber:
		return ev.Numbers[n.field] < ev.Numbers[n.other], true
	case sum:
		k := n.ref.(sumIs)
		return k.a*ev.Numbers[n.field]+k.b*ev.Numbers[n.other] == k.k, true
	case remainder:
		k := n.ref.(sumIs)
		return ev.Numbers[n.field]%k.a == k.k, true
	case textIs:
		return n.ref.(*Value).Text(ev) == n.text, true
	case textIn:
		in := n.ref.(valueIn)
		return in.set.Has(in.value.Text(ev)), true
	case textFrom:
		return n.ref.(*Value).Text(ev) >= n.text, true
	case textBegins:
		return strings.HasPrefix(n.ref.(*Value).Text(ev), n.text), true
	case textEnds:
		return strings.HasSuffix(n.ref.(*Value).Text(ev), n.text), true
	case textHas:
		return strings.Contains(n.ref.(*Value).Text(ev), n.text), true
	case valueFrom:
		return int64(n.ref.(*Value).Number(ev)) >= n.number, true
	case valueIs:
		return int64(n.ref.(*Value).Number(ev)) == n.number, true
	case call:
		return n.ref.(func(*Event) bool)(ev), true
	case pattern:
		return n.ref.(Matcher).Match(text), len(text) <= int(n.number)
	case not:
		value, sure = twin(nodes[1:], ev)
		return !value, sure
	case conditional:
		var parts [][]node
		within(nodes, func(part []node) { parts = append(parts, part) })
		if value, sure = twin(parts[0], ev); !sure {
			return false, false
		}
		if value {
			return twin(parts[1], ev)
		}
		return twin(parts[2], ev)
	case and, or:
		value, sure = n.kind == and, true
		within(nodes, func(part []node) {
			if sure && value == (n.kind == and) {
				value, sure = twin(part, ev)
			}
		})
		return value, sure
	}
	return false, false
}

var vocabulary = []string{"", "a", "b", "ab", "ba", "abc", "abcd", "bcde", "abcdefgh", "xabcdefghx", "abcdefghabcdefgh", "aaaaaaaaa", "é", "\xff\xfe"}

var values = []*Value{
	{Key: "first half", Texts: 1, Text: func(ev *Event) string { return ev.Texts[0][:len(ev.Texts[0])/2] }},
	{Key: "second", Texts: 2, Text: func(ev *Event) string { return ev.Texts[1] }},
	{Key: "size", Texts: 4, Number: func(ev *Event) int { return len(ev.Texts[2]) }},
}

func randomFormula(r *rand.Rand, depth int, sets []Set) Formula {
	sub := func() Formula { return randomFormula(r, depth-1, sets) }
	field, text := uint8(r.IntN(3)), vocabulary[r.IntN(len(vocabulary))]
	if depth > 0 {
		switch r.IntN(7) {
		case 0, 1:
			return And(sub(), sub())
		case 2, 3:
			return Or(sub(), sub(), sub())
		case 4:
			return Not(sub())
		case 5:
			return If(sub(), sub(), sub())
		}
	}
	switch r.IntN(15) {
	case 12:
		return Remainder(field, int64(r.IntN(3)*2-3), int64(r.IntN(3)-1))
	case 13:
		if r.IntN(3) == 0 {
			return values[r.IntN(2)].In(sets[r.IntN(len(sets))])
		}
		return []func(string) Formula{values[r.IntN(2)].IsText, values[r.IntN(2)].From, values[r.IntN(2)].Begins, values[r.IntN(2)].Ends, values[r.IntN(2)].Has}[r.IntN(5)](text)
	case 14:
		if r.IntN(2) == 0 {
			return values[2].AtLeast(int64(r.IntN(7)))
		}
		return values[2].IsNumber(int64(r.IntN(5)))
	case 0:
		return In(field, sets[r.IntN(len(sets))])
	case 1:
		return Number([]Kind{NumberIs, AtLeast, AtMost}[r.IntN(3)], field, int64(r.IntN(4)))
	case 2:
		return Constant(r.IntN(2) == 0)
	case 3:
		yes := always(r.IntN(2) == 0)
		return And(Or(Longer(field, 8), Text(Contains, field, "b")), Pattern(field, 8, &yes))
	case 4:
		return Opaque()
	case 5:
		return SameText(field, (field+1)%3)
	case 6:
		return []Formula{SameNumber(0, 1), LessNumber(field, 2), Sum(0, int64(r.IntN(3)), field, -1, 1)}[r.IntN(3)]
	case 7:
		return Call([]string{"", "more"}[r.IntN(2)], 0, 1, func(ev *Event) bool { return ev.Numbers[0] > 1 })
	}
	return Text([]Kind{Equal, Prefix, Suffix, Contains, From}[r.IntN(5)], field, text)
}

func compareWithTwin(t *testing.T, r *rand.Rand, rules, events int) {
	t.Helper()
	sets := []Set{&textSet{[]string{"a", "abc"}}, &textSet{}, &textSet{vocabulary}, bigSet{}}
	formulas := make([]Rule, rules)
	for i := range formulas {
		formulas[i] = Rule{Formula: randomFormula(r, r.IntN(4), sets), Stop: r.IntN(40) == 0}
	}
	x := Build(rules, func(i int) Rule { return formulas[i] }, Options{tableText: r.IntN(3) * 100, manyFound: r.IntN(4)})
	var s Scratch
	for range events {
		var ev Event
		for f := range 3 {
			ev.Texts[f] = vocabulary[r.IntN(len(vocabulary))] + vocabulary[r.IntN(len(vocabulary))]
			ev.Numbers[f] = int64(r.IntN(5)) - 1
		}
		var want []Hit
		for i, rule := range formulas {
			value, sure := twin(rule.Formula.nodes, &ev)
			if value || !sure {
				want = append(want, Hit{i, sure})
			}
			if value && sure && rule.Stop {
				break
			}
		}
		x.Fetch(ev.Texts[:])
		if got := x.Find(nil, &ev, &s); !slices.Equal(got, want) {
			t.Fatalf("texts %q, numbers %v:\nfound %v\nwant  %v", ev.Texts[:3], ev.Numbers[:3], got, want)
		}
	}
}

// bigSet is a Set that is too large to be looked up among other texts.
type bigSet struct{}

func (bigSet) Has(text string) bool  { return len(text) == 4 }
func (bigSet) Len() int              { return smallSet + 1 }
func (bigSet) All(func(string) bool) {}
func (bigSet) String() string        { return "texts of four bytes" }

// Find gives what evaluating every formula gives, and is unsure exactly where the index cannot tell.
func TestFindEqualsTwin(t *testing.T) {
	for seed := range uint64(300) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			r := rand.New(rand.NewPCG(seed, 1))
			compareWithTwin(t, r, 1+r.IntN(400), 40)
		})
	}
}

func FuzzFindEqualsTwin(f *testing.F) {
	f.Add(uint64(1), uint16(10))
	f.Add(uint64(2), uint16(1000))
	f.Fuzz(func(t *testing.T, seed uint64, rules uint16) {
		compareWithTwin(t, rand.New(rand.NewPCG(seed, 2)), 1+int(rules)%1500, 20)
	})
}

// Of what a formula demands together, the rarest is taken, and nothing is run where it says it all.
func TestFound(t *testing.T) {
	vips := &textSet{[]string{"a"}}
	tests := []struct {
		name    string
		formula Formula
		want    string
	}{
		{"equality", Text(Equal, 0, "a"), "[Equal 0 a]"},
		{"the longer prefix", And(Text(Prefix, 0, "a"), Text(Prefix, 1, "abcdef")), "[Prefix 1 abcdef]"},
		{"both sides of or", Or(Text(Equal, 0, "a"), Text(Suffix, 1, "b")), "[Equal 0 a] [Suffix 1 b]"},
		{"or with what no atom serves", Or(Text(Equal, 0, "a"), SameText(0, 1)), "every event"},
		{"not of or", Not(Or(Number(AtLeast, 0, 3), SameText(0, 1))), "[AtMost 0 2]"},
		{"what comes before a text", Not(Text(From, 0, "b")), "[Before 0 b]"},
		{"not before what all texts come after", Not(Text(From, 0, "")), "never"},
		{"two limits", And(Text(From, 0, "a"), SameText(0, 1), Not(Text(From, 0, "c"))), "[TextSpan 0 a]"},
		{"limits of a text that are apart", And(Text(From, 0, "b"), Not(Text(From, 0, "b"))), "never"},
		{"two limits, and a number beyond", And(Number(AtMost, 1, 7), Number(AtLeast, 1, 3), Number(NumberIs, 1, 8)), "never"},
		{"limits of two texts", And(Text(From, 0, "a"), Not(Text(From, 1, "c"))), "[From 0 a]"},
		{"the highest number", Number(AtMost, 0, 1<<63-1), "every event"},
		{"a set", In(0, vips), "[InSet 0]"},
		{"behind what may fail", And(Opaque(), Text(Equal, 0, "a")), "every event"},
		{"before what may fail", And(Text(Equal, 0, "a"), Opaque()), "[Equal 0 a]"},
		{"one text twice", And(Text(Equal, 0, "a"), Text(Equal, 0, "b")), "never"},
		{"limits that are apart", And(Number(AtLeast, 0, 6), Number(AtMost, 0, 5)), "never"},
		{"limits that meet", And(Number(AtLeast, 0, 5), Number(AtMost, 0, 5)), "[NumberSpan 0 5]"},
		{"limits of two numbers", And(Number(AtLeast, 0, 6), Number(AtMost, 1, 5)), "[AtLeast 0 6]"},
		{"a number beyond a limit", And(Number(AtMost, 0, 5), Number(NumberIs, 0, 6)), "never"},
		{"what two sides have in common", And(Or(Text(Equal, 0, "a"), Text(Equal, 0, "b")), Or(Text(Equal, 0, "b"), Text(Equal, 0, "c"))), "[Equal 0 b]"},
		{"never", And(Text(Equal, 0, "a"), Constant(false)), "never"},
		{"both ways of if", If(Number(NumberIs, 0, 1), Text(Equal, 0, "a"), Text(Equal, 1, "b")), "[Equal 0 a] [Equal 1 b]"},
	}
	names := map[Kind]string{Equal: "Equal", Prefix: "Prefix", Suffix: "Suffix", InSet: "InSet", AtLeast: "AtLeast", AtMost: "AtMost", Before: "Before", From: "From", TextSpan: "TextSpan", NumberSpan: "NumberSpan"}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var got []string
			Build(1, func(int) Rule { return Rule{Formula: tt.formula} }, Options{Found: func(_ int, way Way) {
				switch {
				case way.Manner == Alone:
					got = append(got, "every event")
				case len(way.Atoms) == 0:
					got = append(got, "never")
				}
				for _, a := range way.Atoms {
					value := a.Text
					if a.Kind == AtLeast || a.Kind == AtMost || a.Kind == NumberSpan {
						value = fmt.Sprint(a.Number)
					}
					got = append(got, "["+strings.TrimSpace(fmt.Sprint(names[a.Kind], " ", a.Field, " ", value))+"]")
				}
			}})
			if s := strings.Join(got, " "); s != tt.want {
				t.Errorf("found by %s, want %s", s, tt.want)
			}
		})
	}
}

// A value that every rule demands is not what they are found by where they demand another.
func TestHotKey(t *testing.T) {
	rare := 0
	Build(1000, func(i int) Rule {
		return Rule{Formula: And(Text(Equal, 0, "everybody"), Text(Equal, 1, fmt.Sprint(i)))}
	}, Options{Found: func(_ int, way Way) {
		if len(way.Atoms) == 1 && way.Atoms[0].Field == 1 {
			rare++
		}
	}})
	if rare < 990 {
		t.Errorf("%d of 1000 rules are found by what is theirs alone", rare)
	}
}

// A text that repeats what many rules look for within it gives each of them once.
func TestRepeatedParts(t *testing.T) {
	x := Build(3, func(i int) Rule { return Rule{Formula: Text(Contains, 0, "aaaaaaaa"[:2+i])} }, Options{})
	ev := Event{}
	ev.Texts[0] = strings.Repeat("a", 1<<16)
	var s Scratch
	if hits := x.Find(nil, &ev, &s); len(hits) != 3 {
		t.Errorf("%d hits", len(hits))
	}
	if cap(s.candidates) > 16 {
		t.Errorf("%d candidates for 3 rules", cap(s.candidates))
	}
}

// A table finds what was entered, of any length, and nothing else; also where texts have one hash, which no pilot tells apart.
func TestTable(t *testing.T) {
	for _, tt := range []struct {
		name    string
		entries int
		hashes  int // how many there are; 0 for one each
	}{{"none", 0, 0}, {"one", 1, 0}, {"some", 9, 0}, {"many", 100_000, 0}, {"few hashes", 100, 7}, {"one hash", 50, 1}} {
		t.Run(tt.name, func(t *testing.T) {
			text := func(i int) string { return fmt.Sprint(i, strings.Repeat("x", i%300/7)) }
			hashOf := func(text string) uint64 {
				h := hash(1, text)
				if tt.hashes > 0 {
					h = hash(1, fmt.Sprint(h%uint64(tt.hashes)))
				}
				return h
			}
			var m maker
			for i := range tt.entries {
				m.add(hashOf(text(i)), text(i), uint32(i))
			}
			table := m.table(&lists{})
			for i := range tt.entries {
				h := hashOf(text(i))
				if v, ok := table.find(h, text(i)); table.has(h) == 0 || !ok || v != uint32(i) {
					t.Fatalf("%q leads to %d, %v, want %d", text(i), v, ok, i)
				}
			}
			for i := range tt.entries + 100 {
				for _, other := range []string{text(tt.entries + i), text(i) + "y", ""} {
					if _, ok := table.find(hashOf(other), other); ok {
						t.Fatalf("%q is found", other)
					}
				}
			}
			if tt.hashes == 0 && len(table.rest) > 0 {
				t.Errorf("%d of %d texts have no slot", len(table.rest), tt.entries)
			}
		})
	}
}

// What is bounded on both sides is found without a program, and no more of many is looked at than holds.
func TestSpans(t *testing.T) {
	const n = 1000
	x := Build(n, func(i int) Rule {
		return Rule{Formula: And(Number(AtLeast, 0, int64(i)), Number(AtMost, 0, int64(i+2)))}
	}, Options{})
	var s Scratch
	for _, v := range []int64{-1, 0, 1, 2, 500, n - 1, n, n + 1, n + 2} {
		ev := Event{}
		ev.Numbers[0] = v
		hits := x.Find(nil, &ev, &s)
		var want []Hit
		for i := max(0, v-2); i <= min(v, n-1); i++ {
			want = append(want, Hit{int(i), true})
		}
		if !slices.Equal(hits, want) || len(s.candidates) != len(want) {
			t.Errorf("%d: found %v of %d candidates, want %v", v, hits, len(s.candidates), want)
		}
	}
	if len(x.steps) > 0 {
		t.Errorf("%d steps of programs for what spans say as a whole", len(x.steps))
	}
}
