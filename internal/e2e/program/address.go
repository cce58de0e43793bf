package program

import (
	"fmt"
	"math/rand/v2"
	"net"
	"testing"
)

// Reserve listens on a loopback address for whoever is to have it once the listener is closed. Its port is below those that systems give to
// whoever asks for any: a connection or a listener of another test could have it by then.
func Reserve(t testing.TB) *net.TCPListener {
	t.Helper()
	const lowest, beyond = 10_000, 32_768
	var err error
	for range 100 {
		var l *net.TCPListener
		if l, err = net.ListenTCP("tcp", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: lowest + rand.IntN(beyond-lowest)}); err == nil {
			return l
		}
	}
	t.Fatal(fmt.Errorf("no port is free: %w", err))
	return nil
}

// Reserved is the address of a listener of Reserve that is closed at once: there nobody listens until the test itself does.
func Reserved(t testing.TB) *net.TCPAddr {
	t.Helper()
	l := Reserve(t)
	defer l.Close()
	return l.Addr().(*net.TCPAddr)
}
