package netguard

import "net/netip"

// carrier is a range of IPv6 addresses that stand for IPv4 ones.
type carrier struct {
	prefix netip.Prefix
	at     [4]int // where in the 16 bytes the IPv4 address's bytes stand
	flip   byte   // what they are xored with
}

var carriers = []carrier{
	{netip.MustParsePrefix("::/96"), [4]int{12, 13, 14, 15}, 0},           // IPv4-compatible, RFC 4291
	{netip.MustParsePrefix("::ffff:0:0:0/96"), [4]int{12, 13, 14, 15}, 0}, // IPv4-translated, RFC 2765
	{netip.MustParsePrefix("2002::/16"), [4]int{2, 3, 4, 5}, 0},           // 6to4, RFC 3056
	{netip.MustParsePrefix("64:ff9b::/96"), [4]int{12, 13, 14, 15}, 0},    // NAT64, RFC 6052
	{netip.MustParsePrefix("64:ff9b:1::/48"), [4]int{12, 13, 14, 15}, 0},  // NAT64 of one's own with a /96, RFC 8215
	{netip.MustParsePrefix("64:ff9b:1::/48"), [4]int{6, 7, 9, 10}, 0},     // the same with the /48
	{netip.MustParsePrefix("2001::/32"), [4]int{4, 5, 6, 7}, 0},           // Teredo's server, RFC 4380
	{netip.MustParsePrefix("2001::/32"), [4]int{12, 13, 14, 15}, 0xff},    // and its client
}

// embedded gives the IPv4 addresses that the IPv6 address ip may lead to.
func embedded(ip netip.Addr) []netip.Addr {
	if ip.Is4() || ip.IsLoopback() || ip.IsUnspecified() {
		return nil
	}
	var out []netip.Addr
	b := ip.As16()
	take := func(at [4]int, flip byte) {
		var v4 [4]byte
		for i, from := range at {
			v4[i] = b[from] ^ flip
		}
		out = append(out, netip.AddrFrom4(v4))
	}
	for _, c := range carriers {
		if c.prefix.Contains(ip) {
			take(c.at, c.flip)
		}
	}
	if b[8]&^2 == 0 && b[9] == 0 && b[10] == 0x5e && b[11] == 0xfe { // ISATAP, RFC 5214: in any network
		take([4]int{12, 13, 14, 15}, 0)
	}
	return out
}

// unmapAll writes prefixes of IPv4-mapped addresses as what they mean, and clears what lies beyond a prefix's length.
func unmapAll(prefixes []netip.Prefix) []netip.Prefix {
	out := make([]netip.Prefix, 0, len(prefixes))
	for _, p := range prefixes {
		if p.Addr().Is4In6() && p.Bits() >= 96 {
			p = netip.PrefixFrom(p.Addr().Unmap(), p.Bits()-96)
		}
		out = append(out, p.Masked())
	}
	return out
}
