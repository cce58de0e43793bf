//go:build unix

package logentry

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
)

func open(t *testing.T, f *Files, path string, size int64, keep int) io.WriteCloser {
	t.Helper()
	w, err := f.Open(path, size, keep)
	if err != nil {
		t.Fatal(err)
	}
	return w
}

func write(t *testing.T, w io.Writer, s string) {
	t.Helper()
	if n, err := io.WriteString(w, s); err != nil || n != len(s) {
		t.Fatalf("write: %d, %v", n, err)
	}
}

func content(t *testing.T, path string) string {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func TestFilesRotate(t *testing.T) {
	dir := t.TempDir()
	files := NewFiles(dir)
	defer files.Close()
	w := open(t, files, "a/b.log", 10, 2)
	for _, line := range []string{"one\n", "two\n", "three\n", "four\n", "five5\n", "a line longer than the limit\n", "six\n"} {
		write(t, w, line)
	}
	for name, want := range map[string]string{"b.log": "six\n", "b.log.1": "a line longer than the limit\n", "b.log.2": "five5\n"} {
		if got := content(t, filepath.Join(dir, "a", name)); got != want {
			t.Errorf("%s holds %q, want %q", name, got, want)
		}
	}
	entries, err := os.ReadDir(filepath.Join(dir, "a"))
	if err != nil || len(entries) != 3 {
		t.Errorf("%d files, %v", len(entries), err)
	}
	info, err := os.Stat(filepath.Join(dir, "a", "b.log"))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	if err := w.Close(); err != nil {
		t.Error(err)
	}
}

func TestFilesGoOnWhereTheyWere(t *testing.T) {
	dir := t.TempDir()
	for range 2 {
		files := NewFiles(dir)
		w := open(t, files, "a.log", 100, 1)
		write(t, w, "line\n")
		if err := files.Close(); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write([]byte("late\n")); err == nil {
			t.Error("a write after the close is taken")
		}
		if _, err := files.Open("b.log", 1, 1); err == nil {
			t.Error("a file is opened after the close")
		}
	}
	if got := content(t, filepath.Join(dir, "a.log")); got != "line\nline\n" {
		t.Errorf("got %q", got)
	}
}

func TestFilesAreSharedAndCounted(t *testing.T) {
	dir := t.TempDir()
	files := NewFiles(dir)
	defer files.Close()
	first, second := open(t, files, "a.log", 1000, 1), open(t, files, filepath.Join(dir, "x", "..", "a.log"), 20, 1)
	if len(files.open) != 1 {
		t.Fatalf("%d files are open", len(files.open))
	}
	for range 2 { // closing twice counts once
		if err := first.Close(); err != nil {
			t.Fatal(err)
		}
	}
	write(t, second, "0123456789\n")
	write(t, second, "0123456789\n") // the limit given last holds
	if got := content(t, filepath.Join(dir, "a.log.1")); got != "0123456789\n" {
		t.Errorf("rotated: %q", got)
	}
	if err := second.Close(); err != nil {
		t.Fatal(err)
	}
	if len(files.open) != 0 {
		t.Error("the file stays open with nobody using it")
	}
}

func TestFilesStayBelowTheirFolder(t *testing.T) {
	base := t.TempDir()
	dir, outside := filepath.Join(base, "in"), filepath.Join(base, "out")
	for _, d := range []string{dir, outside} {
		if err := os.Mkdir(d, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	for link, target := range map[string]string{"dirlink": outside, "filelink": filepath.Join(outside, "x.log"), "uplink": "../out/y.log"} {
		if err := os.Symlink(target, filepath.Join(dir, link)); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Mkdir(filepath.Join(dir, "folder"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mkfifo(filepath.Join(dir, "pipe"), 0o600); err != nil {
		t.Fatal(err)
	}
	files := NewFiles(dir)
	defer files.Close()
	for _, path := range []string{"../out/a.log", "a/../../out/a.log", filepath.Join(outside, "a.log"), "", ".", "dirlink/a.log", "filelink", "uplink", "folder", "pipe"} {
		t.Run(path, func(t *testing.T) {
			if w, err := files.Open(path, 100, 1); err == nil {
				w.Close()
				t.Error("opened")
			}
		})
	}
	if entries, err := os.ReadDir(outside); err != nil || len(entries) > 0 {
		t.Errorf("something was written outside: %v, %v", entries, err)
	}
}

func TestFilesFollowWhatHappensToThem(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "a.log")
	files := NewFiles(dir)
	defer files.Close()
	w := open(t, files, "a.log", 1000, 1)
	write(t, w, "one\n")
	if err := os.Rename(path, path+".moved"); err != nil {
		t.Fatal(err)
	}
	write(t, w, "two\n")
	if got := content(t, path); got != "two\n" {
		t.Errorf("after a rename: %q", got)
	}
	if err := os.Truncate(path, 0); err != nil {
		t.Fatal(err)
	}
	write(t, w, "three\n")
	if got := content(t, path); got != "three\n" {
		t.Errorf("after a truncation: %q", got)
	}
}

// A limit on the size of files does to a write what a full disk does: it takes a part, then gives an error. The limit is the
// process's, so the test runs itself again.
func TestFailedWritesLeaveNothingBehind(t *testing.T) {
	const marker, limit = "AFTERMATH_TEST_FILE_LIMIT", 50
	if dir := os.Getenv(marker); dir != "" {
		writeToTheLimit(t, dir, limit)
		return
	}
	dir := t.TempDir()
	cmd := exec.Command(os.Args[0], "-test.run=^TestFailedWritesLeaveNothingBehind$")
	cmd.Env = append(os.Environ(), marker+"="+dir)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if got := content(t, filepath.Join(dir, "a.log")); got != strings.Repeat("0123456789abcde\n", 3)+"x\n" {
		t.Errorf("got %q", got)
	}
}

func writeToTheLimit(t *testing.T, dir string, limit uint64) {
	files := NewFiles(dir)
	defer files.Close()
	w := open(t, files, "a.log", 1000, 1)
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &syscall.Rlimit{Cur: limit, Max: limit}); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		write(t, w, "0123456789abcde\n")
	}
	n, err := io.WriteString(w, "0123456789abcde\n")
	if n != 0 || !errors.Is(err, syscall.EFBIG) || !strings.Contains(err.Error(), "log file a.log") {
		t.Fatalf("a write over the limit: %d, %v", n, err)
	}
	write(t, w, "x\n") // what fits goes on
}

func TestFilesUnderConcurrency(t *testing.T) {
	dir := t.TempDir()
	files := NewFiles(dir)
	var wg sync.WaitGroup
	const writers, lines = 8, 200
	for i := range writers {
		wg.Go(func() {
			w, err := files.Open("a.log", 2000, 1000)
			if err != nil {
				t.Error(err)
				return
			}
			for j := range lines {
				if _, err := fmt.Fprintf(w, "writer %d line %d\n", i, j); err != nil {
					t.Error(err)
				}
			}
			if err := w.Close(); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if err := files.Close(); err != nil {
		t.Fatal(err)
	}
	names, err := filepath.Glob(filepath.Join(dir, "a.log*"))
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for _, name := range names {
		for line := range strings.Lines(content(t, name)) {
			seen[line] = true
		}
	}
	if len(seen) != writers*lines || len(names) < 10 {
		t.Errorf("%d of %d lines in %d files", len(seen), writers*lines, len(names))
	}
}
