package pairindex

import "slices"

// lists are posting lists of more than one, each behind its length.
type lists struct{ postings []uint32 }

// list gives the postings that v, which has the bit listPosting, stands for.
func (ls *lists) list(v uint32) []uint32 {
	at := v &^ listPosting
	n := ls.postings[at]
	return ls.postings[at+1:][:n]
}

// layout gives for each of n entries what it leads to: its posting, or the list of them in their order.
func (ls *lists) layout(postings []posting, n int) []uint32 {
	ends := make([]uint32, n+1)
	for _, p := range postings {
		ends[p.entry+1]++
	}
	for i := 1; i <= n; i++ {
		ends[i] += ends[i-1]
	}
	sorted := make([]uint32, len(postings))
	next := slices.Clone(ends)
	for _, p := range postings {
		sorted[next[p.entry]] = p.value
		next[p.entry]++
	}
	leads := next[:n]
	for i := range n {
		values := sorted[ends[i]:ends[i+1]]
		if len(values) == 1 {
			leads[i] = values[0]
			continue
		}
		leads[i] = listPosting | uint32(len(ls.postings))
		ls.postings = append(append(ls.postings, uint32(len(values))), values...)
	}
	return leads
}
