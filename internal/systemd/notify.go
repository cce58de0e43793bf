package systemd

import (
	"context"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"time"
)

// Notifier tells the service manager how the service is. The nil Notifier tells nobody.
type Notifier struct {
	conn  *net.UnixConn
	every time.Duration // half of what the watchdog allows; 0 where there is none
}

// NewNotifier connects to the service manager that env (os.Getenv) names: NOTIFY_SOCKET, and WATCHDOG_USEC where it wants to hear from
// us. It gives nil where there is none. The caller closes it.
func NewNotifier(env func(string) string) (*Notifier, error) {
	name := env("NOTIFY_SOCKET")
	if name == "" {
		return nil, nil
	}
	if name[0] != '/' && name[0] != '@' {
		return nil, fmt.Errorf("NOTIFY_SOCKET %q is neither a path nor an abstract socket", name)
	}
	conn, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: name, Net: "unixgram"})
	if err != nil {
		return nil, fmt.Errorf("NOTIFY_SOCKET: %w", err)
	}
	n := &Notifier{conn: conn}
	if pid := env("WATCHDOG_PID"); pid != "" && pid != strconv.Itoa(os.Getpid()) {
		return n, nil // it is meant for another process
	}
	if text := env("WATCHDOG_USEC"); text != "" {
		usec, err := strconv.ParseInt(text, 10, 64)
		if err != nil || usec <= 0 {
			conn.Close()
			return nil, fmt.Errorf("WATCHDOG_USEC %q is no number of microseconds", text)
		}
		n.every = time.Duration(usec) * time.Microsecond / 2
	}
	return n, nil
}

// Ready says that the service does its work, or that a reload is over.
func (n *Notifier) Ready(status string) { n.send("READY=1", "STATUS="+status) }

// Reloading says that a reload has begun, which Ready ends.
func (n *Notifier) Reloading() {
	n.send("RELOADING=1", "MONOTONIC_USEC="+strconv.FormatInt(monotonic().Microseconds(), 10))
}

// Stopping says that the service ends, and why it may take a while.
func (n *Notifier) Stopping(status string) { n.send("STOPPING=1", "STATUS="+status) }

// Status says in a line how the service is.
func (n *Notifier) Status(status string) { n.send("STATUS=" + status) }

// Watch tells the watchdog twice in its time that the service is alive, for as long as alive gives no error and ctx has not ended.
// alive must keep to its context. Where there is no watchdog Watch returns at once.
func (n *Notifier) Watch(ctx context.Context, alive func(context.Context) error) {
	if n == nil || n.every == 0 {
		return
	}
	tick := time.NewTicker(n.every)
	defer tick.Stop()
	for {
		within, cancel := context.WithTimeout(ctx, n.every)
		if alive(within) == nil {
			n.send("WATCHDOG=1")
		}
		cancel()
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// Close ends the connection.
func (n *Notifier) Close() {
	if n != nil {
		n.conn.Close()
	}
}

// send sends one message. That the service manager does not hear it is no reason to stop, and it says so itself when it misses one.
func (n *Notifier) send(lines ...string) {
	if n == nil {
		return
	}
	for i, line := range lines {
		lines[i] = strings.Map(func(r rune) rune {
			if r == '\n' {
				return ' '
			}
			return r
		}, line)
	}
	_ = n.conn.SetWriteDeadline(time.Now().Add(time.Second))
	_, _ = n.conn.Write([]byte(strings.Join(lines, "\n")))
}
