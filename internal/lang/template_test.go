package lang

import (
	"reflect"
	"strings"
	"testing"
	"time"
)

// render writes a template as a text action does.
func render(t testing.TB, src string, v *Vars) string {
	t.Helper()
	tmpl, errs := CompileTemplate(src, sampleScope())
	if errs != nil {
		t.Fatalf("%s: %v", src, messages(errs))
	}
	var b strings.Builder
	for _, s := range tmpl.Segments {
		if s.Program == nil {
			b.WriteString(s.Literal)
			continue
		}
		value, err := s.Program.Eval(v)
		if err != nil {
			t.Fatalf("%s: %v", src, err)
		}
		b.WriteString(Format(value))
	}
	return b.String()
}

func TestTemplate(t *testing.T) {
	tests := []struct{ name, template, want string }{
		{"empty", ``, ``},
		{"no expression", `plain text`, `plain text`},
		{"contract example", `VIP {{ From_Account }} removed {{ To_Account }}`, `VIP vip_1 removed bøb`},
		{"without spaces", `{{From_Account}}`, `vip_1`},
		{"joined", `{{ From_Account + "/" + To_Account }}`, `vip_1/bøb`},
		{"int", `{{ PairIndex + 1 }} of {{ PairCount }}`, `2 of 3`},
		{"float", `{{ PairCount / 2 }}`, `1.5`},
		{"bool", `{{ From_Account in vips }}`, `true`},
		{"time", `{{ Time }}`, `2026-11-22T20:30:00Z`},
		{"time in a zone", `{{ inZone(Time, "Asia/Shanghai") }}`, `2026-11-23T04:30:00+08:00`},
		{"rule", `{{ Rule.Name }}`, `vip-lost-a-friend`},
		{"label", `{{ Rule.Labels.team }} {{ Rule.Labels["team"] }}`, `care care`},
		{"label that is not there", `[{{ Rule.Labels.nobody }}]`, `[]`},
		{"in the labels", `{{ "team" in Rule.Labels }}`, `true`},
		{"labels", `{{ Rule.Labels }}`, `{"team":"care"}`},
		{"delivery", `{{ Delivery.ID }} #{{ Delivery.Attempt }}`, `d-1 #2`},
		{"{{ itself", `{{ "{{" }} x }}`, `{{ x }}`},
		{"}} in a string", `{{ "}}" }}{{ '}}' }}` + "{{ `}}` }}", `}}}}}}`},
		{"escaped quote", `{{ "a\"}}" + 'b\'}}' }}`, `a"}}b'}}`},
		{"doubled backtick", "{{ `a``}}` }}", "a`}}"},
		{"}} alone", `a }} b`, `a }} b`},
		{"} and {", `{ a } { {`, `{ a } { {`},
		{"ternary", `{{ Mutual ? "both" : "one" }} way`, `both way`},
		{"many lines", "a\n{{\n  From_Account\n}}\nb", "a\nvip_1\nb"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := render(t, tt.template, sampleVars()); got != tt.want {
				t.Errorf("%s gives %q; want %q", tt.template, got, tt.want)
			}
		})
	}
}

func TestTemplateKinds(t *testing.T) {
	tests := []struct {
		template string
		kind     Kind
		value    any
	}{
		{`{{ From_Account }}`, String, "vip_1"},
		{`{{ SdkAppid }}`, Int, 1400000000},
		{`{{ PairCount / 2 }}`, Float, 1.5},
		{`{{ max(PairCount, 2) }}`, Int, 3},
		{`{{ max(PairCount, 2.5) }}`, Float, 3.0},
		{`{{ Time.Weekday() }}`, Int, 0},
		{`{{ Mutual }}`, Bool, true},
		{`{{ Time }}`, Time, time.Date(2026, 11, 22, 20, 30, 0, 0, time.UTC)},
		{`{{ Rule.Labels }}`, Map, map[string]string{"team": "care"}},
	}
	for _, tt := range tests {
		t.Run(tt.template, func(t *testing.T) {
			tmpl, errs := CompileTemplate(tt.template, nil)
			if errs != nil {
				t.Fatal(messages(errs))
			}
			p := tmpl.Segments[0].Program
			value, err := p.Eval(sampleVars())
			if err != nil || p.Kind() != tt.kind || !reflect.DeepEqual(value, tt.value) {
				t.Errorf("kind %v, value %#v, %v; want %v, %#v", p.Kind(), value, err, tt.kind, tt.value)
			}
		})
	}
}

func TestTemplateErrors(t *testing.T) {
	tests := []struct{ name, template, at, message string }{
		{"misspelt name", `VIP {{ From_Acount }}`, "From_Acount", "did you mean From_Account?"},
		{"misspelt name after many bytes", "é€😀\n{{ \"é\" + To_Acount }}", "To_Acount", "did you mean To_Account?"},
		{"misspelt field", `{{ Rule.Nmae }}`, "Nmae", "unknown name Rule.Nmae; there is Rule.Name or Rule.Labels"},
		{"half a name", `{{ Rule }}`, "Rule", "write Rule.Name or Rule.Labels"},
		{"delivery's field", `{{ Delivery.Id }}`, "Id", "there is Delivery.ID or Delivery.Attempt"},
		{"map closed next to the end", `{{ From_Account in {"vip_1": 1}}}`, "{\"", "a map is not part of the language"},
		{"not closed", `a {{ From_Account`, "{{", "{{ is not closed"},
		{"not closed for a string", `a {{ "b }} c`, `"b`, "a string is opened and not closed"},
		{"empty", `a {{ }} b`, "{{", "empty {{ }}"},
		{"nothing at all", `{{}}`, "{{", "empty {{ }}"},
		{"go template", `{{ .From_Account }}`, ".", "without a dot"},
		{"a list", `{{ vips }}`, "vips", "list vips goes only right of in"},
		{"an array", `{{ ["a"] }}`, "[", "an array goes only right of in"},
		{"nil", `{{ nil }}`, "nil", "there is no nil"},
		{"type", `{{ From_Account + 1 }}`, "+", "+ cannot join a string and an int"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, errs := CompileTemplate(tt.template, sampleScope())
			if len(errs) != 1 || !strings.Contains(errs[0].Message, tt.message) || !strings.HasPrefix(tt.template[errs[0].Offset:], tt.at) {
				t.Fatalf("%s: %v; want one at %q that holds %q", tt.template, describe(tt.template, errs), tt.at, tt.message)
			}
		})
	}
}

// describe says errors with the source from where they are.
func describe(src string, errs []*Error) []string {
	var d []string
	for _, e := range errs {
		d = append(d, e.Message+" at "+src[e.Offset:])
	}
	return d
}
