//go:build !tlstfo_portable

package tfo

import (
	"context"
	"errors"
	"net"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

func (kernel) fastOpen() bool { return true }

// connectFastOpen sends the SYN by sendmsg(MSG_FASTOPEN) inside net.Dialer's control hook. net's own connect then finds a connection
// under way (EALREADY) and waits for it, so addresses, deadlines, cancellation and errors stay those of net.
func (t *attempt) connectFastOpen(ctx context.Context) (*net.TCPConn, error) {
	// net binds the local address after the hook, which is too late for a socket that connects already.
	return t.connectNet(ctx, nil, t.sendSYN)
}

// sendSYN is the hook: it sends the SYN with as much of the replayable flight as fits, if the kernel has a cookie. net calls it again, with a
// new socket, when a dial over loopback connected to itself or found no free port.
func (t *attempt) sendSYN(ctx context.Context, c rawConn) error {
	if t.taken > 0 {
		return t.connectedToItself(c)
	}
	if err := t.bind(c); err != nil {
		return err
	}
	if err := t.askFlight(ctx); err != nil {
		return err
	}
	if len(t.flight.Data) == 0 {
		t.syn.why = ReasonNothingToSend
		return nil
	}
	var n int
	var err error
	if cerr := c.Control(func(fd uintptr) {
		t.start = time.Now()
		n, err = unix.SendmsgN(int(fd), t.flight.Data, nil, sockaddr(t.Addr), unix.MSG_FASTOPEN|unix.MSG_NOSIGNAL)
	}); cerr != nil {
		return cerr
	}
	t.taken = max(n, 0)
	t.sent(t.taken)
	t.syn = sentSYN(t.taken, err)
	if t.syn.cookieAsked || t.taken > 0 {
		t.optionSent()
	}
	return nil
}

// sentSYN is what the result of sendmsg says of the SYN.
func sentSYN(n int, err error) synReport {
	switch {
	case n > 0:
		return synReport{cookieSent: true, why: ReasonUnknown}
	case errors.Is(err, unix.EINPROGRESS):
		return synReport{cookieAsked: true, why: ReasonNoCookie}
	case errors.Is(err, unix.EOPNOTSUPP):
		return synReport{why: ReasonSwitchedOff}
	}
	// An old kernel (EPIPE), a sandbox that knows no MSG_FASTOPEN, or no route. The socket is untouched: net connects it plainly, and meets
	// the error if it is one of the path.
	return synReport{why: ReasonUnsupported}
}

// connectedToItself goes on after the first socket took SYN data and then turned out to be its own peer. That data is lost, so a flight that
// may leave once ends the attempt; any other is written after a plain connect.
func (t *attempt) connectedToItself(c rawConn) error {
	t.option = false
	if t.flight.Once {
		return errSelfConnect
	}
	t.taken, t.syn = 0, synReport{why: ReasonUnknown}
	return t.bind(c)
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

func (kernel) observe(t *attempt, conn *net.TCPConn) {
	if !t.syn.cookieAsked && t.taken == 0 {
		return
	}
	if info, err := readTCPInfo(conn); err == nil {
		t.syn.observe(t.taken, info)
	}
	if t.taken == 0 || t.Cookie != CookieAbsent {
		return
	}
	// Either the administrator allowed data without a cookie, or the SYN went from another address than the survey thought.
	if local, ok := conn.LocalAddr().(*net.TCPAddr); ok {
		m, err := queryMetrics(local.AddrPort().Addr().Unmap(), t.Addr.Addr())
		t.syn.cookieSent = err == nil && m.cookie
	}
}

// Values of tcpi_fastopen_client_fail (enum tcp_fastopen_client_fail in linux/tcp.h).
const (
	failUnspecified       = 0
	failCookieUnavailable = 1
	failDataNotAcked      = 2
	failSynRetransmitted  = 3
)

// observe adds what the kernel says after the SYN-ACK about a SYN that took n bytes.
func (s *synReport) observe(n int, info tcpInfo) {
	s.acked = n > 0 && info.synData
	// The kernel counts the data that it sends again after the SYN-ACK too.
	s.retransmitted = info.clientFail == failSynRetransmitted || n == 0 && info.retransmits > 0
	switch {
	case s.acked:
		s.why = ReasonNone
	case info.clientFail == failDataNotAcked:
		s.why = ReasonNotAcked
	case info.clientFail == failSynRetransmitted:
		s.why = ReasonSynRetransmitted
	case n == 0 && info.clientFail == failUnspecified:
		// It would have noted a missing cookie.
		s.cookieAsked = false
		s.why = ReasonPaused
	}
}
