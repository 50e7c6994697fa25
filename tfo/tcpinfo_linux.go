package tfo

import (
	"encoding/binary"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// tcpInfo is what struct tcp_info says about Fast Open.
type tcpInfo struct {
	synData     bool   // TCPI_OPT_SYN_DATA: SYN data was acknowledged (client) or received (server)
	clientFail  uint8  // tcpi_fastopen_client_fail
	retransmits uint32 // tcpi_total_retrans
}

const optSynData = 32 // TCPI_OPT_SYN_DATA

func readTCPInfo(conn syscall.Conn) (tcpInfo, error) {
	c, err := conn.SyscallConn()
	if err != nil {
		return tcpInfo{}, err
	}
	var raw *unix.TCPInfo
	if cerr := c.Control(func(fd uintptr) {
		raw, err = unix.GetsockoptTCPInfo(int(fd), unix.IPPROTO_TCP, unix.TCP_INFO)
	}); cerr != nil {
		return tcpInfo{}, cerr
	}
	if err != nil {
		return tcpInfo{}, err
	}
	// unix.TCPInfo has padding where the kernel has this byte, and a copy of the struct need not keep padding.
	flags := *(*uint8)(unsafe.Add(unsafe.Pointer(raw), 7))
	return tcpInfo{
		synData:     raw.Options&optSynData != 0,
		clientFail:  clientFail(flags),
		retransmits: raw.Total_retrans,
	}, nil
}

// clientFail takes the two bits of tcpi_fastopen_client_fail out of the eighth byte of struct tcp_info, where they come after a one-bit
// field. The byte order of the machine decides at which end bit-fields start.
func clientFail(flags uint8) uint8 {
	if binary.NativeEndian.Uint16([]byte{1, 0}) == 1 {
		return flags >> 1 & 3
	}
	return flags >> 5 & 3
}
