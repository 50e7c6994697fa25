//go:build !tlstfo_portable

package tfo

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// The ways in which other systems connect with data, on Linux sockets: sendmsg with MSG_FASTOPEN stands in for connectx and for FreeBSD's send, and what
// the kernel does with its SYN can be seen.

// fastOpenSocket is the socket of macOS with a start of Linux.
type fastOpenSocket struct{ *unixSocket }

func openFastOpen(network string) (ownSocket, Reason) {
	s, err := newUnixSocket(network, unix.TCP_KEEPIDLE)
	if err != nil {
		return nil, ReasonUnknown
	}
	return &fastOpenSocket{s}, ReasonNone
}

func (s *fastOpenSocket) start(remote netip.AddrPort, data []byte) (int, error) {
	if len(data) == 0 {
		return 0, s.connect(remote)
	}
	n, err := unix.SendmsgN(s.fd, data, nil, sockaddr(remote), unix.MSG_FASTOPEN|unix.MSG_NOSIGNAL)
	s.taken = max(n, 0)
	if err != unix.EINPROGRESS && err != nil {
		return 0, err
	}
	return s.taken, nil
}

// impliedLinux makes the system calls of FreeBSD.
type impliedLinux struct{}

func (impliedLinux) bind(fd uintptr, local netip.AddrPort) error {
	return unix.Bind(int(fd), sockaddr(local))
}
func (impliedLinux) enable(uintptr) error { return nil }

func (impliedLinux) resetOnClose(fd uintptr) (restore func(fd uintptr), err error) {
	before, err := unix.GetsockoptLinger(int(fd), unix.SOL_SOCKET, unix.SO_LINGER)
	if err != nil {
		return nil, err
	}
	restore = func(fd uintptr) { unix.SetsockoptLinger(int(fd), unix.SOL_SOCKET, unix.SO_LINGER, before) }
	return restore, unix.SetsockoptLinger(int(fd), unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{Onoff: 1})
}

func (impliedLinux) sendTo(fd uintptr, data []byte, remote netip.AddrPort) (int, error) {
	n, err := unix.SendmsgN(int(fd), data, nil, sockaddr(remote), unix.MSG_FASTOPEN|unix.MSG_NOSIGNAL)
	if err == unix.EINPROGRESS {
		return 0, nil
	}
	return n, err
}

// otherSystem dials as another system does.
type otherSystem struct {
	kernel
	freeBSD bool
}

func (s otherSystem) connect(ctx context.Context, t *attempt) (*net.TCPConn, error) {
	switch {
	case t.Way == WayPlain:
		return s.kernel.connect(ctx, t)
	case s.freeBSD:
		return t.connectImplied(ctx, impliedLinux{})
	}
	return t.connectOwn(ctx, openFastOpen)
}

func (s otherSystem) observe(t *attempt, conn *net.TCPConn) {
	if info, err := readTCPInfo(conn); err == nil {
		t.syn.acked = info.synData
	}
}

// dial dials address as s does, with data.
func (s otherSystem) dial(ctx context.Context, address string, nd net.Dialer, first FirstFlight) (*net.TCPConn, *Info, error) {
	info := new(Info)
	d := &dialing{dialer: new(Dialer), net: nd, network: "tcp", first: first, control: nd.Control, controlContext: nd.ControlContext, system: s}
	conn, err := d.race(ctx, []netip.AddrPort{netip.MustParseAddrPort(address)}, info)
	return conn, info, err
}

// otherSystems runs a test for each.
func otherSystems(t *testing.T, f func(t *testing.T, s otherSystem)) {
	t.Run("own socket", func(t *testing.T) {
		fastOpenTest(t)
		f(t, otherSystem{})
	})
	t.Run("implied connect", func(t *testing.T) {
		fastOpenTest(t)
		f(t, otherSystem{freeBSD: true})
	})
}

func TestOtherSystemsDial(t *testing.T) {
	otherSystems(t, func(t *testing.T, s otherSystem) {
		for _, listen := range []string{fresh4() + ":0", "[" + fresh6(t, "fd00::") + "]:0"} {
			address, got := sink(t, "tcp", listen)
			for i, data := range []string{"no cookie yet", "cookie", "", string(make([]byte, 100<<10))} {
				conn, info, err := s.dial(t.Context(), address, net.Dialer{}, flight([]byte(data), nil))
				if err != nil {
					t.Fatal(err)
				}
				if conn.RemoteAddr().String() != address || conn.LocalAddr() == nil {
					t.Errorf("%v -> %v", conn.LocalAddr(), conn.RemoteAddr())
				}
				conn.SetDeadline(time.Now().Add(20 * time.Second))
				if _, err := conn.Write([]byte(", more")); err != nil {
					t.Error(err)
				}
				conn.Close()
				server := <-got
				if string(server.data) != data+", more" {
					t.Errorf("the server got %d bytes", len(server.data))
				}
				if fast := i > 0 && data != ""; server.synData != fast || info.SynAcked != fast || info.SynBytes > 0 != fast || info.ConnectTime <= 0 {
					t.Errorf("%d: SYN data %v; %+v", i, server.synData, info)
				}
			}
		}
	})
}

func TestOtherSystemsFail(t *testing.T) {
	otherSystems(t, func(t *testing.T, s otherSystem) {
		host := fresh4()
		address, got := sink(t, "tcp4", host+":0")
		for range 2 { // without and with a cookie
			_, info, err := s.dial(t.Context(), closedPort(t, host), net.Dialer{}, onceWherePossible([]byte("x")))
			var op *net.OpError
			if !errors.Is(err, syscall.ECONNREFUSED) || !errors.As(err, &op) || op.Op != "dial" || op.Addr == nil {
				t.Errorf("%#v", err)
			}
			if a := info.Attempts[0]; a.Err == nil {
				t.Errorf("%+v", a)
			}
			conn, _, err := s.dial(t.Context(), address, net.Dialer{}, flight([]byte("x"), nil))
			if err != nil {
				t.Fatal(err)
			}
			conn.Close()
			<-got
		}
		if _, _, err := s.dial(t.Context(), "203.0.113.1:443", net.Dialer{}, onceWherePossible([]byte("x"))); !errors.Is(err, syscall.ENETUNREACH) {
			t.Error(err)
		}
	})
}

func TestOtherSystemsCancel(t *testing.T) {
	otherSystems(t, func(t *testing.T, s otherSystem) {
		address, _ := silentListener(t, fresh4())
		for _, timeout := range []bool{false, true} {
			ctx, cancel := context.WithCancel(t.Context())
			want := context.Canceled
			if timeout {
				ctx, cancel = context.WithTimeout(t.Context(), 20*time.Millisecond)
				want = context.DeadlineExceeded
			}
			sent := counter(t, "ListenDrops")
			go func() {
				for range 1000 {
					if counter(t, "ListenDrops") > sent {
						break
					}
					time.Sleep(time.Millisecond)
				}
				if !timeout {
					cancel()
				}
			}()
			conn, _, err := s.dial(ctx, address, net.Dialer{}, flight([]byte("x"), nil))
			var op *net.OpError
			if timeout && errors.Is(err, os.ErrDeadlineExceeded) {
				want = os.ErrDeadlineExceeded // net says either
			}
			if conn != nil || !errors.Is(err, want) || !errors.As(err, &op) || op.Timeout() != timeout {
				t.Errorf("%v, %v", conn, err)
			}
			cancel()
		}
	})
}

func TestOtherSystemsLocalAddr(t *testing.T) {
	otherSystems(t, func(t *testing.T, s otherSystem) {
		address, got := sink(t, "tcp4", fresh4()+":0")
		local := &net.TCPAddr{IP: net.ParseIP(fresh4()), Port: portOf(t, closedPort(t, "127.0.0.1"))}
		conn, _, err := s.dial(t.Context(), address, net.Dialer{LocalAddr: local}, flight([]byte("x"), nil))
		if err != nil {
			t.Fatal(err)
		}
		if conn.LocalAddr().String() != local.String() {
			t.Errorf("from %v, not %v", conn.LocalAddr(), local)
		}
		conn.SetLinger(0)
		<-closing(conn, got)

		holder, err := net.ListenTCP("tcp", local)
		if err != nil {
			t.Fatal(err)
		}
		defer holder.Close()
		var calls int
		if _, _, err := s.dial(t.Context(), address, net.Dialer{LocalAddr: local}, flight([]byte("x"), &calls)); !errors.Is(err, syscall.EADDRINUSE) || calls != 0 {
			t.Errorf("%v, %d calls", err, calls)
		}
	})
}

// The connection has the socket options that net.Dialer gives it.
func TestOtherSystemsSocketOptions(t *testing.T) {
	otherSystems(t, func(t *testing.T, s otherSystem) {
		address, got := sink(t, "tcp4", fresh4()+":0")
		for i, nd := range dialersWithOptions() {
			plain, err := nd.Dial("tcp", address)
			if err != nil {
				t.Fatal(err)
			}
			want := socketOptions(t, plain.(*net.TCPConn))
			<-closing(plain, got)
			conn, _, err := s.dial(t.Context(), address, nd, flight([]byte("x"), nil))
			if err != nil {
				t.Fatal(err)
			}
			if have := socketOptions(t, conn); have != want {
				t.Errorf("%d: %v, want %v", i, have, want)
			}
			<-closing(conn, got)
		}
	})
}

// A dial that meets itself is no connection.
func TestOwnSocketMeetsItself(t *testing.T) {
	fastOpenTest(t)
	port := 20000 + rand.IntN(10000)
	sysctl(t, "ip_local_port_range", fmt.Sprintf("%d\t%[1]d", port))
	_, info, err := otherSystem{}.dial(t.Context(), fmt.Sprintf("127.0.0.1:%d", port), net.Dialer{}, flight([]byte("x"), nil))
	if first := info.Attempts[0]; err == nil || !errors.Is(first.Err, errMetItself) {
		t.Errorf("%v; %+v", err, first)
	}
}

func TestSourceFor(t *testing.T) {
	fastOpenTest(t)
	ours, other := fresh4(), fresh6(t, "fd00::")
	for _, test := range []struct {
		local  net.Addr
		remote string
		want   string
	}{
		{nil, ours + ":1", "127.0.0.1"},
		{&net.TCPAddr{IP: net.ParseIP("127.0.0.9"), Port: 9}, ours + ":1", "127.0.0.9"},
		{&net.TCPAddr{Port: 9}, "[" + other + "]:1", other},
		{nil, "203.0.113.1:1", ""},
	} {
		have := sourceFor(test.local, netip.MustParseAddrPort(test.remote))
		if test.want == "" && have.IsValid() || test.want != "" && have != netip.MustParseAddr(test.want) {
			t.Errorf("%v to %v: %v, want %q", test.local, test.remote, have, test.want)
		}
	}
	setMTU(t, 1400)
	for addr, want := range map[string]int{"127.0.0.1": 1400, "::1": 1400, "203.0.113.1": 0} {
		if have := interfaceMTU(netip.MustParseAddr(addr)); have != want {
			t.Errorf("%v: %d, want %d", addr, have, want)
		}
	}
	if have := interfaceMTU(netip.Addr{}); have != 0 {
		t.Errorf("no address: %d", have)
	}
}
