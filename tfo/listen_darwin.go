package tfo

import (
	"errors"
	"syscall"

	"golang.org/x/sys/unix"
)

// enableAfterListen: the option is refused on a socket that does not listen yet.
const enableAfterListen = true

func enableFastOpen(c rawConn, _ int) Reason {
	var err error
	if cerr := c.Control(func(fd uintptr) {
		err = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_FASTOPEN, 1)
	}); cerr != nil {
		return ReasonUnsupported
	}
	switch {
	case err == nil:
		return ReasonNone
	case errors.Is(err, unix.ENOTSUP):
		return ReasonSwitchedOff
	}
	return ReasonUnsupported
}

func connInfo(c syscall.Conn) (AcceptInfo, error) {
	bits, err := readXNU(c)
	if err != nil {
		return AcceptInfo{}, err
	}
	return AcceptInfo{SynData: bits&xnuDataReceived != 0}, nil
}
