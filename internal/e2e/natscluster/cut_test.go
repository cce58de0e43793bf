package natscluster

import (
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/aftermath-rules/aftermath/internal/e2e/program"
)

// A server that is cut off hears nothing from the others and they nothing from it, whichever of them has connected to the other; and all is
// well again once that is mended.
func TestCut(t *testing.T) {
	binary, err := Build(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	c := binary.Start(t, 3)
	var at []*nats.Conn
	for _, s := range c.Servers {
		nc, err := nats.Connect(s.URL(), nats.IgnoreDiscoveredServers())
		if err != nil {
			t.Fatal(err)
		}
		defer nc.Close()
		if _, err := nc.Subscribe("hear."+s.Name, func(m *nats.Msg) { m.Respond(nil) }); err != nil {
			t.Fatal(err)
		}
		at = append(at, nc)
	}
	hears := func(from, to int) bool {
		_, err := at[from].Request("hear."+c.Servers[to].Name, nil, 200*time.Millisecond)
		return err == nil
	}
	all := func() bool {
		for from := range at {
			for to := range at {
				if !hears(from, to) {
					return false
				}
			}
		}
		return true
	}
	program.Eventually(t, "all servers to hear each other", all)
	for i, s := range c.Servers {
		s.Cut()
		for other := range at {
			if other != i && (hears(i, other) || hears(other, i)) {
				t.Errorf("%s is cut off, and hears %s or is heard by it", s.Name, c.Servers[other].Name)
			}
		}
		one, two := (i+1)%3, (i+2)%3
		program.Eventually(t, "the others to hear each other, without "+s.Name, func() bool { return hears(one, two) && hears(two, one) })
		s.Mend()
		program.Eventually(t, "all servers to hear each other again", all)
	}
}
