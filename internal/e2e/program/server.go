package program

import (
	"os"
	"os/exec"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"
)

// Server is a running serve.
type Server struct {
	Callback string // its URL
	Admin    string // its URL, without a slash at the end
	Token    string // of the admin port, where the test's configuration sets one

	t      testing.TB
	cmd    *exec.Cmd
	done   chan struct{} // closed when the process has ended
	err    error         // of Wait, once done
	stdout Output
	stderr Output
}

var listens = regexp.MustCompile(`(?m)^(callbacks|admin) +(https?://\S+)\n`)

// Launch starts cmd, which runs serve, and does not wait for it to listen. It is killed when the test ends, and if that has failed, what
// it printed is shown where it was still running.
func Launch(t testing.TB, cmd *exec.Cmd) *Server {
	t.Helper()
	s := &Server{t: t, cmd: cmd, done: make(chan struct{})}
	cmd.Stdout, cmd.Stderr = &s.stdout, &s.stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		s.err = cmd.Wait()
		close(s.done)
	}()
	t.Cleanup(func() {
		running := s.Running()
		s.Kill()
		if t.Failed() && running { // one that the test has ended is not what it is about
			t.Logf("serve printed:\n%s%s", s.Out(), Tail(s.Log(), 20))
		}
	})
	return s
}

// WaitUntilUp waits until serve has printed where it listens.
func (s *Server) WaitUntilUp() {
	s.t.Helper()
	Eventually(s.t, "serve to print where it listens", func() bool {
		if !s.Running() {
			s.t.Fatalf("serve ended: %v\n%s", s.err, s.Log())
		}
		return s.Up()
	})
}

// Up tells whether serve has printed where it listens, which it notes then.
func (s *Server) Up() bool {
	for _, m := range listens.FindAllStringSubmatch(s.Out(), -1) {
		if m[1] == "admin" {
			s.Admin = strings.TrimSuffix(m[2], "/")
		} else {
			s.Callback = m[2]
		}
	}
	return s.Admin != "" && s.Callback != ""
}

// Out is what it has printed.
func (s *Server) Out() string { return s.stdout.String() }

// Log is what it has written to stderr.
func (s *Server) Log() string { return s.stderr.String() }

// PID is its process id.
func (s *Server) PID() int { return s.cmd.Process.Pid }

// Running tells whether the process has not ended.
func (s *Server) Running() bool {
	select {
	case <-s.done:
		return false
	default:
		return true
	}
}

// Kill ends the process as a power cut would, as far as the process can tell.
func (s *Server) Kill() {
	_ = s.cmd.Process.Kill() // it may have ended already
	<-s.done
}

// Signal sends it a signal.
func (s *Server) Signal(sig os.Signal) {
	s.t.Helper()
	if err := s.cmd.Process.Signal(sig); err != nil {
		s.t.Fatal(err)
	}
}

// Stop asks it to end and gives its exit code.
func (s *Server) Stop() int {
	s.t.Helper()
	s.Signal(syscall.SIGTERM)
	return s.Exit()
}

// Exit waits until the process has ended and gives its exit code.
func (s *Server) Exit() int {
	s.t.Helper()
	select {
	case <-s.done:
	case <-time.After(Patience):
		s.t.Fatal("serve goes on running")
	}
	return s.cmd.ProcessState.ExitCode()
}
