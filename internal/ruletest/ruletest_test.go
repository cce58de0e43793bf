package ruletest

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/aftermath-rules/aftermath/internal/schema/schematest"
	"github.com/aftermath-rules/aftermath/internal/strictyaml"
	"github.com/aftermath-rules/aftermath/rules"
)

// A callback has what its test says, and defaults for the rest.
func TestCallback(t *testing.T) {
	tests, err := Parse("a_test.yaml", []byte(`tests:
  - {name: all, callback: {SdkAppid: 7, CallbackCommand: Sns.CallbackFriendDelete, ClientIP: "::1", OptPlatform: Web, RequestId: 010,
      Time: 2026-11-22T08:00:00+08:00, PairList: [{From_Account: 211172, To_Account: yes}]}, matches: []}
  - {name: none, callback: {PairList: []}, matches: []}
`))
	if err != nil {
		t.Fatal(err)
	}
	cb := tests[0].Callback
	if cb.SdkAppid != 7 || cb.ClientIP != "::1" || cb.OptPlatform != "Web" || cb.RequestId != "010" || cb.Pairs[0].From != "211172" || cb.Pairs[0].To != "yes" ||
		!cb.Received.Equal(time.Date(2026, 11, 22, 0, 0, 0, 0, time.UTC)) || cb.Received.Location() != time.UTC {
		t.Errorf("got %+v", cb)
	}
	if cb := tests[1].Callback; cb.SdkAppid != 1400000000 || cb.CallbackCommand != "Sns.CallbackFriendDelete" || cb.ClientIP+cb.OptPlatform+cb.RequestId != "" ||
		!cb.Received.Equal(time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)) || len(cb.Pairs) != 0 {
		t.Errorf("got %+v", cb)
	}
}

// Everything that is wrong with a file is reported at its place, and its sound tests are kept.
func TestProblems(t *testing.T) {
	tests, err := Parse("a_test.yaml", []byte(`tests:
  - name: sound
    callback: {PairList: [{From_Account: a, To_Account: b}]}
    matches: []
  - callback: {PairList: [{From_Account: a}], Platform: iOS}
    matches: {}
  - name: x
    callback: {CallbackCommand: Sns.CallbackFriendAdd, PairList: [{From_Account: a, To_Account: b}, {From_Account: b, To_Account: a}]}
    matches:
      - {rule: r}
      - {rule: r, pair: 2}
      - {pair: 0, render: [x]}
      - r
  - name: y
    callback: {Time: noon}
    lists: {vips: x}
  - z
more: 1
`))
	var problems strictyaml.Problems
	if !errors.As(err, &problems) {
		t.Fatal(err)
	}
	var got []string
	for _, p := range problems {
		got = append(got, fmt.Sprintf("%d:%d: %s", p.Line, p.Column, p.Message))
	}
	want := []string{
		`5:5: this test has no name`,
		`5:27: a pair has a From_Account and a To_Account, neither of them empty`,
		`5:47: unknown key "Platform"`,
		`6:14: must be a list, not a mapping`,
		`8:33: rules see Sns.CallbackFriendDelete callbacks only`,
		`10:9: this match does not say which pair: the callback has 2, numbered from 0`,
		`11:25: there is no pair 2: the callback has 2, numbered from 0`,
		`12:9: this match names no rule`,
		`12:27: render is a mapping of ACTION.FIELD to what it comes out as, such as {log.message: hello}`,
		`13:9: must be a mapping, not a text`,
		`14:5: this test has no matches: list the rules that match, or write [] for none`,
		`15:15: the callback has no PairList, such as [{From_Account: alice, To_Account: bob}]`,
		`15:22: "noon" is no time such as 2026-11-22T08:00:00Z`,
		`16:19: must be a list, not a text`,
		`17:5: must be a mapping, not a text`,
		`18:1: unknown key "more"`,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if len(tests) != 1 || tests[0].Name != "sound" {
		t.Errorf("kept %+v", tests)
	}
}

// An editor takes what Parse takes, and refuses what it refuses.
func TestSchema(t *testing.T) {
	schema := schematest.Compile(t, Schema())
	for _, src := range []string{
		"version: 1\nx-note: a\ntests: []\n",
		"tests: [{name: a, callback: {SdkAppid: 7, Time: '2026-11-22T08:00:00Z', PairList: [{From_Account: 1, To_Account: b}]}, lists: {vips: [1, a]},\n matches: [{rule: r, pair: 0, actions: [log], render: {log.message: x, crm.body: {a: 1}}}]}]\n",
		"tests: [{name: a, callback: {PairList: []}}]\n",
		"tests: [{name: a, matches: []}]\n",
		"tests: [{name: a, callback: {PairList: []}, matches: [], more: 1}]\n",
		"tests: [{name: a, callback: {PairList: [{From_Account: a}]}, matches: []}]\n",
		"tests: [{name: a, callback: {PairList: [], CallbackCommand: x}, matches: []}]\n",
		"more: 1\n",
	} {
		_, parsed := Parse("a_test.yaml", []byte(src))
		if valid := schema.Validate([]byte(src)); (valid == nil) != (parsed == nil) {
			t.Errorf("%s: the schema says %v, Parse %v", src, valid, parsed)
		}
	}
}

// FuzzParse reads any bytes as a file of tests: it gives tests that can be run, or problems with places.
func FuzzParse(f *testing.F) {
	f.Add([]byte("tests: [{name: a, callback: {PairList: [{From_Account: a, To_Account: b}]}, matches: [{rule: r, render: {log.message: x}}]}]\n"))
	f.Add([]byte("tests:\n  - &a {name: a, callback: {Time: 2026-11-22T08:00:00Z, PairList: []}, matches: []}\n  - *a\n"))
	f.Add([]byte("tests: {a: b}\n---\n"))
	f.Add([]byte(""))
	f.Fuzz(func(t *testing.T, data []byte) {
		tests, err := Parse("a_test.yaml", data)
		var problems strictyaml.Problems
		if err != nil && (!errors.As(err, &problems) || len(problems) == 0) {
			t.Fatalf("an error without problems: %v", err)
		}
		for _, p := range problems {
			if p.Line < 1 || p.Column < 1 || p.Message == "" {
				t.Fatalf("a problem without a place: %+v", p)
			}
		}
		for _, test := range tests {
			if test.Callback == nil || test.Line < 1 {
				t.Fatalf("a test that cannot be run: %+v", test)
			}
			for _, w := range test.Want {
				if w.Pair < 0 || w.Pair >= len(test.Callback.Pairs) {
					t.Fatalf("a match of pair %d of %d", w.Pair, len(test.Callback.Pairs))
				}
			}
		}
	})
}

// A set whose lists are not open is loaded again once, with those open that tests replace; the others run against the set itself.
func TestRunnerOpensLists(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "a.yaml", `lists: {vips: [a], staff: [b]}
rules: [{name: r, condition: From_Account in vips || From_Account in staff, actions: [{type: log, message: '{{ From_Account in vips }}'}]}]
`)
	load := func(open map[string]bool) *rules.RuleSet {
		set, err := (&rules.Loader{Roots: []string{dir}, Registry: registry(t), OpenLists: open}).Load(t.Context(), nil)
		if err != nil {
			t.Fatal(err)
		}
		return set
	}
	tests, err := Parse("a_test.yaml", []byte(`tests:
  - {name: as it is, callback: {PairList: [{From_Account: a, To_Account: x}]}, matches: [{rule: r, render: {log.message: "true"}}]}
  - {name: replaced, lists: {vips: [z]}, callback: {PairList: [{From_Account: z, To_Account: x}]}, matches: [{rule: r, render: {log.message: "true"}}]}
  - {name: emptied, lists: {vips: []}, callback: {PairList: [{From_Account: a, To_Account: x}]}, matches: []}
  - {name: both, lists: {vips: [], staff: [y]}, callback: {PairList: [{From_Account: y, To_Account: x}]}, matches: [{rule: r, render: {log.message: "false"}}]}
  - {name: as it was, callback: {PairList: [{From_Account: b, To_Account: x}]}, matches: [{rule: r}]}
`))
	if err != nil {
		t.Fatal(err)
	}
	loads := 0
	runner := &Runner{Set: load(nil), Open: func(_ context.Context, lists map[string]bool) (*rules.RuleSet, error) {
		loads++
		return load(lists), nil
	}}
	for _, one := range tests {
		if res, err := runner.Run(t.Context(), one); err != nil || !res.Passed {
			t.Errorf("%s: %v, %s %v", one.Name, err, res.Why, res.Rows)
		}
	}
	if loads != 2 {
		t.Errorf("the rules were loaded %d times, for two sets of lists", loads)
	}
}
