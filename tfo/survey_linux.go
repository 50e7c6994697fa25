//go:build !tlstfo_portable

package tfo

import (
	"net"
	"net/netip"
	"time"

	"golang.org/x/sys/unix"
)

const maxRTT = time.Second // loss can pollute what the kernel remembers; RFC 6298, section 2, starts at one second too

// survey asks for the route and the tcp_metrics, which takes some microseconds.
func (kernel) survey(t *attempt) {
	source, mtu, err := route(t.dial.net.LocalAddr, t.Addr)
	if err != nil {
		mtu = defaultMTU
	}
	t.source = source
	var peerMSS int
	if m, err := queryMetrics(source, t.Addr.Addr()); err == nil {
		t.Cookie = CookieAbsent
		if m.cookie {
			t.Cookie = CookiePresent
		}
		t.RTT = min(m.rtt, maxRTT)
		peerMSS = m.mss
	}
	t.Budget = budget(t.Addr.Addr().Is6(), mtu, peerMSS)
}

func (kernel) source(t *attempt) netip.Addr {
	source, _, _ := route(t.dial.net.LocalAddr, t.Addr)
	return source
}

// route returns the source address and the path MTU that the kernel would use towards remote. It asks a UDP socket, which
// connects without a packet.
func route(local net.Addr, remote netip.AddrPort) (netip.Addr, int, error) {
	family, level, option := unix.AF_INET, unix.IPPROTO_IP, unix.IP_MTU
	if remote.Addr().Is6() {
		family, level, option = unix.AF_INET6, unix.IPPROTO_IPV6, unix.IPV6_MTU
	}
	fd, err := unix.Socket(family, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return netip.Addr{}, 0, err
	}
	defer unix.Close(fd)
	if tcp, ok := local.(*net.TCPAddr); ok {
		from := localFor(tcp, remote.Addr())
		if err := unix.Bind(fd, sockaddr(netip.AddrPortFrom(from.Addr(), 0))); err != nil {
			return netip.Addr{}, 0, err
		}
	}
	if err := unix.Connect(fd, sockaddr(remote)); err != nil {
		return netip.Addr{}, 0, err
	}
	mtu, err := unix.GetsockoptInt(fd, level, option)
	if err != nil {
		return netip.Addr{}, 0, err
	}
	name, err := unix.Getsockname(fd)
	if err != nil {
		return netip.Addr{}, 0, err
	}
	switch name := name.(type) {
	case *unix.SockaddrInet4:
		return netip.AddrFrom4(name.Addr), mtu, nil
	case *unix.SockaddrInet6:
		return netip.AddrFrom16(name.Addr), mtu, nil
	}
	return netip.Addr{}, mtu, nil
}
