package e2e

import (
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"
)

// manager hears what a service manager would.
type manager struct {
	t    testing.TB
	path string
	conn *net.UnixConn
}

func newManager(t testing.TB) *manager {
	t.Helper()
	dir, err := os.MkdirTemp("", "notify") // the test's own folder may have too long a name for a socket
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	m := &manager{t: t, path: filepath.Join(dir, "s")}
	if m.conn, err = net.ListenUnixgram("unixgram", &net.UnixAddr{Name: m.path, Net: "unixgram"}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { m.conn.Close() })
	return m
}

// hears waits for a message that the pattern fits.
func (m *manager) hears(pattern string) {
	m.t.Helper()
	want := regexp.MustCompile(pattern)
	if err := m.conn.SetReadDeadline(time.Now().Add(patience)); err != nil {
		m.t.Fatal(err)
	}
	var heard []string
	for buf := make([]byte, 4096); ; {
		n, err := m.conn.Read(buf)
		if err != nil {
			m.t.Fatalf("waited for %s and heard only %q", pattern, heard)
		}
		if want.Match(buf[:n]) {
			return
		}
		heard = append(heard, string(buf[:n]))
	}
}

// A service manager hears when the ports listen, that the process is alive, when it reloads, what came of it, and when it stops.
func TestServiceManagerIsTold(t *testing.T) {
	m := newManager(t)
	dir := t.TempDir()
	write(t, dir, "aftermath.yaml", config(""))
	file := write(t, dir, "rules/a.yaml", ruleNamed("first"))
	s := start(t, dir, "NOTIFY_SOCKET="+m.path, "WATCHDOG_USEC=400000")
	m.hears(`\AREADY=1\nSTATUS=1 rule, set [0-9a-f]{12}\z`)
	if code, _ := s.Request("GET", "/healthz"); code != 200 {
		t.Errorf("it said to be ready, and /healthz gives %d", code)
	}
	m.hears(`\AWATCHDOG=1\z`)
	s.Signal(syscall.SIGHUP)
	m.hears(`\ARELOADING=1\nMONOTONIC_USEC=[1-9][0-9]+\z`)
	m.hears(`\AREADY=1\nSTATUS=1 rule, `)
	must(t, os.WriteFile(file, []byte(strings.Replace(ruleNamed("broken"), "PairCount", "PairCuont", 1)), 0o644))
	m.hears(`\ASTATUS=1 rule, set [0-9a-f]{12}; the rules on disk are broken`)
	m.hears(`\AWATCHDOG=1\z`)
	s.Signal(syscall.SIGSTOP) // it is alive no more
	silent := func(d time.Duration) bool {
		must(t, m.conn.SetReadDeadline(time.Now().Add(d)))
		_, err := m.conn.Read(make([]byte, 4096))
		return err != nil
	}
	eventually(t, "what was on its way to have come", func() bool { return silent(50 * time.Millisecond) })
	if !silent(time.Second) {
		t.Error("a process that stands still sends messages")
	}
	s.Signal(syscall.SIGCONT)
	s.Signal(syscall.SIGTERM)
	m.hears(`\ASTOPPING=1\n`)
	if code := s.Exit(); code != 0 {
		t.Errorf("exit %d", code)
	}
}

// Where the service manager can't be told how it goes, the work is done all the same.
func TestServiceManagerThatIsNotThere(t *testing.T) {
	for name, env := range map[string][]string{
		"no socket":           {"NOTIFY_SOCKET=" + filepath.Join(t.TempDir(), "nobody")},
		"no address":          {"NOTIFY_SOCKET=nowhere"},
		"no time of watchdog": {"NOTIFY_SOCKET=" + newManager(t).path, "WATCHDOG_USEC=soon"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			write(t, dir, "aftermath.yaml", config(""))
			write(t, dir, "rules/a.yaml", ruleNamed("first"))
			s := start(t, dir, env...)
			s.Deliver("alice", "bob")
			if !strings.Contains(s.Log(), "the service manager does not hear how it goes") {
				t.Errorf("nothing is said of it: %s", s.Log())
			}
			if code := s.Stop(); code != 0 {
				t.Errorf("exit %d", code)
			}
		})
	}
}

// Sockets that nobody has a use for are an error that says what to do.
func TestSocketsThatAreNotKnown(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "aftermath.yaml", config(""))
	write(t, dir, "rules/a.yaml", ruleNamed("first"))
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	defer l.Close()
	file, err := l.(*net.TCPListener).File()
	must(t, err)
	defer file.Close()
	for _, c := range []struct{ names, fds, want string }{
		{"aftermath.socket", "1", `a socket called "aftermath.socket" was passed`},
		{"callback:callback", "2", `two sockets called "callback"`},
		{"callback", "2", "2 sockets were passed (LISTEN_FDS), and there are names for 1: callback"},
		{"", "3", "3 sockets were passed"},
		{"", "some", `LISTEN_FDS "some" is no number`},
	} {
		cmd := exec.Command("sh", "-c", `LISTEN_PID=$$ exec "$0" serve -c aftermath.yaml`, built.Path)
		cmd.Dir = dir
		cmd.Env = append(os.Environ(), "LISTEN_FDS="+c.fds, "LISTEN_FDNAMES="+c.names)
		cmd.ExtraFiles = []*os.File{file, file}
		out, err := cmd.CombinedOutput()
		if err == nil || !strings.Contains(string(out), "sockets of the service manager: ") || !strings.Contains(string(out), c.want) {
			t.Errorf("%q, %s: %v\n%s", c.names, c.fds, err, out)
		}
	}
}

// The example units are what systemd takes.
func TestSystemdUnits(t *testing.T) {
	dir := t.TempDir()
	var units []string
	for _, name := range []string{"aftermath.service", "aftermath.socket"} {
		text, err := os.ReadFile(filepath.Join("..", "..", "examples", "systemd", name))
		must(t, err)
		units = append(units, write(t, dir, name, strings.ReplaceAll(string(text), "/usr/local/bin/aftermath", built.Path)))
		for i, line := range strings.Split(strings.TrimSpace(string(text)), "\n") {
			if !regexp.MustCompile(`^(#.*|\[(Unit|Service|Socket|Install)\]|[A-Z][A-Za-z]+=.*)?$`).MatchString(line) {
				t.Errorf("%s:%d: %q is no line of a unit", name, i+1, line)
			}
		}
	}
	analyze, err := exec.LookPath("systemd-analyze")
	if err != nil {
		t.Log("systemd-analyze is not here: only the units' form was looked at")
		return
	}
	if out, err := exec.Command(analyze, append([]string{"verify", "--man=no"}, units...)...).CombinedOutput(); err != nil || strings.Contains(string(out), dir) {
		t.Errorf("systemd-analyze verify: %v\n%s", err, out)
	}
}
