package load

import (
	"math"
	"math/bits"
	"time"
)

// Histogram counts durations in buckets that are at most 1 % wide, whatever their size, so that any number of them takes
// 64 KiB. The zero value is ready to use.
type Histogram struct {
	counts  [64 * perPower]uint64
	total   uint64
	longest time.Duration
}

// perPower is how many buckets lie between a power of two and the next.
const perPower = 1 << perPowerBits

const perPowerBits = 7

// Add counts one duration. One below zero counts as none.
func (h *Histogram) Add(d time.Duration) {
	d = max(d, 0)
	h.counts[bucket(uint64(d))]++
	h.total++
	h.longest = max(h.longest, d)
}

// Merge counts what o has counted too.
func (h *Histogram) Merge(o *Histogram) {
	for i, n := range o.counts {
		h.counts[i] += n
	}
	h.total += o.total
	h.longest = max(h.longest, o.longest)
}

// Count is how many durations were added.
func (h *Histogram) Count() uint64 { return h.total }

// Quantile is the time within which the part q (0 to 1) of the durations lies, at most 1 % too long; 0 where none was added.
func (h *Histogram) Quantile(q float64) time.Duration {
	rank := max(uint64(math.Ceil(q*float64(h.total))), 1)
	for i, n := range h.counts {
		if n >= rank {
			return min(time.Duration(upper(i)), h.longest)
		}
		rank -= n
	}
	return h.longest
}

// bucket is the index of v's bucket: one for each of the smallest values, then perPower for each power of two.
func bucket(v uint64) int {
	if v < 2*perPower {
		return int(v)
	}
	shift := bits.Len64(v) - perPowerBits - 1
	return shift*perPower + int(v>>shift)
}

// upper is the largest value of a bucket.
func upper(i int) uint64 {
	if i < 2*perPower {
		return uint64(i)
	}
	shift := i/perPower - 1
	return (uint64(i-shift*perPower)+1)<<shift - 1
}
