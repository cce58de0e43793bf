package e2e

import (
	"encoding/json"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// check prints every error of every file at its place, in each format, and exits with 1 only where there is one.
func TestCheck(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "aftermath.yaml", config(""))
	write(t, dir, "rules/good.yaml", `
lists: {unused: [a]}
rules:
  - name: good
    condition: From_Account == "a"
    actions: [{type: log, message: hello}]
`)
	if code, out, errs := aftermath(t, dir, nil, "check"); code != 0 ||
		!strings.Contains(out, "rules/good.yaml:2:9: warning: nothing uses the list unused") {
		t.Errorf("a warning alone: exit %d\n%s%s", code, out, errs)
	}

	write(t, dir, "rules/bad.yaml", `
rules:
  - name: typo
    condition: From_Account == "a" && To_Acount == "b"
    actions: [nobody]
  - name: template
    condition: Mutual
    actions:
      - type: log
        mesage: hello
        message: "hello {{ Form_Account }}"
`)
	code, out, errs := aftermath(t, dir, nil, "check")
	if code != 1 {
		t.Errorf("exit %d, %s", code, errs)
	}
	var places []string
	for line := range strings.Lines(out) {
		if parts := strings.SplitN(line, ": ", 2); len(parts) == 2 && !strings.HasPrefix(parts[1], "warning") {
			places = append(places, parts[0])
		}
	}
	want := []string{"rules/bad.yaml:4:39", "rules/bad.yaml:5:15", "rules/bad.yaml:10:9", "rules/bad.yaml:11:28"}
	if diff := cmp.Diff(want, places); diff != "" {
		t.Errorf("places (-want +got):\n%s\n%s", diff, out)
	}

	code, out, _ = aftermath(t, dir, nil, "check", "--format", "json", "rules")
	var findings struct {
		Errors []struct {
			File, Severity, Message string
			Line, Column            int
		}
	}
	if err := json.Unmarshal([]byte(out), &findings); code != 1 || err != nil || len(findings.Errors) != 4 ||
		findings.Errors[0].File != "rules/bad.yaml" || findings.Errors[0].Line != 4 || findings.Errors[0].Column != 39 || findings.Errors[0].Severity != "error" {
		t.Errorf("json: exit %d, %v\n%s", code, err, out)
	}
	if code, out, _ = aftermath(t, dir, nil, "check", "--format", "github"); code != 1 || !strings.Contains(out, "::error file=rules/bad.yaml,line=4,col=39::") {
		t.Errorf("github: exit %d\n%s", code, out)
	}
	if code, _, errs := aftermath(t, dir, nil, "check", "--format", "xml"); code != 2 || !strings.Contains(errs, "xml") {
		t.Errorf("a format that there is not: exit %d, %s", code, errs)
	}
	if code, out, errs := aftermath(t, dir, nil, "check", "nowhere"); code != 1 || !strings.HasPrefix(out, "nowhere:1:1: ") {
		t.Errorf("a path that there is not: exit %d, %s%s", code, out, errs)
	}
}

// Whatever a file is called, a finding is one line, and says nothing to a terminal.
func TestCheckOfFilesWithStrangeNames(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "aftermath.yaml", config(""))
	write(t, dir, "rules/a\n\x1b[31m.yaml", "rules: 5\n")
	if code, out, _ := aftermath(t, dir, nil, "check"); code != 1 || !strings.Contains("\n"+out, "\n"+`rules/a\n\x1b[31m.yaml:1:8: rules is a list`) {
		t.Errorf("exit %d, %q", code, out)
	}
}

// check needs no secret with --secrets ignore, and names each missing one without.
func TestCheckSecrets(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "aftermath.yaml", "callback: {apps: [{sdkappid: 1, tokens: [\"${env:E2E_NO_TOKEN}\"]}]}\n")
	write(t, dir, "rules/a.yaml", "rules:\n  - {name: a, condition: Mutual, actions: [{type: webhook, url: \"http://127.0.0.1/${env:E2E_NO_KEY}\"}]}\n")
	code, out, errs := aftermath(t, dir, nil, "check")
	if code != 1 || !strings.Contains(out, "E2E_NO_TOKEN") || !strings.Contains(out, "E2E_NO_KEY") {
		t.Errorf("exit %d\n%s%s", code, out, errs)
	}
	if code, out, errs := aftermath(t, dir, nil, "check", "--secrets", "ignore"); code != 0 {
		t.Errorf("--secrets ignore: exit %d\n%s%s", code, out, errs)
	}
}

// The configuration's errors come at their places too.
func TestCheckConfiguration(t *testing.T) {
	dir := t.TempDir()
	file := write(t, dir, "conf/aftermath.yaml", `callback:
  listen: 127.0.0.1:0
  apps: [{sdkappid: 1400000000}]
  pathh: /x
smtp: {host: mail.example.com, tls: startls}
`)
	write(t, dir, "conf/rules/a.yaml", "rules: []\n")
	code, out, errs := aftermath(t, dir, nil, "check", "-c", filepath.Join("conf", "aftermath.yaml"))
	if code != 1 || !strings.Contains(out, "conf/aftermath.yaml:4:3: ") || !strings.Contains(out, "conf/aftermath.yaml:5:37: ") {
		t.Errorf("exit %d\n%s%s", code, out, errs)
	}
	s := launch(t, filepath.Dir(file), nil)
	if code := s.Exit(); code != 1 || !strings.Contains(s.Log(), "aftermath.yaml:4:3: ") {
		t.Errorf("serve: exit %d\n%s", code, s.Log())
	}
}

// A configuration among the paths is checked as one, and its rules with it where no others are named.
func TestCheckConfigurationAsPath(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "conf/aftermath.yaml", config(""))
	write(t, dir, "conf/rules/a.yaml", "rules: [{name: a, condition: Nope, actions: [{type: log, message: hi}]}]\n")
	write(t, dir, "other.yaml", "rules: []\n")
	for _, test := range []struct {
		args []string
		code int
		want string
	}{
		{[]string{"conf/aftermath.yaml"}, 1, "conf/rules/a.yaml:1:30: unknown name Nope\n"},
		{[]string{"other.yaml", "conf/aftermath.yaml"}, 0, ""},
		{[]string{"-c", "missing.yaml", "other.yaml"}, 1, "missing.yaml:1:1: the configuration file does not exist; -c names another one\n"},
	} {
		code, out, errs := aftermath(t, dir, nil, append([]string{"check"}, test.args...)...)
		var found strings.Builder
		for line := range strings.Lines(out) {
			if !strings.Contains(line, " warning: ") {
				found.WriteString(line)
			}
		}
		if code != test.code || found.String() != test.want {
			t.Errorf("%s: exit %d, want %d\n%s%s", test.args, code, test.code, out, errs)
		}
	}
}

// Each command has help with an example, and a wrong command line is exit code 2.
func TestCommandLine(t *testing.T) {
	if code, out, _ := aftermath(t, t.TempDir(), nil, "--help"); code != 0 || !strings.Contains(out, "Example") {
		t.Errorf("--help: exit %d\n%s", code, out)
	}
	for _, cmd := range []string{"serve", "check", "test", "explain", "backtest", "actions", "send", "schema", "version", "completion"} {
		code, out, _ := aftermath(t, t.TempDir(), nil, cmd, "--help")
		if code != 0 || !strings.Contains(out, "Example") || !strings.Contains(out, "aftermath "+cmd) {
			t.Errorf("%s --help: exit %d\n%s", cmd, code, out)
		}
		if code, _, errs := aftermath(t, t.TempDir(), nil, cmd, "--no-such-flag"); code != 2 || !strings.Contains(errs, "no-such-flag") {
			t.Errorf("%s with an unknown flag: exit %d, %s", cmd, code, errs)
		}
	}
	if code, out, _ := aftermath(t, t.TempDir(), nil, "version"); code != 0 || !strings.HasPrefix(out, "aftermath ") {
		t.Errorf("version: exit %d, %s", code, out)
	}
	for _, shell := range []string{"bash", "zsh", "fish", "powershell"} {
		if code, out, _ := aftermath(t, t.TempDir(), nil, "completion", shell); code != 0 || !strings.Contains(out, "aftermath") {
			t.Errorf("completion %s: exit %d", shell, code)
		}
	}
	for _, args := range [][]string{{"completion"}, {"completion", "tcsh"}} {
		if code, out, errs := aftermath(t, t.TempDir(), nil, args...); code != 2 || out != "" || !strings.Contains(errs, "fish") {
			t.Errorf("%s: exit %d, %s%s", args, code, out, errs)
		}
	}
	if code, out, errs := aftermath(t, t.TempDir(), nil); code != 2 || out != "" || !strings.Contains(errs, "Available Commands") {
		t.Errorf("no command: exit %d, %s%s", code, out, errs)
	}
	if code, _, errs := aftermath(t, t.TempDir(), nil, "chek"); code != 2 || !strings.Contains(errs, `no command "chek"; did you mean check?`) {
		t.Errorf("a misspelt command: exit %d, %s", code, errs)
	}
	if code, out, errs := aftermath(t, t.TempDir(), nil, "help", "deliveries", "lsit"); code != 2 || out != "" || !strings.Contains(errs, `no command "deliveries lsit"`) {
		t.Errorf("help of an unknown command: exit %d, %s%s", code, out, errs)
	}
	if code, out, _ := aftermath(t, t.TempDir(), nil, "help", "deliveries", "list"); code != 0 || !strings.Contains(out, "aftermath deliveries list [flags]") {
		t.Errorf("help of a command of a command: exit %d, %s", code, out)
	}
	if code, _, errs := aftermath(t, t.TempDir(), nil, "frobnicate"); code != 2 || !strings.Contains(errs, "frobnicate") {
		t.Errorf("an unknown command: exit %d, %s", code, errs)
	}
	if code, _, errs := aftermath(t, t.TempDir(), nil, "serve"); code != 1 || !strings.Contains(errs, "aftermath.yaml") {
		t.Errorf("serve without a configuration: exit %d, %s", code, errs)
	}
}

// Where only rule tests are named, as a hook that checks the files of a commit may do, it says what they are.
func TestCheckOfRuleTests(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "a_test.yaml", "tests: []\n")
	if code, out, _ := aftermath(t, dir, nil, "check", "a_test.yaml"); code != 1 || !strings.HasPrefix(out, "a_test.yaml:1:1: there are only rule tests here") {
		t.Errorf("exit %d, %s", code, out)
	}
	write(t, dir, "a.yaml", "rules: []\n")
	if code, out, errs := aftermath(t, dir, nil, "check", "a_test.yaml", "a.yaml"); code != 0 {
		t.Errorf("beside rules: exit %d, %s%s", code, out, errs)
	}
}
