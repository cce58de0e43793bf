package pairindex

import (
	"cmp"
	"slices"
)

// bounds are those of a span.
type bounds[T cmp.Ordered] struct {
	from, below T // the first that lies in it, and the first that no longer does
	value       uint32
}

// spanIndex is spans of one number or text by where they begin: a tree, in whose order they lie, with the middle of them as its root.
type spanIndex[T cmp.Ordered] struct {
	field uint8
	spans []bounds[T]
	most  []T // of each, where the last of those in the tree below it ends
}

func newSpanIndex[T cmp.Ordered](field uint8, spans []bounds[T]) spanIndex[T] {
	slices.SortFunc(spans, func(a, b bounds[T]) int { return cmp.Or(cmp.Compare(a.from, b.from), cmp.Compare(a.value, b.value)) })
	x := spanIndex[T]{field, trimmed(spans), make([]T, len(spans))}
	x.measure(0, len(spans))
	return x
}

// measure sets most of the spans from low on and below high.
func (x *spanIndex[T]) measure(low, high int) {
	if low == high {
		return
	}
	root := (low + high) / 2
	most := x.spans[root].below
	x.measure(low, root)
	x.measure(root+1, high)
	if low < root {
		most = max(most, x.most[(low+root)/2])
	}
	if root+1 < high {
		most = max(most, x.most[(root+1+high)/2])
	}
	x.most[root] = most
}

// look adds the postings of the spans that v lies in.
func (x *spanIndex[T]) look(f *Found, v T) { x.lookIn(f, v, 0, len(x.spans)) }

func (x *spanIndex[T]) lookIn(f *Found, v T, low, high int) {
	for low < high {
		root := (low + high) / 2
		if x.most[root] <= v {
			return
		}
		x.lookIn(f, v, low, root)
		s := &x.spans[root]
		if v < s.from {
			return
		}
		if v < s.below {
			f.add(s.value)
		}
		low = root + 1
	}
}
