//go:build !tlstfo_portable

package tfo

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"os"
	"runtime"
	"unsafe"

	"golang.org/x/sys/windows"
)

func (kernel) fastOpen() bool { return true }

func (kernel) source(t *attempt) netip.Addr { return sourceFor(t.dial.net.LocalAddr, t.Addr) }

func (k kernel) survey(t *attempt) {
	t.source = k.source(t)
	t.Budget = budget(t.Addr.Addr().Is6(), defaultMTU, 0)
}

// connectFastOpen sends the SYN by ConnectEx, with (replayable) data. net's own ConnectEx would fail after that.
func (t *attempt) connectFastOpen(ctx context.Context) (*net.TCPConn, error) {
	return t.connectOwn(ctx, openConnectEx)
}

// observe has nothing to read: the system does not say what became of a SYN's data.
func (kernel) observe(*attempt, *net.TCPConn) {}

// connectExSocket is an ownSocket of Windows.
type connectExSocket struct {
	handle windows.Handle
	bound  bool
	file   *os.File // owns handle, once it is to be adopted

	// While the connect is under way the system writes into op and reads the data, so both are pinned.
	op     *windows.Overlapped // nil: none is
	sent   uint32
	pinner runtime.Pinner
}

// openConnectEx makes a socket with Fast Open, which Windows 10 has from version 1607 on.
func openConnectEx(network string) (ownSocket, Reason) {
	s, err := newConnectExSocket(network)
	if err != nil {
		return nil, ReasonUnknown // net will meet the same error
	}
	if err := windows.SetsockoptInt(s.handle, windows.IPPROTO_TCP, windows.TCP_FASTOPEN, 1); err != nil {
		s.close(false)
		return nil, ReasonUnsupported
	}
	return s, ReasonNone
}

// newConnectExSocket makes a socket as net does.
func newConnectExSocket(network string) (*connectExSocket, error) {
	family := int32(windows.AF_INET)
	if network == "tcp6" {
		family = windows.AF_INET6
	}
	handle, err := windows.WSASocket(family, windows.SOCK_STREAM, windows.IPPROTO_TCP, nil, 0,
		windows.WSA_FLAG_OVERLAPPED|windows.WSA_FLAG_NO_HANDLE_INHERIT)
	if err != nil {
		return nil, os.NewSyscallError("wsasocket", err)
	}
	if family == windows.AF_INET6 {
		if err := windows.SetsockoptInt(handle, windows.IPPROTO_IPV6, windows.IPV6_V6ONLY, 1); err != nil {
			windows.Closesocket(handle)
			return nil, os.NewSyscallError("setsockopt", err)
		}
	}
	return &connectExSocket{handle: handle}, nil
}

func (s *connectExSocket) Control(f func(handle uintptr)) error {
	f(uintptr(s.handle))
	return nil
}

func (s *connectExSocket) Read(func(handle uintptr) bool) error  { return errors.ErrUnsupported }
func (s *connectExSocket) Write(func(handle uintptr) bool) error { return errors.ErrUnsupported }

func (s *connectExSocket) bind(local netip.AddrPort) error {
	s.bound = true
	return os.NewSyscallError("bind", windows.Bind(s.handle, sockaddr(local)))
}

// start calls ConnectEx with data, which is replayable.
func (s *connectExSocket) start(remote netip.AddrPort, data []byte) (int, error) {
	if !s.bound { // ConnectEx insists
		if err := s.bind(localFor(new(net.TCPAddr), remote.Addr())); err != nil {
			return 0, err
		}
	}
	if remote.Addr().IsLoopback() {
		s.failFast()
	}
	event, err := windows.CreateEvent(nil, 1, 0, nil)
	if err != nil {
		return 0, os.NewSyscallError("createevent", err)
	}
	s.op = &windows.Overlapped{HEvent: event}
	s.pinner.Pin(s.op)
	if len(data) > 0 {
		s.pinner.Pin(unsafe.SliceData(data))
	}
	err = windows.ConnectEx(s.handle, sockaddr(remote), unsafe.SliceData(data), uint32(len(data)), &s.sent, s.op)
	if err == nil || errors.Is(err, windows.ERROR_IO_PENDING) {
		return len(data), nil
	}
	s.release()
	left := len(data)
	if refusedHere(err) {
		left = 0
	}
	return left, os.NewSyscallError("connectex", err)
}

// refusedHere says whether ConnectEx fails for this reason before anything is sent.
func refusedHere(err error) bool {
	for _, local := range []error{
		windows.WSAENETUNREACH, windows.WSAEHOSTUNREACH, windows.WSAENETDOWN, windows.WSAEADDRNOTAVAIL, windows.WSAEADDRINUSE,
		windows.WSAEAFNOSUPPORT, windows.WSAEINVAL, windows.WSAEFAULT, windows.WSAEOPNOTSUPP, windows.WSAEACCES, windows.WSAENOBUFS,
	} {
		if errors.Is(err, local) {
			return true
		}
	}
	return false
}

// wait blocks a thread of the system: the runtime's poller knows nothing of the handle yet.
func (s *connectExSocket) wait(ctx context.Context) (int, error) {
	cancelled := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		windows.CancelIoEx(s.handle, s.op) // which is released only when this has returned
		close(cancelled)
	})
	var n, flags uint32
	err := windows.WSAGetOverlappedResult(s.handle, s.op, &n, true, &flags)
	if !stop() {
		<-cancelled // it must not meet a handle that was closed and belongs to somebody else
		s.release()
		return 0, ctx.Err()
	}
	s.release()
	if err != nil {
		return 0, os.NewSyscallError("connectex", err)
	}
	// Without this the socket has no peer, and cannot be shut down.
	err = windows.Setsockopt(s.handle, windows.SOL_SOCKET, windows.SO_UPDATE_CONNECT_CONTEXT, nil, 0)
	return int(n), os.NewSyscallError("setsockopt", err)
}

// release gives back what the connect held, once it is over.
func (s *connectExSocket) release() {
	s.pinner.Unpin()
	windows.CloseHandle(s.op.HEvent)
	s.op = nil
}

// cancel ends a connect that nobody waited for.
func (s *connectExSocket) cancel() {
	var n, flags uint32
	windows.CancelIoEx(s.handle, s.op)
	windows.WSAGetOverlappedResult(s.handle, s.op, &n, true, &flags)
	s.release()
}

// failFast has a loopback connect to a closed port fail at once instead of after two seconds, as net does (TCP_INITIAL_RTO_PARAMETERS).
func (s *connectExSocket) failFast() {
	const (
		initialRTO         = windows.IOC_IN | windows.IOC_VENDOR | 17 // SIO_TCP_INITIAL_RTO
		unspecifiedRTT     = 0xffff
		noRetransmissions  = 0xfe // Windows 10, version 1709
		oneRetransmission  = 1
		parametersOfStruct = 4
	)
	for _, retransmissions := range []byte{noRetransmissions, oneRetransmission} {
		parameters := [parametersOfStruct]byte{unspecifiedRTT & 0xff, unspecifiedRTT >> 8, retransmissions}
		var n uint32
		if windows.WSAIoctl(s.handle, initialRTO, &parameters[0], parametersOfStruct, nil, 0, &n, nil, 0) == nil {
			return
		}
	}
}

func (s *connectExSocket) keepAlive() func(uintptr) {
	type option struct{ level, name, value int }
	var options []option
	for _, o := range []option{
		{level: windows.SOL_SOCKET, name: windows.SO_KEEPALIVE}, {level: windows.IPPROTO_TCP, name: windows.TCP_KEEPIDLE},
		{level: windows.IPPROTO_TCP, name: windows.TCP_KEEPINTVL}, {level: windows.IPPROTO_TCP, name: windows.TCP_KEEPCNT},
	} {
		var err error
		if o.value, err = windows.GetsockoptInt(s.handle, o.level, o.name); err == nil {
			options = append(options, o)
		}
	}
	return func(handle uintptr) {
		for _, o := range options {
			windows.SetsockoptInt(windows.Handle(handle), o.level, o.name, o.value)
		}
	}
}

// adopt duplicates the socket: net.FileConn does. os.NewFile adds the handle to the runtime's poller, net.FileConn takes it out again.
func (s *connectExSocket) adopt() (net.Conn, error) {
	s.file = os.NewFile(uintptr(s.handle), "tcp")
	return net.FileConn(s.file)
}

// close ends the file before anybody can use the adopted connection, which is important: it cancels what is under way on the socket they share.
func (s *connectExSocket) close(abort bool) {
	if s.op != nil {
		s.cancel()
	}
	if abort {
		windows.SetsockoptLinger(s.handle, windows.SOL_SOCKET, windows.SO_LINGER, &windows.Linger{Onoff: 1})
	}
	if s.file != nil {
		s.file.Close()
	} else {
		windows.Closesocket(s.handle)
	}
}

func sockaddr(a netip.AddrPort) windows.Sockaddr {
	if a.Addr().Is4() {
		return &windows.SockaddrInet4{Port: int(a.Port()), Addr: a.Addr().As4()}
	}
	return &windows.SockaddrInet6{Port: int(a.Port()), Addr: a.Addr().As16(), ZoneId: zoneID(a.Addr().Zone())}
}
