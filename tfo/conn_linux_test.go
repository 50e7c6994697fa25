//go:build !tlstfo_portable

package tfo

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"os"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func TestLocalAddr(t *testing.T) {
	fastOpenTest(t)
	for _, test := range []struct{ name, listen, local string }{
		{"IPv4", fresh4() + ":0", fresh4() + ":0"},
		{"IPv6", "[" + fresh6(t, "fd00::") + "]:0", "[" + fresh6(t, "fd00::") + "]:0"},
		{"port alone", fresh4() + ":0", ":0"},
		{"unspecified of the other family", fresh4() + ":0", "[::]:0"},
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
	if p := option(t, conn, unix.SOL_SOCKET, unix.SO_PROTOCOL); p != unix.IPPROTO_TCP {
		t.Errorf("protocol %d", p)
	}
	if !nd.MultipathTCP() {
		t.Error("the caller's dialer was changed")
	}
	<-closing(conn, got)
}

// A dial that ends while its SYN is under way ends at once and leaves nothing behind.
func TestEndWhileConnecting(t *testing.T) {
	fastOpenTest(t)
	for _, name := range []string{"cancel", "timeout", "deadline", "abort"} {
		t.Run(name, func(t *testing.T) {
			fastOpenTest(t)
			address, _ := silentListener(t, fresh4())
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
			if len(info.Attempts) == 0 || info.Attempts[0].Left || info.Won != nil {
				t.Errorf("%+v", info)
			}
		})
	}
}
