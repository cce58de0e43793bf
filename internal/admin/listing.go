package admin

import (
	"slices"
	"time"

	"github.com/aftermath-rules/aftermath/engine"
)

// lookBack is how many bytes of callbacks before a page are looked at for the first of its repeats: tens of thousands of callbacks, and
// Chat repeats within seconds.
const lookBack = 16 << 20

// listing is a page of the journal that is being read, from its end. Whether a callback is a repeat shows only when the first is read.
type listing struct {
	query  *callbackQuery
	found  []*listed
	live   int                      // of them those that are not known as repeats
	firsts map[engine.Key][]*listed // whose first may yet come
	oldest time.Time                // since when the first of one of them can have come
	next   string                   // the cursor of what follows
	full   bool                     // nothing more is listed
	looked int                      // bytes read since then
}

type listed struct {
	*storedCallback // nil: it is a repeat
	since           time.Time
}

// take lists a record if it fits, and drops what is a repeat of it.
func (l *listing) take(seq uint64, i int, r *engine.Record) {
	later := l.firsts[r.Key]
	delete(l.firsts, r.Key)
	for _, one := range later {
		if !r.Received.Before(one.since) {
			one.storedCallback = nil
			l.live--
		}
	}
	if l.full {
		l.looked += len(r.Query) + len(r.Body)
		return
	}
	if c := showStored(r); l.query.fits(c) {
		if l.live == l.query.limit {
			l.full = true
			return
		}
		one := &listed{c, r.Received.Add(-r.Window)}
		l.found = append(l.found, one)
		l.live++
		if r.Window > 0 {
			l.firsts[r.Key] = append(l.firsts[r.Key], one)
			if l.oldest.IsZero() || one.since.Before(l.oldest) {
				l.oldest = one.since
			}
		}
	}
	l.next = seqCursor(seq, i)
}

// sure tells that nothing that was stored before the time says more of the page, or that enough has been looked at.
func (l *listing) sure(stored time.Time) bool {
	return len(l.firsts) == 0 || stored.Before(l.oldest) || l.looked >= lookBack
}

// page gives what is listed, by when it came: the journal has callbacks that came at the same time in any order.
func (l *listing) page() []*storedCallback {
	var page []*storedCallback
	for _, one := range l.found {
		if one.storedCallback != nil {
			page = append(page, one.storedCallback)
		}
	}
	slices.SortStableFunc(page, func(a, b *storedCallback) int { return b.At.Compare(a.At) })
	return page
}
