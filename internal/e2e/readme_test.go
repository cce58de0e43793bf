package e2e

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/aftermath-rules/aftermath/internal/e2e/program"
	"github.com/aftermath-rules/aftermath/internal/schema/schematest"
)

// The README's fenced blocks are run from top to bottom in a scratch copy of the examples. What a block is, its first word says:
//
//	sh               commands, a line each; each must succeed
//	console          commands behind "$ ", each followed by all that it prints; one that goes on running is a process, and what
//	                 follows is the beginning of its output. "console fails": each exits with 1
//	console NAME     lines that the process NAME (serve or receiver) prints from now on, in any order
//	yaml             a rules file, or the configuration where it has the key callback; its first line is a comment with its path. It
//	                 is checked, alone, and held to the schema. "yaml fails": it is only written, for the next console block
//	go               a piece of examples/extension, word for word
//	text             nothing that could be run. "text PATH": a file that the blocks below use
//
// Ids, times, durations and ports may differ from run to run, and are made alike before output is compared.
func TestReadme(t *testing.T) {
	if _, err := exec.LookPath("sh"); err != nil {
		t.Skip("the README's commands are for a shell")
	}
	r := newReadmeRun(t)
	for _, b := range readmeBlocks(t) {
		r.block(b)
		if t.Failed() {
			return // what follows needs it
		}
	}
}

// elsewhere are the README's commands that are not run here, and who runs them.
var elsewhere = []string{
	"go test ./...",              // whoever runs this
	"go install ./cmd/aftermath", // TestMain builds the program
}

type block struct {
	line int
	kind string // the first word behind the fence
	arg  string // the rest
	text string
}

func readme(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func readmeBlocks(t *testing.T) []block {
	t.Helper()
	var blocks []block
	var open *block
	for i, line := range strings.Split(readme(t), "\n") {
		fence, isFence := strings.CutPrefix(line, "```")
		switch {
		case isFence && open == nil:
			kind, arg, _ := strings.Cut(fence, " ")
			open = &block{line: i + 1, kind: kind, arg: arg}
		case isFence:
			blocks, open = append(blocks, *open), nil
		case open != nil:
			open.text += line + "\n"
		}
	}
	if open != nil || len(blocks) == 0 {
		t.Fatalf("README.md: %d blocks, the last one open: %v", len(blocks), open != nil)
	}
	return blocks
}

// readmeRun is the scratch copy and what runs in it.
type readmeRun struct {
	t         *testing.T
	dir       string
	receiver  string            // the built stand-in for what the actions talk to
	ports     *strings.Replacer // the README's ports to free ones
	back      *strings.Replacer
	processes map[string]*process
	schemas   map[string]schematest.Schema
}

func newReadmeRun(t *testing.T) *readmeRun {
	t.Helper()
	r := &readmeRun{t: t, dir: t.TempDir(), processes: map[string]*process{}, schemas: map[string]schematest.Schema{}}
	var there, back []string
	for _, port := range []string{"8080", "9090", "8081", "1025"} {
		l := program.Reserve(t)
		defer l.Close() // after all are chosen, so that none is chosen twice
		free := strconv.Itoa(l.Addr().(*net.TCPAddr).Port)
		there = append(there, ":"+port, ":"+free, "port: "+port, "port: "+free)
		back = append(back, ":"+free, ":"+port)
	}
	r.ports, r.back = strings.NewReplacer(there...), strings.NewReplacer(back...)
	copyTree(t, "../../examples", filepath.Join(r.dir, "examples"), r.ports)
	r.receiver = filepath.Join(t.TempDir(), "receiver")
	if out, err := exec.Command("go", "build", "-o", r.receiver, "../../examples/receiver").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for _, kind := range []string{"rules", "config"} {
		r.schemas[kind] = schemaOf(t, kind)
	}
	return r
}

func (r *readmeRun) block(b block) {
	switch {
	case b.kind == "sh":
		for command := range strings.Lines(b.text) {
			r.run(b, strings.TrimSpace(command), nil, 0)
		}
	case b.kind == "console" && (b.arg == "" || b.arg == "fails"):
		r.console(b)
	case b.kind == "console":
		p := r.processes[b.arg]
		if p == nil {
			r.t.Fatalf("README.md:%d: no process %q runs", b.line, b.arg)
		}
		r.await(b, p, lines(b.text))
	case b.kind == "yaml":
		r.yaml(b)
	case b.kind == "go":
		r.goCode(b)
	case b.kind == "text" && b.arg != "":
		write(r.t, r.dir, b.arg, b.text)
	case b.kind == "text":
	default:
		r.t.Errorf("README.md:%d: a block of the kind %q is run by nobody", b.line, b.kind)
	}
}

// console runs the commands of a transcript and compares what they print.
func (r *readmeRun) console(b block) {
	var command string
	var want []string
	exit := 0
	if b.arg == "fails" {
		exit = 1
	}
	flush := func() {
		if command != "" {
			r.run(b, command, &want, exit)
		}
		want = nil
	}
	for _, line := range lines(b.text) {
		next, isCommand := strings.CutPrefix(line, "$ ")
		if !isCommand {
			if command == "" {
				r.t.Errorf("README.md:%d: output before the first command", b.line)
			}
			want = append(want, line)
			continue
		}
		flush()
		command = next
	}
	flush()
}

// run runs one command. want is what it prints, nil for anything.
func (r *readmeRun) run(b block, command string, want *[]string, exit int) {
	r.t.Helper()
	if slices.Contains(elsewhere, command) || command == "" {
		return
	}
	shell := strings.ReplaceAll(r.ports.Replace(command), "go run ./cmd/aftermath ", "aftermath ")
	switch {
	case strings.Contains(command, "aftermath serve "):
		r.start(b, "serve", shell, want)
		return
	case command == "go run ./examples/receiver":
		r.start(b, "receiver", r.receiver+" "+r.ports.Replace("-webhook 127.0.0.1:8081 -smtp 127.0.0.1:1025"), want)
		return
	}
	m := curl.FindStringSubmatch(shell)
	for deadline := time.Now().Add(patience); ; time.Sleep(50 * time.Millisecond) {
		problem := ""
		if m == nil {
			problem = r.once(shell, nil, want, exit)
		} else {
			problem = r.once(cmp.Or(m[3], "cat"), r.fetch(b, m), want, exit)
		}
		if problem == "" {
			return
		}
		if m == nil || time.Now().After(deadline) { // what a process shows may still be on its way
			r.t.Errorf("README.md:%d: %s: %s", b.line, command, problem)
			return
		}
	}
}

// once runs a command and says what is not as it should be.
func (r *readmeRun) once(shell string, stdin []byte, want *[]string, exit int) string {
	ctx, cancel := context.WithTimeout(r.t.Context(), patience)
	defer cancel()
	cmd := r.command(ctx, shell)
	cmd.Stdin = bytes.NewReader(stdin)
	out, err := cmd.CombinedOutput()
	if cmd.ProcessState == nil {
		return err.Error()
	}
	if code := cmd.ProcessState.ExitCode(); code != exit {
		return fmt.Sprintf("exit code %d, want %d\n%s", code, exit, out)
	}
	if want == nil {
		return ""
	}
	if diff := gocmp.Diff(alike(*want), alike(lines(r.back.Replace(string(out))))); diff != "" {
		return "prints something else (-README +printed):\n" + diff
	}
	return ""
}

func (r *readmeRun) command(ctx context.Context, shell string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, "sh", "-c", shell)
	cmd.Dir = r.dir
	cmd.Env = append(os.Environ(), "PATH="+filepath.Dir(built.Path)+string(os.PathListSeparator)+os.Getenv("PATH"))
	return cmd
}

// curl is what the README uses of curl. The test makes these requests itself, since curl may not be there.
var curl = regexp.MustCompile(`^curl -s( -X POST)? (http://\S+)(?: \| (.*))?$`)

func (r *readmeRun) fetch(b block, m []string) []byte {
	r.t.Helper()
	method := http.MethodGet
	if m[1] != "" {
		method = http.MethodPost
	}
	ctx, cancel := context.WithTimeout(r.t.Context(), patience)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, m[2], nil)
	if err != nil {
		r.t.Fatalf("README.md:%d: %v", b.line, err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		r.t.Fatalf("README.md:%d: %v", b.line, err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		r.t.Fatalf("README.md:%d: %v", b.line, err)
	}
	return body
}

// process is a command that goes on running.
type process struct {
	cmd  *exec.Cmd
	out  program.Output // of both streams
	used map[int]bool   // lines that a block has shown
}

func (r *readmeRun) start(b block, name, shell string, want *[]string) {
	r.t.Helper()
	p := &process{used: map[int]bool{}, cmd: r.command(context.WithoutCancel(r.t.Context()), "exec "+shell)}
	p.cmd.Stdout, p.cmd.Stderr = &p.out, &p.out
	if r.processes[name] != nil {
		r.t.Fatalf("README.md:%d: %s runs already", b.line, name)
	}
	if err := p.cmd.Start(); err != nil {
		r.t.Fatal(err)
	}
	r.processes[name] = p
	ended := make(chan error, 1)
	go func() { ended <- p.cmd.Wait() }()
	r.t.Cleanup(func() {
		_ = p.cmd.Process.Signal(syscall.SIGTERM) // it may have ended already
		timer := time.AfterFunc(patience, func() { _ = p.cmd.Process.Kill() })
		defer timer.Stop()
		if err := <-ended; err != nil {
			r.t.Errorf("%s: %v\n%s", name, err, program.Tail(p.out.String(), 20))
		}
	})
	if want == nil {
		want = new([]string)
	}
	r.await(b, p, *want)
}

// await waits until the process has printed the lines, in any order.
func (r *readmeRun) await(b block, p *process, want []string) {
	r.t.Helper()
	for deadline := time.Now().Add(patience); ; time.Sleep(20 * time.Millisecond) {
		missing, rest := p.take(r.back, alike(want))
		if len(missing) == 0 {
			return
		}
		if time.Now().After(deadline) {
			r.t.Fatalf("README.md:%d: not printed:\n  %s\nbut\n  %s", b.line, strings.Join(missing, "\n  "), strings.Join(rest, "\n  "))
		}
	}
}

// take marks the lines as shown if all of them are there; else it gives those that are missing, and what is there.
func (p *process) take(back *strings.Replacer, want []string) (missing, rest []string) {
	all := p.out.String()
	got := alike(lines(back.Replace(all[:strings.LastIndexByte(all, '\n')+1])))
	taken := map[int]bool{}
	for _, line := range want {
		at := -1
		for i, g := range got {
			if g == line && !p.used[i] && !taken[i] {
				at = i
				break
			}
		}
		if at < 0 {
			missing = append(missing, line)
			continue
		}
		taken[at] = true
	}
	for i, line := range got {
		if !p.used[i] && !taken[i] {
			rest = append(rest, line)
		}
	}
	if len(missing) == 0 {
		for i := range taken {
			p.used[i] = true
		}
	}
	return missing, rest
}

// yaml writes the file and checks it as its reader would.
func (r *readmeRun) yaml(b block) {
	first, _, _ := strings.Cut(b.text, "\n")
	name, ok := strings.CutPrefix(first, "# ")
	if !ok || !strings.HasSuffix(name, ".yaml") {
		r.t.Errorf("README.md:%d: the block does not begin with a comment that names its file", b.line)
		return
	}
	file := write(r.t, r.dir, name, b.text)
	if b.arg == "fails" {
		return
	}
	args, kind := []string{"check", "--secrets", "ignore", file}, "rules"
	if regexp.MustCompile(`(?m)^callback:`).MatchString(b.text) {
		write(r.t, filepath.Dir(file), "rules/none.yaml", "rules: []\n")
		args, kind = []string{"check", "--secrets", "ignore", "-c", file}, "config"
	}
	// That no index serves a condition is as it should be: the README shows what the language can say.
	if code, out, errs := aftermath(r.t, r.dir, nil, args...); code != 0 || strings.Count(out, " warning: ") != strings.Count(out, ": warning: no index serves ") {
		r.t.Errorf("README.md:%d: %s: exit code %d\n%s%s", b.line, name, code, out, errs)
	}
	if err := r.schemas[kind].Validate([]byte(b.text)); err != nil {
		r.t.Errorf("README.md:%d: %s and the schema: %v", b.line, name, err)
	}
}

func (r *readmeRun) goCode(b block) {
	files, err := filepath.Glob("../../examples/extension/*.go")
	if err != nil {
		r.t.Fatal(err)
	}
	for _, file := range files {
		code, err := os.ReadFile(file)
		if err != nil {
			r.t.Fatal(err)
		}
		if strings.Contains(string(code), b.text) {
			return
		}
	}
	r.t.Errorf("README.md:%d: this is no part of examples/extension", b.line)
}

// variable is what differs from run to run.
var variable = []struct {
	pattern *regexp.Regexp
	as      string
}{
	{regexp.MustCompile(`[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}`), "UUID"},
	{regexp.MustCompile(`\b[0-9a-f]{32}\b`), "ID"},
	{regexp.MustCompile(`\b[0-9a-f]{12}\b`), "HASH"},
	{regexp.MustCompile(`\b\d{4}-\d\d-\d\dT[0-9:.]+Z`), "TIME"},
	{regexp.MustCompile(`^\d\d:\d\d:\d\d\.\d{3}`), "TIME"},
	{regexp.MustCompile(`"took": "[0-9.]+(ns|µs|ms|s)"`), `"took": TIME`},
	{regexp.MustCompile(`\b[0-9.]+ms\b`), "TIME"},
	{regexp.MustCompile(`"(took_ms|uptime_s|bytes|disk_free|packs)": ?[0-9.e-]+`), `"$1":N`},
	{regexp.MustCompile(`go1\.[0-9.]+\S*, \w+/\w+`), "GO"},
}

// alike replaces what differs from run to run.
func alike(lines []string) []string {
	out := make([]string, len(lines))
	for i, line := range lines {
		for _, v := range variable {
			line = v.pattern.ReplaceAllString(line, v.as)
		}
		out[i] = strings.TrimRight(line, " ")
	}
	return out
}

func lines(text string) []string {
	if text = strings.TrimRight(text, "\n"); text == "" {
		return []string{}
	}
	return strings.Split(text, "\n")
}
