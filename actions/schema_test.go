package actions

import (
	"fmt"
	"strings"
	"testing"

	"github.com/aftermath-rules/aftermath/internal/schema/schematest"
)

// The schema that an editor uses and the decoder that serve uses must say the same of an action.
func TestSchemaAgreesWithBuild(t *testing.T) {
	other := Define("other", Spec[struct {
		Must Text `yaml:"must" required:"true"`
	}]{New: func(struct {
		Must Text `yaml:"must" required:"true"`
	}, Env) (Action, error) {
		return &probeAction{}, nil
	}})
	reg := registry(t, probeType(), other)
	s := schematest.Compile(t, reg.Schema())
	for _, c := range []struct {
		action string
		ok     bool
	}{
		{"{type: probe}", true},
		{"{type: probe, name: mine, timeout: 3s, retry: {for: 7d, permanent: [404]}, concurrency: 3, rate: 5/m, dry_run: true}", true},
		{"{type: probe, text: 5, to: [a@b.example], headers: {X: y}, tree: {a: [1]}, secret: x, nested: {n: 1, text: x}}", true},
		{"{type: other, must: x}", true},
		{"{type: other}", false},
		{"{type: nothing}", false},
		{"{text: x}", false},
		{"{type: probe, must: x}", false},
		{"{type: probe, tiemout: 3s}", false},
		{"{type: probe, level: middle}", false},
		{"{type: probe, rate: 5}", false},
		{"{type: probe, rate: 0/s}", false},
		{"{type: probe, timeout: soon}", false},
		{"{type: probe, to: a@b.example}", false},
		{"{type: probe, nested: {m: 1}}", false},
	} {
		t.Run(c.action, func(t *testing.T) {
			if err := s.Validate([]byte(c.action)); (err == nil) != c.ok {
				t.Errorf("the schema says %v", err)
			}
			withoutName := strings.Replace(c.action, " name: mine,", "", 1) // the rules file's own key
			if problems := buildWith(t, reg, withoutName); (problems == "") != c.ok {
				t.Errorf("Build says %q", problems)
			}
		})
	}
	text := fmt.Sprint(reg.Schema())
	for _, want := range []string{"For tests.", "How long one attempt may take.", "15s", "72h"} {
		if !strings.Contains(text, want) {
			t.Errorf("the schema does not hold %q", want)
		}
	}
}
