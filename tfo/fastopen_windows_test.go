//go:build !tlstfo_portable

package tfo

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"testing"
	"time"

	"golang.org/x/sys/windows"
)

// openWithout opens a socket whether the system knows Fast Open or not.
func openWithout(network string) (ownSocket, Reason) {
	s, err := newConnectExSocket(network)
	if err != nil {
		return nil, ReasonUnknown
	}
	return s, ReasonNone
}

func TestConnectEx(t *testing.T) {
	noLeak(t)
	for _, listen := range []string{"127.0.0.1:0", "[::1]:0"} {
		address, got := sink(t, "tcp", listen)
		for _, data := range []string{"hello", "hello, world", ""} {
			a := ownAttempt(address, net.Dialer{LocalAddr: &net.TCPAddr{}}, data)
			if a.Addr.Addr().Is6() {
				a.Network = "tcp6"
			}
			conn, err := a.connectOwn(t.Context(), openWithout)
			if err == nil {
				err = a.deliver(t.Context(), conn)
			}
			if err != nil {
				t.Fatal(err)
			}
			if conn.RemoteAddr().String() != address || a.taken != min(len(data), a.Budget) {
				t.Errorf("to %v, %d taken", conn.RemoteAddr(), a.taken)
			}
			conn.SetDeadline(time.Now().Add(10 * time.Second))
			if _, err := conn.Write([]byte(", more")); err != nil {
				t.Error(err)
			}
			if err := conn.CloseWrite(); err != nil {
				t.Error(err)
			}
			if server := <-got; string(server.data) != data+", more" {
				t.Errorf("the server got %q", server.data)
			}
			conn.Close()
		}
	}
}

func TestConnectExFails(t *testing.T) {
	noLeak(t)
	a := ownAttempt(closedPort(t, "127.0.0.1"), net.Dialer{}, "hello")
	start := time.Now()
	if _, err := a.connectOwn(t.Context(), openWithout); !errors.Is(err, windows.WSAECONNREFUSED) || !a.OnceLeft {
		t.Errorf("%v, %+v", err, a.Attempt)
	}
	t.Logf("refused after %v", time.Since(start))

	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	a = ownAttempt("192.0.2.1:443", net.Dialer{}, "hello") // TEST-NET-1 (RFC 5737): no answer, or no route
	if _, err := a.connectOwn(ctx, openWithout); err == nil {
		t.Error("connected")
	}
}

// A connect that nobody waited for holds nothing once its socket is closed: a pinner that still held something would end the process when it is collected.
func TestConnectExUnderWay(t *testing.T) {
	s, err := newConnectExSocket("tcp4")
	if err != nil {
		t.Fatal(err)
	}
	_, err = s.start(netip.MustParseAddrPort("192.0.2.1:443"), []byte("hello")) // TEST-NET-1 (RFC 5737): no answer, or no route
	s.close(true)
	if s.op != nil {
		t.Errorf("still held, after %v", err)
	}
}
