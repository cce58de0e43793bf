// Package program builds aftermath and runs it for tests that look at it from outside: real files, real ports, real kills. It is what
// the end-to-end tests and the torture tests share.
//
// A test's TestMain builds the program once, and each test starts it on a folder of its own:
//
//	var built program.Program
//
//	func TestMain(m *testing.M) { os.Exit(program.Main(m, &built)) }
//
//	func TestSomething(t *testing.T) {
//		dir := t.TempDir()
//		program.Write(t, dir, "aftermath.yaml", program.Config(""))
//		program.Write(t, dir, "rules/a.yaml", …)
//		s := built.Start(t, dir)
//		s.Deliver("alice", "bob")
//		s.Kill()
//		s = built.Start(t, dir)
//		program.Eventually(t, "the delivery", func() bool { return s.Status().Counts.Deliveries.Done == 1 })
//	}
package program

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

// Program is the built program.
type Program struct {
	Path string
}

// Main builds the program, stores it in p, runs the tests of m and gives their exit code.
func Main(m *testing.M, p *Program) int {
	dir, err := os.MkdirTemp("", "aftermath-test-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	if *p, err = Build(dir); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return m.Run()
}

// Build builds the program into dir.
func Build(dir string) (Program, error) {
	p := Program{Path: filepath.Join(dir, "aftermath")}
	args := []string{"build", "-o", p.Path}
	if Race {
		args = append(args, "-race")
	}
	if out, err := exec.Command("go", append(args, "github.com/aftermath-rules/aftermath/cmd/aftermath")...).CombinedOutput(); err != nil {
		return Program{}, fmt.Errorf("go build: %w\n%s", err, out)
	}
	return p, nil
}

// Run runs a command of the program to its end, in dir.
func (p Program) Run(t testing.TB, dir string, env []string, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 2*Patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, p.Path, args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), env...)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return cmd.ProcessState.ExitCode(), out.String(), errs.String()
}

// Command gives a serve of dir's aftermath.yaml that has not been started, for those who change how it runs before [Launch].
func (p Program) Command(dir string, env []string, args ...string) *exec.Cmd {
	cmd := exec.Command(p.Path, append([]string{"serve", "-c", filepath.Join(dir, "aftermath.yaml")}, args...)...)
	cmd.Env = append(os.Environ(), env...)
	return cmd
}

// Launch starts serve on dir's aftermath.yaml and does not wait for it to listen.
func (p Program) Launch(t testing.TB, dir string, env []string, args ...string) *Server {
	t.Helper()
	return Launch(t, p.Command(dir, env, args...))
}

// Start is Launch, and waits until both ports answer.
func (p Program) Start(t testing.TB, dir string, env ...string) *Server {
	t.Helper()
	s := p.Launch(t, dir, env)
	s.WaitUntilUp()
	return s
}

// Patience bounds every wait for something that should happen soon. It is long, since the machine may be slow and have other tests to run.
const Patience = 2 * time.Minute

// Eventually waits until cond holds, for as long as Patience.
func Eventually(t testing.TB, what string, cond func() bool) {
	t.Helper()
	Within(t, Patience, what, cond)
}

// Within waits until cond holds, for d at most.
func Within(t testing.TB, d time.Duration, what string, cond func() bool) {
	t.Helper()
	for deadline := time.Now().Add(d); !cond(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited %s in vain for %s", d, what)
		}
	}
}
