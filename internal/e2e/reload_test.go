package e2e

import (
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// ruleNamed is a rules file with one rule of that name that takes every pair and logs it.
func ruleNamed(name string) string {
	return "rules:\n  - name: " + name + "\n    condition: PairCount > 0\n    actions:\n      - {type: log, message: '{{ Rule.Name }}', file: seen.jsonl}\n"
}

// lastRule is the rule that took the newest logged pair.
func lastRule(t *testing.T, dir string) string {
	lines := jsonLines(t, filepath.Join(dir, "seen.jsonl"))
	if len(lines) == 0 {
		return ""
	}
	name, _ := lines[len(lines)-1]["message"].(string)
	return name
}

func must(t *testing.T, errs ...error) {
	t.Helper()
	for _, err := range errs {
		if err != nil {
			t.Fatal(err)
		}
	}
}

// Every way of editing takes effect while callbacks flow, and no callback fails meanwhile.
func TestEditsTakeEffectUnderLoad(t *testing.T) {
	dir := t.TempDir()
	rules := filepath.Join(dir, "rules")
	file := write(t, dir, "rules/a.yaml", ruleNamed("start"))
	write(t, dir, "aftermath.yaml", config("poll: 500ms\n"))
	s := start(t, dir)

	var failed atomic.Int64
	stop, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		for tick := time.NewTicker(10 * time.Millisecond); ; {
			select {
			case <-stop:
				tick.Stop()
				return
			case <-tick.C:
				if code, answer, err := s.Post("", packet("a", "b")); err != nil || code != 200 || answer != answerOK {
					failed.Add(1)
				}
			}
		}
	}()
	defer func() { close(stop); <-ended }()

	edits := []struct {
		name, rule string
		edit       func(text string)
	}{
		{"in place", "in-place", func(text string) { must(t, os.WriteFile(file, []byte(text), 0o644)) }},
		{"rename over, as sed -i does", "renamed-over", func(text string) {
			tmp := write(t, dir, "rules/.a.yaml.tmp", text)
			must(t, os.Rename(tmp, file))
		}},
		{"vim: the old file moved away, a new one made", "vim", func(text string) {
			must(t, os.Rename(file, file+"~"), os.WriteFile(file, []byte(text), 0o644), os.Remove(file+"~"))
		}},
		{"half written, then whole", "half-written", func(text string) {
			must(t, os.WriteFile(file, []byte(text[:len(text)/2]), 0o644))
			time.Sleep(100 * time.Millisecond) // an editor that writes in two goes
			must(t, os.WriteFile(file, []byte(text), 0o644))
		}},
		{"a new file in a new folder", "sub-folder", func(text string) {
			must(t, os.Remove(file))
			file = write(t, dir, "rules/team/b.yaml", text)
		}},
		{"the folder removed and made again", "folder-again", func(text string) {
			must(t, os.RemoveAll(rules))
			file = write(t, dir, "rules/a.yaml", text)
		}},
		{"the ConfigMap swap", "configmap", func(text string) {
			must(t, os.Remove(file))
			write(t, dir, "rules/..one/a.yaml", ruleNamed("configmap-before"))
			must(t, os.Symlink("..one", filepath.Join(rules, "..data")), os.Symlink("..data/a.yaml", file))
			eventually(t, "the first version to run", func() bool { return lastRule(t, dir) == "configmap-before" })
			write(t, dir, "rules/..two/a.yaml", text)
			must(t, os.Symlink("..two", filepath.Join(rules, "..tmp")), os.Rename(filepath.Join(rules, "..tmp"), filepath.Join(rules, "..data")),
				os.RemoveAll(filepath.Join(rules, "..one")))
		}},
	}
	for _, e := range edits {
		t.Run(e.name, func(t *testing.T) {
			e.edit(ruleNamed(e.rule))
			eventually(t, "the edit to take effect", func() bool { return lastRule(t, dir) == e.rule })
			eventually(t, "the disk to be said to be well", func() bool { return s.Status().Rules.Disk.OK }) // right after the set has begun to run
		})
	}
	if n := failed.Load(); n > 1 { // one may, where the disk stood still for longer than a callback may wait
		t.Errorf("%d callbacks failed while rules were edited", n)
	}
}

// A broken edit is shown with its place everywhere, and what ran goes on running; a restart runs the last good set.
func TestBrokenEdit(t *testing.T) {
	dir := t.TempDir()
	file := write(t, dir, "rules/a.yaml", ruleNamed("good"))
	write(t, dir, "aftermath.yaml", config(""))
	s := start(t, dir)
	good := s.Status().Rules.Running.Hash

	broken := strings.Replace(ruleNamed("broken"), "PairCount > 0", "PairCuont > 0", 1)
	must(t, os.WriteFile(file, []byte(broken), 0o644))
	eventually(t, "status to show the error", func() bool { return !s.Status().Rules.Disk.OK })
	eventually(t, "the log to say where the error is, which comes last", func() bool { return strings.Contains(s.Log(), "a.yaml:3:16") })
	st := s.Status()
	if e := st.Rules.Disk.Errors; len(e) != 1 || e[0].Line != 3 || e[0].Column != 16 || !strings.HasSuffix(e[0].File, "rules/a.yaml") || !strings.Contains(e[0].Message, "PairCuont") {
		t.Errorf("the error in status: %+v", e)
	}
	if st.Rules.Running.Hash != good {
		t.Error("what runs has changed")
	}
	if code, body := s.Request("GET", "/readyz"); code != 200 || !strings.Contains(string(body), "PairCuont") {
		t.Errorf("readyz: %d %s", code, body)
	}
	if _, body := s.Request("GET", "/metrics"); !strings.Contains(string(body), "\naftermath_rules_last_reload_successful 0\n") {
		t.Error("the metric of the last reload does not say that it failed")
	}
	if code, body := s.Request("POST", "/api/v1/reload"); code != 422 || !strings.Contains(string(body), "PairCuont") {
		t.Errorf("reload: %d %s", code, body)
	}
	s.Deliver("a", "b")
	eventually(t, "the good rule to run", func() bool { return lastRule(t, dir) == "good" && s.Status().Counts.Deliveries.Done == 1 })
	s.Kill()

	s = start(t, dir)
	if st := s.Status(); st.Rules.Running.Hash != good || st.Rules.Disk.OK {
		t.Errorf("after a restart: %+v, want the set %s", st.Rules, good)
	}
	s.Deliver("a", "c")
	eventually(t, "the good rule to run again", func() bool { return len(jsonLines(t, filepath.Join(dir, "seen.jsonl"))) == 2 })
	if got := lastRule(t, dir); got != "good" {
		t.Errorf("rule %s ran", got)
	}

	must(t, os.WriteFile(file, []byte(ruleNamed("mended")), 0o644))
	eventually(t, "the mended set to run", func() bool { st := s.Status(); return st.Rules.Disk.OK && st.Rules.Running.Hash != good })
	if code := s.Stop(); code != 0 {
		t.Errorf("exit %d", code)
	}

	must(t, os.WriteFile(file, []byte(broken), 0o644))
	strict := launch(t, dir, nil, "--strict")
	if code := strict.Exit(); code != 1 || !strings.Contains(strict.Log(), "a.yaml:3:16: ") {
		t.Errorf("--strict: exit %d, %s", code, strict.Log())
	}
	kept := filepath.Join(dir, "data", "rules-last-good", "rules.json")
	must(t, os.Truncate(kept, 100))
	damaged := launch(t, dir, nil)
	if code := damaged.Exit(); code != 1 || !strings.Contains(damaged.Log(), "a.yaml:3:16: ") || !strings.Contains(damaged.Log(), "the last good rules cannot be used") {
		t.Errorf("with a damaged last good set: exit %d, %s", code, damaged.Log())
	}
	must(t, os.RemoveAll(filepath.Join(dir, "data")))
	fresh := launch(t, dir, nil)
	if code := fresh.Exit(); code != 1 || !strings.Contains(fresh.Log(), "a.yaml:3:16: ") {
		t.Errorf("with no last good set: exit %d, %s", code, fresh.Log())
	}
}
