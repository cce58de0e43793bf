//go:build unix

package callback

import (
	"net"
	"syscall"
)

// readNow reads what lies ready, without regard to deadlines; it gives 0 where nothing does.
func readNow(conn net.Conn, p []byte) (n int) {
	sc, ok := conn.(syscall.Conn)
	if !ok {
		return 0
	}
	raw, err := sc.SyscallConn()
	if err != nil {
		return 0
	}
	err = raw.Control(func(fd uintptr) { n, _ = syscall.Read(int(fd), p) }) // it does not block: the file is as the runtime's poller wants it
	if err != nil {
		return 0
	}
	return max(n, 0)
}
