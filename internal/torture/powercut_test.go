package torture

import (
	"bufio"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/aftermath-rules/aftermath/internal/load"
)

// Whatever was answered OK before a power cut arrives, and is counted once. The data folder lies on a file system of the test's own
// (tools/powercut, over FUSE), which forgets at the cut what was not synced, or keeps a random choice of its pages.
//
// What it cannot show: a disk that says that something is synced when it is not; a folder whose entries are lost although a file in it
// was synced since, which no journaling file system does (ext4, XFS); the order in which a real disk writes pages.
func TestTorturePowerCut(t *testing.T) {
	besides(t)
	tool := powercutTool(t)
	l := newLedger()
	hook := newReceiver(t, l)
	dir := newFolder(t, allRules(hook.URL), "")
	send := newSender(t, l, 64)
	cuts := rounds(3)
	for range cuts {
		d := mount(t, tool, dir)
		s := built.Start(t, dir)
		killAfter(t, s, time.Duration(rand.Int64N(int64(500*time.Millisecond))), send)
		d.cut(t)
		if t.Failed() {
			return
		}
	}
	d := mount(t, tool, dir)
	s := built.Start(t, dir)
	handled(t, s)
	l.readLog(t, dir)
	t.Logf("%d power cuts: %s", cuts, l.balance(t, s.Status(), "hook", "log"))
	if code := s.Stop(); code != 0 {
		t.Errorf("it ended with %d", code)
	}
	d.cut(t)
}

// The same on a disk where an fsync does nothing does lose what was answered OK: the test before this one would see it.
func TestTorturePowerCutWithoutSync(t *testing.T) {
	besides(t)
	tool := powercutTool(t)
	l := newLedger()
	hook := newReceiver(t, l)
	hook.behave(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusServiceUnavailable) }) // nothing arrives before the cut
	dir := newFolder(t, allRules(hook.URL), "")
	send := newSender(t, l, 64)
	d := mount(t, tool, dir, "-lie")
	s := built.Start(t, dir)
	send.run(t.Context(), s.Callback, load.Plan{Concurrency: 64, Count: 500})
	s.Kill()
	d.cut(t)
	d = mount(t, tool, dir)
	s = built.Start(t, dir)
	if n, left := l.count(accepted), int(s.Status().Counts.Callbacks); n == 0 || left >= n {
		t.Errorf("of %d callbacks answered OK %d are left, although nothing was synced", n, left)
	}
	s.Kill()
	d.cut(t)
}

// powercutTool builds the file system; where there is no FUSE, the test is skipped.
func powercutTool(t *testing.T) string {
	t.Helper()
	f, err := os.OpenFile("/dev/fuse", os.O_RDWR, 0)
	if err != nil || os.Getuid() != 0 {
		t.Skipf("it takes root and /dev/fuse, for a file system that forgets what is not synced: %v", err)
	}
	f.Close()
	tool := filepath.Join(t.TempDir(), "powercut")
	build := exec.Command("go", "build", "-o", tool, ".")
	build.Dir = filepath.Join("..", "..", "tools", "powercut")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	return tool
}

// cuttable is the file system below a test's data folder.
type cuttable struct {
	cmd   *exec.Cmd
	in    io.WriteCloser
	lines *bufio.Scanner
}

// mount mounts what is left of the disk on the data folder.
func mount(t *testing.T, tool, dir string, flags ...string) *cuttable {
	t.Helper()
	disk, data := filepath.Join(dir, "disk"), filepath.Join(dir, "data")
	for _, folder := range []string{disk, data} {
		if err := os.MkdirAll(folder, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	d := &cuttable{cmd: exec.Command(tool, append(flags, disk, data)...)}
	d.cmd.Stderr = os.Stderr
	in, err := d.cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := d.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	d.in, d.lines = in, bufio.NewScanner(out)
	if err := d.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		in.Close() // it unmounts and ends
		_ = d.cmd.Wait()
	})
	d.hear(t, "ready")
	return d
}

func (d *cuttable) hear(t testing.TB, want string) {
	t.Helper()
	if !d.lines.Scan() || d.lines.Text() != want {
		t.Fatalf("the file system says %q, want %q: %v", d.lines.Text(), want, d.lines.Err())
	}
}

// tell has it do something.
func (d *cuttable) tell(t testing.TB, format string, args ...any) {
	t.Helper()
	if _, err := fmt.Fprintf(d.in, format+"\n", args...); err != nil {
		t.Fatal(err)
	}
	d.hear(t, "ok")
}

// cut cuts the power. The program must have ended.
func (d *cuttable) cut(t testing.TB) {
	t.Helper()
	d.tell(t, "cut %d", rand.Uint64())
	if err := d.cmd.Wait(); err != nil {
		t.Fatal(err)
	}
}
