package callback

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json/jsontext"
	"pgregory.net/rapid"
)

const urlCommand = "SdkAppid=1400000000&CallbackCommand=" + Command

func packetOf(pairs string) string {
	return `{"CallbackCommand":"` + Command + `","PairList":[` + pairs + `]}`
}

func pairOf(from, to string) string {
	f, _ := json.Marshal(from)
	t, _ := json.Marshal(to)
	return fmt.Sprintf(`{"From_Account":%s,"To_Account":%s}`, f, t)
}

func TestParseSamples(t *testing.T) {
	read := func(name string) []byte {
		b, err := os.ReadFile("testdata/" + name)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	received := time.Date(2026, 11, 22, 8, 0, 0, 0, time.UTC)

	query := strings.TrimSpace(string(read("both-ways.query")))
	c, err := Parse(query, read("both-ways.json"), received)
	if err != nil {
		t.Fatal(err)
	}
	if want := []Pair{{"211172", "425214"}, {"425214", "211172"}}; !reflect.DeepEqual(c.Pairs, want) {
		t.Errorf("pairs = %v, want %v", c.Pairs, want)
	}
	if c.SdkAppid != 1400483163 || c.CallbackCommand != Command || c.ClientIP != "36.112.173.178" || c.OptPlatform != "iOS" ||
		c.RequestId != "2ea4e023-2859-4512-b629-3089f77dff70" || c.Query != query || !c.Received.Equal(received) {
		t.Errorf("callback = %+v", c)
	}
	if !c.Mutual(0) || !c.Mutual(1) {
		t.Error("the two pairs are mutual")
	}

	c, err = Parse("SdkAppid=1400000000", read("doc-example.json"), received)
	if err != nil {
		t.Fatal(err)
	}
	if want := []Pair{{"id", "id1"}, {"id", "id2"}, {"id", "id3"}}; !reflect.DeepEqual(c.Pairs, want) {
		t.Errorf("pairs = %v, want %v", c.Pairs, want)
	}
	if c.CallbackCommand != Command || c.ClientIP != "" || c.OptPlatform != "" || c.RequestId != "" || c.Mutual(0) {
		t.Errorf("callback = %+v", c)
	}
}

func TestParseAccepts(t *testing.T) {
	deepest := strings.Repeat("[", maxDepth-1) + strings.Repeat("]", maxDepth-1)
	for name, body := range map[string]string{
		"white space everywhere":    " \r\n\t{ \"CallbackCommand\" : \"" + Command + "\" , \"PairList\" : [ { \"From_Account\" : \"a\" , \"To_Account\" : \"b\" } ] } \n",
		"escaped names":             `{"\u0043allbackCommand":"` + Command + `","\u0050airList":[{"From\u005fAccount":"a","To_Account":"b"}]}`,
		"escaped slashes":           strings.ReplaceAll(packetOf(pairOf("a", "b")), "Sns.", `\u0053ns.`),
		"no command but the URL's":  `{"PairList":[` + pairOf("a", "b") + `]}`,
		"unknown fields":            `{"EventTime":1,"x":{"y":[1,-0.5e+3,true,false,null,"z\n",{}]},"PairList":[{"Initiator_Account":"i","From_Account":"a","n":{"From_Account":1},"To_Account":"b"}]}`,
		"names in another case":     `{"pairlist":1,"PAIRLIST":{},"PairList":[{"from_account":1,"From_Account":"a","To_Account":"b"}]}`,
		"64 levels":                 `{"x":` + deepest + `,"PairList":[` + pairOf("a", "b") + `]}`,
		"same names in two objects": `{"x":{"k":1},"y":{"k":1},"PairList":[` + pairOf("a", "b") + `]}`,
		"numbers at their edges":    `{"x":[0,-0,1e9,1E-9,0.0,123456789012345678901234567890],"PairList":[` + pairOf("a", "b") + `]}`,
	} {
		t.Run(name, func(t *testing.T) {
			c, err := Parse(urlCommand, []byte(body), time.Time{})
			if err != nil {
				t.Fatal(err)
			}
			if len(c.Pairs) != 1 || c.Pairs[0] != (Pair{"a", "b"}) {
				t.Errorf("pairs = %q", c.Pairs)
			}
		})
	}
}

func TestParseRefuses(t *testing.T) {
	tooDeep := strings.Repeat("[", maxDepth) + strings.Repeat("]", maxDepth)
	for _, tt := range []struct{ name, body, want string }{
		{"empty", "", "the packet (at byte 0) is no JSON object: it is empty"},
		{"an array", "[]", "the packet (at byte 0) is no JSON object"},
		{"a string", `"x"`, "the packet (at byte 0) is no JSON object"},
		{"byte order mark", "\uFEFF" + packetOf(""), "the packet (at byte 0) is no JSON object: it begins with a byte order mark"},
		{"trailing object", packetOf("") + "{}", "the packet (at byte 60) goes on after the JSON object"},
		{"trailing NUL", packetOf("") + "\x00", "the packet (at byte 60) goes on after the JSON object"},
		{"cut off", `{"PairList":[{"From_Account":"a`, "PairList[0].From_Account (at byte 31) is cut off inside a string"},
		{"cut off in an escape", `{"x":"\`, "x (at byte 7) is cut off inside a string"},
		{"cut off before a value", `{"x":`, "x (at byte 5) is cut off where a value should stand"},
		{"trailing comma in an object", `{"PairList":[],}`, `the packet (at byte 15) has "}" where a name in quotes should stand`},
		{"trailing comma in an array", `{"x":[1,]}`, `x (at byte 8) has "]" where a value should stand`},
		{"no comma", `{"x":1 "y":2}`, `the packet (at byte 7) has "\"" where a comma or } should stand`},
		{"no colon", `{"x" 1}`, `the packet (at byte 5) has "1" where a colon should stand`},
		{"65 levels", `{"x":` + tooDeep + `}`, "x (at byte 68) is nested deeper than 64 levels"},
		{"bad UTF-8 in an account", packetOf(pairOf("a", "b") + ",{\"From_Account\":\"a\xff\",\"To_Account\":\"b\"}"), "PairList[1].From_Account (at byte 114) is not valid UTF-8"},
		{"overlong UTF-8", "{\"x\":\"\xc0\x80\"}", "x (at byte 6) is not valid UTF-8"},
		{"surrogate in UTF-8", "{\"x\":\"\xed\xa0\x80\"}", "x (at byte 6) is not valid UTF-8"},
		{"bad UTF-8 in an unknown name", "{\"\xff\":1}", "the packet (at byte 2) is not valid UTF-8"},
		{"bad UTF-8 after an escape", "{\"x\":\"\\n\xff\"}", "x (at byte 8) is not valid UTF-8"},
		{"lone high surrogate", `{"x":"\ud800"}`, "x (at byte 6) has a lone surrogate in a string"},
		{"lone low surrogate", `{"x":"\uDC00"}`, "x (at byte 6) has a lone surrogate in a string"},
		{"two high surrogates", `{"x":"\ud800\ud800"}`, "x (at byte 6) has a lone surrogate in a string"},
		{"lone surrogate in an account", `{"PairList":[{"From_Account":"\ud800","To_Account":"b"}]}`, "PairList[0].From_Account (at byte 30) has a lone surrogate in a string"},
		{"repeated PairList", `{"PairList":[],"PairList":[]}`, "PairList (at byte 15) stands more than once in its object"},
		{"repeated under an escape", `{"PairList":[],"\u0050airList":[]}`, "PairList (at byte 15) stands more than once in its object"},
		{"repeated CallbackCommand", `{"CallbackCommand":"` + Command + `","CallbackCommand":"` + Command + `","PairList":[]}`, "CallbackCommand (at byte 46) stands more than once in its object"},
		{"repeated From_Account", `{"PairList":[{"From_Account":"a","From_Account":"a","To_Account":"b"}]}`, "PairList[0].From_Account (at byte 33) stands more than once in its object"},
		{"repeated unknown name", `{"x":1,"y":2,"x":3}`, "x (at byte 13) stands more than once in its object"},
		{"repeated unknown name in a pair", `{"PairList":[{"x":1,"x":1}]}`, "PairList[0].x (at byte 20) stands more than once in its object"},
		{"repeated name deep inside", `{"x":[{"y":{"a":1,"b":2,"\u0061":3}}]}`, "x (at byte 24) stands more than once in its object"},
		{"another command inside", `{"CallbackCommand":"Sns.CallbackFriendAdd","PairList":[]}`, "CallbackCommand (at byte 19) is not Sns.CallbackFriendDelete"},
		{"command no string", `{"CallbackCommand":1,"PairList":[]}`, "CallbackCommand (at byte 19) is not a string"},
		{"no PairList", `{"CallbackCommand":"` + Command + `"}`, "PairList (at byte 0) is missing"},
		{"PairList in another case", `{"pairList":[]}`, "PairList (at byte 0) is missing"},
		{"PairList an object", `{"PairList":{}}`, "PairList (at byte 12) is not an array"},
		{"PairList null", `{"PairList":null}`, "PairList (at byte 12) is not an array"},
		{"pair a string", packetOf(pairOf("a", "b") + `,"x"`), "PairList[1] (at byte 96) is not an object"},
		{"pair without To_Account", `{"PairList":[{"From_Account":"a"}]}`, "PairList[0].To_Account (at byte 13) is missing"},
		{"pair in another case", `{"PairList":[{"from_account":"a","To_Account":"b"}]}`, "PairList[0].From_Account (at byte 13) is missing"},
		{"empty account", packetOf(pairOf("a", "b") + "," + pairOf("a", "")), "PairList[1].To_Account (at byte 129) is empty"},
		{"account a number", `{"PairList":[{"From_Account":1,"To_Account":"b"}]}`, "PairList[0].From_Account (at byte 29) is not a string"},
		{"account null", `{"PairList":[{"From_Account":"a","To_Account":null}]}`, "PairList[0].To_Account (at byte 46) is not a string"},
		{"invalid escape", `{"x":"\x41"}`, "x (at byte 6) has an invalid escape in a string"},
		{"short unicode escape", `{"x":"\u00g0"}`, "x (at byte 6) has an invalid escape in a string"},
		{"line break in a string", "{\"x\":\"\n\"}", "x (at byte 6) has a control character in a string that is not escaped"},
		{"NUL in a string after an escape", "{\"x\":\"\\n\x00\"}", "x (at byte 8) has a control character in a string that is not escaped"},
		{"leading zero", `{"x":01}`, `the packet (at byte 6) has "1" where a comma or } should stand`},
		{"plus sign", `{"x":+1}`, `x (at byte 5) has "+" where a value should stand`},
		{"bare point", `{"x":1.}`, `x (at byte 7) has "}" where a digit should stand`},
		{"exponent without digits", `{"x":1e+}`, `x (at byte 8) has "}" where a digit should stand`},
		{"minus alone", `{"x":-}`, `x (at byte 6) has "}" where a digit should stand`},
		{"NaN", `{"x":NaN}`, `x (at byte 5) has "N" where a value should stand`},
		{"misspelt literal", `{"x":nul}`, `x (at byte 5) has "n" where a value should stand`},
		{"comment", `{/**/}`, `the packet (at byte 1) has "/" where a name in quotes should stand`},
		{"hostile name", `{"<b>\n":tru}`, `"<b>\n" (at byte 9) has "t" where a value should stand`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := Parse(urlCommand, []byte(tt.body), time.Time{})
			var e *Error
			var place *PacketError
			if !errors.As(err, &e) || e.Status != 400 || e.Outcome != BadRequest || !errors.As(err, &place) {
				t.Fatalf("error = %#v, want a 400", err)
			}
			if err.Error() != tt.want {
				t.Errorf("error = %s\n  want = %s", err, tt.want)
			}
		})
	}
}

func TestParseCommand(t *testing.T) {
	other := "Sns.CallbackFriendAdd"
	body := func(command string) string { return `{"CallbackCommand":"` + command + `","PairList":[]}` }
	for _, tt := range []struct {
		name, query, body string
		want              Outcome // "" for a callback
	}{
		{"both", "CallbackCommand=" + Command, body(Command), ""},
		{"in the URL only", "CallbackCommand=" + Command, `{"PairList":[]}`, ""},
		{"in the body only", "", body(Command), ""},
		{"empty in the URL", "CallbackCommand=", body(Command), ""},
		{"nowhere", "", `{"PairList":[]}`, BadRequest},
		{"empty in the body only", "", body(""), BadRequest},
		{"another in the URL", "CallbackCommand=" + other, "no JSON", Ignored},
		{"another in the body only", "", body(other), Ignored},
		{"another in the body only, whose PairList is another's", "", `{"PairList":7,"CallbackCommand":"` + other + `"}`, Ignored},
		{"another in the body only, which is no JSON", "", body(other) + "]", BadRequest},
		{"two in the body", "", `{"CallbackCommand":"` + Command + `","CallbackCommand":"` + other + `","PairList":[]}`, BadRequest},
		{"another in the body", "CallbackCommand=" + Command, body(other), BadRequest},
		{"twice the same in the URL", "CallbackCommand=" + Command + "&CallbackCommand=" + Command, body(Command), ""},
		{"two in the URL", "CallbackCommand=" + other + "&CallbackCommand=" + Command, body(Command), BadRequest},
		{"two others in the URL", "CallbackCommand=" + other + "&CallbackCommand=x", body(Command), BadRequest},
		{"escaped in the URL", "Callback%43ommand=Sns%2ECallbackFriendDelete", body(Command), ""},
		{"broken escape in the URL", "CallbackCommand=%zz", body(Command), Ignored},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := Parse(tt.query, []byte(tt.body), time.Time{})
			var e *Error
			if tt.want == "" && err != nil || tt.want != "" && (!errors.As(err, &e) || e.Outcome != tt.want) {
				t.Errorf("error = %v, want %q", err, tt.want)
			}
		})
	}
}

// hostile are account ids that break out of one notation or another.
var hostile = map[string]string{
	"quotes":         `"'` + "`",
	"CR LF":          "a\r\nBcc: x@example.com",
	"HTML":           `<script>alert(1)</script>&amp;`,
	"template":       "{{ printf }}${env:SECRET}",
	"path":           "../../etc/passwd",
	"escaped path":   "%2e%2e%2f",
	"backslashes":    `\u0041\"\\`,
	"emoji":          "😀👩‍👩‍👧",
	"line separator": "a\u2028b\u2029c",
	"NUL":            "a\x00b",
	"replacement":    "\uFFFD",
	"no character":   "\uFFFF\U0010FFFF",
}

func TestHostileAccounts(t *testing.T) {
	for name, id := range hostile {
		t.Run(name, func(t *testing.T) {
			c, err := Parse(urlCommand, []byte(packetOf(pairOf(id, "b"))), time.Time{})
			if err != nil {
				t.Fatal(err)
			}
			if c.Pairs[0].From != id {
				t.Errorf("From = %q, want %q", c.Pairs[0].From, id)
			}
		})
	}
}

func TestManyNames(t *testing.T) {
	var b strings.Builder
	b.WriteString(`{"PairList":[`)
	b.WriteString(pairOf("a", "b") + `],"x":{`)
	for i := range 100_000 {
		fmt.Fprintf(&b, `"k%d":0,`, i)
	}
	if _, err := Parse(urlCommand, []byte(b.String()+`"k":0}}`), time.Time{}); err != nil {
		t.Error(err)
	}
	if _, err := Parse(urlCommand, []byte(b.String()+`"k7":0}}`), time.Time{}); err == nil || !strings.Contains(err.Error(), "more than once") {
		t.Errorf("a repeated name among 100,000: error = %v", err)
	}
	if _, err := Parse(urlCommand, []byte(b.String()+`"k99999":0}}`), time.Time{}); err == nil || !strings.Contains(err.Error(), "more than once") {
		t.Errorf("a repeated name among 100,000: error = %v", err)
	}
}

func TestSoundPairs(t *testing.T) {
	a, b := pairOf("a", "1"), pairOf("b", "2")
	for _, tt := range []struct {
		name, body string
		want       []Pair
	}{
		{"sound", packetOf(a + "," + b), []Pair{{"a", "1"}, {"b", "2"}}},
		{"an empty account between", packetOf(a + "," + pairOf("", "x") + "," + b), []Pair{{"a", "1"}, {"b", "2"}}},
		{"a lone surrogate between", packetOf(a + `,{"From_Account":"\ud800","To_Account":"b"},` + b), []Pair{{"a", "1"}, {"b", "2"}}},
		{"bad UTF-8 between", packetOf(a + ",{\"From_Account\":\"\xff\",\"To_Account\":\"b\"}," + b), []Pair{{"a", "1"}, {"b", "2"}}},
		{"a repeated account between", packetOf(a + `,{"From_Account":"a","From_Account":"b","To_Account":"b"},` + b), []Pair{{"a", "1"}, {"b", "2"}}},
		{"no object between", packetOf(a + ",null," + b), []Pair{{"a", "1"}, {"b", "2"}}},
		{"cut off", `{"PairList":[` + a + "," + b[:20], []Pair{{"a", "1"}}},
		{"trailing data", packetOf(a) + "x", []Pair{{"a", "1"}}},
		{"another command", `{"CallbackCommand":"x","PairList":[` + a + `]}`, nil},
		{"no JSON", "x", nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := SoundPairs([]byte(tt.body)); !reflect.DeepEqual(got, tt.want) {
				t.Errorf("SoundPairs = %v, want %v", got, tt.want)
			}
		})
	}
}

func TestMutual(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		account := rapid.SampledFrom([]string{"a", "b", "c", "d", "e", "f"})
		pair := rapid.Custom(func(t *rapid.T) Pair { return Pair{account.Draw(t, "from"), account.Draw(t, "to")} })
		c := &Callback{Pairs: rapid.SliceOfN(pair, 1, 2*manyPairs).Draw(t, "pairs")}
		for i, p := range c.Pairs {
			want := false
			for _, o := range c.Pairs {
				want = want || p.From != p.To && o.From == p.To && o.To == p.From
			}
			if c.Mutual(i) != want {
				t.Errorf("Mutual(%d) = %v", i, !want)
			}
		}
	})
}

func TestParseAllocations(t *testing.T) {
	body, err := os.ReadFile("testdata/doc-example.json")
	if err != nil {
		t.Fatal(err)
	}
	if n := testing.AllocsPerRun(100, func() {
		if _, err := Parse(urlCommand, body, time.Time{}); err != nil {
			t.Fatal(err)
		}
	}); n > 1 {
		t.Errorf("Parse of a usual packet makes %v allocations, want only the Callback's", n)
	}
}

// The decoder finds a packet well formed exactly where a strict general decoder does, and then gives the accounts that
// encoding/json gives.
func FuzzPacket(f *testing.F) {
	f.Add([]byte(packetOf(pairOf("a", "b") + "," + pairOf("b", "a"))))
	f.Add([]byte(`{"\u0050airList":[{"From_Account":"\ud83d\ude00","To_Account":"\\","x":[1.5e-7,{"y":null}]}],"EventTime":-0}`))
	f.Add([]byte(`{"a":1,"\u0061":2}`))
	f.Add([]byte("{\"PairList\":[{\"From_Account\":\"\xff\",\"To_Account\":\"\\ud800\"}]} "))
	for _, id := range hostile {
		f.Add([]byte(packetOf(pairOf(id, "b"))))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		d := decoder{s: text(body), index: noIndex}
		d.packet()
		object := jsontext.Value(body).Kind() == '{'
		tooDeep := d.problem != nil && strings.Contains(d.problem.Problem, "deeper")
		if valid := object && jsontext.Value(body).IsValid(); valid == d.unsound && !tooDeep {
			t.Fatalf("%q: well formed = %v, want %v (%v)", body, !d.unsound, valid, d.problem)
		}
		c, err := Parse("CallbackCommand="+Command, body, time.Time{})
		if err != nil {
			var e *Error
			if !errors.As(err, &e) || e.Outcome != BadRequest {
				t.Fatalf("%q: error = %v", body, err)
			}
			return
		}
		var packet map[string]json.RawMessage
		var pairs []map[string]json.RawMessage
		if err := json.Unmarshal(body, &packet); err != nil {
			t.Fatalf("%q: accepted, but %v", body, err)
		}
		if err := json.Unmarshal(packet["PairList"], &pairs); err != nil || len(pairs) != len(c.Pairs) {
			t.Fatalf("%q: %d pairs, want %d (%v)", body, len(c.Pairs), len(pairs), err)
		}
		for i, p := range pairs {
			var from, to string
			if json.Unmarshal(p["From_Account"], &from) != nil || json.Unmarshal(p["To_Account"], &to) != nil || c.Pairs[i] != (Pair{from, to}) {
				t.Fatalf("%q: pair %d is %q, want %q %q", body, i, c.Pairs[i], from, to)
			}
		}
	})
}
