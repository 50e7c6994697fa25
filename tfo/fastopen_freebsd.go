//go:build !tlstfo_portable

package tfo

import (
	"context"
	"net"
	"net/netip"

	"golang.org/x/sys/unix"
)

func (kernel) fastOpen() bool { return true }

func (kernel) source(t *attempt) netip.Addr { return sourceFor(t.dial.net.LocalAddr, t.Addr) }

func (k kernel) survey(t *attempt) {
	t.source = k.source(t)
	t.Budget = budget(t.Addr.Addr().Is6(), defaultMTU, 0)
}

// connectFastOpen sends the SYN by an implied connect inside net.Dialer's control hook, with replayable data.
func (t *attempt) connectFastOpen(ctx context.Context) (*net.TCPConn, error) {
	return t.connectImplied(ctx, freeBSD{})
}

type freeBSD struct{}

func (freeBSD) bind(fd uintptr, local netip.AddrPort) error {
	return unix.Bind(int(fd), sockaddr(local))
}

func (freeBSD) enable(fd uintptr) error {
	return unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_FASTOPEN, 1)
}

func (freeBSD) resetOnClose(fd uintptr) (restore func(fd uintptr), err error) {
	before, err := unix.GetsockoptLinger(int(fd), unix.SOL_SOCKET, unix.SO_LINGER)
	if err != nil {
		return nil, err
	}
	restore = func(fd uintptr) { unix.SetsockoptLinger(int(fd), unix.SOL_SOCKET, unix.SO_LINGER, before) }
	return restore, unix.SetsockoptLinger(int(fd), unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{Onoff: 1})
}

// sendTo sends replayable data.
func (freeBSD) sendTo(fd uintptr, data []byte, remote netip.AddrPort) (int, error) {
	return unix.SendmsgN(int(fd), data, nil, sockaddr(remote), unix.MSG_NOSIGNAL)
}

// observe has nothing to read: the kernel does not say what became of a SYN's data.
func (kernel) observe(*attempt, *net.TCPConn) {}
