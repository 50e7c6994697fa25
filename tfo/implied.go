//go:build !tlstfo_portable

package tfo

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"os"
	"syscall"
	"time"
)

// impliedConnect are the system calls by which FreeBSD connects with data. None of them blocks.
type impliedConnect interface {
	bind(socket uintptr, local netip.AddrPort) error
	enable(socket uintptr) error // TCP_FASTOPEN
	sendTo(socket uintptr, data []byte, remote netip.AddrPort) (int, error)
}

// sendImplied is the hook of net.Dialer where a send to an address connects the socket: it sends the SYN with as much of the replayable flight
// as fits, if the kernel has a cookie, and with a request for one otherwise; the data then follows the handshake by itself. net's
// own connect finds a connection under way (EALREADY) and waits for it. net calls it again, with a new socket, when a dial over
// loopback connected to itself or found no free port.
func (t *attempt) sendImplied(ctx context.Context, c rawConn, sys impliedConnect) error {
	again := t.taken > 0
	if again && t.flight.Once {
		return errSelfConnect
	}
	// net binds after the hook, which is too late for a socket that connects already.
	if local, _ := t.dial.net.LocalAddr.(*net.TCPAddr); local != nil {
		from := localFor(local, t.Addr.Addr())
		if err := control(c, func(s uintptr) error { return sys.bind(s, from) }); err != nil {
			return os.NewSyscallError("bind", err)
		}
	}
	if again {
		t.taken, t.option, t.syn = 0, false, synReport{why: ReasonUnknown}
		return nil
	}
	if err := control(c, sys.enable); err != nil {
		t.syn.why = ReasonUnsupported
		if errors.Is(err, syscall.EPERM) {
			t.syn.why = ReasonSwitchedOff
		}
		return nil
	}
	if err := t.askFlight(ctx); err != nil {
		return err
	}
	data := t.flight.Data[:min(len(t.flight.Data), t.Budget)]
	if len(data) == 0 {
		t.syn.why = ReasonNothingToSend
		return nil
	}
	var n int
	err := control(c, func(s uintptr) (err error) {
		t.start = time.Now()
		n, err = sys.sendTo(s, data, t.Addr)
		return err
	})
	if err != nil {
		// The data may be in the send buffer for good, so net must not connect this socket. A plain one may do better.
		if !neverLeft(err) {
			t.sent(len(data))
		}
		t.option = true
		return os.NewSyscallError("connect", err)
	}
	t.taken = n
	t.sent(n)
	t.syn.why = ReasonUnknown
	t.optionSent()
	return nil
}

var errSelfConnect = errors.New("tfo: the connection met itself, and its first flight may leave only once")

// control runs f on the socket of c.
func control(c rawConn, f func(socket uintptr) error) error {
	var err error
	if cerr := c.Control(func(s uintptr) { err = f(s) }); cerr != nil {
		return cerr
	}
	return err
}

// neverLeft says whether a Unix system that refuses to connect for this reason has sent nothing: there was no address, no port or no way to send from, the call
// makes no sense to it, or a firewall of its own stepped in. Other reasons prove nothing.
func neverLeft(err error) bool {
	for _, local := range []error{
		syscall.EADDRNOTAVAIL, syscall.EADDRINUSE, syscall.ENETUNREACH, syscall.EHOSTUNREACH, syscall.ENETDOWN,
		syscall.EAFNOSUPPORT, syscall.EINVAL, syscall.EOPNOTSUPP, syscall.ENOTCONN, syscall.EAGAIN, syscall.EACCES, syscall.EPERM,
	} {
		if errors.Is(err, local) {
			return true
		}
	}
	return false
}
