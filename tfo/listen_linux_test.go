package tfo

import (
	"errors"
	"net"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// The socket option can be set whatever the sysctl says, and then does nothing: the listener tells.
func TestListenerTells(t *testing.T) {
	inNetns(t)
	for value, want := range map[string]Reason{"0": ReasonSwitchedOff, "1": ReasonSwitchedOff, "2": ReasonNone, "3": ReasonNone, "1027": ReasonNone} {
		sysctl(t, "tcp_fastopen", value)
		for _, address := range []string{"127.0.0.1:0", "[::1]:0", ":0"} {
			l, err := Listen("tcp", address)
			if err != nil {
				t.Fatal(err)
			}
			if l.FastOpen() != want {
				t.Errorf("sysctl %s, %s: %v, want %v", value, address, l.FastOpen(), want)
			}
			l.Close()
		}
	}
}

func TestListenerSocket(t *testing.T) {
	inNetns(t)
	for _, test := range []struct{ pending, want int }{{0, defaultPending}, {7, 7}} {
		lc := ListenConfig{Pending: test.pending}
		lc.NetListenConfig.SetMultipathTCP(true)
		l, err := lc.Listen(t.Context(), "tcp", ":0")
		if err != nil {
			t.Fatal(err)
		}
		if got := option(t, l, unix.IPPROTO_TCP, unix.TCP_FASTOPEN); got != test.want {
			t.Errorf("pending: %d, want %d", got, test.want)
		}
		if got := option(t, l, unix.SOL_SOCKET, unix.SO_PROTOCOL); got != unix.IPPROTO_TCP {
			t.Errorf("protocol %d", got)
		}
		if !lc.NetListenConfig.MultipathTCP() {
			t.Error("the caller's configuration was changed")
		}
		l.Close()
	}
}

func TestConnInfoAfterClose(t *testing.T) {
	l, err := Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	conn, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	if info, err := ConnInfo(conn); err != nil || info.SynData {
		t.Errorf("%+v, %v", info, err)
	}
	conn.Close()
	if _, err := ConnInfo(conn); !errors.Is(err, net.ErrClosed) {
		t.Error(err)
	}
}

func option(t *testing.T, conn syscall.Conn, level, name int) int {
	t.Helper()
	c, err := conn.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	var v int
	if cerr := c.Control(func(fd uintptr) { v, err = unix.GetsockoptInt(int(fd), level, name) }); cerr != nil || err != nil {
		t.Fatal(cerr, err)
	}
	return v
}
