package netguard

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/net/dns/dnsmessage"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func prefixes(list ...string) []netip.Prefix {
	var out []netip.Prefix
	for _, p := range list {
		out = append(out, netip.MustParsePrefix(p))
	}
	return out
}

func TestCheck(t *testing.T) {
	own := Own(netip.MustParseAddrPort("127.0.0.1:8080"), netip.MustParseAddrPort("[::]:9090"))
	for _, tc := range []struct {
		name        string
		deny, allow []netip.Prefix
		at          string
		denied      string // what the error says; "" for allowed
	}{
		{name: "a public address", at: "203.0.113.7:443"},
		{name: "a loopback receiver", at: "127.0.0.1:9000"},
		{name: "a private address", at: "10.0.0.1:80"},
		{name: "metadata", at: "169.254.169.254:80", denied: "network.deny (169.254.0.0/16)"},
		{name: "metadata, IPv4-mapped", at: "[::ffff:169.254.169.254]:80", denied: "169.254.0.0/16"},
		{name: "metadata, IPv4-mapped in hex with a zone", at: "[::ffff:a9fe:a9fe%lo]:80", denied: "169.254.0.0/16"},
		{name: "metadata, IPv4-compatible", at: "[::169.254.169.254]:80", denied: "169.254.0.0/16"},
		{name: "metadata, IPv4-translated", at: "[::ffff:0:169.254.169.254]:80", denied: "169.254.0.0/16"},
		{name: "metadata, 6to4", at: "[2002:a9fe:a9fe::1]:80", denied: "169.254.0.0/16"},
		{name: "metadata, NAT64", at: "[64:ff9b::a9fe:a9fe]:80", denied: "169.254.0.0/16"},
		{name: "metadata, local NAT64 /96", at: "[64:ff9b:1::a9fe:a9fe]:80", denied: "169.254.0.0/16"},
		{name: "metadata, local NAT64 /48", at: "[64:ff9b:1:a9fe:00a9:fe00::]:80", denied: "169.254.0.0/16"},
		{name: "metadata, Teredo client", at: "[2001::5601:5601]:80", denied: "169.254.0.0/16"},
		{name: "metadata, ISATAP", at: "[2400::5efe:a9fe:a9fe]:80", denied: "169.254.0.0/16"},
		{name: "a public address through NAT64", at: "[64:ff9b::203.0.113.7]:80"},
		{name: "link-local with a zone", at: "[fe80::1%eth0]:80", denied: "fe80::/10"},
		{name: "metadata of AWS over IPv6", at: "[fd00:ec2::254]:80", denied: "fd00:ec2::254/128"},
		{name: "metadata of Alibaba Cloud", at: "100.100.100.200:80", denied: "100.100.100.200/32"},
		{name: "own port", at: "127.0.0.1:8080", denied: "aftermath itself listens there"},
		{name: "own port, IPv4-mapped", at: "[::ffff:127.0.0.1]:8080", denied: "itself"},
		{name: "own port, unspecified", at: "0.0.0.0:8080", denied: "itself"},
		{name: "own port on every address", at: "[::1]:9090", denied: "itself"},
		{name: "own port on every address, unspecified", at: "[::]:9090", denied: "itself"},
		{name: "own port on every address, through NAT64", at: "[64:ff9b::127.0.0.1]:9090", denied: "itself"},
		{name: "the same port of another machine", at: "203.0.113.7:9090"},
		{name: "unspecified where loopback is denied", deny: prefixes("127.0.0.0/8"), at: "0.0.0.0:80", denied: "127.0.0.0/8"},
		{name: "unspecified where it is denied", deny: prefixes("0.0.0.0/8"), at: "0.0.0.0:80", denied: "0.0.0.0/8"},
		{name: "a mapped prefix", deny: prefixes("::ffff:10.0.0.0/104"), at: "10.1.2.3:80", denied: "10.0.0.0/8"},
		{name: "in allow", allow: prefixes("10.0.0.0/8"), at: "10.1.2.3:80"},
		{name: "not in allow", allow: prefixes("10.0.0.0/8"), at: "11.1.2.3:80", denied: "not in network.allow"},
		{name: "not in allow, though it carries one that is", allow: prefixes("10.0.0.0/8"), at: "[2002:a01:203::]:80", denied: "network.allow"},
		{name: "in both", deny: prefixes("10.0.0.0/24"), allow: prefixes("10.0.0.0/8"), at: "10.0.0.1:80", denied: "10.0.0.0/24"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			deny := tc.deny
			if deny == nil {
				deny = DefaultDeny()
			}
			err := New(deny, tc.allow, own).Check(netip.MustParseAddrPort(tc.at))
			if tc.denied == "" {
				if err != nil {
					t.Fatalf("refused: %v", err)
				}
				return
			}
			if !errors.Is(err, ErrDenied) || !strings.Contains(err.Error(), tc.denied) {
				t.Fatalf("got %v, want a refusal that says %q", err, tc.denied)
			}
		})
	}
}

func TestOwnPortOnInterfaceAddress(t *testing.T) {
	addrs, err := net.InterfaceAddrs()
	if err != nil {
		t.Fatal(err)
	}
	g := New(nil, nil, Own(netip.MustParseAddrPort("0.0.0.0:8080")))
	for _, a := range addrs {
		ip, _ := netip.AddrFromSlice(a.(*net.IPNet).IP)
		if err := g.Check(netip.AddrPortFrom(ip, 8080)); !errors.Is(err, ErrDenied) {
			t.Errorf("%s: got %v, want a refusal", ip, err)
		}
	}
}

func listen(t *testing.T) (host string, port string) {
	t.Helper()
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	_, port, _ = net.SplitHostPort(l.Addr().String())
	return "127.0.0.1", port
}

func TestDial(t *testing.T) {
	_, port := listen(t)
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	for _, tc := range []struct {
		name, network, address string
		deny                   []netip.Prefix
		resolve                []string // what the name server says
		ok, denied             bool
	}{
		{name: "allowed", address: "127.0.0.1", ok: true},
		{name: "denied", address: "127.0.0.1", deny: prefixes("127.0.0.0/8"), denied: true},
		{name: "denied, mapped", address: "::ffff:127.0.0.1", deny: prefixes("127.0.0.0/8"), denied: true},
		{name: "denied, unspecified", address: "0.0.0.0", deny: prefixes("127.0.0.0/8"), denied: true},
		{name: "denied, empty host", address: "", deny: prefixes("127.0.0.0/8", "::1/128"), denied: true},
		{name: "a name", address: "receiver.example", resolve: []string{"127.0.0.1"}, ok: true},
		{name: "a name that leads to a denied address", address: "receiver.example", resolve: []string{"127.0.0.1"},
			deny: prefixes("127.0.0.0/8"), denied: true},
		{name: "the second address is allowed", address: "receiver.example", resolve: []string{"127.0.0.2", "127.0.0.1"},
			deny: prefixes("127.0.0.2/32"), ok: true},
		{name: "the allowed address does not answer", address: "receiver.example", resolve: []string{"127.0.0.2", "127.0.0.3"},
			deny: prefixes("127.0.0.2/32")},
		{name: "a Unix socket", network: "unix", address: "/tmp/none", denied: true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			g := New(tc.deny, nil, nil)
			g.resolver = resolverOf(t, tc.resolve)
			network, address := "tcp", net.JoinHostPort(tc.address, port)
			if tc.network != "" {
				network, address = tc.network, tc.address
			}
			conn, err := g.DialContext(ctx, network, address)
			if conn != nil {
				conn.Close()
			}
			if (err == nil) != tc.ok || errors.Is(err, ErrDenied) != tc.denied {
				t.Fatalf("got %v, want ok %v, denied %v", err, tc.ok, tc.denied)
			}
		})
	}
}

func TestDialOwnPort(t *testing.T) {
	host, port := listen(t)
	n, _ := strconv.Atoi(port)
	g := New(nil, nil, Own(netip.AddrPortFrom(netip.MustParseAddr(host), uint16(n))))
	for _, address := range []string{host, "localhost", "0.0.0.0", "::ffff:127.0.0.1", "2130706433", "0177.0.0.1", "0x7f.1"} {
		conn, err := g.DialContext(t.Context(), "tcp", net.JoinHostPort(address, port))
		if err == nil {
			conn.Close()
			t.Errorf("%s: connected to an own port", address)
		}
	}
}

// resolverOf asks a name server on loopback that gives every name the addresses.
func resolverOf(t *testing.T, addresses []string) *net.Resolver {
	t.Helper()
	if addresses == nil {
		return nil
	}
	server, err := net.ListenPacket("udp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	t.Cleanup(func() { server.Close(); <-done })
	go func() {
		defer close(done)
		buf := make([]byte, 1500)
		for {
			n, from, err := server.ReadFrom(buf)
			if err != nil {
				return
			}
			if reply := dnsAnswer(buf[:n], addresses); reply != nil {
				_, _ = server.WriteTo(reply, from)
			}
		}
	}()
	return &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "udp4", server.LocalAddr().String())
	}}
}

func dnsAnswer(query []byte, addresses []string) []byte {
	var m dnsmessage.Message
	if err := m.Unpack(query); err != nil || len(m.Questions) != 1 {
		return nil
	}
	q := m.Questions[0]
	m.Response, m.Additionals = true, nil
	for _, a := range addresses {
		if q.Type == dnsmessage.TypeA {
			m.Answers = append(m.Answers, dnsmessage.Resource{
				Header: dnsmessage.ResourceHeader{Name: q.Name, Class: dnsmessage.ClassINET},
				Body:   &dnsmessage.AResource{A: netip.MustParseAddr(a).As4()},
			})
		}
	}
	reply, err := m.Pack()
	if err != nil {
		return nil
	}
	return reply
}
