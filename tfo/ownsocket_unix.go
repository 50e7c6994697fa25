//go:build (darwin || linux) && !tlstfo_portable

package tfo

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// unixSocket is an ownSocket but for its start. macOS dials with it; on Linux it is there to be tested.
type unixSocket struct {
	fd       int
	keepIdle int      // the socket option that sets the idle time of keep-alive
	file     *os.File // owns fd, once the connect is under way
	taken    int      // bytes that the kernel took at the start
}

// newUnixSocket makes a socket as net does.
func newUnixSocket(network string, keepIdle int) (*unixSocket, error) {
	family := unix.AF_INET
	if network == "tcp6" {
		family = unix.AF_INET6
	}
	syscall.ForkLock.RLock()
	fd, err := unix.Socket(family, unix.SOCK_STREAM, unix.IPPROTO_TCP)
	if err == nil {
		unix.CloseOnExec(fd)
	}
	syscall.ForkLock.RUnlock()
	if err != nil {
		return nil, os.NewSyscallError("socket", err)
	}
	err = unix.SetNonblock(fd, true)
	if err == nil && family == unix.AF_INET6 {
		err = unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_V6ONLY, 1)
	}
	if err != nil {
		unix.Close(fd)
		return nil, os.NewSyscallError("setsockopt", err)
	}
	return &unixSocket{fd: fd, keepIdle: keepIdle}, nil
}

func (s *unixSocket) Control(f func(fd uintptr)) error {
	f(uintptr(s.fd))
	return nil
}

func (s *unixSocket) Read(func(fd uintptr) bool) error  { return errors.ErrUnsupported }
func (s *unixSocket) Write(func(fd uintptr) bool) error { return errors.ErrUnsupported }

func (s *unixSocket) bind(local netip.AddrPort) error {
	return os.NewSyscallError("bind", unix.Bind(s.fd, sockaddr(local)))
}

// connect starts without data.
func (s *unixSocket) connect(remote netip.AddrPort) error {
	err := unix.Connect(s.fd, sockaddr(remote))
	if err == unix.EINPROGRESS || err == unix.EINTR {
		err = nil
	}
	return os.NewSyscallError("connect", err)
}

func (s *unixSocket) wait(ctx context.Context) (int, error) {
	s.file = os.NewFile(uintptr(s.fd), "tcp")
	c, err := s.file.SyscallConn()
	if err != nil {
		return 0, err
	}
	stop := context.AfterFunc(ctx, func() { s.file.SetWriteDeadline(time.Unix(1, 0)) })
	var failure error
	err = c.Write(func(fd uintptr) (over bool) {
		over, failure = connectResult(int(fd))
		return over
	})
	switch {
	case !stop():
		return 0, ctx.Err()
	case err != nil:
		return 0, err
	}
	return s.taken, failure
}

// connectResult says whether a connect is over, and how it failed. The poller can wake up spuriously, so only a peer proves success.
func connectResult(fd int) (bool, error) {
	code, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_ERROR)
	if err != nil {
		return true, os.NewSyscallError("getsockopt", err)
	}
	switch err := syscall.Errno(code); err {
	case 0:
	case unix.EINPROGRESS, unix.EALREADY, unix.EINTR:
		return false, nil
	case unix.EISCONN:
		return true, nil
	default:
		return true, os.NewSyscallError("connect", err)
	}
	_, err = unix.Getpeername(fd)
	if err == unix.ENOTCONN {
		return false, nil
	}
	return true, os.NewSyscallError("getpeername", err)
}

func (s *unixSocket) keepAlive() func(uintptr) {
	type option struct{ level, name, value int }
	options := []option{
		{level: unix.SOL_SOCKET, name: unix.SO_KEEPALIVE}, {level: unix.IPPROTO_TCP, name: s.keepIdle},
		{level: unix.IPPROTO_TCP, name: unix.TCP_KEEPINTVL}, {level: unix.IPPROTO_TCP, name: unix.TCP_KEEPCNT},
	}
	for i := range options {
		o := &options[i]
		o.value, _ = unix.GetsockoptInt(s.fd, o.level, o.name)
	}
	return func(fd uintptr) {
		for _, o := range options {
			unix.SetsockoptInt(int(fd), o.level, o.name, o.value)
		}
	}
}

func (s *unixSocket) adopt() (net.Conn, error) { return net.FileConn(s.file) }

func (s *unixSocket) close(abort bool) {
	if abort {
		unix.SetsockoptLinger(s.fd, unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{Onoff: 1})
	}
	if s.file != nil {
		s.file.Close()
	} else {
		unix.Close(s.fd)
	}
}
