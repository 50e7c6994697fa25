package tfo

import (
	"errors"
	"fmt"
	"net"
	"os"
)

// FileListener makes a Listener of a TCP socket that listens already and that the process inherited, and switches Fast Open on for it, as Adopt does. From
// systemd, for instance, the descriptors from 3 on, as many as LISTEN_FDS says:
//
//	l, err := lc.FileListener(os.NewFile(3, "LISTEN_FD_3"))
//
// The Listener has a descriptor of its own: f is the caller's to close.
func (lc *ListenConfig) FileListener(f *os.File) (*Listener, error) {
	l, err := net.FileListener(f)
	if err != nil {
		return nil, fmt.Errorf("tfo: inherited listener: %w", err)
	}
	adopted, err := lc.Adopt(l)
	if err != nil {
		l.Close()
		return nil, err
	}
	return adopted, nil
}

// Adopt switches Fast Open on for a listener that is there already, a *net.TCPListener or a *Listener, with lc.Pending; NetListenConfig has no
// meaning here. The Listener that it returns is the same socket. Listener.FastOpen says what came of it; on Linux it is
// also
//
//   - ReasonMultipath if the socket is one of Multipath TCP, as those of net.Listen are: Fast Open is then switched off on it;
//   - ReasonUnknown if it is of another network namespace, whose net.ipv4.tcp_fastopen cannot be read.
//
// The error is for what is no listening TCP socket; l is then as it was.
func (lc *ListenConfig) Adopt(l net.Listener) (*Listener, error) {
	var inner *net.TCPListener
	switch l := l.(type) {
	case *net.TCPListener:
		inner = l
	case *Listener:
		if l != nil {
			inner = l.TCPListener
		}
	}
	if inner == nil {
		return nil, fmt.Errorf("tfo: no TCP listener, but a %T: %w", l, errors.ErrUnsupported)
	}
	c, err := inner.SyscallConn()
	if err != nil {
		return nil, err
	}
	adopted := &Listener{TCPListener: inner}
	if adopted.fastOpen, err = enableOnInherited(c, lc.pending()); err != nil {
		return nil, &net.OpError{Op: "listen", Net: "tcp", Addr: inner.Addr(), Err: err}
	}
	return adopted, nil
}

func (lc *ListenConfig) pending() int {
	if lc.Pending <= 0 {
		return defaultPending
	}
	return lc.Pending
}
