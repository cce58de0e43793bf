// Package pairindex finds which of very many rules may match an event, in a time that hardly depends on how many there are.
//
// A rule is a Formula: tests on numbered texts and numbers, joined by and, or, not and if. From it the index takes a cover: a set
// of atoms (a text equals, begins with, ends with, contains, is in a set, comes before another or not; a number equals, is at least, is at most) of which at
// least one must hold for the formula to be true or to fail. Of the covers that a formula has, the one that holds most seldom is
// taken. All atoms of all rules lie in shared structures:
//
//   - equality, prefixes and suffixes in hash tables, one a field, looked up once for each length that occurs;
//   - parts of texts under one gram each, the rarest of the part, looked up at each position;
//   - sets as they are, however many rules use them;
//   - numbers in a map; they, and texts that are compared for their order, in sorted thresholds, and in trees where they are bounded on
//     both sides.
//
// What is found are candidates. Where the cover says the same as the formula, a candidate is a match; the others run the formula
// as a short program of tests with two ways out. Rules without a cover are looked at for every event: those that demand the same
// test all at once, and those that compare the same with a constant each by one look-up of it. So are rules that very many share an
// atom with, where it holds.
//
// Most events match nothing, so that is what costs least: a search for texts needs nothing but a filter of a few bits a text, and no
// memory of its own.
//
// The index knows nothing of the language that formulas come from. A part that it cannot run is Opaque: where the outcome hangs
// on it, the rule is given as a hit that is not sure, and the caller decides. That holds for a failure too, so that a caller sees
// exactly the matches and failures that evaluating every rule would give.
package pairindex
