package callback

import (
	"errors"
	"io"
	"net"
	"os"
	"testing"
	"testing/synctest"
	"time"
)

// A deadline that is put off or taken away is not met early, one that is brought forward is met at once, and what was written before
// an early end is not written twice.
func TestDeadlines(t *testing.T) {
	const none = time.Duration(-1)
	for _, c := range []struct {
		name string
		set  []time.Duration // from now, one after the other
		met  time.Duration   // when; none: it is not
	}{
		{"one", []time.Duration{time.Second}, time.Second},
		{"put off", []time.Duration{time.Second, time.Minute}, time.Minute},
		{"put off twice", []time.Duration{time.Second, time.Minute, time.Hour}, time.Hour},
		{"taken away", []time.Duration{time.Second, none}, none},
		{"taken away and set again", []time.Duration{time.Second, none, time.Minute}, time.Minute},
		{"brought forward", []time.Duration{time.Hour, time.Second}, time.Second},
		{"over, then put off", []time.Duration{0, time.Minute}, time.Minute},
		{"none", nil, none},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ours, theirs := net.Pipe()
				defer theirs.Close()
				conn := &timedConn{Conn: ours, opened: time.Now(), free: func() {}}
				defer conn.Close()
				for _, d := range c.set {
					at := time.Time{}
					if d != none {
						at = time.Now().Add(d)
					}
					if err := conn.SetDeadline(at); err != nil {
						t.Fatal(err)
					}
				}
				start := time.Now()
				go func() { // half of what is written, and bytes to read, when no deadline is left
					if c.met == none {
						time.Sleep(2 * time.Hour)
					}
					if _, err := io.ReadFull(theirs, make([]byte, 4)); err != nil {
						t.Error(err)
					}
					if c.met == none {
						rest := make([]byte, 4)
						if _, err := io.ReadFull(theirs, rest); err != nil || string(rest) != "5678" {
							t.Errorf("the rest of what was written: %q, %v", rest, err)
						}
						if _, err := theirs.Write([]byte("x")); err != nil {
							t.Error(err)
						}
					}
				}()
				check := func(what string, n, want int, err error) {
					t.Helper()
					switch {
					case c.met == none && (n != want || err != nil):
						t.Errorf("%s: %d, %v; want %d", what, n, err, want)
					case c.met != none && (!errors.Is(err, os.ErrDeadlineExceeded) || time.Since(start) != c.met):
						t.Errorf("%s: %v after %s, want it to end after %s", what, err, time.Since(start), c.met)
					}
				}
				n, err := conn.Write([]byte("12345678"))
				check("write", n, 8, err)
				n, err = conn.Read(make([]byte, 8))
				check("read", n, 1, err)
			})
		})
	}
}
