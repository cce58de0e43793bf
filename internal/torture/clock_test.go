package torture

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aftermath-rules/aftermath/internal/e2e/program"
	"github.com/aftermath-rules/aftermath/internal/load"
)

// The wall clock jumps by seconds to hours, forward and back, in the midst of a load of which every fifth delivery waits for its second attempt;
// half of the time the process is killed then, so that it starts under a clock that differs from what it stored: everything that was answered
// OK arrives, under one id, and the counts balance.
//
//	go test ./internal/torture -run TestTortureClock -v -timeout 0 -torture.rounds 30
//
// What it cannot show: the times of files, and the kernel's own timers, which follow the machine's clock, since the jump is one of package time.
func TestTortureClock(t *testing.T) {
	if *roundsFlag == 0 {
		t.Skip("it builds the program with all of Go's library: run it with -torture.rounds 30; the tests of package engine have jumps in every run")
	}
	clock := newClock(t)
	l := newLedger()
	hook := newReceiver(t, l)
	var tried sync.Map // by account
	hook.behave(func(w http.ResponseWriter, req *http.Request) {
		var n int
		if _, err := fmt.Sscanf(req.URL.Path, "/u%d", &n); err == nil && n%5 == 1 {
			if _, again := tried.LoadOrStore(n, true); !again {
				w.WriteHeader(http.StatusServiceUnavailable)
				return
			}
		}
		hook.take(w, req)
	})
	rules := strings.Replace(allRules(`"`+hook.URL+`/{{ From_Account }}"`), "type: webhook", "type: webhook, retry: {min: 250ms, max: 500ms}", 1)
	dir := newFolder(t, rules, "")
	send := newSender(t, l, 16)
	half := load.Plan{Rate: 200, Concurrency: 16, For: 500 * time.Millisecond}
	s := clock.program.Start(t, dir, clock.env)
	jumps := rounds(0)
	for range jumps {
		send.run(t.Context(), s.Callback, half)
		clock.ahead([]time.Duration{0, 20 * time.Second, -20 * time.Second, -5 * time.Minute, time.Hour, 5 * time.Hour}[rand.IntN(6)])
		send.run(t.Context(), s.Callback, half)
		if rand.IntN(2) == 0 {
			s.Kill()
			s = clock.program.Start(t, dir, clock.env)
		}
	}
	// Whatever waits is due; the server's own timers, which no jump moves, are set anew by a start.
	clock.ahead(6 * time.Hour)
	s.Kill()
	s = clock.program.Start(t, dir, clock.env)
	before := time.Now()
	st := l.handled(t, s)
	l.readLog(t, dir)
	t.Logf("%d jumps: %s; all was handled %s after the last", jumps, l.balance(t, st, "hook", "log"), time.Since(before).Round(time.Millisecond))
}

// clock is a program's wall clock.
type clock struct {
	program program.Program
	env     string // of the program
	t       testing.TB
	file    *os.File
}

// newClock builds a program whose package time has one more line: it adds the seconds that stand in a file, which the program has mapped.
func newClock(t testing.TB) *clock {
	t.Helper()
	out, err := exec.Command("go", "env", "GOROOT").Output()
	if err != nil {
		t.Fatal(err)
	}
	lib := filepath.Join(strings.TrimSpace(string(out)), "src", "time")
	source, err := os.ReadFile(filepath.Join(lib, "time.go"))
	if err != nil {
		t.Fatal(err)
	}
	const reads = "\tsec, nsec, mono := runtimeNow()\n"
	if n := strings.Count(string(source), reads); n != 1 {
		t.Fatalf("this release of Go reads the clock at %d places: the test must learn how", n)
	}
	dir := t.TempDir()
	over, err := json.Marshal(map[string]any{"Replace": map[string]string{
		filepath.Join(lib, "time.go"):    program.Write(t, dir, "time.go", strings.Replace(string(source), reads, reads+"\tsec += jumped()\n", 1)),
		filepath.Join(lib, "zz_jump.go"): program.Write(t, dir, "zz_jump.go", jumpSource),
	}})
	if err != nil {
		t.Fatal(err)
	}
	c := &clock{t: t, program: program.Program{Path: filepath.Join(dir, "aftermath")}}
	if out, err := exec.Command("go", "build", "-overlay", program.Write(t, dir, "overlay.json", string(over)), "-o", c.program.Path,
		"github.com/aftermath-rules/aftermath/cmd/aftermath").CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	if c.file, err = os.Create(filepath.Join(dir, "ahead")); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.file.Close() })
	c.env = "AFTERMATH_CLOCK=" + c.file.Name()
	c.ahead(0)
	return c
}

// jumpSource is the file that package time has more.
const jumpSource = `package time

import (
	"sync/atomic"
	"syscall"
	"unsafe"
)

var ahead = func() *int64 {
	path, ok := syscall.Getenv("AFTERMATH_CLOCK")
	if !ok {
		return new(int64)
	}
	fd, err := syscall.Open(path, syscall.O_RDONLY, 0)
	if err != nil {
		panic(err)
	}
	b, err := syscall.Mmap(fd, 0, 8, syscall.PROT_READ, syscall.MAP_SHARED)
	if err != nil {
		panic(err)
	}
	return (*int64)(unsafe.Pointer(&b[0]))
}()

func jumped() int64 { return atomic.LoadInt64(ahead) }
`

// ahead has the clock go ahead of the machine's by so much, from now on.
func (c *clock) ahead(d time.Duration) {
	c.t.Helper()
	if _, err := c.file.WriteAt(binary.NativeEndian.AppendUint64(nil, uint64(d/time.Second)), 0); err != nil {
		c.t.Fatal(err)
	}
}
