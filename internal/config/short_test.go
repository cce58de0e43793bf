package config

import (
	"testing"
	"time"
)

func TestDurationsInMessages(t *testing.T) {
	for d, want := range map[time.Duration]string{
		0: "0", 500 * time.Millisecond: "500ms", 10 * time.Second: "10s", 90 * time.Second: "1m30s", 10 * time.Minute: "10m",
		time.Hour: "1h", 90 * time.Minute: "1h30m", 10*time.Hour + 10*time.Second: "10h0m10s", 24 * time.Hour: "24h", 7 * 24 * time.Hour: "7d",
	} {
		if got := short(d); got != want {
			t.Errorf("%v is written %s, want %s", d, got, want)
		}
	}
}
