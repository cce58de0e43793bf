package lang

import "testing"

// The distance counts the comparisons that would have to come out otherwise, over && || ! and ?:, reached or not.
func TestDistance(t *testing.T) {
	v := &Vars{OptPlatform: "iOS", PairCount: 3}
	v.Pair.From, v.Pair.To = "vip_1", "bob"
	for _, tt := range []struct {
		condition  string
		away, held int
	}{
		{`From_Account == "vip_1"`, 0, 1},
		{`From_Account == "x"`, 1, 0},
		{`From_Account == "x" && To_Account == "y" && OptPlatform == "iOS"`, 2, 1},
		{`From_Account == "x" || To_Account == "bob"`, 0, 1},
		{`From_Account == "x" || To_Account == "y"`, 1, 0},
		{`(From_Account == "x" && Mutual) || (To_Account == "y" && OptPlatform == "iOS")`, 1, 1},
		{`!(From_Account == "vip_1" || To_Account == "bob")`, 2, 0},
		{`not (From_Account == "vip_1" and To_Account == "y")`, 0, 1},
		{`Mutual ? From_Account == "x" : To_Account == "y"`, 1, 1},
		{`int(From_Account) > 5 && OptPlatform == "iOS"`, 1, 1},
		{`From_Account not in ["vip_1"]`, 1, 0},
		{`true`, 0, 1},
	} {
		c, errs := CompileCondition(tt.condition, nil)
		if errs != nil {
			t.Fatalf("%s: %v", tt.condition, errs)
		}
		away, held := c.Distance(v)
		if away != tt.away || held != tt.held {
			t.Errorf("%s: %d away, %d held, want %d and %d", tt.condition, away, held, tt.away, tt.held)
		}
		matched, err := c.Match(v)
		if (away == 0) != (matched && err == nil) {
			t.Errorf("%s: %d away, but matched is %t, %v", tt.condition, away, matched, err)
		}
	}
}
