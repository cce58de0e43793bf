package schema

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/aftermath-rules/aftermath/internal/schema/schematest"
	"github.com/aftermath-rules/aftermath/internal/strictyaml"
)

type rate struct{}

func (rate) JSONSchema() map[string]any {
	return map[string]any{"type": "string", "pattern": "^[0-9]+/s$"}
}

type shared struct {
	Host string `yaml:"host" doc:"The host."`
}

type config struct {
	Name   string            `yaml:"name" required:"true" doc:"The name."`
	Level  string            `yaml:"level" enum:"low,high"`
	Wait   time.Duration     `yaml:"wait"`
	Max    strictyaml.Size   `yaml:"max"`
	Rate   rate              `yaml:"rate"`
	Labels map[string]string `yaml:"labels"`
	Codes  []int             `yaml:"codes"`
	Port   uint16            `yaml:"port"`
	Ratio  float64           `yaml:"ratio"`
	On     *bool             `yaml:"on"`
	Any    any               `yaml:"any"`
	Nested struct {
		Deep bool `yaml:"deep"`
	} `yaml:"nested"`
	Inlined shared `yaml:",inline"`
	Skipped int    `yaml:"-"`
}

func TestOf(t *testing.T) {
	got := Of(&config{Level: "low", Wait: 90 * time.Second, Max: 1 << 20, Port: 25, Inlined: shared{"h"}})
	want := map[string]any{
		"type": "object", "additionalProperties": false, "required": []string{"name"},
		"properties": map[string]any{
			"name":   map[string]any{"type": "string", "description": "The name."},
			"level":  map[string]any{"type": "string", "enum": []string{"low", "high"}, "default": "low"},
			"wait":   map[string]any{"type": "string", "pattern": DurationPattern, "default": "90s"},
			"max":    withString(strictyaml.Size(0).JSONSchema(), "1MiB"),
			"rate":   map[string]any{"type": "string", "pattern": "^[0-9]+/s$"},
			"labels": map[string]any{"type": "object", "additionalProperties": map[string]any{"type": "string"}},
			"codes":  map[string]any{"type": "array", "items": map[string]any{"type": "integer"}},
			"port":   map[string]any{"type": "integer", "minimum": 0, "default": uint16(25)},
			"ratio":  map[string]any{"type": "number"},
			"on":     map[string]any{"type": "boolean"},
			"any":    map[string]any{},
			"nested": map[string]any{"type": "object", "additionalProperties": false, "properties": map[string]any{"deep": map[string]any{"type": "boolean"}}},
			"host":   map[string]any{"type": "string", "description": "The host.", "default": "h"},
		},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func withString(s map[string]any, def string) map[string]any {
	s["default"] = def
	return s
}

// The schema must agree with the decoder on what is a value and what is not.
func TestSchemaJudgesAsTheDecoderDoes(t *testing.T) {
	for _, c := range []struct {
		yaml string
		ok   bool
	}{
		{`{"name": "a"}`, true},
		{`{"name": "a", "wait": "1m30s", "max": "1MiB", "level": "high", "codes": [1], "nested": {"deep": true}, "host": "x"}`, true},
		{`{"name": "a", "wait": "7d"}`, true},
		{`{"name": "a", "wait": "1.5h"}`, true},
		{`{"name": "a", "wait": 30}`, false},
		{`{"name": "a", "wait": "soon"}`, false},
		{`{"name": "a", "max": "many"}`, false},
		{`{"name": "a", "codes": ["x"]}`, false},
		{`{"name": "a", "port": -1}`, false},
		{`{"name": "a", "nme": "b"}`, false},
		{`{"name": "a", "nested": {"dep": true}}`, false},
		{`{"name": "a", "labels": {"a": "b"}, "ratio": 0.5, "on": false}`, true},
	} {
		t.Run(c.yaml, func(t *testing.T) {
			doc, err := strictyaml.Parse("c.yaml", []byte(c.yaml))
			if err != nil {
				t.Fatal(err)
			}
			dec := &strictyaml.Decoder{Doc: doc}
			dec.Decode(doc.Root, &struct {
				Name   string            `yaml:"name"`
				Level  string            `yaml:"level"`
				Wait   time.Duration     `yaml:"wait"`
				Max    strictyaml.Size   `yaml:"max"`
				Labels map[string]string `yaml:"labels"`
				Codes  []int             `yaml:"codes"`
				Port   uint16            `yaml:"port"`
				Ratio  float64           `yaml:"ratio"`
				On     *bool             `yaml:"on"`
				Host   string            `yaml:"host"`
				Nested struct {
					Deep bool `yaml:"deep"`
				} `yaml:"nested"`
			}{})
			if ok := len(dec.Problems()) == 0; ok != c.ok {
				t.Errorf("the decoder says %v", dec.Problems())
			}
			if err := schematest.Compile(t, Of(config{})).Validate([]byte(c.yaml)); (err == nil) != c.ok {
				t.Errorf("the schema says %v", err)
			}
		})
	}
}
