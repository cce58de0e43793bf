package actionstest

import (
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/aftermath-rules/aftermath/actions"
	"github.com/aftermath-rules/aftermath/callback"
)

// Delivery is a sample delivery: alice, who uses the app on iOS, deleted bob.
func Delivery() *actions.Delivery {
	arrived := time.Date(2026, 11, 22, 8, 0, 0, 0, time.UTC)
	return &actions.Delivery{
		ID: "3f9c2a7d51e84b06", Attempt: 1, Action: "sample", RuleSet: "8d2e01", Created: arrived,
		Rule:            actions.Rule{Name: "vip-lost-a-friend", Labels: map[string]string{"team": "care"}},
		CallbackID:      "b0c1d2e3f4a5",
		Pair:            callback.Pair{From: "alice", To: "bob"},
		SdkAppid:        1400000000,
		CallbackCommand: callback.Command,
		ClientIP:        "127.0.0.1",
		OptPlatform:     "iOS",
		RequestId:       "6f1a7a52-3c0e-4d0b-9a57-2f1f0f6a9d10",
		PairCount:       1,
		Time:            arrived,
	}
}

// HostileAccounts are account ids that try to break out of where they are put, by what they try. An account id is any text of up
// to 32 bytes.
func HostileAccounts() map[string]string {
	return map[string]string{
		"double quote":        `a"b`,
		"single quote":        `a'b`,
		"backslash":           `a\b\"`,
		"CR LF":               "a\r\nX-Evil: 1",
		"LF":                  "a\nBcc: all@evil.example",
		"NUL":                 "a\x00b",
		"HTML":                `<img src=x onerror=alert(1)>`,
		"end of an attribute": `" onmouseover="alert(1)`,
		"HTML comment":        `--><script>x()</script>`,
		"template":            `{{ From_Account }}`,
		"secret":              `${env:HOME}`,
		"path up":             `../../etc/passwd`,
		"dot dot":             `..`,
		"dot":                 `.`,
		"encoded dots":        `%2e%2e%2f`,
		"encoded slash":       `a%2Fb`,
		"query":               `a?b=c&d=e+f#g`,
		"host":                `@evil.example:80/`,
		"address list":        `a@evil.example,b`,
		"angle brackets":      `a> <b@evil.example`,
		"JSON":                `","admin":true,"x":"`,
		"emoji":               "👩‍👩‍👧 bob",
		"line separator":      "a\u2028b\u2029c",
		"right to left":       "a\u202egpj.exe",
		"space":               " ",
		"format":              `%s%d%!v(`,
		"shell":               "`id`;$(id)",
		"formula":             `=cmd|' /C calc'!A0`,
		"longest":             strings.Repeat("x", 32),
	}
}

// HostileDeliveries are sample deliveries of hostile accounts: each account once as the one who deleted and once as the one who
// was deleted.
func HostileDeliveries() []*actions.Delivery {
	accounts := HostileAccounts()
	var out []*actions.Delivery
	for _, name := range slices.Sorted(maps.Keys(accounts)) {
		from, to := Delivery(), Delivery()
		from.Pair.From, to.Pair.To = accounts[name], accounts[name]
		out = append(out, from, to)
	}
	return out
}
