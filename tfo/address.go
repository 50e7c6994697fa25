//go:build (linux || darwin || freebsd || windows) && !tlstfo_portable

package tfo

import (
	"net"
	"net/netip"
	"strconv"
)

// localFor returns local in the family of remote, which it fits or leaves open.
func localFor(local *net.TCPAddr, remote netip.Addr) netip.AddrPort {
	addr := local.AddrPort().Addr().Unmap()
	if !addr.IsValid() || addr.IsUnspecified() {
		addr = netip.IPv4Unspecified()
		if remote.Is6() {
			addr = netip.IPv6Unspecified()
		}
	}
	return netip.AddrPortFrom(addr, uint16(local.Port))
}

// zoneID returns the index of the interface that an IPv6 zone names, or 0: connecting to a link-local address without one fails.
func zoneID(zone string) uint32 {
	if zone == "" {
		return 0
	}
	if ifi, err := net.InterfaceByName(zone); err == nil {
		return uint32(ifi.Index)
	}
	n, _ := strconv.ParseUint(zone, 10, 32)
	return uint32(n)
}

// sourceFor returns the address that a connection to remote would come from, and the zero Addr if there is no route. It asks a UDP socket, which
// connects without a packet.
func sourceFor(local net.Addr, remote netip.AddrPort) netip.Addr {
	var d net.Dialer
	if tcp, _ := local.(*net.TCPAddr); tcp != nil {
		d.LocalAddr = net.UDPAddrFromAddrPort(netip.AddrPortFrom(localFor(tcp, remote.Addr()).Addr(), 0))
	}
	conn, err := d.Dial("udp", remote.String())
	if err != nil {
		return netip.Addr{}
	}
	defer conn.Close()
	return conn.LocalAddr().(*net.UDPAddr).AddrPort().Addr().Unmap()
}
