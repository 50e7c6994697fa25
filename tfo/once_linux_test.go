//go:build !tlstfo_portable

package tfo

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"syscall"
	"testing"
)

// Bytes that may leave once: the right to send them ends with the first attempt that may have sent them, and passes on where the kernel
// proves that nothing left.
func TestOnce(t *testing.T) {
	for _, test := range []struct {
		name   string
		cookie bool // for the dead address
		off    bool // no Fast Open
		dead   string
		left   bool // by the first attempt
	}{
		{name: "cookie", cookie: true, dead: fresh4(), left: true},
		{name: "no cookie", dead: fresh4()},
		{name: "switched off", cookie: true, off: true, dead: fresh4()},
		{name: "no route", dead: "203.0.113.1"},
	} {
		t.Run(test.name, func(t *testing.T) {
			fastOpenTest(t)
			address, got := sink(t, "tcp4", fresh4()+":0")
			_, port, _ := net.SplitHostPort(address)
			d := new(Dialer)
			if test.cookie { // cookies are per address, whatever the port
				other, seen := sink(t, "tcp4", test.dead+":0")
				cookieFor(t, d, other, seen)
			}
			if test.off {
				sysctl(t, "tcp_fastopen", "2")
			}
			var may []bool
			first := func(_ context.Context, a *Attempt) (Flight, error) {
				may = append(may, a.MayOnce)
				if a.MayOnce {
					return Flight{Data: []byte("hello, early"), Once: true}, nil
				}
				return Flight{Data: []byte("hello")}, nil
			}
			// Not by name: the resolver would sort an address without a route to the end.
			info := new(Info)
			conn, err := (&dialing{dialer: d, network: "tcp4", first: first, system: kernel{}}).race(t.Context(), []netip.AddrPort{
				netip.MustParseAddrPort(net.JoinHostPort(test.dead, port)), netip.MustParseAddrPort(address),
			}, info)
			if err != nil {
				t.Fatal(err)
			}
			conn.Close()
			server := <-got
			if len(info.Attempts) < 2 || len(may) != 2 {
				t.Fatalf("%d attempts, %d calls", len(info.Attempts), len(may))
			}
			if a := info.Attempts[0]; !may[0] || a.Left != test.left || a.OnceLeft != test.left || a.Err == nil {
				t.Errorf("first attempt: %+v", a)
			}
			if a := info.Won; a.Addr.String() != address || may[1] == test.left || !a.Left || a.OnceLeft == test.left || a.Err != nil {
				t.Errorf("second attempt: %+v", a)
			}
			want := "hello, early"
			if test.left {
				want = "hello"
			}
			if string(server.data) != want {
				t.Errorf("the server got %q, want %q", server.data, want)
			}
		})
	}
}

// A flight without once-only bytes keeps the right for the attempts to come.
func TestOnceIsKept(t *testing.T) {
	fastOpenTest(t)
	dead, alive := fresh4(), fresh4()
	address, got := sink(t, "tcp4", alive+":0")
	_, port, _ := net.SplitHostPort(address)
	other, seen := sink(t, "tcp4", dead+":0")
	d := new(Dialer)
	cookieFor(t, d, other, seen)
	d = &Dialer{NetDialer: &net.Dialer{Resolver: hosts(dead, alive)}}
	conn, info, err := d.DialContext(t.Context(), "tcp4", "name.example:"+port, flight([]byte("x"), nil))
	if err != nil {
		t.Fatal(err)
	}
	conn.Close()
	<-got
	if a := info.Attempts[0]; !a.Left || a.OnceLeft {
		t.Errorf("first attempt: %+v", a)
	}
	if a := info.Won; a.Addr.String() != address || !a.MayOnce {
		t.Errorf("second attempt: %+v", a)
	}
}

// A port that nobody listens on refuses SYN data as it refuses a SYN.
func TestClosedPort(t *testing.T) {
	fastOpenTest(t)
	host := fresh4()
	address, got := sink(t, "tcp4", host+":0")
	d := new(Dialer)
	closed := closedPort(t, host)
	for _, left := range []bool{false, true} {
		_, info, err := d.DialContext(t.Context(), "tcp", closed, onceWherePossible([]byte("x")))
		if !errors.Is(err, syscall.ECONNREFUSED) {
			t.Error(err)
		}
		if a := info.Attempts[0]; a.Left != left || a.OnceLeft != left {
			t.Errorf("%+v", a)
		}
		if !left {
			cookieFor(t, d, address, got)
		}
	}
}

// Nothing leaves where there is no route, and the error is that of a plain connect.
func TestNoRoute(t *testing.T) {
	fastOpenTest(t)
	for _, address := range []string{"203.0.113.1:443", "[2001:db8::1]:443"} {
		_, info, err := new(Dialer).DialContext(t.Context(), "tcp", address, onceWherePossible([]byte("x")))
		_, want := net.Dial("tcp", address)
		if !errors.Is(err, syscall.ENETUNREACH) || err.Error() != want.Error() {
			t.Errorf("%v, want %v", err, want)
		}
		if a := info.Attempts[0]; a.Left || a.OnceLeft || !a.MayOnce {
			t.Errorf("%+v", a)
		}
	}
}

// A loopback dial that meets itself is dialled again by net, on a new socket: once-only bytes that the first SYN carried are not sent again.
func TestSelfConnect(t *testing.T) {
	fastOpenTest(t)
	address, got := sink(t, "tcp4", "127.0.0.1:0")
	d := new(Dialer)
	cookieFor(t, d, address, got)
	sysctl(t, "ip_local_port_range", "40000\t40000")
	var calls int
	conn, info, err := d.DialContext(t.Context(), "tcp", "127.0.0.1:40000", func(context.Context, *Attempt) (Flight, error) {
		calls++
		return Flight{Data: []byte("x"), Once: true}, nil
	})
	if conn != nil || !errors.Is(err, errSelfConnect) || !info.Attempts[0].OnceLeft || calls != 1 {
		t.Errorf("%v, %v, %+v, %d calls", conn, err, info.Attempts[0], calls)
	}
}
