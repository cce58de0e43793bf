package torture

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/aftermath-rules/aftermath/internal/e2e/program"
)

// The overload of TestTortureOverload, in a control group that may use 256 MB, page cache included: the kernel does not kill the process, and
// nothing that was answered OK is lost.
//
// What it cannot show: a machine without memory for anybody, on which the kernel may choose any process.
func TestTortureMemoryLimit(t *testing.T) {
	eachOverload(t, append(slices.Clone(alike), unlike), func(t *testing.T, dir string) (s *program.Server, check func()) {
		group := newGroup(t, wantedRSS)
		s = group.start(t, dir)
		return s, func() {
			if killed := group.kills(t); killed > 0 || !s.Running() {
				t.Fatalf("the kernel has killed the process %d times", killed)
			}
		}
	})
}

// group is a control group for memory.
type group struct {
	dir string
	v2  bool
}

// newGroup makes a group of which nothing may take more than limit bytes; where the system or its rights don't allow that, the test is skipped.
func newGroup(t *testing.T, limit int) group {
	t.Helper()
	g := group{dir: "/sys/fs/cgroup/memory"}
	if _, err := os.Stat("/sys/fs/cgroup/cgroup.controllers"); err == nil {
		g = group{dir: "/sys/fs/cgroup", v2: true}
		// It fails where it is on already, or this is no group that may have others: the limit's file tells.
		_ = os.WriteFile(filepath.Join(g.dir, "cgroup.subtree_control"), []byte("+memory"), 0)
	}
	g.dir = filepath.Join(g.dir, fmt.Sprintf("aftermath-torture-%d", os.Getpid()))
	if err := os.Mkdir(g.dir, 0o755); err != nil {
		t.Skipf("no control group can be made here: %v", err)
	}
	t.Cleanup(func() {
		program.Eventually(t, "the control group to be empty", func() bool { return os.Remove(g.dir) == nil })
	})
	files := []string{"memory.limit_in_bytes"}
	if g.v2 {
		files = []string{"memory.max", "memory.swap.max"}
	}
	for _, name := range files {
		value := strconv.Itoa(limit)
		if name == "memory.swap.max" {
			value = "0"
		}
		if err := os.WriteFile(filepath.Join(g.dir, name), []byte(value), 0); err != nil {
			t.Skipf("no control group can be limited here: %v", err)
		}
	}
	return g
}

// start starts the program in the group: a shell goes there and becomes it.
func (g group) start(t *testing.T, dir string) *program.Server {
	t.Helper()
	serve := built.Command(dir, nil)
	cmd := exec.Command("sh", append([]string{"-c", `echo $$ >"$0"/cgroup.procs && exec "$@"`, g.dir}, serve.Args...)...)
	cmd.Env = serve.Env
	s := program.Launch(t, cmd)
	s.WaitUntilUp()
	return s
}

var killCount = regexp.MustCompile(`(?m)^oom_kill (\d+)$`)

// kills is how many processes of the group the kernel has killed for want of memory.
func (g group) kills(t *testing.T) int {
	t.Helper()
	name := "memory.oom_control"
	if g.v2 {
		name = "memory.events"
	}
	text, err := os.ReadFile(filepath.Join(g.dir, name))
	if err != nil {
		t.Fatal(err)
	}
	m := killCount.FindSubmatch(text)
	if m == nil {
		t.Fatalf("%s does not say how often it killed: %s", name, strings.TrimSpace(string(text)))
	}
	n, err := strconv.Atoi(string(m[1]))
	if err != nil {
		t.Fatal(err)
	}
	return n
}
