package lang

import (
	"net/netip"
	"testing"
)

// What has the same key gives the same.
func TestKeys(t *testing.T) {
	same := func(a, b string) bool {
		key := func(src string) string {
			checked, errs := check(src, &Scope{Lists: map[string]*List{"few": NewList(nil)}}, false)
			if errs != nil {
				t.Fatal(src, errs[0])
			}
			return keyOf(checked.Node)
		}
		return key(a) != "" && key(a) == key(b)
	}
	tests := []struct {
		a, b string
		same bool
	}{
		{`trim(From_Account) == "a"`, `(trim( From_Account )) == 'a'`, true},
		{`trim(From_Account) == "a"`, `trim(To_Account) == "a"`, false},
		{`trim(From_Account) == "To_Account"`, `trim(From_Account) == To_Account`, false},
		{`PairCount - (PairIndex - 1) > 1`, `PairCount - PairIndex - 1 > 1`, false},
		{`From_Account[1:] == "a"`, `From_Account[:1] == "a"`, false},
		{`sample(From_Account, 1.5)`, `sample(From_Account, 1.25)`, false},
		{`sample(From_Account, 1.5)`, `sample(From_Account, 1.50)`, true},
		{`trim(From_Account) in few`, `trim(From_Account) in few`, false}, // another set has another list of that name
		{`Time.Hour() % 3 == 1`, `Time.Minute() % 3 == 1`, false},
		{`inZone(Time, "Asia/Shanghai").Hour() > 3`, `inZone(Time, "Europe/Berlin").Hour() > 3`, false},
	}
	for _, tt := range tests {
		if got := same(tt.a, tt.b); got != tt.same {
			t.Errorf("%s and %s: %v, want %v", tt.a, tt.b, got, tt.same)
		}
	}
}

func TestFirstBits(t *testing.T) {
	tests := []struct {
		addr       string
		bits, want int
	}{
		{"10.1.2.3", 0, 0}, {"10.1.2.3", 8, 10}, {"255.255.255.255", 32, 1<<32 - 1},
		{"fe80::1", 0, 0}, {"fe80::1", 10, 0xfe80 >> 6}, {"ffff:ffff:ffff:ffff::", 63, 1<<63 - 1},
	}
	for _, tt := range tests {
		if got := firstBits(netip.MustParseAddr(tt.addr), tt.bits); got != tt.want {
			t.Errorf("the first %d bits of %s are %x, want %x", tt.bits, tt.addr, got, tt.want)
		}
	}
}
