package strictyaml

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/txtar"
	"gopkg.in/yaml.v3"
)

// sample has a field of every kind that the decoder knows.
type sample struct {
	Name      string            `yaml:"name"`
	Condition string            `yaml:"condition" text:"true"`
	Count     int               `yaml:"count"`
	Small     int8              `yaml:"small"`
	Port      uint16            `yaml:"port"`
	Ratio     float64           `yaml:"ratio"`
	Enabled   bool              `yaml:"enabled"`
	Wait      time.Duration     `yaml:"wait"`
	Limit     Size              `yaml:"limit"`
	Staff     []string          `yaml:"staff"`
	Codes     []int             `yaml:"codes"`
	Labels    map[string]string `yaml:"labels"`
	Nested    *nested           `yaml:"nested"`
	List      []nested          `yaml:"list"`
	Body      any               `yaml:"body"`
	Raw       *yaml.Node        `yaml:"raw"`
	Upper     upper             `yaml:"upper"`
	Common    `yaml:",inline"`
	Hidden    string `yaml:"-"`
	Untagged  string
}

type nested struct {
	A string `yaml:"a"`
	B int    `yaml:"b"`
}

// Common is inlined.
type Common struct {
	Level string `yaml:"level"`
}

// upper decodes itself.
type upper string

func (u *upper) UnmarshalNode(d *Decoder, n *yaml.Node) {
	if s, ok := d.Text(n); ok {
		if i := strings.IndexByte(s, '!'); i >= 0 {
			d.ProblemAt(n, i, "no exclamation marks")
		}
		*u = upper(strings.ToUpper(s))
	}
}

// TestProblems decodes the files of testdata/problems and compares what is reported with what stands below each.
func TestProblems(t *testing.T) {
	files, err := filepath.Glob("testdata/problems/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatal("no files", err)
	}
	for _, file := range files {
		archive, err := txtar.ParseFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for i := 0; i+1 < len(archive.Files); i += 2 {
			name := archive.Files[i].Name
			t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar")+"/"+name, func(t *testing.T) {
				got := problemsOf(archive.Files[i].Data)
				if diff := cmp.Diff(string(archive.Files[i+1].Data), got); diff != "" {
					t.Error(diff)
				}
				if os.Getenv("UPDATE") != "" {
					archive.Files[i+1].Data = []byte(got)
				}
			})
		}
		if os.Getenv("UPDATE") != "" {
			if err := os.WriteFile(file, txtar.Format(archive), 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// problemsOf gives what is wrong with a file, a line each: "ok" where nothing is.
func problemsOf(data []byte) string {
	doc, err := Parse("f", data)
	var ps Problems
	errors.As(err, &ps)
	if doc != nil {
		d := &Decoder{Doc: doc, Expand: refuseSecrets}
		d.DecodeFile(&sample{})
		ps = append(ps, d.Problems()...).Sorted()
	}
	if len(ps) == 0 {
		return "ok\n"
	}
	return strings.ReplaceAll(ps.Error()+"\n", "f:", "")
}

type refusal struct{ at int }

func (r *refusal) Error() string { return "no such secret" }
func (r *refusal) Offset() int   { return r.at }

func refuseSecrets(s string) (string, error) {
	if i := strings.Index(s, "${"); i >= 0 {
		return "", fmt.Errorf("wrapped: %w", &refusal{i})
	}
	return s, nil
}

func decode(t *testing.T, src string, into any) {
	t.Helper()
	doc, err := Parse("f", []byte(src))
	if err != nil {
		t.Fatal(err)
	}
	d := &Decoder{Doc: doc}
	d.DecodeFile(into)
	if ps := d.Problems(); len(ps) > 0 {
		t.Fatal(ps)
	}
}

func TestDecode(t *testing.T) {
	got := sample{Name: "default", Ratio: 7, Labels: map[string]string{"old": "1"}, Nested: &nested{A: "kept", B: 1}, Staff: []string{"old"}}
	decode(t, `
version: 1
x-shared: &shared {b: 2}
condition: 'a == "b" # no comment'
count: -12
small: 127
port: 65535
enabled: true
wait: 1h30m
limit: 1MiB
untagged: &who me
staff: [alice, 211172, 010, yes, null, ~, 1.50, 2024-01-01, 0x1F, "", <<, *who]
codes: [400, 404]
labels: {team: care, n: 010, on: off}
nested: *shared
list:
  - {<<: *shared, a: x}
  - {<<: [{a: first, b: 5}, {a: second}], b: 3}
body: {s: text, i: 7, f: 0.5, t: true, n: null, q: "7", zero: 010, list: [1, a]}
upper: loud
level: warn
`[1:], &got)
	want := sample{
		Name: "default", Ratio: 7, Condition: `a == "b" # no comment`, Count: -12, Small: 127, Port: 65535, Enabled: true,
		Wait: 90 * time.Minute, Limit: 1 << 20,
		Staff:  []string{"alice", "211172", "010", "yes", "null", "~", "1.50", "2024-01-01", "0x1F", "", "<<", "me"},
		Codes:  []int{400, 404},
		Labels: map[string]string{"team": "care", "n": "010", "on": "off"},
		Nested: &nested{A: "kept", B: 2},
		List:   []nested{{A: "x", B: 2}, {A: "first", B: 3}},
		Body: map[string]any{"s": "text", "i": int64(7), "f": 0.5, "t": true, "n": nil, "q": "7", "zero": "010",
			"list": []any{int64(1), "a"}},
		Upper: "LOUD", Common: Common{"warn"}, Untagged: "me",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestFilesWithoutContentLeaveEverythingAsItIs(t *testing.T) {
	for _, src := range []string{"", "\n", "# a comment\n", "---\n", "\ufeff# with a byte order mark\n", "--- # nothing\n...\n"} {
		got := sample{Name: "kept"}
		decode(t, src, &got)
		if got.Name != "kept" {
			t.Errorf("%q: %+v", src, got)
		}
		if doc, _ := Parse("f", []byte(src)); doc.Root != nil {
			t.Errorf("%q has a root", src)
		}
	}
}

func TestExpandPutsSecretsIntoStringsOnly(t *testing.T) {
	doc, err := Parse("f", []byte("name: a\nstaff: [a, b]\nlabels: {a: b}\ncondition: a\nbody: {a: [b]}\nraw: a\n"))
	if err != nil {
		t.Fatal(err)
	}
	var got sample
	var sections []string
	d := &Decoder{Doc: doc, Expand: func(s string) (string, error) { return "<" + s + ">", nil },
		Section: func(name string) { sections = append(sections, name) }}
	d.DecodeFile(&got)
	got.Raw = nil
	want := sample{Name: "<a>", Staff: []string{"<a>", "<b>"}, Labels: map[string]string{"a": "<b>"}, Condition: "<a>",
		Body: map[string]any{"a": []any{"<b>"}}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]string{"name", "staff", "labels", "condition", "body", "raw"}, sections); diff != "" {
		t.Error(diff)
	}
}

func TestKeyAndPairs(t *testing.T) {
	doc, err := Parse("f", []byte("b: 1\na: 2\n"))
	if err != nil {
		t.Fatal(err)
	}
	d := &Decoder{Doc: doc}
	if key, value := d.Key(doc.Root, "a"); key.Line != 2 || value.Value != "2" {
		t.Error(key, value)
	}
	if key, value := d.Key(doc.Root, "c"); key != nil || value != nil {
		t.Error(key, value)
	}
	var order string
	for key := range Pairs(doc.Root) {
		order += key.Value
	}
	for range Pairs(nil) {
		t.Error("nil has pairs")
	}
	if order != "ba" {
		t.Error(order)
	}
}

func TestWarningsAreNoErrors(t *testing.T) {
	doc, _ := Parse("f", []byte("a: 1\n"))
	d := &Decoder{Doc: doc}
	d.Warnf(doc.Root, "odd")
	if got := d.Problems().Error(); got != "f:1:1: warning: odd" || d.Faulty(doc.Root) {
		t.Error(got)
	}
	d.Problemf(doc.Root, "wrong")
	if !d.Faulty(doc.Root) {
		t.Error("the value does not count as faulty")
	}
}
