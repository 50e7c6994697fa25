package tfo

import (
	"context"
	"errors"
	"fmt"
	"net"
	"syscall"
)

// ListenConfig listens with TCP Fast Open. The zero value works. It is safe for concurrent use and must not be changed after first use.
type ListenConfig struct {
	// NetListenConfig says how to listen; its Control is called first. Multipath TCP is not used (with Fast Open it stalls). It is never
	// changed.
	NetListenConfig net.ListenConfig

	// Pending is the number of connections that may be open before their handshake is complete; above it clients fall back to an ordinary
	// handshake. 0 means 256; the kernel takes at most net.core.somaxconn. Other systems than Linux have a number of their own (macOS:
	// net.inet.tcp.fastopen_backlog).
	Pending int
}

const defaultPending = 256

// Listener is a TCP listener that knows whether Fast Open works on it.
type Listener struct {
	*net.TCPListener
	fastOpen Reason
}

// FastOpen returns ReasonNone if clients can use Fast Open on l, else why they cannot. A listener works all the same. ReasonSwitchedOff means
// on Linux that net.ipv4.tcp_fastopen lacks bit 2 in this network namespace, on macOS that net.inet.tcp.fastopen lacks bit 1, and on FreeBSD that
// net.inet.tcp.fastopen.server_enable is 0. Windows does not say whether it is switched off: ReasonUnknown.
func (l *Listener) FastOpen() Reason { return l.fastOpen }

// Listen listens with the zero ListenConfig.
func Listen(network, address string) (*Listener, error) {
	return new(ListenConfig).Listen(context.Background(), network, address)
}

// Listen listens on address over network ("tcp", "tcp4" or "tcp6") as net.ListenConfig.Listen does. Accept returns a connection as soon as
// its SYN brought data, before the handshake is complete: what is read then may be a replay (RFC 7413, section 2.1).
func (lc *ListenConfig) Listen(ctx context.Context, network, address string) (*Listener, error) {
	switch network {
	case "tcp", "tcp4", "tcp6":
	default:
		return nil, &net.OpError{Op: "listen", Net: network, Err: net.UnknownNetworkError(network)}
	}
	pending := lc.pending()
	config := lc.NetListenConfig
	config.SetMultipathTCP(false)
	l := new(Listener)
	user := config.Control
	config.Control = func(network, address string, c rawConn) error {
		if user != nil {
			if err := user(network, address, c); err != nil {
				return err
			}
		}
		if !enableAfterListen {
			l.fastOpen = enableFastOpen(c, pending)
		}
		return nil
	}
	inner, err := config.Listen(ctx, network, address)
	if err != nil {
		return nil, err
	}
	l.TCPListener = inner.(*net.TCPListener)
	if enableAfterListen {
		l.fastOpen = ReasonUnsupported
		if c, err := l.SyscallConn(); err == nil {
			l.fastOpen = enableFastOpen(c, pending)
		}
	}
	return l, nil
}

// AcceptInfo says how an accepted connection began.
type AcceptInfo struct {
	SynData bool // its SYN brought data that was accepted: what was read first may be a replay
}

// ConnInfo returns how conn, an accepted connection, began. conn is a *net.TCPConn or anything else with a SyscallConn method. Where the
// system cannot tell, the error is errors.ErrUnsupported.
func ConnInfo(conn net.Conn) (AcceptInfo, error) {
	c, ok := conn.(syscall.Conn)
	if !ok {
		return AcceptInfo{}, fmt.Errorf("tfo: no socket behind a %T: %w", conn, errors.ErrUnsupported)
	}
	return connInfo(c)
}
