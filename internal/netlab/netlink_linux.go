package netlab

import (
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"

	"golang.org/x/sys/unix"
)

// A netlink is a netlink socket in the network namespace of the thread that opened it.
type netlink struct {
	fd  int
	seq uint32
}

func openNetlink(protocol int) (*netlink, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, protocol)
	if err != nil {
		return nil, fmt.Errorf("netlink: %w", os.NewSyscallError("socket", err))
	}
	return &netlink{fd: fd}, nil
}

func (n *netlink) close() { unix.Close(n.fd) }

// do sends one request and returns the kernel's answer to it: the body of a message that comes before the acknowledgement,
// or nothing.
func (n *netlink) do(typ, flags uint16, body []byte) ([]byte, error) {
	n.seq++
	msg := make([]byte, 0, unix.NLMSG_HDRLEN+len(body))
	msg = binary.NativeEndian.AppendUint32(msg, uint32(unix.NLMSG_HDRLEN+len(body)))
	msg = binary.NativeEndian.AppendUint16(msg, typ)
	msg = binary.NativeEndian.AppendUint16(msg, flags|unix.NLM_F_REQUEST|unix.NLM_F_ACK)
	msg = binary.NativeEndian.AppendUint32(msg, n.seq)
	msg = binary.NativeEndian.AppendUint32(msg, 0)
	msg = append(msg, body...)
	if err := unix.Sendto(n.fd, msg, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return nil, os.NewSyscallError("sendto", err)
	}
	var answer []byte
	buf := make([]byte, 1<<15)
	for {
		got, _, err := unix.Recvfrom(n.fd, buf, 0)
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return nil, os.NewSyscallError("recvfrom", err)
		}
		for b := buf[:got]; len(b) >= unix.NLMSG_HDRLEN; {
			size := int(binary.NativeEndian.Uint32(b))
			if size < unix.NLMSG_HDRLEN || size > len(b) {
				return nil, fmt.Errorf("netlink: message of %d bytes in %d", size, len(b))
			}
			kind, seq, data := binary.NativeEndian.Uint16(b[4:]), binary.NativeEndian.Uint32(b[8:]), b[unix.NLMSG_HDRLEN:size]
			b = b[min(align4(size), len(b)):]
			switch {
			case seq != n.seq:
			case kind == unix.NLMSG_ERROR && len(data) >= 4:
				if errno := int32(binary.NativeEndian.Uint32(data)); errno != 0 {
					return nil, unix.Errno(-errno)
				}
				return answer, nil
			default:
				answer = slices.Clone(data)
			}
		}
	}
}

func align4(n int) int { return (n + 3) &^ 3 }

// attr encodes a netlink attribute whose value is the concatenation of the parts.
func attr(typ uint16, parts ...[]byte) []byte {
	value := slices.Concat(parts...)
	b := binary.NativeEndian.AppendUint16(nil, uint16(4+len(value)))
	b = binary.NativeEndian.AppendUint16(b, typ)
	b = append(b, value...)
	return append(b, make([]byte, align4(len(b))-len(b))...)
}

func u32(v uint32) []byte     { return binary.NativeEndian.AppendUint32(nil, v) }
func cstring(s string) []byte { return append([]byte(s), 0) }
func zeros(n int) []byte      { return make([]byte, n) }

func family(a netip.Addr) uint8 {
	if a.Is4() {
		return unix.AF_INET
	}
	return unix.AF_INET6
}

// ifinfo encodes a struct ifinfomsg.
func ifinfo(index int, flags, change uint32) []byte {
	return slices.Concat(zeros(4), u32(uint32(index)), u32(flags), u32(change))
}

// addVeth creates a pair of virtual Ethernet interfaces: name in this namespace, peer in that of the thread tid.
func (n *netlink) addVeth(name, peer string, peerMAC net.HardwareAddr, tid, mtu int) error {
	const vethInfoPeer = 1 // VETH_INFO_PEER of linux/veth.h
	far := attr(vethInfoPeer, ifinfo(0, 0, 0),
		attr(unix.IFLA_IFNAME, cstring(peer)),
		attr(unix.IFLA_ADDRESS, peerMAC),
		attr(unix.IFLA_MTU, u32(uint32(mtu))),
		attr(unix.IFLA_NET_NS_PID, u32(uint32(tid))))
	body := slices.Concat(ifinfo(0, 0, 0),
		attr(unix.IFLA_IFNAME, cstring(name)),
		attr(unix.IFLA_MTU, u32(uint32(mtu))),
		attr(unix.IFLA_LINKINFO, attr(unix.IFLA_INFO_KIND, []byte("veth")), attr(unix.IFLA_INFO_DATA, far)))
	_, err := n.do(unix.RTM_NEWLINK, unix.NLM_F_CREATE|unix.NLM_F_EXCL, body)
	if err != nil {
		return fmt.Errorf("create veth %s: %w", name, err)
	}
	return nil
}

func (n *netlink) up(index int) error {
	if _, err := n.do(unix.RTM_NEWLINK, 0, ifinfo(index, unix.IFF_UP, unix.IFF_UP)); err != nil {
		return fmt.Errorf("set interface %d up: %w", index, err)
	}
	return nil
}

// addAddr gives an interface an address, usable at once (no duplicate address detection).
func (n *netlink) addAddr(index int, prefix netip.Prefix) error {
	addr := prefix.Addr().AsSlice()
	body := slices.Concat([]byte{family(prefix.Addr()), uint8(prefix.Bits()), unix.IFA_F_NODAD, unix.RT_SCOPE_UNIVERSE},
		u32(uint32(index)), attr(unix.IFA_LOCAL, addr), attr(unix.IFA_ADDRESS, addr))
	if _, err := n.do(unix.RTM_NEWADDR, unix.NLM_F_CREATE|unix.NLM_F_EXCL, body); err != nil {
		return fmt.Errorf("add address %v: %w", prefix, err)
	}
	return nil
}

// addNeighbour tells an interface the link address of a peer, for good.
func (n *netlink) addNeighbour(index int, addr netip.Addr, mac net.HardwareAddr) error {
	state := binary.NativeEndian.AppendUint16(nil, unix.NUD_PERMANENT)
	body := slices.Concat([]byte{family(addr), 0, 0, 0}, u32(uint32(index)), state, []byte{0, 0},
		attr(unix.NDA_DST, addr.AsSlice()), attr(unix.NDA_LLADDR, mac))
	if _, err := n.do(unix.RTM_NEWNEIGH, unix.NLM_F_CREATE|unix.NLM_F_REPLACE, body); err != nil {
		return fmt.Errorf("add neighbour %v: %w", addr, err)
	}
	return nil
}

// forgetMetrics empties the TCP metrics cache of the calling thread's namespace, where Fast Open cookies are kept.
func forgetMetrics() error {
	const (
		tcpMetricsName   = "tcp_metrics" // linux/tcp_metrics.h
		tcpMetricsCmdDel = 2
	)
	n, err := openNetlink(unix.NETLINK_GENERIC)
	if err != nil {
		return err
	}
	defer n.close()
	genl := func(cmd uint8) []byte { return []byte{cmd, 1, 0, 0} } // struct genlmsghdr
	answer, err := n.do(unix.GENL_ID_CTRL, 0, slices.Concat(genl(unix.CTRL_CMD_GETFAMILY),
		attr(unix.CTRL_ATTR_FAMILY_NAME, cstring(tcpMetricsName))))
	if err != nil {
		return fmt.Errorf("netlink family %s: %w", tcpMetricsName, err)
	}
	for b := answer[min(4, len(answer)):]; len(b) >= 4; {
		size, typ := int(binary.NativeEndian.Uint16(b)), binary.NativeEndian.Uint16(b[2:])
		if size < 4 || size > len(b) {
			break
		}
		if typ == unix.CTRL_ATTR_FAMILY_ID && size >= 6 {
			// Without an address the command clears the whole cache.
			_, err := n.do(binary.NativeEndian.Uint16(b[4:]), 0, genl(tcpMetricsCmdDel))
			if err != nil {
				return fmt.Errorf("clear the TCP metrics: %w", err)
			}
			return nil
		}
		b = b[min(align4(size), len(b)):]
	}
	return fmt.Errorf("netlink family %s: no id in the answer", tcpMetricsName)
}
