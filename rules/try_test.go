package rules

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"
	"testing"

	"github.com/aftermath-rules/aftermath/callback"
)

func TestTryCompilesAnEditWithinTheWholeSet(t *testing.T) {
	dir := t.TempDir()
	write(t, dir,
		"a.yaml", "lists:\n  vips: [v1]\nactions:\n  shared: {type: note, message: hello}\nrules:\n  - {name: one, condition: From_Account in vips, actions: [shared]}\n",
		"b.yaml", rule("two"),
		"c_test.yaml", "tests: []\n",
	)
	live := NewLive(&Loader{Roots: []string{dir}, Registry: registry(t), Permit: Permit{Env: []string{"*"}}}, LiveOptions{})
	must(t, live.Start(t.Context(), true))
	a, b := filepath.Join(dir, "a.yaml"), filepath.Join(dir, "b.yaml")
	cases := []struct {
		name, file, text string
		want             string // the set's rules, or what the error says
	}{
		{"a list and an action of another file", b, "rules:\n  - {name: two, condition: From_Account in vips, actions: [shared]}\n", "one two"},
		{"a text that is no file is one more", "unsaved.yaml", "rules:\n  - {name: new, condition: To_Account in vips, actions: [shared]}\n", "one two new"},
		{"a rule of another file by the same name", "unsaved.yaml", rule("one"), "unsaved.yaml:2:11: the rule one is already at " + a + ":6"},
		{"its own rules may have their names", a, "lists: {vips: [v2]}\nrules:\n  - {name: one, condition: From_Account in vips, actions: [{type: note, message: hi}]}\n", "one two"},
		{"a list that the edit takes away", a, "actions: {shared: {type: note, message: hi}}\nrules:\n  - {name: one, condition: From_Account in vips, actions: [shared]}\n", a + ":3:44: unknown list vips"},
		{"an action that the edit takes away", a, "lists: {vips: [v2]}\nrules:\n  - {name: one, condition: From_Account in vips, actions: [shared]}\n", `there is no action "shared"`},
		{"a secret that is missing is a placeholder", b, "rules:\n  - {name: two, condition: Mutual, actions: [{type: note, message: hi, token: '${env:NO_SUCH_VARIABLE_HERE}'}]}\n", "one two"},
		{"no YAML", b, "rules: [\n", b + ":1:"},
		{"an empty text", b, "", b + ":1:1: "},
	}
	before := live.Current()
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			got, err := live.Try(t.Context(), c.file, []byte(c.text))
			if err != nil {
				if !strings.Contains(err.Error(), c.want) || !errors.As(err, new(Problems)) {
					t.Errorf("got %v, want %s", err, c.want)
				}
				return
			}
			if names := namesOf(got.Set); names != c.want || len(got.Elsewhere) > 0 {
				t.Fatalf("got %s, %v; want %s", names, got.Elsewhere, c.want)
			}
			for _, r := range got.Set.Rules {
				for _, name := range r.Actions {
					if _, ok := got.Set.Action(name); !ok {
						t.Errorf("the action %s cannot be rendered", name)
					}
				}
			}
		})
	}
	if live.Current() != before {
		t.Error("trying changed what runs")
	}
}

func namesOf(rs *RuleSet) string {
	var names []string
	for _, r := range rs.Rules {
		names = append(names, r.Name)
	}
	return strings.Join(names, " ")
}

func TestTryIsMatchedAsTheWholeSetWouldBe(t *testing.T) {
	dir := t.TempDir()
	guard := func(stop string) string {
		return "lists: {vips: [v1]}\nrules:\n  - {name: guard, condition: From_Account in vips, actions: [{type: note, message: hi}], stop: " + stop + "}\n"
	}
	const tells = "rules:\n  - {name: tells, condition: To_Account in vips, actions: [{type: note, message: '{{ From_Account in vips }}'}]}\n"
	write(t, dir, "10-guard.yaml", guard("false"), "20-tells.yaml", tells)
	live := NewLive(&Loader{Roots: []string{dir}, Registry: registry(t)}, LiveOptions{})
	must(t, live.Start(t.Context(), true))
	first, second := filepath.Join(dir, "10-guard.yaml"), filepath.Join(dir, "20-tells.yaml")
	cb := &callback.Callback{Pairs: []callback.Pair{{From: "v1", To: "v1"}, {From: "v2", To: "v2"}}}
	cases := []struct{ name, file, text, want string }{
		{"as it is", first, guard("false"), "0:guard 0:tells"},
		{"the edit stops what another file has", first, guard("true"), "0:guard"},
		{"the edit changes a list that another file's condition and template use", first, strings.Replace(guard("true"), "[v1]", "[v2]", 1), "1:guard"},
		{"an edit after a file that stops", second, strings.Replace(tells, "To_Account in vips", "PairIndex == 0", 1), "0:guard 0:tells"},
	}
	match := func(t *testing.T, set *RuleSet) string {
		t.Helper()
		var got []string
		for pair := range cb.Pairs {
			for _, m := range set.Match(nil, cb, pair) {
				got = append(got, fmt.Sprintf("%d:%s", pair, m.Rule.Name))
			}
		}
		return strings.Join(got, " ")
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			got, err := live.Try(t.Context(), c.file, []byte(c.text))
			must(t, err)
			if m := match(t, got.Set); m != c.want {
				t.Errorf("the edit matches %q, want %q", m, c.want)
			}
			other := t.TempDir() // what a process would run that has the edit on disk
			write(t, other, "10-guard.yaml", guard("false"), "20-tells.yaml", tells, filepath.Base(c.file), c.text)
			saved, err := (&Loader{Roots: []string{other}, Registry: registry(t)}).Load(t.Context(), nil)
			must(t, err)
			if m := match(t, saved); m != c.want {
				t.Errorf("saved it matches %q, want %q", m, c.want)
			}
		})
	}
}

func TestTryWhileOtherFilesAreBroken(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "a.yaml", rule("one"), "b.yaml", rule("two"))
	live := NewLive(&Loader{Roots: []string{dir}, Registry: registry(t)}, LiveOptions{})
	must(t, live.Start(t.Context(), true))
	a, b := filepath.Join(dir, "a.yaml"), filepath.Join(dir, "b.yaml")
	write(t, dir, "a.yaml", strings.Replace(rule("one"), "rules:", "rulez:", 1))
	if _, err := live.Reload(t.Context()); err == nil {
		t.Fatal("the broken file was taken")
	}
	got, err := live.Try(t.Context(), b, []byte(rule("edited")))
	must(t, err)
	if namesOf(got.Set) != "one edited" || len(got.Elsewhere) == 0 || got.Elsewhere[0].File != a {
		t.Errorf("another file is broken: got %s, %v", namesOf(got.Set), got.Elsewhere)
	}
	if got, err = live.Try(t.Context(), a, []byte(rule("mended"))); err != nil || namesOf(got.Set) != "mended two" || len(got.Elsewhere) > 0 {
		t.Errorf("mending the broken one: got %+v, %v", got, err)
	}
	if _, err = live.Try(t.Context(), b, []byte("rules: [\n")); err == nil || !strings.Contains(err.Error(), b+":1:") {
		t.Errorf("breaking another one: %v", err)
	}
}

func TestSourceReadsRulesFilesOnly(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "rules/sub/a.yaml", rule("one"), "secret.yaml", "token: x\n", "rules/notes.txt", "x\n")
	root := filepath.Join(dir, "rules")
	live := NewLive(&Loader{Roots: []string{root}, Registry: registry(t)}, LiveOptions{})
	must(t, live.Start(t.Context(), true))
	file := filepath.Join(root, "sub/a.yaml")
	if names := live.Files(); len(names) != 1 || names[0] != file {
		t.Errorf("the files are %v", names)
	}
	if text, err := live.Source(file); err != nil || string(text) != rule("one") {
		t.Errorf("got %q, %v", text, err)
	}
	for _, name := range []string{"", "/etc/passwd", filepath.Join(root, "../secret.yaml"), root + "/sub/../../secret.yaml", filepath.Join(root, "notes.txt"), root} {
		if text, err := live.Source(name); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%q gave %q, %v", name, text, err)
		}
	}
}
