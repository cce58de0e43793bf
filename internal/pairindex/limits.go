package pairindex

import (
	"cmp"
	"slices"
)

// limits are those of one number or text as they come.
type limits[T cmp.Ordered] struct{ from, below []limit[T] }

type limit[T cmp.Ordered] struct {
	k     T
	value uint32
}

// add adds the limit k: of those that are to be k or more, or else of those that are to be less.
func (l *limits[T]) add(k T, orMore bool, value uint32) {
	if orMore {
		l.from = append(l.from, limit[T]{k, value})
	} else {
		l.below = append(l.below, limit[T]{k, value})
	}
}

// limitIndex is the limits of one number or text, ascending, and the value beside each.
type limitIndex[T cmp.Ordered] struct {
	field                   uint8
	from, below             []T
	fromValues, belowValues []uint32
}

// index sorts the limits.
func (l *limits[T]) index(field uint8) limitIndex[T] {
	x := limitIndex[T]{field: field}
	x.from, x.fromValues = ascending(l.from)
	x.below, x.belowValues = ascending(l.below)
	return x
}

func ascending[T cmp.Ordered](ls []limit[T]) (ks []T, values []uint32) {
	slices.SortFunc(ls, func(a, b limit[T]) int { return cmp.Or(cmp.Compare(a.k, b.k), cmp.Compare(a.value, b.value)) })
	for _, l := range ls {
		ks, values = append(ks, l.k), append(values, l.value)
	}
	return trimmed(ks), trimmed(values)
}

// upTo counts the limits that v is not less than.
func upTo[T cmp.Ordered](limits []T, v T) int {
	low, high := 0, len(limits)
	switch { // nearly no text is as long as the limit of a pattern, of which there may be thousands
	case high == 0 || v < limits[0]:
		return 0
	case limits[high-1] <= v:
		return high
	}
	for low < high {
		if middle := int(uint(low+high) / 2); limits[middle] <= v {
			low = middle + 1
		} else {
			high = middle
		}
	}
	return low
}

// look adds the postings of the limits that v keeps to.
func (l *limitIndex[T]) look(f *Found, v T) {
	for _, v := range l.fromValues[:upTo(l.from, v)] {
		f.add(v)
	}
	for _, v := range l.belowValues[upTo(l.below, v):] {
		f.add(v)
	}
}
