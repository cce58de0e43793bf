package e2e

import (
	"encoding/xml"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// What CI systems read of a JUnit report: suites and cases with their times, a failure with its type, nothing that is no XML.
func TestJUnit(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "rules/a.yaml", "rules: [{name: r, condition: Mutual, actions: [{type: log, message: '{{ From_Account }}'}]}]\n")
	write(t, dir, "rules/a_test.yaml", `tests:
  - {name: fine, callback: {PairList: [{From_Account: a, To_Account: b}]}, matches: []}
  - name: "]]> \x01 & <b>"
    callback: {PairList: [{From_Account: "a\x02]]>", To_Account: b}, {From_Account: b, To_Account: "a\x02]]>"}]}
    matches: [{rule: r, pair: 0, render: {log.message: x}}, {rule: r, pair: 1}]
  - {name: broken, callback: {PairList: 7}, matches: []}
`)
	code, out, _ := aftermath(t, dir, nil, "test", "--format", "junit", "rules")
	var report struct {
		Tests    int     `xml:"tests,attr"`
		Failures int     `xml:"failures,attr"`
		Errors   int     `xml:"errors,attr"`
		Time     float64 `xml:"time,attr"`
		Suites   []struct {
			Name  string  `xml:"name,attr"`
			Tests int     `xml:"tests,attr"`
			Time  float64 `xml:"time,attr"`
			Cases []struct {
				Name      string   `xml:"name,attr"`
				ClassName string   `xml:"classname,attr"`
				File      string   `xml:"file,attr"`
				Line      int      `xml:"line,attr"`
				Time      *float64 `xml:"time,attr"`
				Failure   *struct {
					Message string `xml:"message,attr"`
					Type    string `xml:"type,attr"`
					Text    string `xml:",chardata"`
				} `xml:"failure"`
				Error *struct {
					Message string `xml:"message,attr"`
				} `xml:"error"`
			} `xml:"testcase"`
		} `xml:"testsuite"`
	}
	if err := xml.Unmarshal([]byte(out), &report); code != 1 || err != nil {
		t.Fatalf("exit %d, %v\n%s", code, err, out)
	}
	if report.Tests != 3 || report.Failures != 1 || report.Errors != 1 || len(report.Suites) != 1 || report.Suites[0].Tests != 3 || len(report.Suites[0].Cases) != 3 {
		t.Fatalf("got %+v", report)
	}
	for _, c := range report.Suites[0].Cases {
		if c.File != "rules/a_test.yaml" || c.ClassName == "" || c.Line == 0 || c.Time == nil {
			t.Errorf("a case lacks something: %+v", c)
		}
	}
	failed := report.Suites[0].Cases[2]
	if failed.Failure == nil || failed.Failure.Type == "" || failed.Line != 3 || !strings.Contains(failed.Failure.Text, `a\u0002]]>`) {
		t.Errorf("the failure is %+v of\n%s", failed, out)
	}
}

// Rules that do not load are the errors at their places, and one sentence that says that nothing was tested.
func TestTestOfBrokenRules(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "rules/a.yaml", "rules: [{name: r, condition: Nope, actions: [{type: log}]}]\n")
	write(t, dir, "rules/a_test.yaml", "tests: [{name: x, callback: {PairList: []}, matchs: []}]\n")
	code, out, errs := aftermath(t, dir, nil, "test", "rules")
	if code != 1 || !strings.Contains(out, "rules/a.yaml:1:30: ") || !strings.Contains(out, "rules/a_test.yaml:1:45: ") || !strings.Contains(errs, "no test was run: mend the errors above") {
		t.Errorf("exit %d\n%s%s", code, out, errs)
	}
}

// Bash completes commands, names of rules and actions, and words of flags, also where its package of completions is not there.
func TestCompletionInBash(t *testing.T) {
	bash, err := exec.LookPath("bash")
	if err != nil {
		t.Skip("there is no bash here")
	}
	dir := writeVIPs(t)
	write(t, dir, "complete.sh", `PATH=$1:$PATH
source <(aftermath completion bash)
try() {
  COMP_WORDS=("$@") COMP_CWORD=$(($# - 1)) COMP_LINE="$*" COMP_POINT=0 COMP_TYPE=9 COMP_KEY=9 COMPREPLY=()
  COMP_POINT=${#COMP_LINE}
  __start_aftermath 2>/dev/null
  echo "$* -> ${COMPREPLY[*]}"
}
try aftermath explai
try aftermath actions test cr
try aftermath explain --rule vip
try aftermath deliveries replay --rule both
try aftermath deliveries list --action cr
try aftermath deliveries list --status pe
try aftermath check --format git
try aftermath test --format ju
`)
	bin := t.TempDir()
	must(t, os.Symlink(built.Path, filepath.Join(bin, "aftermath")))
	cmd := exec.Command(bash, "--norc", "complete.sh", bin)
	cmd.Dir = dir
	out, err := cmd.CombinedOutput()
	must(t, err)
	same(t, "completion", `aftermath explai -> explain
aftermath actions test cr -> crm
aftermath explain --rule vip -> vip-lost-a-friend
aftermath deliveries replay --rule both -> both-ways
aftermath deliveries list --action cr -> crm
aftermath deliveries list --status pe -> pending
aftermath check --format git -> github
aftermath test --format ju -> junit
`, string(out))
}

// A command that waits for its input ends at once when it is interrupted.
func TestInterrupted(t *testing.T) {
	dir := writeVIPs(t)
	// A shell that starts the tests in the background has them ignore it, and what they start does too unless it is caught here.
	caught := make(chan os.Signal, 1)
	signal.Notify(caught, syscall.SIGINT)
	defer signal.Stop(caught)
	for _, args := range [][]string{{"explain", "-"}, {"backtest", "--packets", "-", "rules"}} {
		cmd := exec.Command(built.Path, args...)
		cmd.Dir = dir
		in, err := cmd.StdinPipe()
		must(t, err)
		must(t, cmd.Start())
		// Once it has read what is given to it, it waits for more.
		_, err = io.WriteString(in, strings.Repeat(" ", 1<<20))
		must(t, err)
		must(t, cmd.Process.Signal(syscall.SIGINT))
		ended := make(chan error, 1)
		go func() { ended <- cmd.Wait() }()
		select {
		case err := <-ended:
			if err == nil {
				t.Errorf("%s: ended as if all were well", args)
			}
		case <-time.After(patience):
			must(t, cmd.Process.Kill())
			<-ended
			t.Errorf("%s: did not end", args)
		}
	}
}
