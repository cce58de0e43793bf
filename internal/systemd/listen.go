package systemd

import (
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"
)

// firstFD is the first file that is passed: see SD_LISTEN_FDS_START in sd_listen_fds(3).
const firstFD = 3

// Listeners takes over the TCP sockets that the service manager listens on for this process, by their names. env (os.Getenv) has
// LISTEN_PID, LISTEN_FDS and LISTEN_FDNAMES; without names the sockets are taken in the order of known. It gives nothing where none were
// passed to this process, and an error for a name that is not in known, a repeated one, or what is no listening TCP socket.
func Listeners(env func(string) string, known ...string) (map[string]net.Listener, error) {
	if env("LISTEN_PID") != strconv.Itoa(os.Getpid()) {
		return nil, nil
	}
	count, err := strconv.Atoi(env("LISTEN_FDS"))
	if err != nil || count < 0 {
		return nil, fmt.Errorf("LISTEN_FDS %q is no number of sockets", env("LISTEN_FDS"))
	}
	names := known[:min(count, len(known))]
	if given := env("LISTEN_FDNAMES"); given != "" {
		names = strings.Split(given, ":")
	}
	if len(names) != count {
		return nil, fmt.Errorf("%d sockets were passed (LISTEN_FDS), and there are names for %d: %s", count, len(names), strings.Join(names, ", "))
	}
	listeners := map[string]net.Listener{}
	for i, name := range names {
		switch {
		case !slices.Contains(known, name):
			err = fmt.Errorf("a socket called %q was passed (LISTEN_FDNAMES): say FileDescriptorName=%s in its unit", name, strings.Join(known, " or "))
		case listeners[name] != nil:
			err = fmt.Errorf("two sockets called %q were passed (LISTEN_FDNAMES)", name)
		default:
			listeners[name], err = listener(firstFD+i, name)
		}
		if err != nil {
			return nil, errors.Join(err, closeAll(listeners))
		}
	}
	return listeners, nil
}

// listener makes a listener of a passed file.
func listener(fd int, name string) (net.Listener, error) {
	file := os.NewFile(uintptr(fd), name)
	if file == nil {
		return nil, fmt.Errorf("socket %q: file %d is not open", name, fd)
	}
	defer file.Close() // the listener has a copy, which no child process inherits
	l, err := net.FileListener(file)
	if err != nil {
		return nil, fmt.Errorf("socket %q: file %d is no listening socket: %w", name, fd, err)
	}
	if _, ok := l.(*net.TCPListener); !ok {
		return nil, errors.Join(fmt.Errorf("socket %q is of type %s: only TCP is served", name, l.Addr().Network()), l.Close())
	}
	return l, nil
}

func closeAll(listeners map[string]net.Listener) (err error) {
	for _, l := range listeners {
		if l != nil {
			err = errors.Join(err, l.Close())
		}
	}
	return err
}
