package strictyaml

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"gopkg.in/yaml.v3"
)

// ParseDuration reads a duration such as 1m30s, 1.6s, 7d or 2w: Go's, and days and weeks of 24 and 168 hours. It is not
// negative, and only 0 has no unit.
func ParseDuration(s string) (time.Duration, error) {
	total, rest := 0.0, s
	for rest != "" {
		digits := len(rest) - len(strings.TrimLeft(rest, "0123456789."))
		unit := rest[digits:]
		unit = unit[:len(unit)-len(strings.TrimLeft(unit, "abcdefghijklmnopqrstuvwxyzµμ"))]
		number, err := strconv.ParseFloat(rest[:digits], 64)
		size, ok := durationUnit(unit)
		if s == "0" {
			return 0, nil
		}
		if err != nil || !ok {
			if err == nil && digits == len(rest) {
				return 0, fmt.Errorf("the duration %q has no unit: write %ss for seconds", s, s)
			}
			return 0, fmt.Errorf("%q is no duration: write one such as 500ms, 1m30s, 12h or 7d", s)
		}
		total += number * float64(size)
		rest = rest[digits+len(unit):]
	}
	if s == "" {
		return 0, fmt.Errorf("a duration such as 1m30s or 7d is missing")
	}
	if total >= math.MaxInt64 {
		return 0, fmt.Errorf("the duration %s is longer than 292 years", s)
	}
	return time.Duration(math.Round(total)), nil
}

func durationUnit(unit string) (time.Duration, bool) {
	switch unit {
	case "ns":
		return time.Nanosecond, true
	case "us", "µs", "μs":
		return time.Microsecond, true
	case "ms":
		return time.Millisecond, true
	case "s":
		return time.Second, true
	case "m":
		return time.Minute, true
	case "h":
		return time.Hour, true
	case "d":
		return 24 * time.Hour, true
	case "w":
		return 7 * 24 * time.Hour, true
	}
	return 0, false
}

// Size is a number of bytes; in YAML such as 1MiB, 10GiB, 500kB, or bare bytes.
type Size int64

// sizeUnits are ordered so that String finds the largest that divides a size.
func sizeUnits() []struct {
	name string
	size int64
} {
	return []struct {
		name string
		size int64
	}{
		{"TiB", 1 << 40}, {"TB", 1e12}, {"GiB", 1 << 30}, {"GB", 1e9}, {"MiB", 1 << 20}, {"MB", 1e6}, {"KiB", 1 << 10}, {"kB", 1e3}, {"B", 1},
	}
}

// ParseSize reads a number of bytes: 1MiB is 1024 × 1024, 1MB a million; the case of the letters does not matter.
func ParseSize(s string) (Size, error) {
	digits := len(s) - len(strings.TrimLeft(s, "0123456789."))
	number, err := strconv.ParseFloat(s[:digits], 64)
	unit := strings.TrimSpace(s[digits:])
	if err == nil && unit == "" && !strings.Contains(s, ".") {
		unit = "B"
	}
	for _, u := range sizeUnits() {
		if err != nil || !strings.EqualFold(u.name, unit) {
			continue
		}
		if number *= float64(u.size); number >= math.MaxInt64 {
			return 0, fmt.Errorf("the size %s is too large", s)
		}
		return Size(math.Round(number)), nil
	}
	return 0, fmt.Errorf("%q is no size: write one such as 64KiB, 1MiB or 10GiB", s)
}

// String writes the size with the largest unit that gives a whole number.
func (s Size) String() string {
	for _, u := range sizeUnits() {
		if s != 0 && int64(s)%u.size == 0 {
			return strconv.FormatInt(int64(s)/u.size, 10) + u.name
		}
	}
	return "0B"
}

// UnmarshalNode reads the size as ParseSize does.
func (s *Size) UnmarshalNode(d *Decoder, n *yaml.Node) {
	if n.Kind != yaml.ScalarNode || isNull(n) {
		d.wrongKind(n, "a size such as 1MiB")
		return
	}
	size, err := ParseSize(n.Value)
	if err != nil {
		d.Problemf(n, "%v", err)
		return
	}
	*s = size
}

// JSONSchema describes a size in a configuration's schema.
func (Size) JSONSchema() map[string]any {
	return map[string]any{"type": []string{"string", "integer"}, "pattern": `^[0-9]+(\.[0-9]+)? ?([kKmMgGtT][iI]?[bB]|[bB])?$`, "minimum": 0}
}
