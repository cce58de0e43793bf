package rules

import (
	"bytes"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestLastGood(t *testing.T) {
	const secret = "canary-in-a-coal-mine"
	t.Setenv("RULES_TEST_TOKEN", secret)
	const text = "lists:\n  vips: {file: ../vips.txt}\nrules:\n  - name: a\n    condition: From_Account in vips\n" +
		"    actions: [{type: note, message: hi, token: \"${env:RULES_TEST_TOKEN}\"}]\n"
	kept := func(dir string) string { return filepath.Join(dir, "data", "rules-last-good") }
	start := func(t *testing.T, dir string, strict bool) (*Live, []Reload, error) {
		t.Helper()
		var reloads []Reload
		l := loader(t, filepath.Join(dir, "rules"))
		l.Permit.Files = []string{dir}
		live := NewLive(l, LiveOptions{LastGood: kept(dir), OnReload: func(r Reload) { reloads = append(reloads, r) }})
		err := live.Start(t.Context(), strict)
		return live, reloads, err
	}
	tests := []struct {
		name   string
		strict bool
		spoil  func(t *testing.T, dir string)
		runs   bool
		says   string // in the error of Start, or of the report where it runs
	}{
		{"nothing changed", false, func(t *testing.T, dir string) {}, true, ""},
		{"a broken rules file", false, func(t *testing.T, dir string) { write(t, dir, "rules/a.yaml", "rules: [") }, true, "rules/a.yaml:1:"},
		{"the rules folder is gone", false, func(t *testing.T, dir string) { must(t, os.RemoveAll(filepath.Join(dir, "rules"))) }, true, "no such file or folder"},
		{"a list file is gone", false, func(t *testing.T, dir string) { must(t, os.Remove(filepath.Join(dir, "vips.txt"))) }, true, "no such file"},
		{"strict", true, func(t *testing.T, dir string) { write(t, dir, "rules/a.yaml", "rules: [") }, false, "rules/a.yaml:1:"},
		{"a bit flipped in the kept rules", false, func(t *testing.T, dir string) {
			write(t, dir, "rules/a.yaml", "rules: [")
			flip(t, filepath.Join(kept(dir), lastGoodFile))
		}, false, "is damaged"},
		{"the kept rules cut short", false, func(t *testing.T, dir string) {
			write(t, dir, "rules/a.yaml", "rules: [")
			must(t, os.Truncate(filepath.Join(kept(dir), lastGoodFile), 100))
		}, false, "is damaged"},
		{"a kept list damaged", false, func(t *testing.T, dir string) {
			write(t, dir, "rules/a.yaml", "rules: [")
			lists, err := filepath.Glob(filepath.Join(kept(dir), listPrefix+"*"))
			must(t, err)
			flip(t, lists[0])
		}, false, "is damaged"},
		{"a secret that is gone", false, func(t *testing.T, dir string) {
			write(t, dir, "rules/a.yaml", "rules: [")
			must(t, os.Unsetenv("RULES_TEST_TOKEN"))
		}, false, "the last good rules cannot run either"},
		{"never kept", false, func(t *testing.T, dir string) {
			write(t, dir, "rules/a.yaml", "rules: [")
			must(t, os.RemoveAll(kept(dir)))
		}, false, "rules/a.yaml:1:"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Setenv("RULES_TEST_TOKEN", secret)
			dir := t.TempDir()
			write(t, dir, "rules/a.yaml", text, "vips.txt", "alice\n")
			first, _, err := start(t, dir, false)
			must(t, err)
			checkKept(t, kept(dir), secret)

			test.spoil(t, dir)
			live, reloads, err := start(t, dir, test.strict)
			if !test.runs {
				if err == nil || !strings.Contains(err.Error(), test.says) || live.Current() != nil {
					t.Fatalf("got error %v, want one with %q", err, test.says)
				}
				return
			}
			must(t, err)
			cb := packet(t, "SdkAppid=1", `{"CallbackCommand":"Sns.CallbackFriendDelete","PairList":[{"From_Account":"alice","To_Account":"b"}]}`)
			if got := live.Current().Match(nil, cb, 0); len(got) != 1 || live.Current().Hash != first.Current().Hash {
				t.Errorf("hash %s, matches %v; want hash %s and one match", live.Current().Hash, got, first.Current().Hash)
			}
			last := reloads[len(reloads)-1]
			if test.says == "" {
				if last.LastGood || last.Err != nil || !live.State().DiskOK {
					t.Errorf("the rules on disk are sound, yet: %+v", last)
				}
				return
			}
			if !last.LastGood || last.Err == nil || !strings.Contains(last.Err.Error(), test.says) {
				t.Errorf("reported %+v, want last good and %q", last, test.says)
			}
			if s := live.State(); s.DiskOK || !s.LastGood || len(s.Errors) == 0 {
				t.Errorf("state %+v", s)
			}
		})
	}
}

// checkKept looks at what lies in the folder: for its owner only, and without any secret.
func checkKept(t *testing.T, dir, secret string) {
	t.Helper()
	files := 0
	must(t, filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		files++
		info, err := d.Info()
		if err != nil {
			return err
		}
		if info.Mode().Perm() != 0o600 {
			t.Errorf("%s has mode %v", path, info.Mode())
		}
		data, err := os.ReadFile(path)
		if bytes.Contains(data, []byte(secret)) {
			t.Errorf("%s holds a secret", path)
		}
		return err
	}))
	if files != 2 {
		t.Errorf("%d files are kept, want the rules and one list", files)
	}
}

func flip(t *testing.T, path string) {
	t.Helper()
	data, err := os.ReadFile(path)
	must(t, err)
	data[len(data)/2] ^= 1
	must(t, os.WriteFile(path, data, 0o600))
}

// A set that could not be kept when it began to run, since the disk was full, is kept once it can be.
func TestLastGoodIsKeptLater(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "rules/a.yaml", rule("one"), "data", "a file where the folder should be")
	r := watch(t, dir, setting{lastGood: filepath.Join(dir, "data", "kept"), poll: 20 * time.Millisecond})
	if !r.State().NotKept {
		t.Fatal("it could be kept: this test shows nothing")
	}
	must(t, os.Remove(filepath.Join(dir, "data")))
	r.until("the set is kept", func() bool { return !r.State().NotKept })
	snap, err := r.loader.loadLastGood(filepath.Join(dir, "data", "kept"))
	must(t, err)
	set, _, err := r.loader.build(snap, nil)
	must(t, err)
	if set.Hash != r.Current().Hash {
		t.Errorf("%s runs, and %s was kept", r.Current().Hash, set.Hash)
	}
}

// A last good set that the running one has replaced is not left behind, and lists that nothing names go.
func TestLastGoodFollows(t *testing.T) {
	dir := t.TempDir()
	keep := filepath.Join(dir, "kept")
	write(t, dir, "rules/a.yaml", "lists:\n  l: {file: l.txt}\nrules: []\n", "rules/l.txt", "one\n")
	r := watch(t, dir, setting{lastGood: keep})
	for _, text := range []string{"two\n", "three\n"} {
		before := r.Current()
		write(t, dir, "rules/l.txt", text)
		r.until("the list was reloaded", func() bool { return r.Current() != before })
	}
	var set *RuleSet
	r.until("the last set is kept", func() bool {
		snap, err := r.loader.loadLastGood(keep)
		if err != nil {
			return false // it is being written
		}
		set, _, err = r.loader.build(snap, nil)
		must(t, err)
		return set.Hash == r.Current().Hash
	})
	if !set.lists["l"].Has("three") {
		t.Error("the list that was kept is not the last one")
	}
	r.until("the older lists are gone", func() bool {
		lists, err := filepath.Glob(filepath.Join(keep, listPrefix+"*"))
		return err == nil && len(lists) == 1
	})
}
