package lang

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// outline writes parts as indented lines: source = value, ! and the error where one failed, * where it decided its parent.
func outline(parts []Part) []string {
	var lines []string
	for _, p := range parts {
		line := strings.Repeat("  ", p.Depth) + p.Source
		switch {
		case p.Error != "":
			line += " ! " + p.Error
		case p.Value == nil:
			line += " -"
		default:
			value, err := json.Marshal(p.Value)
			if err != nil {
				value = []byte(err.Error())
			}
			line += fmt.Sprintf(" = %s", value)
		}
		if p.Decided {
			line += " *"
		}
		lines = append(lines, line)
	}
	return lines
}

func TestExplain(t *testing.T) {
	tests := []struct {
		name, condition string
		want            []string
	}{
		{"contract example", `From_Account in vips && OptPlatform != "RESTAPI"`, []string{
			`From_Account in vips && OptPlatform != "RESTAPI" = true`,
			`  From_Account in vips = true *`,
			`    From_Account = "vip_1"`,
			`  OptPlatform != "RESTAPI" = true *`,
			`    OptPlatform = "iOS"`,
		}},
		{"the first false decides", `PairCount > 5 and Mutual and true`, []string{
			`PairCount > 5 and Mutual and true = false`,
			`  PairCount > 5 = false *`,
			`    PairCount = 3`,
			`  Mutual -`,
		}},
		{"brackets", `((From_Account == "x") || ( (To_Account) contains "ø" )) && !(Mutual)`, []string{
			`((From_Account == "x") || ( (To_Account) contains "ø" )) && !(Mutual) = false`,
			`  (From_Account == "x") || ( (To_Account) contains "ø" ) = true`,
			`    From_Account == "x" = false`,
			`      From_Account = "vip_1"`,
			`    (To_Account) contains "ø" = true *`,
			`      To_Account = "bøb"`,
			`  !(Mutual) = false *`,
			`    Mutual = true`,
		}},
		{"not in", `To_Account not in ["a", From_Account]`, []string{
			`To_Account not in ["a", From_Account] = true`,
			`  To_Account = "bøb"`,
			`  From_Account = "vip_1"`,
		}},
		{"calls", `len(lower(From_Account)[0:3]) == 3 && inZone(Time, "Asia/Shanghai").Hour() < 6`, []string{
			`len(lower(From_Account)[0:3]) == 3 && inZone(Time, "Asia/Shanghai").Hour() < 6 = true`,
			`  len(lower(From_Account)[0:3]) == 3 = true *`,
			`    len(lower(From_Account)[0:3]) = 3`,
			`      lower(From_Account)[0:3] = "vip"`,
			`        lower(From_Account) = "vip_1"`,
			`          From_Account = "vip_1"`,
			`  inZone(Time, "Asia/Shanghai").Hour() < 6 = true *`,
			`    inZone(Time, "Asia/Shanghai").Hour() = 4`,
			`      inZone(Time, "Asia/Shanghai") = "2026-11-23T04:30:00+08:00"`,
			`        Time = "2026-11-22T20:30:00Z"`,
		}},
		{"failure", `Mutual && int(From_Account) > 0 && Mutual`, []string{
			`Mutual && int(From_Account) > 0 && Mutual ! int: "vip_1" is no whole number`,
			`  Mutual = true`,
			`  int(From_Account) > 0 ! int: "vip_1" is no whole number *`,
			`    int(From_Account) ! int: "vip_1" is no whole number`,
			`      From_Account = "vip_1"`,
			`  Mutual -`,
		}},
		{"ternary", `Mutual ? PairCount == 3 : PairIndex == 0`, []string{
			`Mutual ? PairCount == 3 : PairIndex == 0 = true`,
			`  Mutual = true`,
			`  PairCount == 3 = true *`,
			`    PairCount = 3`,
			`  PairIndex == 0 -`,
			`    PairIndex -`,
		}},
		{"arithmetic", `PairCount + (PairIndex - 1) * 2 == -1`, []string{
			`PairCount + (PairIndex - 1) * 2 == -1 = false`,
			`  PairCount + (PairIndex - 1) * 2 = 3`,
			`    PairCount = 3`,
			`    PairIndex = 1`,
		}},
		{"chained comparison", `0 < PairIndex < PairCount`, []string{
			`0 < PairIndex < PairCount = true`,
			`  0 < PairIndex = true *`,
			`    PairIndex = 1`,
			`  PairIndex < PairCount = true *`,
			`    PairIndex = 1`,
			`    PairCount = 3`,
		}},
		{"written out", `true`, []string{`true = true`}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := outline(mustCondition(t, tt.condition).Explain(sampleVars()))
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("parts (-want +got):\n%s", diff)
			}
		})
	}
}
