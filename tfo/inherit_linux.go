package tfo

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

var errNotListening = errors.New("tfo: the socket does not listen")

// enableOnInherited switches Fast Open on for a socket that others have made.
func enableOnInherited(c rawConn, pending int) (Reason, error) {
	var listens, protocol int
	var space uint64 // its network namespace; 0 if the kernel does not say (before Linux 5.14)
	var err error
	if cerr := c.Control(func(fd uintptr) {
		if listens, err = unix.GetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_ACCEPTCONN); err != nil {
			return
		}
		protocol, err = unix.GetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_PROTOCOL)
		space, _ = unix.GetsockoptUint64(int(fd), unix.SOL_SOCKET, unix.SO_NETNS_COOKIE)
	}); cerr != nil {
		return ReasonUnknown, cerr
	}
	switch {
	case err != nil:
		return ReasonUnknown, os.NewSyscallError("getsockopt", err)
	case listens == 0:
		return ReasonUnknown, errNotListening
	case protocol == unix.IPPROTO_MPTCP:
		if why := enableFastOpen(c, 0); why == ReasonUnsupported {
			return why, nil
		}
		return ReasonMultipath, nil
	}
	why := enableFastOpen(c, pending)
	if why != ReasonUnsupported && space != ownNamespace() {
		why = ReasonUnknown
	}
	return why, nil
}

// ownNamespace returns the cookie of the network namespace whose sysctls this thread sees, or 0.
func ownNamespace() uint64 {
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return 0
	}
	defer unix.Close(fd)
	space, _ := unix.GetsockoptUint64(fd, unix.SOL_SOCKET, unix.SO_NETNS_COOKIE)
	return space
}
