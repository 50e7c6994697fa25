package tfo

import (
	"context"
	"net"
	"net/netip"
)

// resolve returns the literal addresses that net.Dialer would dial, in the resolver's order, filtered by network and by the family
// of the local address.
func resolve(ctx context.Context, d *net.Dialer, network, address string) ([]netip.AddrPort, error) {
	family := "ip"
	switch network {
	case "tcp":
	case "tcp4":
		family = "ip4"
	case "tcp6":
		family = "ip6"
	default:
		return nil, net.UnknownNetworkError(network)
	}
	local, ok := d.LocalAddr.(*net.TCPAddr)
	if d.LocalAddr != nil && (!ok || local == nil) {
		return nil, &net.AddrError{Err: "mismatched local address type", Addr: d.LocalAddr.Network()}
	}
	if address == "" {
		return nil, &net.AddrError{Err: "missing address"}
	}
	host, service, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	resolver := d.Resolver
	if resolver == nil {
		resolver = net.DefaultResolver
	}
	port, err := resolver.LookupPort(ctx, network, service)
	if err != nil {
		return nil, err
	}
	ips, err := lookup(ctx, resolver, family, host)
	if err != nil {
		return nil, err
	}
	addrs := make([]netip.AddrPort, 0, len(ips))
	for _, ip := range ips {
		ip = ip.Unmap()
		if family == "ip4" && !ip.Is4() || family == "ip6" && !ip.Is6() || !reachableFrom(local, ip) {
			continue
		}
		addrs = append(addrs, netip.AddrPortFrom(ip, uint16(port)))
	}
	if len(addrs) == 0 {
		return nil, &net.AddrError{Err: "no suitable address found", Addr: host}
	}
	return addrs, nil
}

// lookup resolves host. No host and the unspecified addresses mean this machine, as for net.Dialer.
func lookup(ctx context.Context, r *net.Resolver, family, host string) ([]netip.Addr, error) {
	v4, v6 := netip.AddrFrom4([4]byte{127, 0, 0, 1}), netip.IPv6Loopback()
	if host == "" {
		if family == "ip6" {
			return []netip.Addr{v6}, nil
		}
		return []netip.Addr{v4}, nil
	}
	ip, err := netip.ParseAddr(host)
	switch {
	case err != nil:
		return r.LookupNetIP(ctx, family, host)
	case ip == netip.IPv6Unspecified():
		return []netip.Addr{v6, v4}, nil
	case ip.Unmap() == netip.IPv4Unspecified():
		return []netip.Addr{v4}, nil
	}
	return []netip.Addr{ip}, nil
}

// reachableFrom says whether ip is of the family of local.
func reachableFrom(local *net.TCPAddr, ip netip.Addr) bool {
	if local == nil || len(local.IP) == 0 || local.IP.IsUnspecified() {
		return true
	}
	return (local.IP.To4() != nil) == ip.Is4()
}
