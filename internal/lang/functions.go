package lang

import (
	"cmp"
	"errors"
	"fmt"
	"hash/fnv"
	"math"
	"net/netip"
	"regexp"
	"regexp/syntax"
	"strconv"
	"strings"
	"time"
	_ "time/tzdata" // so that inZone gives the same answer on a machine without zone files
)

// override is a function that is ours: expr lacks it, or has it in a form that we can't use.
type override struct {
	run   func(args ...any) (any, error)
	types []any // its signatures, for the type checker
}

// overrides are the functions that are ours. cidr, sample, inZone and the methods of a time have no run: lower puts a closure
// over their constant in their place.
func overrides() map[string]override {
	unlowered := func(...any) (any, error) { return nil, errors.New("not lowered") }
	m := map[string]override{
		"cidr":   {unlowered, []any{func(string, string) bool { return false }}},
		"sample": {unlowered, []any{func(string, float64) bool { return false }}},
		"inZone": {unlowered, []any{func(t time.Time, _ string) time.Time { return t }}},
		"int":    {unlowered, []any{func(string) int { return 0 }, func(int) int { return 0 }, func(float64) int { return 0 }}},
		"float":  {unlowered, []any{func(string) float64 { return 0 }, func(float64) float64 { return 0 }}},
		"string": {unlowered, []any{
			func(string) string { return "" }, func(bool) string { return "" }, func(int) string { return "" },
			func(float64) string { return "" }, func(time.Time) string { return "" },
		}},
		"min": {extreme(-1), []any{func(int, ...int) int { return 0 }, func(float64, ...float64) float64 { return 0 }}},
		"max": {extreme(+1), []any{func(int, ...int) int { return 0 }, func(float64, ...float64) float64 { return 0 }}},
	}
	for name := range timeMethods {
		m["Time."+name] = override{unlowered, []any{func(time.Time) int { return 0 }}}
	}
	return m
}

// toInt is the function int: it cuts off a float's fraction, and refuses what is no int.
func toInt(v any) int {
	switch v := v.(type) {
	case int:
		return v
	case float64:
		if !(v >= -1<<63 && v < 1<<63) {
			panic(fmt.Errorf("int: %s is out of range", Format(v)))
		}
		return int(v)
	case string:
		i, err := strconv.Atoi(v)
		if err != nil {
			panic(fmt.Errorf("int: %s is no whole number", quote(v)))
		}
		return i
	}
	panic(fmt.Errorf("int: cannot use %T", v))
}

// toFloat is the function float.
func toFloat(v any) float64 {
	switch v := v.(type) {
	case int:
		return float64(v)
	case float64:
		return v
	case string:
		f, err := strconv.ParseFloat(v, 64)
		if err != nil {
			panic(fmt.Errorf("float: %s is no number", quote(v)))
		}
		return f
	}
	panic(fmt.Errorf("float: cannot use %T", v))
}

// extreme is min for -1 and max for +1: an int where all arguments are ints, else a float.
func extreme(sign int) func(args ...any) (any, error) {
	return func(args ...any) (any, error) {
		best, allInts := args[0], true
		for _, arg := range args {
			_, isInt := arg.(int)
			allInts = allInts && isInt
			if compareNumbers(arg, best) == sign {
				best = arg
			}
		}
		if allInts {
			return best, nil
		}
		return toFloat(best), nil
	}
}

func compareNumbers(a, b any) int {
	if a, ok := a.(int); ok {
		if b, ok := b.(int); ok {
			return cmp.Compare(a, b)
		}
	}
	return cmp.Compare(toFloat(a), toFloat(b))
}

// join is + between strings, within MaxText.
func join(a, b any) any {
	left, right := a.(string), b.(string)
	if len(left)+len(right) > MaxText {
		panic(fmt.Errorf("+ makes a text of more than %d bytes", MaxText))
	}
	return left + right
}

// trimCharacters is trim with two arguments. Its time is the product of their lengths.
func trimCharacters(s, characters any) any {
	if len(characters.(string)) > MaxTrim {
		panic(fmt.Errorf("trim takes at most %d bytes of characters", MaxTrim))
	}
	return strings.Trim(s.(string), characters.(string))
}

// divide is / : always a float, and an error where the divisor is 0.
func divide(a, b any) any {
	divisor := toFloat(b)
	if divisor == 0 {
		panic(errors.New("division by zero"))
	}
	return toFloat(a) / divisor
}

// patternSize checks the constant right side of matches, and counts its instructions.
func patternSize(pattern string) (int, error) {
	parsed, err := syntax.Parse(pattern, syntax.Perl)
	if err != nil {
		return 0, badPattern(err)
	}
	prog, err := syntax.Compile(parsed.Simplify())
	if err != nil {
		return 0, badPattern(err)
	}
	return len(prog.Inst), nil
}

func badPattern(err error) error {
	var bad *syntax.Error
	if !errors.As(err, &bad) {
		return fmt.Errorf("bad pattern: %w", err)
	}
	return fmt.Errorf("bad pattern: %s: %s", bad.Code, quote(bad.Expr))
}

// boundedMatch is matches, over texts of at most MaxSubject bytes: a pattern's time grows with its size times the text's.
func boundedMatch(re *regexp.Regexp) func(string) bool {
	return func(s string) bool {
		if len(s) > MaxSubject {
			panic(fmt.Errorf("matches looks at texts of at most %d bytes, this has %d", MaxSubject, len(s)))
		}
		return re.MatchString(s)
	}
}

// parseRange reads the constant of cidr: a range, or one address.
func parseRange(s string) (netip.Prefix, error) {
	p, err := netip.ParsePrefix(s)
	if err != nil {
		if addr, err := netip.ParseAddr(s); err == nil && addr.Zone() == "" {
			return netip.Prefix{}, fmt.Errorf("%s is no range; for this one address write \"%s/%d\"", quote(s), addr, addr.BitLen())
		}
		return netip.Prefix{}, fmt.Errorf("%s is no range of addresses such as \"10.0.0.0/8\" or \"fd00::/8\"", quote(s))
	}
	if p.Addr().Is4In6() { // ::ffff:10.0.0.0/104 is 10.0.0.0/8
		if p.Bits() < 96 {
			return netip.Prefix{}, fmt.Errorf("%s covers more than the IPv4 addresses; write the IPv4 range", quote(s))
		}
		p = netip.PrefixFrom(p.Addr().Unmap(), p.Bits()-96)
	}
	return p.Masked(), nil
}

// inRange is cidr for one range: false for what is no address. An IPv4 address mapped into IPv6 is that IPv4 address.
func inRange(p netip.Prefix) func(string) bool {
	return func(s string) bool {
		addr, err := netip.ParseAddr(s)
		return err == nil && p.Contains(addr.Unmap().WithZone(""))
	}
}

// inSample is sample for one percentage: a string's place among 2^32 is the hash of its bytes, the same in every release.
func inSample(percent float64) func(string) bool {
	limit := sampleLimit(percent)
	return func(s string) bool { return samplePlace(s) < limit }
}

const samplePlaces = 1 << 32

// sampleLimit is how many places a percentage takes.
func sampleLimit(percent float64) uint64 { return uint64(math.Round(percent / 100 * samplePlaces)) }

func samplePlace(s string) uint64 {
	h := fnv.New64a()
	h.Write([]byte(s))
	return mix(h.Sum64()) >> 32
}

// mix spreads a hash over all its bits (the finalizer of MurmurHash3), since FNV's high bits hardly move for short strings.
func mix(h uint64) uint64 {
	h ^= h >> 33
	h *= 0xff51afd7ed558ccd
	h ^= h >> 33
	h *= 0xc4ceb9fe1a85ec53
	return h ^ h>>33
}

// parseZone reads the constant of inZone. Local is none: it differs from machine to machine.
func parseZone(name string) (*time.Location, error) {
	zone, err := time.LoadLocation(name)
	if err != nil || name == "" || name == "Local" {
		return nil, fmt.Errorf("%s is no time zone such as \"Asia/Shanghai\" or \"UTC\"", quote(name))
	}
	return zone, nil
}

// quote shows a string in a message: quoted, and cut where it is long.
func quote(s string) string {
	const most = 64
	if len(s) > most {
		return strconv.Quote(s[:most]) + "…"
	}
	return strconv.Quote(s)
}
