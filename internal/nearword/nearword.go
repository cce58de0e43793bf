// Package nearword guesses what a mistyped word was meant to be.
package nearword

import (
	"cmp"
	"strings"
)

// Hint is "; did you mean X?" for the known word that is closest to a mistyped one, whatever the case of either, and "" where none
// is close. Of several that are as close it is the one in
// the same case, or the first by name.
func Hint(word string, known []string) string {
	const longest = 64 // bytes; nobody mistypes more, and the work grows with the square
	if len(word) > longest {
		return ""
	}
	best, least := "", max(1, len(word)/3)+1
	for _, k := range known {
		if len(k) > longest {
			continue
		}
		n := distance(strings.ToLower(word), strings.ToLower(k))
		if n < min(len(word), len(k)) && (n < least || n == least && best != "" && before(word, k, best)) {
			best, least = k, n
		}
	}
	if best == "" {
		return ""
	}
	return "; did you mean " + best + "?"
}

// before tells which of two words that are as close comes first: the one whose case fits, or the first by name.
func before(word, a, b string) bool {
	return cmp.Or(cmp.Compare(distance(word, a), distance(word, b)), cmp.Compare(a, b)) < 0
}

// distance counts the bytes to insert, remove, change, or swap with the next, that make a into b.
func distance(a, b string) int {
	before, last, row := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range last {
		last[j] = j
	}
	for i := 1; i <= len(a); i++ {
		row[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			row[j] = min(last[j]+1, row[j-1]+1, last[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
		}
		before, last, row = last, row, before
	}
	return last[len(b)]
}
