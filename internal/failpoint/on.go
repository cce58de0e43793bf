//go:build failpoint

package failpoint

import (
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
)

// wanted is the point of the environment, read once, and how many passes of it are left.
var wanted = sync.OnceValue(func() *point {
	name, n, _ := strings.Cut(os.Getenv("AFTERMATH_FAILPOINT"), ":")
	p := &point{name: name}
	left, err := strconv.Atoi(n)
	if err != nil {
		left = 1
	}
	p.left.Store(int64(left))
	return p
})

type point struct {
	name string
	left atomic.Int64
}

// Pass kills the process where it is time.
func Pass(name string) {
	if p := wanted(); p.name == name && p.left.Add(-1) == 0 {
		_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
		select {} // the signal is on its way
	}
}
