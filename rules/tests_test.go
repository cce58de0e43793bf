package rules

import (
	"context"
	"fmt"
	"maps"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/aftermath-rules/aftermath/actions"
	"github.com/aftermath-rules/aftermath/callback"
	"github.com/aftermath-rules/aftermath/internal/secrets"
)

const listRules = `
lists: {vips: [a, b], staff: [c], unused: [x]}
rules:
  - {name: vip, condition: From_Account in vips, actions: [{type: note, message: hello}], stop: true}
  - {name: both, condition: From_Account in staff || To_Account in vips, actions: [{type: note, message: '{{ From_Account in vips || "c" in staff }}'}]}
  - {name: constant, condition: '"z" in vips && From_Account != ""', actions: [{type: note, message: hello}]}
  - {name: none, condition: Mutual || From_Account == "z", actions: [{type: note, message: hello}]}
  - {name: off, enabled: false, condition: From_Account in vips, actions: [{type: note, message: hello}]}
`

// A set with other values in its lists matches as one that was compiled with these values, and is as before afterwards.
func TestWithLists(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "a.yaml", listRules)
	l := &Loader{Roots: []string{dir}, Registry: registry(t), OpenLists: map[string]bool{"vips": true, "staff": true, "missing": true}}
	set, err := l.Load(t.Context(), nil)
	must(t, err)
	render := func(set *RuleSet) string {
		inst, _ := set.Action("both/note")
		fields, err := inst.Render(&actions.Delivery{Pair: callback.Pair{From: "z", To: "c"}})
		must(t, err)
		return fmt.Sprint(fields)
	}
	for _, values := range []map[string][]string{{"vips": {"z"}}, {"vips": {}}, {"staff": {"a", "z"}, "vips": {"c"}}, nil} {
		written := map[string][]string{"vips": {"a", "b"}, "staff": {"c"}, "unused": {"x"}}
		maps.Copy(written, values)
		compiledDir := t.TempDir()
		text := listRules
		for name, v := range written {
			text = regexp.MustCompile(name+`: \[.*?\]`).ReplaceAllString(text, name+": ["+strings.Join(v, ", ")+"]")
		}
		write(t, compiledDir, "a.yaml", text)
		compiled, err := (&Loader{Roots: []string{compiledDir}, Registry: registry(t)}).Load(t.Context(), nil)
		must(t, err)
		if !set.WithLists(values, func() {
			for _, from := range []string{"a", "b", "c", "z"} {
				for _, to := range []string{"a", "c", "z"} {
					cb := &callback.Callback{Pairs: []callback.Pair{{From: from, To: to}, {From: to, To: from}}}
					if diff := cmp.Diff(matched(compiled, cb), matched(set, cb)); diff != "" {
						t.Errorf("%v, %s -> %s (-compiled +with lists):\n%s", values, from, to, diff)
					}
				}
			}
			if want, got := render(compiled), render(set); want != got {
				t.Errorf("%v: rendered %s, compiled %s", values, got, want)
			}
		}) {
			t.Errorf("%v: refused", values)
		}
	}
	for _, values := range []map[string][]string{{"unused": nil}, {"vips": {"z"}, "missing": nil}} {
		if set.WithLists(values, func() { t.Errorf("%v: called", values) }) {
			t.Errorf("%v: said to be called", values)
		}
	}
	if got := strings.Join(matched(set, &callback.Callback{Pairs: []callback.Pair{{From: "a", To: "x"}}}), " "); got != "0:vip" {
		t.Errorf("the set itself has changed: it matches %s", got)
	}
}

func matched(rs *RuleSet, cb *callback.Callback) []string {
	var names []string
	for pair := range cb.Pairs {
		for _, m := range rs.Match(nil, cb, pair) {
			names = append(names, fmt.Sprintf("%d:%s", pair, m.Rule.Name))
		}
	}
	return names
}

// Tests are found among the rules as rules are, and by name.
func TestLoaderTests(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "b/x_test.yaml", "tests: []", "b/x.yaml", "rules: []", "a_test.yml", "# none", ".hidden_test.yaml", "x", "data/d_test.yaml", "x", "readme_test.txt", "x")
	t.Chdir(dir)
	for _, tt := range []struct {
		roots []string
		want  string
	}{
		{[]string{"."}, "a_test.yml b/x_test.yaml"},
		{[]string{"b"}, "b/x_test.yaml"},
		{[]string{"b/x_test.yaml", "b/x.yaml", "."}, "b/x_test.yaml a_test.yml"},
	} {
		l := &Loader{Roots: tt.roots, Exclude: []string{"data"}}
		files, err := l.Tests(t.Context())
		must(t, err)
		var names []string
		for _, f := range files {
			names = append(names, f.Name)
		}
		if got := strings.Join(names, " "); got != tt.want {
			t.Errorf("%v: got %s, want %s", tt.roots, got, tt.want)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := (&Loader{Roots: []string{"."}}).Tests(ctx); err == nil {
		t.Error("it went on after its context had ended")
	}
}

// Only the secrets of the action that is asked for are read.
func TestSecretsOfOneAction(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "a.yaml", `
actions:
  one: {type: note, message: hello, token: "${env:ONE}"}
  two: {type: note, message: hello, token: "${env:NO_SUCH_VARIABLE}"}
rules: [{name: all, condition: Mutual, actions: [one, two]}]
`)
	t.Setenv("ONE", "the-first-secret")
	l := &Loader{Roots: []string{dir}, Registry: registry(t), Permit: Permit{Env: []string{"*"}, SecretsOf: "one"}}
	mask := &secrets.Mask{}
	l.Mask = mask
	_, err := l.Load(t.Context(), nil)
	must(t, err)
	if got := mask.Text("the-first-secret"); got != secrets.Masked {
		t.Errorf("the secret of one was not read: the mask leaves %q", got)
	}
	l.Permit.SecretsOf = "two"
	if _, err := l.Load(t.Context(), nil); err == nil || !strings.Contains(err.Error(), "NO_SUCH_VARIABLE") {
		t.Errorf("two: %v", err)
	}
}
