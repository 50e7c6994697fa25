//go:build !tlstfo_portable

package tfo

import (
	"net"
	"net/netip"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// What net.Dialer offers is still offered.

// dialersWithOptions returns dialers that set keep-alive and other socket options.
func dialersWithOptions() []net.Dialer {
	hook := func(_, _ string, c syscall.RawConn) error {
		return control(c, func(fd uintptr) error {
			unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_KEEPALIVE, 1)
			unix.SetsockoptLinger(int(fd), unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{Onoff: 1, Linger: 7})
			return unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_KEEPIDLE, 77)
		})
	}
	return []net.Dialer{
		{}, {KeepAlive: -1}, {KeepAlive: time.Minute}, {Control: hook}, {Control: hook, KeepAlive: -1},
		{KeepAliveConfig: net.KeepAliveConfig{Enable: true, Idle: 5 * time.Second, Interval: 6 * time.Second, Count: 3}},
		{KeepAliveConfig: net.KeepAliveConfig{Enable: true, Idle: -1, Interval: -1, Count: -1}},
		{Control: hook, KeepAliveConfig: net.KeepAliveConfig{Enable: true, Idle: -1, Count: 4}},
	}
}

// socketOptions returns the values of the options that net.Dialer and dialersWithOptions set.
func socketOptions(t *testing.T, conn *net.TCPConn) (values [7]int) {
	t.Helper()
	for i, o := range [5][2]int{
		{unix.SOL_SOCKET, unix.SO_KEEPALIVE}, {unix.IPPROTO_TCP, unix.TCP_KEEPIDLE}, {unix.IPPROTO_TCP, unix.TCP_KEEPINTVL},
		{unix.IPPROTO_TCP, unix.TCP_KEEPCNT}, {unix.IPPROTO_TCP, unix.TCP_NODELAY},
	} {
		values[i] = option(t, conn, o[0], o[1])
	}
	c, err := conn.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	if err := control(c, func(fd uintptr) error {
		linger, err := unix.GetsockoptLinger(int(fd), unix.SOL_SOCKET, unix.SO_LINGER)
		if err == nil {
			values[5], values[6] = int(linger.Onoff), int(linger.Linger)
		}
		return err
	}); err != nil {
		t.Error(err)
	}
	return values
}

// Keep-alive and what a control hook sets, with and without data in the SYN.
func TestSocketOptions(t *testing.T) {
	fastOpenTest(t)
	address, got := sink(t, "tcp4", fresh4()+":0")
	cookieFor(t, new(Dialer), address, got)
	for i, nd := range dialersWithOptions() {
		plain, err := nd.Dial("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		want := socketOptions(t, plain.(*net.TCPConn))
		<-closing(plain, got)
		for _, disable := range []bool{false, true} {
			conn, info, err := (&Dialer{NetDialer: &nd, Disable: disable}).DialContext(t.Context(), "tcp", address, flight([]byte("x"), nil))
			if err != nil {
				t.Fatal(err)
			}
			if have := socketOptions(t, conn); have != want || info.SynAcked == disable {
				t.Errorf("%d: %v, want %v; %+v", i, have, want, info)
			}
			<-closing(conn, got)
		}
	}
}

// A control hook may bind the socket to an interface.
func TestBoundToAnInterface(t *testing.T) {
	fastOpenTest(t)
	for _, host := range []string{fresh4(), "[" + fresh6(t, "fd00::") + "]"} {
		address, got := sink(t, "tcp", host+":0")
		d := &Dialer{NetDialer: &net.Dialer{Control: func(_, _ string, c syscall.RawConn) error {
			return control(c, func(fd uintptr) error { return unix.BindToDevice(int(fd), "lo") })
		}}}
		for i := range 2 {
			conn, info, err := d.DialContext(t.Context(), "tcp", address, flight([]byte("x"), nil))
			if err != nil {
				t.Fatal(err)
			}
			c, err := conn.SyscallConn()
			if err != nil {
				t.Fatal(err)
			}
			if err := control(c, func(fd uintptr) error {
				if name, err := unix.GetsockoptString(int(fd), unix.SOL_SOCKET, unix.SO_BINDTODEVICE); err != nil || name != "lo" {
					t.Errorf("bound to %q, %v", name, err)
				}
				return nil
			}); err != nil {
				t.Error(err)
			}
			if info.SynAcked != (i == 1) {
				t.Errorf("dial %d: %+v", i, info)
			}
			<-closing(conn, got)
		}
	}
}

// The network, and the family of the local address, choose among the addresses of a name.
func TestFamilies(t *testing.T) {
	fastOpenTest(t)
	four, six := fresh4(), fresh6(t, "fd00::")
	l, err := Listen("tcp", ":0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	got := drain(t, l)
	_, port, err := net.SplitHostPort(l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	local := func(ip string) net.Addr { return &net.TCPAddr{IP: net.ParseIP(ip)} }
	for _, test := range []struct {
		network string
		local   net.Addr
		hosts   []string
		want    string // that it connects to
	}{
		{"tcp", nil, []string{four, six}, four}, // the resolver sorts them (RFC 6724)
		{"tcp4", nil, []string{six, four}, four},
		{"tcp6", nil, []string{four, six}, six},
		{"tcp", local(four), []string{six, four}, four},
		{"tcp", local(six), []string{four, six}, six},
		{"tcp4", nil, []string{six}, ""},
		{"tcp6", nil, []string{four}, ""},
		{"tcp", local(six), []string{four}, ""},
	} {
		d := &Dialer{NetDialer: &net.Dialer{Resolver: hosts(test.hosts...), LocalAddr: test.local}}
		conn, info, err := d.DialContext(t.Context(), test.network, "name.example:"+port, flight([]byte("x"), nil))
		if (err == nil) != (test.want != "") {
			t.Errorf("%+v: %v", test, err)
		}
		if err != nil {
			if len(info.Attempts) > 0 {
				t.Errorf("%+v: %v", test, info.Attempts[0].Addr)
			}
			continue
		}
		if addr := netip.MustParseAddr(test.want); info.Won.Addr.Addr() != addr || len(info.Attempts) != 1 {
			t.Errorf("%+v: %v, %d attempts", test, info.Won.Addr, len(info.Attempts))
		}
		<-closing(conn, got)
	}
}
