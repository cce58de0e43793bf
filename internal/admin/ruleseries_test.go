package admin

import (
	"fmt"
	"testing"
	"time"

	"github.com/aftermath-rules/aftermath/engine"
)

func hits(at time.Time, names ...string) []engine.Event {
	m := &engine.Matched{Received: at}
	for _, name := range names {
		m.Matches = append(m.Matches, engine.Hit{Rule: name})
	}
	return []engine.Event{{Matched: m}}
}

func total(m ruleMatches) (n uint64) {
	for _, one := range m.Matches {
		if one != nil {
			n += *one
		}
	}
	return n
}

func TestRuleSeriesCountsByTheMinute(t *testing.T) {
	now := time.Unix(1_700_000_030, 0)
	s := NewRuleSeries()
	s.started = now.Add(-3 * time.Hour)
	s.Recorded(hits(now.Add(-2*time.Hour), "a"))
	s.Recorded(hits(now.Add(-10*time.Minute), "a", "b", "a"))
	s.Recorded(hits(now.Add(-11*time.Minute), "a")) // packs need not come in order
	s.Recorded(hits(now, "a"))
	s.Recorded(hits(now.Add(-25*time.Hour), "a")) // too old to be kept

	hour := s.over("a", time.Hour, now)
	if hour.Step != 60 || len(hour.At) != 60 || total(hour) != 4 || *hour.Matches[59] != 1 || *hour.Matches[49] != 2 || *hour.Matches[48] != 1 {
		t.Errorf("an hour: %+v", hour)
	}
	day := s.over("a", 24*time.Hour, now)
	if day.Step != 240 || total(day) != 5 || !day.Since.Equal(s.started) {
		t.Errorf("a day: %+v", day)
	}
	for i, at := range day.At {
		if before := at+240 <= s.started.Unix(); before != (day.Matches[i] == nil) {
			t.Errorf("at %d it says %v, and the process began at %d", at, day.Matches[i], s.started.Unix())
		}
	}
	if never := s.over("never", time.Hour, now); total(never) != 0 || len(never.At) != 60 {
		t.Errorf("a rule that never matched: %+v", never)
	}
	s.Recorded(hits(now.Add(30*time.Hour), "a"))
	if later := s.over("a", 24*time.Hour, now.Add(30*time.Hour)); total(later) != 1 {
		t.Errorf("30 hours later: %+v", later)
	}
}

func TestRuleSeriesIsBounded(t *testing.T) {
	now := time.Now()
	s := NewRuleSeries()
	s.most = 3
	s.started = now.Add(-time.Minute)
	for i := range 3 {
		s.Recorded(hits(now, fmt.Sprint("r", i)))
	}
	s.Recorded(hits(now, "r0")) // so that r1 is the one that matched longest ago
	s.Recorded(hits(now, "new"))
	for name, want := range map[string]uint64{"r0": 2, "r1": 0, "r2": 1, "new": 1} {
		if got := total(s.over(name, time.Hour, now)); got != want {
			t.Errorf("%s: %d matches, want %d", name, got, want)
		}
	}
	if s.order.Len() != 3 || len(s.byName) != 3 {
		t.Errorf("%d rules are held, %d by name", s.order.Len(), len(s.byName))
	}
	if gone := s.over("r1", time.Hour, now); gone.Since.Before(now.Add(-time.Second)) {
		t.Errorf("of a rule that was let go it claims to know since %v", gone.Since)
	}
	if kept := s.over("r0", time.Hour, now); !kept.Since.Equal(s.started) {
		t.Errorf("of a rule that was kept it knows since %v", kept.Since)
	}
}

func BenchmarkRuleSeries(b *testing.B) {
	for _, n := range []int{10, 1_000, 100_000} {
		b.Run(fmt.Sprintf("rules=%d", n), func(b *testing.B) {
			s := NewRuleSeries()
			events := make([][]engine.Event, n)
			for i := range events {
				events[i] = hits(time.Now(), fmt.Sprint("rule-", i))
			}
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				s.Recorded(events[i%n])
			}
		})
	}
}
