//go:build !tlstfo_portable

package tfo

import (
	"encoding/binary"
	"errors"
	"net/netip"
	"time"

	"golang.org/x/sys/unix"
)

// metrics is what the kernel's tcp_metrics table says of a destination.
type metrics struct {
	cookie bool
	mss    int           // the peer's MSS, remembered with the cookie; 0 if none
	rtt    time.Duration // smoothed; 0 if none
}

// The generic netlink family "tcp_metrics" (linux/tcp_metrics.h). Reading it takes no privilege.
const (
	metricsVersion = 1
	metricsCmdGet  = 1

	metricsAddr4   = 1
	metricsAddr6   = 2
	metricsVals    = 6
	metricsMSS     = 7
	metricsCookie  = 10
	metricsSource4 = 11
	metricsSource6 = 12

	metricsValRTT   = 5 + 1 // TCP_METRIC_RTT_US, attributes count from 1
	metricsRTTShift = 3     // the table holds eight times the smoothed RTT, in microseconds
)

const nlaTypeMask = ^uint16(unix.NLA_F_NESTED | unix.NLA_F_NET_BYTEORDER)

var errNetlink = errors.New("tfo: malformed netlink answer")

// queryMetrics asks for the entry of a destination, by source address where that is known: cookies are kept per pair. No entry is no error.
func queryMetrics(source, destination netip.Addr) (metrics, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_GENERIC)
	if err != nil {
		return metrics{}, err
	}
	defer unix.Close(fd)
	buf := make([]byte, 4096)

	request := appendRequest(buf[:0], unix.GENL_ID_CTRL, unix.CTRL_CMD_GETFAMILY, 1)
	request = appendAttr(request, unix.CTRL_ATTR_FAMILY_NAME, []byte("tcp_metrics\x00"))
	answer, err := exchange(fd, request, buf)
	if err != nil {
		return metrics{}, err
	}
	family, err := parseFamily(answer)
	if err != nil {
		return metrics{}, err
	}

	request = appendRequest(buf[:0], family, metricsCmdGet, metricsVersion)
	request = appendAddr(request, metricsAddr4, metricsAddr6, destination)
	request = appendAddr(request, metricsSource4, metricsSource6, source)
	answer, err = exchange(fd, request, buf)
	if err != nil {
		return metrics{}, err
	}
	m, err := parseMetrics(answer, family)
	if errors.Is(err, unix.ESRCH) {
		return metrics{}, nil
	}
	return m, err
}

// exchange sends a request and reads its answer into buf. The kernel answers before the send returns, so nothing waits here.
func exchange(fd int, request, buf []byte) ([]byte, error) {
	binary.NativeEndian.PutUint32(request, uint32(len(request)))
	if err := unix.Sendto(fd, request, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return nil, err
	}
	n, _, err := unix.Recvfrom(fd, buf, unix.MSG_DONTWAIT)
	if err != nil {
		return nil, err
	}
	return buf[:n], nil
}

// appendRequest appends the netlink and generic netlink headers; exchange fills in the length.
func appendRequest(b []byte, family uint16, cmd, version uint8) []byte {
	b = append(b, 0, 0, 0, 0)
	b = binary.NativeEndian.AppendUint16(b, family)
	b = binary.NativeEndian.AppendUint16(b, unix.NLM_F_REQUEST)
	b = append(b, 0, 0, 0, 0, 0, 0, 0, 0) // sequence, port
	return append(b, cmd, version, 0, 0)
}

func appendAttr(b []byte, kind uint16, value []byte) []byte {
	b = binary.NativeEndian.AppendUint16(b, uint16(4+len(value)))
	b = binary.NativeEndian.AppendUint16(b, kind)
	b = append(b, value...)
	for len(b)%4 != 0 {
		b = append(b, 0)
	}
	return b
}

func appendAddr(b []byte, kind4, kind6 uint16, addr netip.Addr) []byte {
	switch {
	case addr.Is4():
		return appendAttr(b, kind4, addr.AsSlice())
	case addr.Is6():
		return appendAttr(b, kind6, addr.AsSlice())
	}
	return b
}

// payload returns the attributes of a generic netlink answer of the given family, or the error that it reports.
func payload(answer []byte, family uint16) ([]byte, error) {
	const header, genericHeader = 16, 4
	if len(answer) < header {
		return nil, errNetlink
	}
	length := binary.NativeEndian.Uint32(answer)
	if length < header || uint64(length) > uint64(len(answer)) {
		return nil, errNetlink
	}
	kind, body := binary.NativeEndian.Uint16(answer[4:]), answer[header:length]
	switch {
	case kind == unix.NLMSG_ERROR && len(body) >= 4:
		if code := int32(binary.NativeEndian.Uint32(body)); code < 0 && code > -4096 {
			return nil, unix.Errno(-code)
		}
		return nil, errNetlink
	case kind != family || len(body) < genericHeader:
		return nil, errNetlink
	}
	return body[genericHeader:], nil
}

// eachAttr calls f for every attribute in b.
func eachAttr(b []byte, f func(kind uint16, value []byte)) error {
	for len(b) > 0 {
		if len(b) < 4 {
			return errNetlink
		}
		length := int(binary.NativeEndian.Uint16(b))
		if length < 4 || length > len(b) {
			return errNetlink
		}
		f(binary.NativeEndian.Uint16(b[2:])&nlaTypeMask, b[4:length])
		b = b[min((length+3)&^3, len(b)):]
	}
	return nil
}

func parseFamily(answer []byte) (uint16, error) {
	attrs, err := payload(answer, unix.GENL_ID_CTRL)
	if err != nil {
		return 0, err
	}
	var family uint16
	err = eachAttr(attrs, func(kind uint16, value []byte) {
		if kind == unix.CTRL_ATTR_FAMILY_ID && len(value) >= 2 {
			family = binary.NativeEndian.Uint16(value)
		}
	})
	if err == nil && family < unix.NLMSG_MIN_TYPE {
		err = errNetlink
	}
	return family, err
}

func parseMetrics(answer []byte, family uint16) (metrics, error) {
	attrs, err := payload(answer, family)
	if err != nil {
		return metrics{}, err
	}
	var m metrics
	var vals []byte
	err = eachAttr(attrs, func(kind uint16, value []byte) {
		switch {
		case kind == metricsCookie && len(value) > 0:
			m.cookie = true
		case kind == metricsMSS && len(value) >= 2:
			m.mss = int(binary.NativeEndian.Uint16(value))
		case kind == metricsVals:
			vals = value
		}
	})
	if err != nil {
		return metrics{}, err
	}
	err = eachAttr(vals, func(kind uint16, value []byte) {
		if kind == metricsValRTT && len(value) >= 4 {
			m.rtt = time.Duration(binary.NativeEndian.Uint32(value)>>metricsRTTShift) * time.Microsecond
		}
	})
	if err != nil {
		return metrics{}, err
	}
	return m, nil
}
