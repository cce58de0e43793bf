package rules

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/aftermath-rules/aftermath/actions"
	"github.com/aftermath-rules/aftermath/callback"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// note is an action type as somebody else may have written it.
type note struct {
	Message actions.Text   `yaml:"message" required:"true" doc:"What to note."`
	Token   actions.Secret `yaml:"token" doc:"A secret."`
	CA      string         `yaml:"ca" doc:"A file."`
}

type noteAction struct{ note }

func (noteAction) Run(context.Context, *actions.Delivery) (actions.Result, error) {
	return actions.Result{}, nil
}

func registry(t testing.TB) *actions.Registry {
	t.Helper()
	reg, err := actions.NewRegistry(actions.Define("note", actions.Spec[note]{
		Summary: "Notes something.",
		New: func(c note, env actions.Env) (actions.Action, error) {
			if c.CA != "" {
				if _, err := env.ReadFile(c.CA); err != nil {
					return nil, &actions.FieldError{Field: "ca", Err: err}
				}
			}
			return noteAction{c}, nil
		},
	}))
	if err != nil {
		t.Fatal(err)
	}
	return reg
}

// write writes files below dir: paths and texts in turn.
func write(t testing.TB, dir string, pathsAndTexts ...string) {
	t.Helper()
	for i := 0; i < len(pathsAndTexts); i += 2 {
		path := filepath.Join(dir, pathsAndTexts[i])
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(pathsAndTexts[i+1]), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// rule is a rules file with one rule of that name.
func rule(name string) string {
	return "rules:\n  - name: " + name + "\n    condition: From_Account != To_Account\n    actions: [{type: note, message: hello}]\n"
}

func names(rs *RuleSet) string {
	var names []string
	for _, r := range rs.Rules {
		names = append(names, r.Name)
	}
	return strings.Join(names, " ")
}

func loader(t testing.TB, roots ...string) *Loader {
	return &Loader{Roots: roots, Registry: registry(t), Permit: Permit{Env: []string{"*"}}}
}

func load(t testing.TB, l *Loader) *RuleSet {
	t.Helper()
	rs, err := l.Load(t.Context(), nil)
	if err != nil {
		t.Fatalf("load:\n%v", err)
	}
	return rs
}

func packet(t testing.TB, query, body string) *callback.Callback {
	t.Helper()
	cb, err := callback.Parse(query, []byte(body), time.Date(2026, 11, 22, 8, 0, 0, 0, time.UTC))
	if err != nil {
		t.Fatal(err)
	}
	return cb
}
