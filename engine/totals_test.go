package engine

import "testing"

// A node ends, replays and discards what another one made a moment ago, before it has read that one's totals: its counts balance all the
// same. Where it is alone they are what is recorded, so that one that is wrong shows.
func TestTotalsOfOthersComeLate(t *testing.T) {
	gone := func(n uint64) uint64 { return -n }
	for _, c := range []struct {
		name        string
		kind        string
		own, others Totals
		want        Totals
	}{
		{"ended", "nats", Totals{Created: 1, Done: 3}, Totals{Created: 1}, Totals{Created: 3, Done: 3}},
		{"replayed", "nats", Totals{Dead: gone(1), Done: 1}, Totals{}, Totals{Created: 1, Done: 1}},
		{"discarded", "nats", Totals{Dead: gone(2), Discarded: 2}, Totals{Created: 1, Dead: 1}, Totals{Created: 2, Discarded: 2}},
		{"read by now", "nats", Totals{Created: 1, Done: 2, Dead: gone(1)}, Totals{Created: 3, Dead: 2}, Totals{Created: 4, Done: 2, Dead: 1}},
		{"alone", "embedded", Totals{Created: 1, Done: 2}, Totals{}, Totals{Created: 1, Done: 2}},
	} {
		e := New(Options{Store: &settledStore{kind: c.kind}})
		e.ledger.totals, e.ledger.others = c.own, c.others
		got := e.Totals()
		if got.Created != c.want.Created || got.Done != c.want.Done || got.Dead != c.want.Dead || got.Discarded != c.want.Discarded {
			t.Errorf("%s: %+v, want %+v", c.name, got, c.want)
		}
		if c.kind == "nats" && got.Created != got.Done+got.Dead+got.Discarded+got.Pending() {
			t.Errorf("%s: %+v don't balance", c.name, got)
		}
	}
}
