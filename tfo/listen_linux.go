package tfo

import (
	"bytes"
	"os"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"
)

const (
	sysctlFastOpen = "/proc/sys/net/ipv4/tcp_fastopen" // of the calling thread's network namespace
	sysctlServer   = 2
)

const enableAfterListen = false

func enableFastOpen(c rawConn, pending int) Reason {
	var err error
	if cerr := c.Control(func(fd uintptr) {
		err = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_FASTOPEN, pending)
	}); cerr != nil || err != nil {
		return ReasonUnsupported
	}
	// The option can be set even where the sysctl makes it a no-op.
	text, err := os.ReadFile(sysctlFastOpen)
	if err != nil {
		return ReasonUnknown
	}
	bits, err := strconv.ParseInt(string(bytes.TrimSpace(text)), 0, 64)
	switch {
	case err != nil:
		return ReasonUnknown
	case bits&sysctlServer == 0:
		return ReasonSwitchedOff
	}
	return ReasonNone
}

func connInfo(c syscall.Conn) (AcceptInfo, error) {
	info, err := readTCPInfo(c)
	if err != nil {
		return AcceptInfo{}, err
	}
	return AcceptInfo{SynData: info.synData}, nil
}
