package tfo

import (
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// readXNU reads what struct tcp_connection_info says of Fast Open.
func readXNU(conn syscall.Conn) (xnuFastOpen, error) {
	c, err := conn.SyscallConn()
	if err != nil {
		return 0, err
	}
	var info *unix.TCPConnectionInfo
	if cerr := c.Control(func(fd uintptr) {
		info, err = unix.GetsockoptTCPConnectionInfo(int(fd), unix.IPPROTO_TCP, unix.TCP_CONNECTION_INFO)
	}); cerr != nil {
		return 0, cerr
	}
	if err != nil {
		return 0, err
	}
	// unix.TCPConnectionInfo has padding where the kernel has these bits, and a copy of the struct need not keep padding.
	const after = unsafe.Offsetof(info.Rttvar) + unsafe.Sizeof(info.Rttvar)
	return *(*xnuFastOpen)(unsafe.Add(unsafe.Pointer(info), after)), nil
}
