//go:build !tlstfo_portable

package tfo

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

const supported = true

// connectFastOpen sends the SYN by sendmsg(MSG_FASTOPEN) inside net.Dialer's control hook. net's own connect then finds a connection
// under way (EALREADY) and waits for it, so addresses, deadlines, cancellation and errors stay those of net.
func (t *attempt) connectFastOpen(ctx context.Context) (*net.TCPConn, error) {
	// net binds the local address after the hook, which is too late for a socket that connects already.
	return t.connectNet(ctx, nil, t.sendSYN)
}

// sendSYN is the hook: it sends the SYN with as much of the replayable flight as fits, if the kernel has a cookie. net calls it again, with a
// new socket, when a dial over loopback connected to itself or found no free port.
func (t *attempt) sendSYN(ctx context.Context, c rawConn) error {
	if err := t.askFlight(ctx); err != nil {
		return err
	}
	if err := t.bind(c); err != nil {
		return err
	}
	if len(t.flight.Data) == 0 {
		t.syn.why = ReasonNothingToSend
		return nil
	}
	if t.taken > 0 { // again: the first socket took the data, and its fate is unknown
		t.taken, t.syn = 0, synReport{why: ReasonUnknown}
		if t.flight.Once {
			t.fatal = ErrOnce
		}
		return t.fatal
	}
	var n int
	var err error
	if cerr := c.Control(func(fd uintptr) {
		n, err = unix.SendmsgN(int(fd), t.flight.Data, nil, sockaddr(t.Addr), unix.MSG_FASTOPEN|unix.MSG_NOSIGNAL)
	}); cerr != nil {
		return cerr
	}
	t.sent(n)
	switch {
	case n > 0:
		t.taken = n
		// Data without a cookie is possible too, where the administrator allowed it.
		t.syn = synReport{cookieSent: t.Cookie != CookieAbsent, why: ReasonUnknown}
	case errors.Is(err, unix.EINPROGRESS):
		t.syn = synReport{cookieAsked: true, why: ReasonNoCookie}
	case errors.Is(err, unix.EOPNOTSUPP):
		t.syn = synReport{why: ReasonSwitchedOff}
	default:
		// An old kernel (EPIPE), a sandbox that knows no MSG_FASTOPEN, or no route: the socket is untouched. net connects it plainly, and
		// meets the error if it is one of the path.
		t.syn = synReport{why: ReasonUnsupported}
	}
	return nil
}

// bind binds the socket to the caller's local address.
func (t *attempt) bind(c rawConn) error {
	local, _ := t.dial.net.LocalAddr.(*net.TCPAddr)
	if local == nil {
		return nil
	}
	var err error
	if cerr := c.Control(func(fd uintptr) {
		err = unix.Bind(int(fd), sockaddr(localFor(local, t.Addr.Addr())))
	}); cerr != nil {
		return cerr
	}
	return os.NewSyscallError("bind", err)
}

// localFor returns local in the family of remote, which it fits or leaves open.
func localFor(local *net.TCPAddr, remote netip.Addr) netip.AddrPort {
	addr := local.AddrPort().Addr().Unmap()
	if !addr.IsValid() || addr.IsUnspecified() {
		addr = netip.IPv4Unspecified()
		if remote.Is6() {
			addr = netip.IPv6Unspecified()
		}
	}
	return netip.AddrPortFrom(addr, uint16(local.Port))
}

func sockaddr(a netip.AddrPort) unix.Sockaddr {
	if a.Addr().Is4() {
		return &unix.SockaddrInet4{Port: int(a.Port()), Addr: a.Addr().As4()}
	}
	return &unix.SockaddrInet6{Port: int(a.Port()), Addr: a.Addr().As16(), ZoneId: zoneID(a.Addr().Zone())}
}

// zoneID returns the index of the interface that an IPv6 zone names, or 0: connecting to a link-local address without one fails.
func zoneID(zone string) uint32 {
	if zone == "" {
		return 0
	}
	if ifi, err := net.InterfaceByName(zone); err == nil {
		return uint32(ifi.Index)
	}
	n, _ := strconv.ParseUint(zone, 10, 32)
	return uint32(n)
}

// observe reads from the kernel what became of the SYN.
func (t *attempt) observe(conn *net.TCPConn) {
	if !t.syn.cookieAsked && t.taken == 0 {
		return
	}
	info, err := readTCPInfo(conn)
	if err != nil {
		return
	}
	t.syn.acked = t.taken > 0 && info.synData
	t.syn.retransmitted = info.clientFail == failSynRetransmitted || t.taken == 0 && info.retransmits > 0
	switch {
	case t.syn.acked:
		t.syn.why = ReasonNone
	case info.clientFail == failDataNotAcked:
		t.syn.why = ReasonNotAcked
	case info.clientFail == failSynRetransmitted:
		t.syn.why = ReasonSynRetransmitted
	case t.taken == 0 && info.clientFail == failUnspecified:
		// The kernel would have noted a missing cookie.
		t.syn.cookieAsked = false
		t.syn.why = ReasonPaused
	}
}
