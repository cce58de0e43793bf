package strictyaml

import (
	"strings"
	"testing"
	"time"
)

func TestParseDuration(t *testing.T) {
	const day = 24 * time.Hour
	for in, want := range map[string]time.Duration{
		"0": 0, "0s": 0, "1ns": 1, "5us": 5 * time.Microsecond, "5µs": 5 * time.Microsecond, "250ms": 250 * time.Millisecond,
		"1.6s": 1600 * time.Millisecond, "1h30m": 90 * time.Minute, "72h": 72 * time.Hour, "7d": 7 * day, "2w": 14 * day, "1.5d": 36 * time.Hour,
		"1d12h": 36 * time.Hour, "90m": 90 * time.Minute,
	} {
		if got, err := ParseDuration(in); err != nil || got != want {
			t.Errorf("%q: got %v, %v; want %v", in, got, err, want)
		}
	}
	for in, want := range map[string]string{
		"": "missing", "60": "no unit", "1.5": "no unit", "-5s": "no duration", "s": "no duration", "5 s": "no duration", "5x": "no duration",
		"1.2.3s": "no duration", "5S": "no duration", "1h30": "no unit", "soon": "no duration", "300000000h": "292 years", "NaNs": "no duration",
		"1e3s": "no duration", "0x1s": "no duration",
	} {
		if got, err := ParseDuration(in); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got %v, %v; want %q", in, got, err, want)
		}
	}
}

func TestParseSize(t *testing.T) {
	for in, want := range map[string]Size{
		"0": 0, "512": 512, "1B": 1, "1kB": 1000, "1KB": 1000, "64KiB": 64 << 10, "1MiB": 1 << 20, "1mib": 1 << 20, "1.5MiB": 3 << 19, "1MB": 1e6,
		"10GiB": 10 << 30, "2TiB": 2 << 40, "1 GiB": 1 << 30,
	} {
		if got, err := ParseSize(in); err != nil || got != want {
			t.Errorf("%q: got %d, %v; want %d", in, got, err, want)
		}
	}
	for _, in := range []string{"", "MiB", "-1MiB", "1M", "1.5", "1XB", "1MiB2", "1e3", "9999999TiB", "1..5kB", "NaN"} {
		if got, err := ParseSize(in); err == nil {
			t.Errorf("%q gives %d", in, got)
		}
	}
	for size, want := range map[Size]string{0: "0B", 1: "1B", 1000: "1kB", 1024: "1KiB", 1 << 20: "1MiB", 3 << 19: "1536KiB", 10 << 30: "10GiB", 1e6: "1MB"} {
		if got := size.String(); got != want {
			t.Errorf("%d is %s, want %s", size, got, want)
		}
		if back, err := ParseSize(want); err != nil || back != size {
			t.Errorf("%s comes back as %d, %v", want, back, err)
		}
	}
}
