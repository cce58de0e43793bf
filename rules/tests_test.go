package rules

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/aftermath-rules/aftermath/callback"
	"github.com/aftermath-rules/aftermath/internal/secrets"
)

const listRules = `
lists: {vips: [a, b], staff: [c], unused: [x]}
rules:
  - {name: vip, condition: From_Account in vips, actions: [{type: note, message: hello}], stop: true}
  - {name: both, condition: From_Account in staff || To_Account in vips, actions: [{type: note, message: hello}]}
  - {name: none, condition: Mutual || From_Account == "z", actions: [{type: note, message: hello}]}
  - {name: off, enabled: false, condition: From_Account in vips, actions: [{type: note, message: hello}]}
`

// A set with other values in its lists matches as one that was compiled with these values.
func TestWithLists(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "a.yaml", listRules)
	l := &Loader{Roots: []string{dir}, Registry: registry(t)}
	set, err := l.Load(t.Context(), nil)
	must(t, err)
	for _, values := range []map[string][]string{{"vips": {"z"}}, {"vips": {}}, {"staff": {"a", "z"}, "vips": {"c"}}, {"unused": {"y"}}} {
		fast, ok := set.WithLists(values)
		if !ok {
			t.Fatalf("%v: refused", values)
		}
		with := *l
		with.Lists = values
		slow, err := with.Load(t.Context(), nil)
		must(t, err)
		for _, from := range []string{"a", "b", "c", "z"} {
			for _, to := range []string{"a", "c", "z"} {
				cb := &callback.Callback{Pairs: []callback.Pair{{From: from, To: to}, {From: to, To: from}}}
				if diff := cmp.Diff(matched(slow, cb), matched(fast, cb)); diff != "" {
					t.Errorf("%v, %s -> %s (-compiled +with lists):\n%s", values, from, to, diff)
				}
			}
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

// Where a template uses the list, WithLists leaves it to Loader.Lists.
func TestWithListsInTemplates(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "a.yaml", `
lists: {vips: [a]}
rules: [{name: vip, condition: Mutual, actions: [{type: note, message: '{{ From_Account in vips ? "VIP" : "user" }}'}]}]
`)
	set, err := (&Loader{Roots: []string{dir}, Registry: registry(t)}).Load(t.Context(), nil)
	must(t, err)
	if _, ok := set.WithLists(map[string][]string{"vips": {"z"}}); ok {
		t.Error("the action would go on with the old list")
	}
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
