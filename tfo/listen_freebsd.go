package tfo

import (
	"errors"

	"golang.org/x/sys/unix"
)

const (
	sysctlServer      = "net.inet.tcp.fastopen.server_enable"
	enableAfterListen = false
)

func enableFastOpen(c rawConn, _ int) Reason {
	var err error
	if cerr := c.Control(func(fd uintptr) {
		err = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_FASTOPEN, 1)
	}); cerr != nil {
		return ReasonUnsupported
	}
	// The option can be set for the sake of clients, too, where servers are switched off.
	enabled, sysctlErr := unix.SysctlUint32(sysctlServer)
	switch {
	case errors.Is(err, unix.EPERM), err == nil && sysctlErr == nil && enabled == 0:
		return ReasonSwitchedOff
	case err != nil:
		return ReasonUnsupported
	case sysctlErr != nil:
		return ReasonUnknown
	}
	return ReasonNone
}
