package netlab

import (
	"encoding/binary"
	"fmt"
	"net"
	"os"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// openPort returns a nonblocking packet socket for all frames that arrive on a network interface of the calling thread's
// namespace.
func openPort(name string) (fd int, err error) {
	link, err := net.InterfaceByName(name)
	if err != nil {
		return -1, fmt.Errorf("packet socket on %s: %w", name, err)
	}
	// Protocol 0 until bound: no frames of other interfaces slip in.
	fd, err = unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return -1, fmt.Errorf("packet socket: %w", os.NewSyscallError("socket", err))
	}
	defer func() {
		if err != nil {
			unix.Close(fd)
			err = fmt.Errorf("packet socket on %s: %w", name, err)
		}
	}()
	if err = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_TIMESTAMPNS, 1); err != nil {
		return -1, os.NewSyscallError("setsockopt SO_TIMESTAMPNS", err)
	}
	if err = unix.SetsockoptInt(fd, unix.SOL_PACKET, unix.PACKET_IGNORE_OUTGOING, 1); err != nil {
		return -1, os.NewSyscallError("setsockopt PACKET_IGNORE_OUTGOING", err)
	}
	// A congestion window of frames may wait here while this process waits for a CPU. Only real root may exceed rmem_max.
	const room = 8 << 20
	if unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, room) != nil {
		if err = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF, room); err != nil {
			return -1, os.NewSyscallError("setsockopt SO_RCVBUF", err)
		}
	}
	all := binary.NativeEndian.Uint16([]byte{unix.ETH_P_ALL >> 8, unix.ETH_P_ALL & 0xff}) // network byte order
	if err = unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: all, Ifindex: link.Index}); err != nil {
		return -1, os.NewSyscallError("bind", err)
	}
	return fd, nil
}

const timespecSize = int(unsafe.Sizeof(unix.Timespec{}))

// timespec reads a struct timespec, of at least timespecSize bytes.
func timespec(b []byte) time.Time {
	var ts unix.Timespec
	copy(unsafe.Slice((*byte)(unsafe.Pointer(&ts)), timespecSize), b)
	return time.Unix(ts.Unix())
}

// offloadsOff makes a network interface of the calling thread's namespace send and receive frames as they would be on a real
// wire: complete checksums, no frame longer than the MTU.
func offloadsOff(name string) error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return os.NewSyscallError("socket", err)
	}
	defer unix.Close(fd)
	for _, feature := range []struct {
		name string
		cmd  uint32
	}{
		{"tx checksums", unix.ETHTOOL_STXCSUM}, {"rx checksums", unix.ETHTOOL_SRXCSUM}, {"tso", unix.ETHTOOL_STSO},
		{"gso", unix.ETHTOOL_SGSO}, {"gro", unix.ETHTOOL_SGRO},
	} {
		value := struct{ cmd, data uint32 }{cmd: feature.cmd} // struct ethtool_value
		req := struct {                                       // struct ifreq
			name [unix.IFNAMSIZ]byte
			data unsafe.Pointer
			_    [16]byte
		}{data: unsafe.Pointer(&value)}
		copy(req.name[:unix.IFNAMSIZ-1], name)
		_, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), unix.SIOCETHTOOL, uintptr(unsafe.Pointer(&req)))
		if errno != 0 {
			return fmt.Errorf("switch off %s on %s: %w", feature.name, name, os.NewSyscallError("ioctl SIOCETHTOOL", errno))
		}
	}
	return nil
}
