package rules

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// What is loaded beside a running set is what a fresh load gives, whatever changed; what did not change is the same value.
func TestReloadTakesOver(t *testing.T) {
	t.Setenv("NOTE_TOKEN", "first")
	const shared = "lists:\n  vips: {file: vips.txt}\n  staff: [eve]\nactions:\n  crm: {type: note, message: hi, token: \"${env:NOTE_TOKEN}\"}\n"
	files := []string{
		"a.yaml", shared + "rules:\n  - {name: a, condition: From_Account in vips, actions: [crm]}\n",
		"b.yaml", "rules:\n  - {name: b, condition: To_Account in staff && Mutual, actions: [crm, {type: note, message: 'b {{ From_Account }}'}]}\n",
		"c.yaml", "rules:\n  - {name: c, condition: From_Account != To_Account, actions: [crm]}\n  - {name: d, condition: \"true\", actions: [crm]}\n",
		"vips.txt", "alice\n",
	}
	tests := []struct {
		name   string
		change func(t *testing.T, dir string)
		kept   []string // files that are not parsed again
		fails  bool
	}{
		{"nothing", func(*testing.T, string) {}, []string{"a.yaml", "b.yaml", "c.yaml"}, false},
		{"another rule", func(t *testing.T, dir string) { write(t, dir, "d.yaml", rule("e")) }, []string{"a.yaml", "b.yaml", "c.yaml"}, false},
		{"a rule's condition", func(t *testing.T, dir string) { write(t, dir, "c.yaml", rule("c")) }, []string{"a.yaml", "b.yaml"}, false},
		{"a list file", func(t *testing.T, dir string) { write(t, dir, "vips.txt", "bob\n") }, []string{"a.yaml", "b.yaml", "c.yaml"}, false},
		{"a file goes", func(t *testing.T, dir string) { must(t, os.Remove(filepath.Join(dir, "c.yaml"))) }, []string{"a.yaml", "b.yaml"}, false},
		{"a secret", func(t *testing.T, _ string) { t.Setenv("NOTE_TOKEN", "second") }, nil, false},
		{"an action's text", func(t *testing.T, dir string) {
			write(t, dir, "b.yaml", "rules:\n  - {name: b, condition: To_Account in staff && Mutual, actions: [crm, {type: note, message: other}]}\n")
		}, []string{"a.yaml", "c.yaml"}, false},
		{"a list that is used goes", func(t *testing.T, dir string) {
			write(t, dir, "a.yaml", "lists: {vips: [x]}\nactions:\n  crm: {type: note, message: hi}\nrules: []\n")
		}, nil, true},
		{"an action that is used goes", func(t *testing.T, dir string) { write(t, dir, "a.yaml", "lists: {vips: [x], staff: [y]}\n") }, nil, true},
		{"a name is taken", func(t *testing.T, dir string) { write(t, dir, "0.yaml", rule("c")) }, nil, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Setenv("NOTE_TOKEN", "first")
			dir := t.TempDir()
			write(t, dir, files...)
			l := loader(t, dir)
			before := load(t, l)
			tt.change(t, dir)
			got, gotErr := l.Load(t.Context(), before)
			want, wantErr := l.Load(t.Context(), nil)
			if (wantErr != nil) != tt.fails {
				t.Fatalf("a fresh load gives %v", wantErr)
			}
			if tt.fails {
				if diff := cmp.Diff(wantErr.Error(), gotErr.Error()); diff != "" {
					t.Errorf("errors (-fresh +reload):\n%s", diff)
				}
				return
			}
			must(t, gotErr)
			if diff := cmp.Diff(summary(want), summary(got)); diff != "" {
				t.Errorf("(-fresh +reload):\n%s", diff)
			}
			sameMatches(t, got, want)
			for _, name := range tt.kept {
				path := filepath.Join(dir, name)
				if len(before.carried[path].rules) == 0 || got.carried[path] == nil {
					t.Fatalf("%s is not known", name)
				}
				for i, r := range got.carried[path].rules {
					if old := before.carried[path].rules[i]; &old.Actions[0] != &r.Actions[0] {
						t.Errorf("%s was parsed again", name)
					}
				}
			}
		})
	}
}

// summary is all of a set that can be seen.
func summary(rs *RuleSet) map[string]any {
	var rules []Rule
	for _, r := range rs.Rules {
		shown := *r
		shown.condition = nil
		rules = append(rules, shown)
	}
	var actions []string
	for _, a := range rs.Instances() {
		actions = append(actions, a.Name)
	}
	var text []string
	for _, r := range rules {
		text = append(text, r.Name, r.Condition, r.File, r.FoundBy)
		text = append(text, r.Actions...)
	}
	return map[string]any{"hash": rs.Hash, "rules": text, "actions": actions, "inputs": rs.inputs, "warnings": rs.Warnings.Error()}
}

func sameMatches(t *testing.T, a, b *RuleSet) {
	t.Helper()
	cb := packet(t, "SdkAppid=1&OptPlatform=iOS", `{"CallbackCommand":"Sns.CallbackFriendDelete","PairList":[{"From_Account":"alice","To_Account":"eve"},`+
		`{"From_Account":"eve","To_Account":"alice"},{"From_Account":"bob","To_Account":"bob"}]}`)
	for pair := range cb.Pairs {
		if diff := cmp.Diff(shown(b.Match(nil, cb, pair)), shown(a.Match(nil, cb, pair))); diff != "" {
			t.Errorf("pair %d: %s", pair, diff)
		}
	}
}
