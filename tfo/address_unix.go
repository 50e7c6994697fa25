//go:build (linux || darwin || freebsd) && !tlstfo_portable

package tfo

import (
	"errors"
	"net/netip"
	"syscall"

	"golang.org/x/sys/unix"
)

func sockaddr(a netip.AddrPort) unix.Sockaddr {
	if a.Addr().Is4() {
		return &unix.SockaddrInet4{Port: int(a.Port()), Addr: a.Addr().As4()}
	}
	return &unix.SockaddrInet6{Port: int(a.Port()), Addr: a.Addr().As16(), ZoneId: zoneID(a.Addr().Zone())}
}

// neverLeft says whether a Unix system that refuses to connect for this reason has sent nothing: there was no address, no port or no way to send from, the call
// makes no sense to it, or a firewall of its own stepped in. Other reasons prove nothing.
func neverLeft(err error) bool {
	for _, local := range []error{
		syscall.EADDRNOTAVAIL, syscall.EADDRINUSE, syscall.ENETUNREACH, syscall.EHOSTUNREACH, syscall.ENETDOWN,
		syscall.EAFNOSUPPORT, syscall.EINVAL, syscall.EOPNOTSUPP, syscall.ENOTCONN, syscall.EAGAIN, syscall.EACCES, syscall.EPERM,
	} {
		if errors.Is(err, local) {
			return true
		}
	}
	return false
}
