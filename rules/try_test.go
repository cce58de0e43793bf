package rules

import (
	"errors"
	"io/fs"
	"path/filepath"
	"strings"
	"testing"
)

func TestTryCompilesAnEditBesideWhatRuns(t *testing.T) {
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
		want             string // of the error; "" for none
	}{
		{"a list and an action of another file", b, "rules:\n  - {name: two, condition: From_Account in vips, actions: [shared]}\n", ""},
		{"the same in a text that is no file", "unsaved.yaml", "rules:\n  - {name: new, condition: To_Account in vips, actions: [shared]}\n", ""},
		{"a rule of another file by the same name", "unsaved.yaml", rule("one"), "unsaved.yaml:2:11: the rule one is already at " + a + ":6"},
		{"its own rules may have their names", a, "lists: {vips: [v2]}\nrules:\n  - {name: one, condition: From_Account in vips, actions: [{type: note, message: hi}]}\n", ""},
		{"a list that the edit takes away", a, "actions: {shared: {type: note, message: hi}}\nrules:\n  - {name: one, condition: From_Account in vips, actions: [shared]}\n", a + ":3:44: unknown list vips"},
		{"an action that the edit takes away", a, "lists: {vips: [v2]}\nrules:\n  - {name: one, condition: From_Account in vips, actions: [shared]}\n", `there is no action "shared"`},
		{"a secret that is missing is a placeholder", b, "rules:\n  - {name: two, condition: Mutual, actions: [{type: note, message: hi, token: '${env:NO_SUCH_VARIABLE_HERE}'}]}\n", ""},
		{"no YAML", b, "rules: [\n", b + ":1:"},
		{"an empty text", b, "", b + ":1:1: "},
	}
	before := live.Current()
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			set, err := live.Try(t.Context(), c.file, []byte(c.text))
			if c.want != "" {
				if err == nil || !strings.Contains(err.Error(), c.want) || !errors.As(err, new(Problems)) {
					t.Errorf("got %v, want %s", err, c.want)
				}
				return
			}
			if err != nil || len(set.Rules) != 1 {
				t.Fatalf("got %v, %v", set, err)
			}
			for _, name := range set.Rules[0].Actions {
				if _, ok := set.Action(name); !ok {
					t.Errorf("the action %s cannot be rendered", name)
				}
			}
		})
	}
	if live.Current() != before {
		t.Error("trying changed what runs")
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
