package jetstream

import (
	"slices"
	"sync"
	"time"

	"github.com/aftermath-rules/aftermath/engine"
)

// repeats tells which callbacks came before. It is fed each pack of the accept stream once, in stream order, so that every node
// and every restart comes to the same result.
//
// Keys are kept in shards of time, which are dropped whole once nothing can be a repeat of what is in them.
type repeats struct {
	mu      sync.Mutex
	horizon time.Duration // the largest window there is
	shards  []*shard      // by start
	newest  time.Time     // when the newest callback was received
	fed     uint64        // sequence number of the last pack that was fed
	flags   map[uint64][]int
}

// shard has the keys of callbacks received within [start, start+horizon/4), each with its milliseconds after start.
type shard struct {
	start time.Time
	used  time.Time // when the newest callback came that was fed with one of its keys
	keys  map[engine.Key]uint32
}

func newRepeats(horizon time.Duration, fed uint64) *repeats {
	return &repeats{horizon: max(horizon, time.Second), fed: fed, flags: make(map[uint64][]int)}
}

// feed marks the repeats among records, which are the pack of that sequence number.
func (x *repeats) feed(seq uint64, records []engine.Record, now time.Time) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if seq <= x.fed {
		for _, i := range x.flags[seq] {
			records[i].Repeat = true
		}
		return
	}
	x.fed = seq
	for i := range records {
		r := &records[i]
		if r.Received.After(x.newest) {
			x.newest = r.Received
		}
		if r.Window <= 0 {
			continue
		}
		if r.Window > x.horizon {
			x.widen(r.Window)
		}
		if x.seen(r) {
			r.Repeat = true
			x.flags[seq] = append(x.flags[seq], i)
		}
		s := x.shard(r.Received)
		s.keys[r.Key] = uint32(r.Received.Sub(s.start) / time.Millisecond)
		s.used = x.newest
	}
	x.evict(now)
}

// arrival is a callback that may have repeats in a partition that it is not of.
type arrival struct {
	key              engine.Key
	received, stored time.Time
}

// know takes in those that were stored before the time, and gives the rest.
func (x *repeats) know(all []arrival, before time.Time) []arrival {
	x.mu.Lock()
	defer x.mu.Unlock()
	for len(all) > 0 && all[0].stored.Before(before) {
		s := x.shard(all[0].received)
		s.keys[all[0].key] = uint32(all[0].received.Sub(s.start) / time.Millisecond)
		all = all[1:]
	}
	return all
}

// seen looks for the last callback with r's key within r's window, before it or, by a clock that was put back, after it.
func (x *repeats) seen(r *engine.Record) bool {
	at := r.Received.Truncate(time.Millisecond)
	for i := len(x.shards) - 1; i >= 0; i-- {
		s := x.shards[i]
		ms, ok := s.keys[r.Key]
		if ok && at.Sub(s.start.Add(time.Duration(ms)*time.Millisecond)).Abs() <= r.Window {
			return true
		}
	}
	return false
}

func (x *repeats) width() time.Duration {
	return max((x.horizon / 4).Truncate(time.Millisecond), time.Millisecond)
}

// shard gives the shard of a time.
func (x *repeats) shard(at time.Time) *shard {
	start := at.Truncate(x.width())
	i, found := slices.BinarySearchFunc(x.shards, start, func(s *shard, t time.Time) int { return s.start.Compare(t) })
	if !found {
		size := 0
		if n := len(x.shards); n > 0 {
			size = len(x.shards[n-1].keys) / 2
		}
		x.shards = slices.Insert(x.shards, i, &shard{start: start, keys: make(map[engine.Key]uint32, size)})
	}
	return x.shards[i]
}

// widen makes room for a larger window: what was dropped is gone, and shards made from now on are wider.
func (x *repeats) widen(window time.Duration) {
	old := x.shards
	x.horizon, x.shards = window, nil
	for _, s := range old {
		for k, ms := range s.keys {
			at := s.start.Add(time.Duration(ms) * time.Millisecond)
			n := x.shard(at)
			n.keys[k] = max(n.keys[k], uint32(at.Sub(n.start)/time.Millisecond))
		}
	}
}

// evict drops the shards that lie a window before the newest callback, and that none was fed into since: what was kept in a spool
// comes late. A callback from the future must not evict the present.
func (x *repeats) evict(now time.Time) {
	newest := x.newest
	if newest.After(now) {
		newest = now
	}
	cut := newest.Add(-x.horizon - x.width())
	x.shards = slices.DeleteFunc(x.shards, func(s *shard) bool {
		return s.start.Add(x.width()).Before(cut) && s.used.Before(cut)
	})
}

// forget drops what is kept of the packs up to the sequence number: none of them is read again.
func (x *repeats) forget(seq uint64) {
	x.mu.Lock()
	defer x.mu.Unlock()
	for s := range x.flags {
		if s <= seq {
			delete(x.flags, s)
		}
	}
}

func (x *repeats) position() (fed uint64, horizon time.Duration) {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.fed, x.horizon
}
