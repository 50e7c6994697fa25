//go:build (linux || darwin || freebsd || windows) && !tlstfo_portable

package tfo

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"syscall"
	"time"
)

// ownSocket is a TCP socket that package net does not know yet. Where a connect with data cannot hide inside net.Dialer, as on macOS and
// Windows, an attempt makes the socket itself, connects it, and hands it over to net.
type ownSocket interface {
	rawConn // for the caller's control hooks

	// bind binds to the caller's local address.
	bind(local netip.AddrPort) error

	// start begins to connect, with (replayable) data if there is any. It returns how many bytes of it may leave from now on, also with an error.
	start(remote netip.AddrPort, data []byte) (int, error)

	// wait returns when the SYN-ACK has come, or with the error of ctx when that ends, and says how many bytes the kernel took of what start
	// was given.
	wait(ctx context.Context) (int, error)

	// keepAlive notes the socket's keep-alive options, and returns a function that sets them again.
	keepAlive() func(handle uintptr)

	// adopt makes a connection of package net of the socket. The socket is to be closed all the same.
	adopt() (net.Conn, error)

	// close closes the socket, once. With abort nothing that it still holds is sent. A connect that start began may be under way: a hook that is called
	// before wait may have ended the goroutine.
	close(abort bool)
}

// openSocket makes the socket of an attempt over network. If it returns no socket, the reason says why Fast Open is out of the question.
type openSocket func(network string) (ownSocket, Reason)

// connectOwn connects through a socket of its own, which takes the beginning of the (replayable) flight.
func (t *attempt) connectOwn(ctx context.Context, open openSocket) (*net.TCPConn, error) {
	s, why := open(t.Network)
	if s == nil {
		t.syn.why = why
		return t.connectNet(ctx, t.dial.net.LocalAddr, nil)
	}
	conn, err := t.connectSocket(ctx, s)
	switch {
	case t.fatal != nil:
		return nil, t.fatal
	case err != nil:
		return nil, t.dial.failed(t.Addr, err)
	}
	return conn, nil
}

// connectSocket takes the steps that net takes, in its order. However it ends, s is closed.
func (t *attempt) connectSocket(ctx context.Context, s ownSocket) (*net.TCPConn, error) {
	abort := true
	defer func() { s.close(abort) }()
	if err := t.prepare(ctx, s); err != nil {
		return nil, err
	}
	if err := t.startAndWait(ctx, s); err != nil {
		return nil, err
	}
	conn, err := adopt(s, &t.dial.net)
	if err != nil {
		return nil, err
	}
	abort = false
	return conn, nil
}

// prepare does what comes before the SYN.
func (t *attempt) prepare(ctx context.Context, s ownSocket) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := t.dial.userControl(ctx, t.Network, t.Addr.String(), s); err != nil {
		return err
	}
	if local, _ := t.dial.net.LocalAddr.(*net.TCPAddr); local != nil {
		if err := s.bind(localFor(local, t.Addr.Addr())); err != nil {
			return err
		}
	}
	if err := t.askFlight(ctx); err != nil {
		return err
	}
	return ctx.Err()
}

// startAndWait sends the SYN, gives the kernel as much of the (replayable) flight as fits into it, and waits for the SYN-ACK.
func (t *attempt) startAndWait(ctx context.Context, s ownSocket) error {
	data := t.flight.Data[:min(len(t.flight.Data), t.Budget)]
	t.start = time.Now()
	n, err := s.start(t.Addr, data)
	t.sent(n)
	if err != nil {
		t.option = len(data) > 0 // a plain connect may do better
		return err
	}
	t.taken = n
	if len(data) == 0 {
		t.syn.why = ReasonNothingToSend
	} else {
		t.syn.why = ReasonUnknown
		t.optionSent()
	}
	t.trace.synSent(t)
	n, err = s.wait(ctx)
	t.elapsed = time.Since(t.start)
	if err != nil {
		return err
	}
	t.taken = n
	return nil
}

// adopt hands s over to net, and makes of the connection what d would have made of it.
func adopt(s ownSocket, d *net.Dialer) (*net.TCPConn, error) {
	restoreKeepAlive := s.keepAlive()
	adopted, err := s.adopt()
	if err != nil {
		return nil, err
	}
	conn, ok := adopted.(*net.TCPConn)
	if !ok {
		adopted.Close()
		return nil, errors.ErrUnsupported
	}
	if err := usable(conn, d.LocalAddr); err != nil {
		conn.SetLinger(0)
		conn.Close()
		return nil, err
	}
	// net.FileConn set keep-alive as a zero net.Dialer does.
	if c, err := conn.SyscallConn(); err == nil {
		c.Control(restoreKeepAlive)
	}
	config := d.KeepAliveConfig
	if !config.Enable && d.KeepAlive >= 0 {
		config = net.KeepAliveConfig{Enable: true, Idle: d.KeepAlive}
	}
	if config.Enable {
		conn.SetKeepAliveConfig(config) // net.Dialer ignores this error, too
	}
	return conn, nil
}

// usable refuses connections that net.Dialer would not return either.
func usable(conn *net.TCPConn, wanted net.Addr) error {
	local, _ := conn.LocalAddr().(*net.TCPAddr)
	remote, _ := conn.RemoteAddr().(*net.TCPAddr)
	if local == nil || remote == nil {
		return syscall.ECONNRESET // it was reset before net could ask for its addresses
	}
	from, _ := wanted.(*net.TCPAddr)
	if (from == nil || from.Port == 0) && local.Port == remote.Port && local.IP.Equal(remote.IP) {
		return errMetItself
	}
	return nil
}

// errMetItself ends an attempt to a port of this machine that nobody listens on, and that was chosen for the other end of the connection, too.
var errMetItself = errors.New("tfo: the connection met itself: nobody listens on the port")
