package cmd

import (
	"context"
	"testing"
	"testing/synctest"
	"time"
)

// What hangs when the process is told to stop ends with it, and what stops by itself is not ended.
func TestEndAfter(t *testing.T) {
	for _, c := range []struct {
		name    string
		stopped bool // it was told to
		takes   time.Duration
		ends    bool
	}{
		{"stops in time", true, 24 * time.Second, false},
		{"hangs", true, 26 * time.Second, true},
		{"fails by itself", false, 26 * time.Second, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, stop := context.WithCancel(t.Context())
				defer stop()
				ended := false
				done := endAfter(ctx, 25*time.Second, func() { ended = true })
				if c.stopped {
					stop()
				}
				time.Sleep(c.takes)
				synctest.Wait()
				if ended != c.ends {
					t.Errorf("ended: %t", ended)
				}
				done()
			})
		})
	}
}
