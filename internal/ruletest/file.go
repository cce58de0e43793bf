package ruletest

import (
	"errors"
	"time"

	"gopkg.in/yaml.v3"

	"github.com/aftermath-rules/aftermath/callback"
	"github.com/aftermath-rules/aftermath/internal/strictyaml"
)

// What a test's callback has where the test does not say it.
const (
	defaultSdkAppid = 1400000000
	defaultTime     = "2026-01-01T00:00:00Z"
)

// Test is one rule test as it is written.
type Test struct {
	File         string
	Line, Column int // of its first line
	Name         string
	Callback     *callback.Callback
	Lists        map[string][]string // values that replace those of lists of these names
	Want         []Want
}

// Lists names the lists into which the tests put values of their own.
func Lists(tests []*Test) map[string]bool {
	names := map[string]bool{}
	for _, t := range tests {
		for name := range t.Lists {
			names[name] = true
		}
	}
	return names
}

// Want is a rule that a test expects to match.
type Want struct {
	Rule    string
	Line    int
	Pair    int
	Actions []string // nil where the test does not say
	Render  []Rendered
}

// Rendered is what a test expects of a field of an action.
type Rendered struct {
	Field string // such as log.message
	Text  string // as it is written, of a scalar
	Value any    // of any other node, and of a scalar by its YAML type
	plain bool   // it is a scalar
}

// Parse reads one file of rule tests. The error is strictyaml.Problems; the tests that are sound come with it.
func Parse(name string, data []byte) ([]*Test, error) {
	if len(data) == 0 {
		return nil, strictyaml.Problems{{File: name, Line: 1, Column: 1,
			Message: "the file is empty, as if half-written; a file without tests holds at least a comment"}}
	}
	doc, err := strictyaml.Parse(name, data)
	var problems strictyaml.Problems
	errors.As(err, &problems)
	for i := range problems {
		problems[i].Line, problems[i].Column = max(problems[i].Line, 1), max(problems[i].Column, 1)
	}
	if doc == nil {
		return nil, problems
	}
	p := &parser{dec: &strictyaml.Decoder{Doc: doc}}
	tests := p.file()
	if len(problems) > 0 {
		tests = nil // a node that is broken in itself is not reported again, so that no test is known to be sound
	}
	for _, found := range p.dec.Problems() {
		if !found.Warning {
			problems = append(problems, found)
		}
	}
	if len(problems) > 0 {
		return tests, problems.Sorted()
	}
	return tests, nil
}

type parser struct{ dec *strictyaml.Decoder }

func (p *parser) file() []*Test {
	var top struct {
		Tests []*yaml.Node `yaml:"tests"`
	}
	p.dec.DecodeFile(&top)
	var tests []*Test
	for _, n := range top.Tests {
		before := p.errors()
		// What was reported before, of a node that stands in two places, is not reported again.
		if t := p.test(n); p.errors() == before && t.Callback != nil {
			tests = append(tests, t)
		}
	}
	return tests
}

func (p *parser) errors() int { return len(p.dec.Problems()) }

func (p *parser) test(n *yaml.Node) *Test {
	var in struct {
		Name     string              `yaml:"name"`
		Callback *yaml.Node          `yaml:"callback"`
		Lists    map[string][]string `yaml:"lists"`
		Matches  *yaml.Node          `yaml:"matches"`
	}
	p.dec.Decode(n, &in)
	t := &Test{File: p.dec.Doc.File, Line: n.Line, Column: n.Column, Name: in.Name, Lists: in.Lists}
	if n.Kind != yaml.MappingNode {
		return t // which was reported
	}
	if _, at := p.dec.Key(n, "name"); at == nil {
		p.dec.Problemf(n, "this test has no name")
	}
	if in.Callback == nil {
		p.dec.Problemf(n, "this test has no callback, such as {PairList: [{From_Account: alice, To_Account: bob}]}")
	} else {
		t.Callback = p.callback(in.Callback)
	}
	if in.Matches == nil {
		p.dec.Problemf(n, "this test has no matches: list the rules that match, or write [] for none")
	} else if t.Callback != nil {
		t.Want = p.matches(in.Matches, len(t.Callback.Pairs))
	}
	return t
}

// callback reads the packet of a test, with what conditions see of its query.
func (p *parser) callback(n *yaml.Node) *callback.Callback {
	in := struct {
		SdkAppid        int64        `yaml:"SdkAppid"`
		CallbackCommand string       `yaml:"CallbackCommand"`
		ClientIP        string       `yaml:"ClientIP"`
		OptPlatform     string       `yaml:"OptPlatform"`
		RequestID       string       `yaml:"RequestId"`
		Time            instant      `yaml:"Time"`
		PairList        []*yaml.Node `yaml:"PairList"`
	}{SdkAppid: defaultSdkAppid, CallbackCommand: callback.Command}
	in.Time.Time, _ = time.Parse(time.RFC3339, defaultTime)
	p.dec.Decode(n, &in)
	_, command := p.dec.Key(n, "CallbackCommand")
	_, pairs := p.dec.Key(n, "PairList")
	switch {
	case n.Kind != yaml.MappingNode: // reported
	case in.CallbackCommand != callback.Command:
		p.dec.Problemf(command, "rules see %s callbacks only", callback.Command)
	case pairs == nil:
		p.dec.Problemf(n, "the callback has no PairList, such as [{From_Account: alice, To_Account: bob}]")
	}
	cb := &callback.Callback{
		SdkAppid: in.SdkAppid, CallbackCommand: in.CallbackCommand, ClientIP: in.ClientIP, OptPlatform: in.OptPlatform,
		RequestId: in.RequestID, Received: in.Time.UTC(),
	}
	for _, at := range in.PairList {
		cb.Pairs = append(cb.Pairs, p.pair(at))
	}
	return cb
}

func (p *parser) pair(n *yaml.Node) callback.Pair {
	var in struct {
		From string `yaml:"From_Account"`
		To   string `yaml:"To_Account"`
	}
	before := p.errors()
	p.dec.Decode(n, &in)
	if p.errors() == before && (in.From == "" || in.To == "") {
		p.dec.Problemf(n, "a pair has a From_Account and a To_Account, neither of them empty")
	}
	return callback.Pair{From: in.From, To: in.To}
}

func (p *parser) matches(n *yaml.Node, pairs int) []Want {
	var entries []*yaml.Node
	p.dec.Decode(n, &entries)
	wants := make([]Want, 0, len(entries))
	for _, at := range entries {
		wants = append(wants, p.want(at, pairs))
	}
	return wants
}

func (p *parser) want(n *yaml.Node, pairs int) Want {
	var in struct {
		Rule    string     `yaml:"rule"`
		Pair    int        `yaml:"pair"`
		Actions []string   `yaml:"actions"`
		Render  *yaml.Node `yaml:"render"`
	}
	p.dec.Decode(n, &in)
	w := Want{Rule: in.Rule, Line: n.Line, Pair: in.Pair, Actions: in.Actions}
	if n.Kind != yaml.MappingNode {
		return w
	}
	if _, at := p.dec.Key(n, "rule"); at == nil {
		p.dec.Problemf(n, "this match names no rule")
	}
	switch _, at := p.dec.Key(n, "pair"); {
	case at == nil && pairs > 1:
		p.dec.Problemf(n, "this match does not say which pair: the callback has %d, numbered from 0", pairs)
	case at != nil && !p.dec.Faulty(at) && (in.Pair < 0 || in.Pair >= pairs):
		p.dec.Problemf(at, "there is no pair %d: the callback has %d, numbered from 0", in.Pair, pairs)
	case at == nil && pairs == 0:
		p.dec.Problemf(n, "nothing can match: the callback has no pairs")
	}
	if in.Render == nil {
		return w
	}
	if in.Render.Kind != yaml.MappingNode {
		p.dec.Problemf(in.Render, "render is a mapping of ACTION.FIELD to what it comes out as, such as {log.message: hello}")
	}
	for key, value := range strictyaml.Pairs(in.Render) {
		r := Rendered{Field: key.Value, plain: value.Kind == yaml.ScalarNode}
		if r.plain {
			r.Text = value.Value
		}
		p.dec.Decode(value, &r.Value)
		w.Render = append(w.Render, r)
	}
	return w
}

// instant is a time as a test writes it.
type instant struct{ time.Time }

func (t *instant) UnmarshalNode(d *strictyaml.Decoder, n *yaml.Node) {
	text, ok := d.Scalar(n)
	if !ok {
		return
	}
	for _, layout := range []string{time.RFC3339Nano, time.DateOnly} {
		if at, err := time.Parse(layout, text); err == nil {
			t.Time = at
			return
		}
	}
	d.Problemf(n, "%q is no time such as 2026-11-22T08:00:00Z", text)
}
