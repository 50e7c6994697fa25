//go:build !tlstfo_portable

package tfo

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// fastOpenTest prepares a test: a namespace without cookies, and a check that no descriptor and no goroutine is left over.
func fastOpenTest(t *testing.T) {
	t.Helper()
	inNetns(t)
	if err := flushMetrics(); err != nil {
		t.Fatal(err)
	}
	noLeak(t)
	noFDLeak(t)
}

// flushMetrics makes the kernel forget all cookies of the namespace.
func flushMetrics() error {
	const cmdDel = 2
	s := new(system)
	if _, err := s.metrics(netip.Addr{}, netip.IPv6Loopback()); err != nil {
		return err
	}
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_GENERIC)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	request := appendRequest(nil, uint16(s.metricsFamily.Load()), cmdDel, metricsVersion)
	if _, err := exchange(fd, request, make([]byte, 512)); err != unix.EAGAIN { // silence means success
		return fmt.Errorf("flush: %v", err)
	}
	return nil
}

// noFDLeak fails t if descriptors are left over at its end.
func noFDLeak(t *testing.T) {
	t.Helper()
	count := func() int {
		entries, err := os.ReadDir("/proc/self/fd")
		if err != nil {
			t.Fatal(err)
		}
		return len(entries)
	}
	before := count()
	t.Cleanup(func() {
		for range 200 {
			if count() <= before {
				return
			}
			time.Sleep(10 * time.Millisecond)
		}
		t.Errorf("%d descriptors before, %d after", before, count())
	})
}

// cookieFor has the kernel fetch a cookie for the address that a sink listens on.
func cookieFor(t *testing.T, d *Dialer, address string, got <-chan accepted) {
	t.Helper()
	if info, _ := dialSink(t, d, "tcp", address, []byte("x"), got); !info.CookieAsked {
		t.Fatalf("no cookie asked: %+v", info)
	}
}

var tcpExt = []string{"TCPFastOpenActive", "TCPFastOpenPassive", "TCPFastOpenCookieReqd"}

func TestCookieAskedThenUsed(t *testing.T) {
	fastOpenTest(t)
	addAddr(t, netip.MustParsePrefix("fe80::1/64"))
	for _, test := range []struct{ name, network, address string }{
		{"IPv4", "tcp4", "127.0.0.1:0"},
		{"IPv6", "tcp6", "[::1]:0"},
		{"IPv6 with a zone", "tcp6", "[fe80::1%lo]:0"},
		{"IPv6 with a number as its zone", "tcp", "[fe80::1%1]:0"},
	} {
		t.Run(test.name, func(t *testing.T) {
			fastOpenTest(t)
			address, got := sink(t, "tcp", test.address)
			data := []byte("the first flight")
			d := new(Dialer)

			rise := counters(t, func() {
				info, server := dialSink(t, d, test.network, address, data, got)
				if !info.CookieAsked || info.CookieSent || info.SynBytes != 0 || info.SynAcked || info.SynRetransmitted || info.Why != ReasonNoCookie ||
					info.Way != WayFastOpen {
					t.Errorf("first dial: %+v", info)
				}
				if info.Won.Cookie != CookieAbsent {
					t.Errorf("first dial: cookie %v beforehand", info.Won.Cookie)
				}
				if server.synData || !bytes.Equal(server.data, data) {
					t.Errorf("first dial: server got %+v", server)
				}
			}, tcpExt...)
			if rise["TCPFastOpenActive"] != 0 || rise["TCPFastOpenPassive"] != 0 || rise["TCPFastOpenCookieReqd"] != 1 {
				t.Errorf("first dial: %v", rise)
			}

			rise = counters(t, func() {
				info, server := dialSink(t, d, test.network, address, data, got)
				if info.CookieAsked || !info.CookieSent || info.SynBytes != len(data) || !info.SynAcked || info.SynRetransmitted || info.Why != ReasonNone ||
					info.Way != WayFastOpen {
					t.Errorf("second dial: %+v", info)
				}
				if info.Won.Cookie != CookiePresent || !info.Won.Left || info.Won.Err != nil {
					t.Errorf("second dial: %+v", info.Won)
				}
				if !server.synData || !bytes.Equal(server.data, data) {
					t.Errorf("second dial: server got %+v", server)
				}
			}, tcpExt...)
			if rise["TCPFastOpenActive"] != 1 || rise["TCPFastOpenPassive"] != 1 || rise["TCPFastOpenCookieReqd"] != 0 {
				t.Errorf("second dial: %v", rise)
			}
		})
	}
}

// The budget is what the kernel puts into the SYN, and the rest of a flight follows.
func TestLargeFlightIsSplit(t *testing.T) {
	fastOpenTest(t)
	data := bytes.Repeat([]byte("0123456789abcdef"), 64<<10)
	for _, test := range []struct {
		name, address string
		mtu           uint32
		budget        int
	}{
		{"IPv4", "127.0.0.1:0", 1500, 1420},
		{"IPv6", "[::1]:0", 1500, 1400},
		{"IPv4, narrow", "127.0.0.2:0", 1280, 1200},
		{"IPv6, narrow", "[::1]:0", 1280, 1180},
	} {
		t.Run(test.name, func(t *testing.T) {
			fastOpenTest(t)
			setMTU(t, test.mtu)
			address, got := sink(t, "tcp", test.address)
			d := new(Dialer)
			cookieFor(t, d, address, got)
			for _, size := range []int{test.budget - 1, test.budget, test.budget + 1, len(data)} {
				info, server := dialSink(t, d, "tcp", address, data[:size], got)
				if info.Won.Budget != test.budget || info.SynBytes != min(size, test.budget) || !info.SynAcked {
					t.Errorf("%d bytes: budget %d, %+v", size, info.Won.Budget, info)
				}
				if !bytes.Equal(server.data, data[:size]) || !server.synData {
					t.Errorf("%d bytes: the server got %d", size, len(server.data))
				}
			}
		})
	}
}

// The kernel remembers the MSS of the peer with the cookie, and it bounds the budget.
func TestBudgetHeedsPeerMSS(t *testing.T) {
	fastOpenTest(t)
	setMTU(t, 1500)
	address, got := sink(t, "tcp", "127.0.0.1:0")
	d := new(Dialer)
	cookieFor(t, d, address, got)
	setMTU(t, 9000)
	data := make([]byte, 4000)
	info, _ := dialSink(t, d, "tcp", address, data, got)
	if info.Won.Budget != 1420 || info.SynBytes != 1420 {
		t.Errorf("budget %d, %d bytes", info.Won.Budget, info.SynBytes)
	}
}

func TestLoopbackBudget(t *testing.T) {
	fastOpenTest(t)
	address, got := sink(t, "tcp", "127.0.0.1:0")
	d := new(Dialer)
	cookieFor(t, d, address, got)
	info, server := dialSink(t, d, "tcp", address, make([]byte, 100<<10), got)
	if info.Won.Budget != 32<<10 || info.SynBytes < 4096 || info.SynBytes > info.Won.Budget || len(server.data) != 100<<10 {
		t.Errorf("budget %d, %d bytes in the SYN, %d received", info.Won.Budget, info.SynBytes, len(server.data))
	}
}

// The sysctl switches the client off: the socket connects plainly, without an error.
func TestSwitchedOff(t *testing.T) {
	fastOpenTest(t)
	address, got := sink(t, "tcp", "127.0.0.1:0")
	d := new(Dialer)
	cookieFor(t, d, address, got)
	sysctl(t, "tcp_fastopen", "2")
	rise := counters(t, func() {
		info, server := dialSink(t, d, "tcp", address, []byte("x"), got)
		if info.Why != ReasonSwitchedOff || info.Way != WayPlain || info.CookieAsked || info.CookieSent || info.SynBytes != 0 || info.SynAcked {
			t.Errorf("%+v", info)
		}
		if string(server.data) != "x" || server.synData {
			t.Errorf("the server got %+v", server)
		}
	}, tcpExt...)
	for name, n := range rise {
		if n != 0 {
			t.Errorf("%s rose by %d", name, n)
		}
	}
}

// A server that no longer takes SYN data acknowledges none of it; the kernel sends it again after the handshake.
func TestServerStopsFastOpen(t *testing.T) {
	fastOpenTest(t)
	address, got := sink(t, "tcp", "127.0.0.1:0")
	d := new(Dialer)
	cookieFor(t, d, address, got)
	sysctl(t, "tcp_fastopen", "1")
	info, server := dialSink(t, d, "tcp", address, []byte("x"), got)
	if info.Why != ReasonNotAcked || info.Way != WayFastOpen || info.SynBytes != 1 || info.SynAcked || info.SynRetransmitted || !info.CookieSent {
		t.Errorf("%+v", info)
	}
	if string(server.data) != "x" || server.synData {
		t.Errorf("the server got %+v", server)
	}
}

// Where the administrator allows data without a cookie, none is said to have been sent.
func TestDataWithoutCookie(t *testing.T) {
	fastOpenTest(t)
	sysctl(t, "tcp_fastopen", fmt.Sprint(1|2|4|0x200))
	address, got := sink(t, "tcp", "127.0.0.1:0")
	info, server := dialSink(t, new(Dialer), "tcp", address, []byte("x"), got)
	if info.CookieAsked || info.CookieSent || info.SynBytes != 1 || !info.SynAcked || info.Way != WayFastOpen {
		t.Errorf("%+v", info)
	}
	if string(server.data) != "x" || !server.synData {
		t.Errorf("the server got %+v", server)
	}
}

func TestLocalAddr(t *testing.T) {
	fastOpenTest(t)
	addAddr(t, netip.MustParsePrefix("fd00::2/128"))
	for _, test := range []struct{ name, listen, local string }{
		{"IPv4", "127.0.0.1:0", "127.0.0.9:0"},
		{"IPv6", "[::1]:0", "[fd00::2]:0"},
		{"port alone", "127.0.0.1:0", ":0"},
		{"unspecified of the other family", "127.0.0.1:0", "[::]:0"},
	} {
		t.Run(test.name, func(t *testing.T) {
			fastOpenTest(t)
			address, got := sink(t, "tcp", test.listen)
			local, err := net.ResolveTCPAddr("tcp", test.local)
			if err != nil {
				t.Fatal(err)
			}
			local.Port = portOf(t, closedPort(t, "127.0.0.1"))
			d := &Dialer{NetDialer: &net.Dialer{LocalAddr: local}}
			for _, cookie := range []CookieState{CookieAbsent, CookiePresent} {
				conn, info, err := d.DialContext(t.Context(), "tcp", address, flight([]byte("x"), nil))
				if err != nil {
					t.Fatal(err)
				}
				from := conn.LocalAddr().(*net.TCPAddr)
				if from.Port != local.Port || len(local.IP) > 0 && !local.IP.IsUnspecified() && !from.IP.Equal(local.IP) {
					t.Errorf("from %v, not %v", from, local)
				}
				if info.Won.Cookie != cookie || info.SynAcked != (cookie == CookiePresent) {
					t.Errorf("cookie %v, acked %v, want cookie %v", info.Won.Cookie, info.SynAcked, cookie)
				}
				conn.SetLinger(0) // so that the port is free again
				<-closing(conn, got)
			}

			// The port is taken now: the error is that of bind, and the flight was not asked for.
			holder, err := net.ListenTCP("tcp", local)
			if err != nil {
				t.Fatal(err)
			}
			defer holder.Close()
			var calls int
			_, info, err := d.DialContext(t.Context(), "tcp", address, flight([]byte("x"), &calls))
			var op *net.OpError
			if !errors.Is(err, syscall.EADDRINUSE) || !errors.As(err, &op) || op.Source != local || calls != 0 || info.Attempts[0].Left {
				t.Errorf("%v, %d calls", err, calls)
			}
		})
	}
}

func closing(conn net.Conn, got <-chan accepted) <-chan accepted {
	conn.Close()
	return got
}

func portOf(t *testing.T, address string) int {
	t.Helper()
	a, err := netip.ParseAddrPort(address)
	if err != nil {
		t.Fatal(err)
	}
	return int(a.Port())
}

// Neither side uses Multipath TCP, whatever the caller asked for.
func TestNoMultipath(t *testing.T) {
	fastOpenTest(t)
	address, got := sink(t, "tcp", "127.0.0.1:0")
	nd := new(net.Dialer)
	nd.SetMultipathTCP(true)
	conn, _, err := (&Dialer{NetDialer: nd}).DialContext(t.Context(), "tcp", address, flight([]byte("x"), nil))
	if err != nil {
		t.Fatal(err)
	}
	if p := protocol(t, conn); p != unix.IPPROTO_TCP {
		t.Errorf("protocol %d", p)
	}
	if !nd.MultipathTCP() {
		t.Error("the caller's dialer was changed")
	}
	<-closing(conn, got)
}

func protocol(t *testing.T, conn syscall.Conn) int {
	t.Helper()
	c, err := conn.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	var p int
	c.Control(func(fd uintptr) { p, err = unix.GetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_PROTOCOL) })
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// The kernel keeps no cookie across a dial that ends while the SYN is under way; the dial ends at once and leaves nothing behind.
func TestEndWhileConnecting(t *testing.T) {
	fastOpenTest(t)
	for _, name := range []string{"cancel", "timeout", "deadline", "abort"} {
		t.Run(name, func(t *testing.T) {
			fastOpenTest(t)
			address := silentListener(t)
			nd, ctx := new(net.Dialer), t.Context()
			end, want := func() {}, context.Canceled
			switch name {
			case "cancel":
				ctx, end = context.WithCancel(ctx)
			case "timeout":
				nd.Timeout, want = 50*time.Millisecond, context.DeadlineExceeded
			case "deadline":
				nd.Deadline, want = time.Now().Add(50*time.Millisecond), context.DeadlineExceeded
			case "abort":
				abort := make(chan struct{})
				//lint:ignore SA1019 callers may still set it
				nd.Cancel, end = abort, func() { close(abort) }
			}
			conn, info, err := (&Dialer{NetDialer: nd}).DialContext(ctx, "tcp", address, func(context.Context, *Attempt) (Flight, error) {
				end()
				return Flight{Data: []byte("x")}, nil
			})
			// net has two errors for a deadline, and it is chance which one comes.
			if conn != nil || !errors.Is(err, want) && !(want == context.DeadlineExceeded && errors.Is(err, os.ErrDeadlineExceeded)) {
				t.Errorf("%v, %v", conn, err)
			}
			var op *net.OpError
			if !errors.As(err, &op) || op.Timeout() != (want == context.DeadlineExceeded) || op.Addr.String() != address {
				t.Errorf("%#v", err)
			}
			if len(info.Attempts) != 1 || info.Attempts[0].Left || info.Won != nil {
				t.Errorf("%+v", info)
			}
		})
	}
}

// silentListener returns the address of a listener whose queue is full, so that the kernel drops SYNs to it.
func silentListener(t *testing.T) string {
	t.Helper()
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(fd) })
	if err := errors.Join(unix.Bind(fd, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}), unix.Listen(fd, 0)); err != nil {
		t.Fatal(err)
	}
	name, err := unix.Getsockname(fd)
	if err != nil {
		t.Fatal(err)
	}
	address := fmt.Sprintf("127.0.0.1:%d", name.(*unix.SockaddrInet4).Port)
	conn, err := net.Dial("tcp4", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return address
}
