//go:build !tlstfo_portable

package tfo

import (
	"bytes"
	"fmt"
	"net"
	"testing"
)

var tcpExt = []string{"TCPFastOpenActive", "TCPFastOpenPassive", "TCPFastOpenCookieReqd"}

func TestCookieAskedThenUsed(t *testing.T) {
	fastOpenTest(t)
	for _, test := range []struct{ name, network, host string }{
		{"IPv4", "tcp4", fresh4()},
		{"IPv6", "tcp6", fresh6(t, "fd00::")},
		{"IPv6 with a zone", "tcp6", fresh6(t, "fe80::") + "%lo"},
		{"IPv6 with a number as its zone", "tcp", fresh6(t, "fe80::") + "%1"},
	} {
		t.Run(test.name, func(t *testing.T) {
			fastOpenTest(t)
			address, got := sink(t, "tcp", net.JoinHostPort(test.host, "0"))
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
		name, host string
		mtu        uint32
		budget     int
	}{
		{"IPv4", fresh4(), 1500, 1420},
		{"IPv6", fresh6(t, "fd00::"), 1500, 1400},
		{"IPv4, narrow", fresh4(), 1280, 1200},
		{"IPv6, narrow", fresh6(t, "fd00::"), 1280, 1180},
	} {
		t.Run(test.name, func(t *testing.T) {
			fastOpenTest(t)
			setMTU(t, test.mtu)
			address, got := sink(t, "tcp", net.JoinHostPort(test.host, "0"))
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
	address, got := sink(t, "tcp", fresh4()+":0")
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
	address, got := sink(t, "tcp", fresh4()+":0")
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
	address, got := sink(t, "tcp", fresh4()+":0")
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
	address, got := sink(t, "tcp", fresh4()+":0")
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
	address, got := sink(t, "tcp", fresh4()+":0")
	info, server := dialSink(t, new(Dialer), "tcp", address, []byte("x"), got)
	if info.CookieAsked || info.CookieSent || info.SynBytes != 1 || !info.SynAcked || info.Way != WayFastOpen {
		t.Errorf("%+v", info)
	}
	if string(server.data) != "x" || !server.synData {
		t.Errorf("the server got %+v", server)
	}
}
