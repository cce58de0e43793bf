//go:build !linux

package systemd

import "time"

// monotonic is of no interest where there is no systemd.
func monotonic() time.Duration { return 0 }
