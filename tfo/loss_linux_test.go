//go:build !tlstfo_portable

package tfo

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// silentListener returns the address of a listener whose queue is full, so that the kernel drops SYNs to it, and a function that accepts what
// waits there, so that later SYNs are answered.
func silentListener(t *testing.T, host string) (address string, release func()) {
	t.Helper()
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(fd) })
	if err := errors.Join(unix.Bind(fd, &unix.SockaddrInet4{Addr: netip.MustParseAddr(host).As4()}), unix.Listen(fd, 0)); err != nil {
		t.Fatal(err)
	}
	name, err := unix.Getsockname(fd)
	if err != nil {
		t.Fatal(err)
	}
	address = net.JoinHostPort(host, fmt.Sprint(name.(*unix.SockaddrInet4).Port))
	conn, err := net.Dial("tcp4", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return address, func() {
		waiting, _, err := unix.Accept(fd)
		if err != nil {
			t.Error(err)
			return
		}
		unix.Close(waiting)
	}
}

// A SYN that is lost comes again without data and without a cookie, a second later; the kernel then sends the data by itself. No twin helps where the
// local port is the caller's.
func TestSynLost(t *testing.T) {
	if testing.Short() {
		t.Skip("takes a second each")
	}
	for _, cookie := range []bool{false, true} {
		t.Run(fmt.Sprint("cookie ", cookie), func(t *testing.T) {
			fastOpenTest(t)
			d, host := new(Dialer), fresh4()
			if cookie {
				other, got := sink(t, "tcp", host+":0")
				cookieFor(t, d, other, got)
			}
			d.NetDialer = &net.Dialer{LocalAddr: &net.TCPAddr{Port: portOf(t, closedPort(t, "127.0.0.1"))}}
			address, release := silentListener(t, host)
			lost := counter(t, "ListenDrops")
			released := make(chan struct{})
			go func() {
				defer close(released)
				for range 1000 {
					if counter(t, "ListenDrops") > lost {
						release()
						return
					}
					time.Sleep(time.Millisecond)
				}
				t.Error("no SYN was dropped")
			}()
			conn, info, err := d.DialContext(t.Context(), "tcp", address, onceWherePossible([]byte("x")))
			<-released
			if err != nil {
				t.Fatal(err)
			}
			conn.Close()
			want := ReasonNoCookie
			if cookie {
				want = ReasonSynRetransmitted
			}
			if !info.SynRetransmitted || info.Why != want || info.SynAcked || info.CookieSent != cookie || info.CookieAsked == cookie || !info.Won.OnceLeft {
				t.Errorf("%+v", info)
			}
		})
	}
}

// After a dial with SYN data ran dry the kernel pauses Fast Open, if it is told to: its SYNs ask for nothing then.
func TestPausedByTheKernel(t *testing.T) {
	if testing.Short() {
		t.Skip("takes seconds")
	}
	fastOpenTest(t)
	sysctl(t, "tcp_fastopen_blackhole_timeout_sec", "3600") // restoring it ends the pause
	d, host := new(Dialer), fresh4()
	address, got := sink(t, "tcp", host+":0")
	cookieFor(t, d, address, got)
	dead, _ := silentListener(t, host)
	sysctl(t, "tcp_syn_retries", "1")
	_, info, err := d.DialContext(t.Context(), "tcp", dead, onceWherePossible([]byte("x")))
	if !errors.Is(err, syscall.ETIMEDOUT) || !info.Attempts[0].OnceLeft {
		t.Errorf("%v, %+v", err, info.Attempts[0])
	}
	info, server := dialSink(t, d, "tcp", address, []byte("x"), got)
	if info.Why != ReasonPaused || info.Way != WayPlain || info.CookieAsked || info.CookieSent || info.SynBytes != 0 || info.Won.Cookie != CookiePresent {
		t.Errorf("%+v", info)
	}
	if string(server.data) != "x" || server.synData {
		t.Errorf("the server got %+v", server)
	}
}

func TestSentSYN(t *testing.T) {
	for _, test := range []struct {
		n    int
		err  error
		want synReport
	}{
		{1, nil, synReport{cookieSent: true, why: ReasonUnknown}},
		{0, unix.EINPROGRESS, synReport{cookieAsked: true, why: ReasonNoCookie}},
		{0, unix.EOPNOTSUPP, synReport{why: ReasonSwitchedOff}},
		{0, unix.EPIPE, synReport{why: ReasonUnsupported}},
		{0, unix.EINVAL, synReport{why: ReasonUnsupported}},
	} {
		if got := sentSYN(test.n, test.err); got != test.want {
			t.Errorf("%d, %v: %+v, want %+v", test.n, test.err, got, test.want)
		}
	}
}

func TestBudget(t *testing.T) {
	for _, test := range []struct {
		ipv6      bool
		mtu, mss  int
		want      int
		situation string
	}{
		{false, 1500, 0, 1420, "Ethernet"},
		{true, 1500, 0, 1400, "Ethernet"},
		{true, 1280, 0, 1180, "IPv6 minimum"},
		{false, 1500, 1360, 1320, "peer with MTU 1400"},
		{false, 1280, 1460, 1200, "narrow path, wide peer"},
		{false, 65536, 65495, 32768, "loopback"},
		{false, 68, 0, 8, "IPv4 minimum"},
	} {
		if got := budget(test.ipv6, test.mtu, test.mss); got != test.want {
			t.Errorf("%s: %d, want %d", test.situation, got, test.want)
		}
	}
}
