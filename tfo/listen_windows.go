package tfo

import "golang.org/x/sys/windows"

const enableAfterListen = false

func enableFastOpen(c rawConn, _ int) Reason {
	var err error
	if cerr := c.Control(func(handle uintptr) {
		err = windows.SetsockoptInt(windows.Handle(handle), windows.IPPROTO_TCP, windows.TCP_FASTOPEN, 1)
	}); cerr != nil || err != nil {
		return ReasonUnsupported
	}
	return ReasonUnknown // netsh can have switched it off, which cannot be seen here
}
