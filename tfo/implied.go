//go:build (linux || freebsd) && !tlstfo_portable

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

	// resetOnClose sets SO_LINGER so that a close sends nothing more, and returns what puts the caller's setting back.
	resetOnClose(socket uintptr) (restore func(socket uintptr), err error)

	sendTo(socket uintptr, data []byte, remote netip.AddrPort) (int, error)
}

// connectImplied connects by a send to an address, with replayable data, inside net.Dialer's control hook.
func (t *attempt) connectImplied(ctx context.Context, sys impliedConnect) (*net.TCPConn, error) {
	var restore func(uintptr)
	conn, err := t.connectNet(ctx, nil, func(ctx context.Context, c rawConn) (err error) {
		restore, err = t.sendImplied(ctx, c, sys)
		return err
	})
	if err != nil || restore == nil {
		return conn, err
	}
	c, err := conn.SyscallConn()
	if err == nil {
		err = c.Control(restore)
	}
	if err != nil {
		conn.Close()
		return nil, t.dial.failed(t.Addr, err)
	}
	return conn, nil
}

// sendImplied is the hook of net.Dialer where a send to an address connects the socket: it sends the SYN with as much of the replayable flight
// as fits, if the kernel has a cookie, and with a request for one otherwise; the data then follows the handshake by itself. net's
// own connect finds a connection under way (EALREADY) and waits for it. net calls it again, with a new socket, when a dial over
// loopback connected to itself or found no free port.
//
// FreeBSD goes on connecting a Fast Open socket that is closed before its SYN-ACK, and then delivers its data: an attempt that lost would send its flight all the
// same. Hence the reset on close; restore ends that, when the connection is there.
func (t *attempt) sendImplied(ctx context.Context, c rawConn, sys impliedConnect) (restore func(uintptr), err error) {
	again := t.taken > 0
	if again && t.flight.Once {
		return nil, errSelfConnect
	}
	// net binds after the hook, which is too late for a socket that connects already.
	if local, _ := t.dial.net.LocalAddr.(*net.TCPAddr); local != nil {
		from := localFor(local, t.Addr.Addr())
		if err := control(c, func(s uintptr) error { return sys.bind(s, from) }); err != nil {
			return nil, os.NewSyscallError("bind", err)
		}
	}
	if again {
		t.taken, t.option, t.syn = 0, false, synReport{why: ReasonUnknown}
		return nil, nil
	}
	if err := control(c, sys.enable); err != nil {
		t.syn.why = ReasonUnsupported
		if errors.Is(err, syscall.EPERM) {
			t.syn.why = ReasonSwitchedOff
		}
		return nil, nil
	}
	if err := t.askFlight(ctx); err != nil {
		return nil, err
	}
	data := t.flight.Data[:min(len(t.flight.Data), t.Budget)]
	if len(data) == 0 {
		t.syn.why = ReasonNothingToSend
		return nil, nil
	}
	var n int
	err = control(c, func(s uintptr) (err error) {
		if restore, err = sys.resetOnClose(s); err != nil {
			return err
		}
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
		return nil, os.NewSyscallError("connect", err)
	}
	t.taken = n
	t.sent(n)
	t.syn.why = ReasonUnknown
	t.optionSent()
	return restore, nil
}

// control runs f on the socket of c.
func control(c rawConn, f func(socket uintptr) error) error {
	var err error
	if cerr := c.Control(func(s uintptr) { err = f(s) }); cerr != nil {
		return cerr
	}
	return err
}

var errSelfConnect = errors.New("tfo: the connection met itself, and its first flight may leave only once")
