package jetstream

import "testing"

// A cluster is asked for twice as much as came last, but never for more than the bound would hold of messages as large as the largest.
func TestPortion(t *testing.T) {
	for _, c := range []struct{ got, largest, want int }{
		{0, 0, 1}, // nothing came
		{1, 500, 2},
		{5, 500, 10},
		{fetched, 500, fetched},
		{fetched, 1 << 20, 8},
		{4, 1 << 20, 8},
		{3, 1 << 20, 6},
		{fetched, maxPayload, 1},
		{fetched, 2 * maxPayload, 1},
	} {
		if got := portion(c.got, c.largest); got != c.want {
			t.Errorf("after %d messages of at most %d bytes it asks for %d, want %d", c.got, c.largest, got, c.want)
		}
	}
}
