//go:build !tlstfo_portable

package tfo

import (
	"context"
	"net"
	"net/netip"
	"os"
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"
)

const (
	sysctlFastOpen = "net.inet.tcp.fastopen"
	sysctlClient   = 2
)

func (kernel) fastOpen() bool { return true }

func (kernel) source(t *attempt) netip.Addr { return sourceFor(t.dial.net.LocalAddr, t.Addr) }

// survey asks for the source address and its MTU. The kernel gives up Fast Open for a connection whose first data does not fit into the SYN.
func (k kernel) survey(t *attempt) {
	t.source = k.source(t)
	mtu := defaultMTU
	if m := interfaceMTU(t.source); m > 0 {
		mtu = min(mtu, m)
	}
	t.Budget = budget(t.Addr.Addr().Is6(), mtu, 0)
}

// connectFastOpen sends the SYN by connectx, with (replayable) data. net's connect could not go on from there: it fails while connectx is under way.
func (t *attempt) connectFastOpen(ctx context.Context) (*net.TCPConn, error) {
	return t.connectOwn(ctx, openConnectx)
}

func openConnectx(network string) (ownSocket, Reason) {
	if bits, err := unix.SysctlUint32(sysctlFastOpen); err == nil && bits&sysctlClient == 0 {
		return nil, ReasonSwitchedOff
	}
	s, err := newUnixSocket(network, unix.TCP_KEEPALIVE)
	if err != nil {
		return nil, ReasonUnknown // net will meet the same error
	}
	return &connectxSocket{s}, ReasonNone
}

type connectxSocket struct{ *unixSocket }

// start calls connectx with data, which is replayable. The kernel sends a SYN with it if it has a cookie, asks for one otherwise, and sends
// again without either, by itself, if no answer comes. TCP_FASTOPEN_FORCE_ENABLE would prevent just that.
func (s *connectxSocket) start(remote netip.AddrPort, data []byte) (int, error) {
	if len(data) == 0 {
		return 0, s.connect(remote)
	}
	iov := []unix.Iovec{{Base: unsafe.SliceData(data)}}
	iov[0].SetLen(len(data))
	n, err := unix.Connectx(s.fd, 0, nil, sockaddr(remote), unix.SAE_ASSOCID_ANY, unix.CONNECT_DATA_IDEMPOTENT, iov, nil)
	runtime.KeepAlive(iov)
	switch err {
	case nil, unix.EINPROGRESS, unix.EINTR:
		s.taken = int(n)
		return s.taken, nil
	}
	left := len(data)
	if neverLeft(err) {
		left = 0
	}
	return left, os.NewSyscallError("connectx", err)
}

func (kernel) observe(t *attempt, conn *net.TCPConn) {
	if t.taken == 0 {
		return
	}
	if bits, err := readXNU(conn); err == nil {
		t.observeXNU(bits)
	}
}
