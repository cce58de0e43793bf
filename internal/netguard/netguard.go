// Package netguard dials only where the network section of the configuration allows. An address is judged after names are
// resolved, as it is dialled: so neither a name that resolves anew, nor a redirect, nor another way of writing an address gets
// round it.
package netguard

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"sync/atomic"
	"syscall"
	"time"
)

// ErrDenied is what every refusal of a Guard is, by errors.Is. No retry can mend one.
var ErrDenied = errors.New("denied by the network section of the configuration")

// dialTimeout bounds a dial whose context has no deadline.
const dialTimeout = 30 * time.Second

// DefaultDeny is the deny list of a configuration without one: link-local addresses, and the metadata services of clouds that
// lie elsewhere.
func DefaultDeny() []netip.Prefix {
	return []netip.Prefix{
		netip.MustParsePrefix("169.254.0.0/16"),         // link-local, and nearly every cloud's metadata
		netip.MustParsePrefix("fe80::/10"),              // link-local
		netip.MustParsePrefix("100.100.100.200/32"),     // Alibaba Cloud
		netip.MustParsePrefix("168.63.129.16/32"),       // Azure's WireServer
		netip.MustParsePrefix("192.0.0.192/32"),         // Oracle Cloud
		netip.MustParsePrefix("fd00:ec2::254/128"),      // AWS
		netip.MustParsePrefix("fd00:c1::a9fe:a9fe/128"), // Oracle Cloud
		netip.MustParsePrefix("fd20:ce::254/128"),       // Google Cloud
		netip.MustParsePrefix("fd00:42::42/128"),        // Scaleway
	}
}

// Guard decides where the program may connect. It is immutable and safe for concurrent use.
type Guard struct {
	deny, allow []netip.Prefix
	own         func(netip.AddrPort) bool
	resolver    *net.Resolver // nil: the system's
}

// New makes a guard. What lies in deny is refused; where allow is not empty, so is all that does not lie in it; deny wins. own
// tells whether the program itself listens at an address, should that be one of this machine's; Own makes one, and nil is
// nowhere.
func New(deny, allow []netip.Prefix, own func(netip.AddrPort) bool) *Guard {
	if own == nil {
		own = func(netip.AddrPort) bool { return false }
	}
	return &Guard{deny: unmapAll(deny), allow: unmapAll(allow), own: own}
}

// Own makes New's own from the addresses that the program listens at.
func Own(listeners ...netip.AddrPort) func(netip.AddrPort) bool {
	return func(a netip.AddrPort) bool {
		return slices.ContainsFunc(listeners, func(l netip.AddrPort) bool {
			at := l.Addr().Unmap()
			return l.Port() == a.Port() && (at.IsUnspecified() || at == a.Addr())
		})
	}
}

// DialContext connects over TCP, as net.Dialer's does, to one of the addresses that Check passes. An error is ErrDenied only
// where no address passed: one that passed and did not answer may do so later.
func (g *Guard) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	var passed atomic.Bool // addresses of both families are tried at once
	d := net.Dialer{
		Timeout:  dialTimeout,
		Resolver: g.resolver,
		ControlContext: func(_ context.Context, network, address string, _ syscall.RawConn) error {
			at, err := netip.ParseAddrPort(address)
			if err != nil {
				return denied("%s %s is no address to connect to", network, address)
			}
			if err := g.Check(at); err != nil {
				return err
			}
			passed.Store(true)
			return nil
		},
	}
	conn, err := d.DialContext(ctx, network, address)
	if err == nil {
		return conn, nil
	}
	var refusal *deniedError
	if errors.As(err, &refusal) {
		if passed.Load() {
			return nil, fmt.Errorf("connecting to %s: no answer from the address that is allowed; %s", address, refusal.text)
		}
		return nil, refusal
	}
	return nil, err
}

// Check tells whether the program may connect to at. The error is ErrDenied, and says which rule denied it.
func (g *Guard) Check(at netip.AddrPort) error {
	ip := at.Addr().WithZone("").Unmap() // a prefix never contains an address with a zone
	if ip.IsUnspecified() {              // the kernel takes it for the loopback address
		ip = loopback(ip)
	}
	forms := append(embedded(ip), ip)
	for _, form := range append(forms, at.Addr().WithZone("").Unmap()) {
		for _, p := range g.deny {
			if p.Contains(form) {
				return denied("connecting to %s is denied by network.deny (%s)", at, p)
			}
		}
	}
	for _, form := range forms {
		if g.own(netip.AddrPortFrom(form, at.Port())) && isLocal(form) {
			return denied("connecting to %s is denied: aftermath itself listens there", at)
		}
	}
	if len(g.allow) > 0 && !slices.ContainsFunc(g.allow, func(p netip.Prefix) bool { return p.Contains(ip) }) {
		return denied("connecting to %s is denied: it is not in network.allow", at)
	}
	return nil
}

type deniedError struct{ text string }

func denied(format string, args ...any) error { return &deniedError{fmt.Sprintf(format, args...)} }

func (e *deniedError) Error() string        { return e.text }
func (e *deniedError) Is(target error) bool { return target == ErrDenied }

// isLocal tells whether ip is an address of this machine. In doubt it is.
func isLocal(ip netip.Addr) bool {
	if ip.IsLoopback() {
		return true
	}
	addrs, err := net.InterfaceAddrs()
	if err != nil {
		return true
	}
	return slices.ContainsFunc(addrs, func(a net.Addr) bool {
		n, ok := a.(*net.IPNet)
		if !ok {
			return false
		}
		local, ok := netip.AddrFromSlice(n.IP)
		return ok && local.Unmap() == ip
	})
}

func loopback(ip netip.Addr) netip.Addr {
	if ip.Is4() {
		return netip.AddrFrom4([4]byte{127, 0, 0, 1})
	}
	return netip.IPv6Loopback()
}
