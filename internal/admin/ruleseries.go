package admin

import (
	"container/list"
	"net/http"
	"sync"
	"time"

	"github.com/aftermath-rules/aftermath/engine"
	"github.com/aftermath-rules/aftermath/internal/strictyaml"
)

const (
	minutesKept   = 24 * 60
	maxRuleSeries = 1000 // rules; with the minutes of each in 4 bytes, 6 MB
)

// RuleSeries counts how often each rule matched, by the minute, over the last 24 hours of this process. It holds the rules that
// matched last, at most maxRuleSeries of them. Its methods are safe for concurrent use.
type RuleSeries struct {
	started time.Time
	most    int

	mu      sync.Mutex
	byName  map[string]*list.Element // of *ruleMinutes
	order   *list.List               // the one that matched last in front
	dropped bool                     // some rule was let go: one that comes anew may have matched before
}

// ruleMinutes is a ring of one rule's matches in each minute.
type ruleMinutes struct {
	rule   string
	since  time.Time // what was before is not known
	newest int64     // minute, since 1970
	counts [minutesKept]uint32
}

// NewRuleSeries makes one that begins now.
func NewRuleSeries() *RuleSeries {
	return &RuleSeries{started: time.Now(), most: maxRuleSeries, byName: map[string]*list.Element{}, order: list.New()}
}

// Recorded counts the matches of events.
func (s *RuleSeries) Recorded(events []engine.Event) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range events {
		if m := events[i].Matched; m != nil {
			for _, hit := range m.Matches {
				s.of(hit.Rule).add(m.Received.Unix() / 60)
			}
		}
	}
}

// of gives the minutes of a rule that matched. It is called with the lock held.
func (s *RuleSeries) of(rule string) *ruleMinutes {
	if e := s.byName[rule]; e != nil {
		s.order.MoveToFront(e)
		return e.Value.(*ruleMinutes)
	}
	var one *ruleMinutes
	if s.order.Len() < s.most {
		one = &ruleMinutes{}
	} else {
		last := s.order.Back()
		one = s.order.Remove(last).(*ruleMinutes)
		delete(s.byName, one.rule)
		s.dropped = true
	}
	one.rule, one.since, one.newest = rule, s.started, 0 // so that its counts are cleared when it is added to
	if s.dropped {
		one.since = time.Now()
	}
	s.byName[rule] = s.order.PushFront(one)
	return one
}

func (m *ruleMinutes) add(minute int64) {
	if minute <= m.newest-minutesKept {
		return
	}
	if minute >= m.newest+minutesKept {
		clear(m.counts[:])
		m.newest = minute
	}
	for at := m.newest + 1; at <= minute; at++ {
		m.counts[at%minutesKept] = 0
	}
	m.newest = max(m.newest, minute)
	m.counts[minute%minutesKept]++
}

// at gives the matches in a minute.
func (m *ruleMinutes) at(minute int64) uint32 {
	if minute > m.newest || minute <= m.newest-minutesKept {
		return 0
	}
	return m.counts[minute%minutesKept]
}

// ruleMatches is a rule's matches over time, as columns.
type ruleMatches struct {
	Since   time.Time `json:"since"` // the start of the process, or later where more rules match than are kept: nothing is known of before
	Step    int       `json:"step_s"`
	At      []int64   `json:"at"`      // seconds since 1970, at the beginning of each step
	Matches []*uint64 `json:"matches"` // null where nothing is known
}

// over gives a rule's matches of the span before now. The last point is the minute, or the part of a step, that goes on.
func (s *RuleSeries) over(rule string, span time.Duration, now time.Time) ruleMatches {
	s.mu.Lock()
	defer s.mu.Unlock()
	minutes := &ruleMinutes{since: s.started}
	if e := s.byName[rule]; e != nil {
		minutes = e.Value.(*ruleMinutes)
	} else if s.dropped {
		minutes.since = now
	}
	last := now.Unix() / 60
	whole := min(int64(span/time.Minute), minutesKept)
	step := max(1, (whole+maxPoints-1)/maxPoints)
	out := ruleMatches{Since: minutes.since.UTC(), Step: int(step) * 60, At: []int64{}, Matches: []*uint64{}}
	known := minutes.since.Unix() / 60
	first := last - whole + 1
	for at := first - first%step; at <= last; at += step {
		var sum uint64
		for i := range step {
			sum += uint64(minutes.at(at + i))
		}
		one := &sum
		if at+step <= known {
			one = nil
		}
		out.At, out.Matches = append(out.At, at*60), append(out.Matches, one)
	}
	return out
}

// answer gives the matches of a rule over ?span, the last hour where the request does not say.
func (s *RuleSeries) answer(w http.ResponseWriter, r *http.Request) {
	p := paramsOf(r, "span")
	span := time.Hour
	if text := p.text("span"); text != "" {
		var err error
		if span, err = strictyaml.ParseDuration(text); err != nil || span < time.Minute {
			p.fail("span must be a duration of a minute or more, such as 1h or 24h")
		}
	}
	if p.err != nil {
		Error(w, http.StatusBadRequest, p.err.Error())
		return
	}
	JSON(w, http.StatusOK, s.over(r.PathValue("name"), span, time.Now()))
}
