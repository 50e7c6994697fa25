//go:build !tlstfo_portable

package tfo

import (
	"bytes"
	"net"
	"net/netip"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// memoryAt returns a Memory whose clock stands still, and what moves it.
func memoryAt() (*Memory, func(time.Duration)) {
	now := time.Now()
	return &Memory{clock: func() time.Time { return now }}, func(d time.Duration) { now = now.Add(d) }
}

// A survey that is recalled is as good as a new one.
func TestRecalledSurvey(t *testing.T) {
	fastOpenTest(t)
	address, got := sink(t, "tcp", fresh4()+":0")
	memory, later := memoryAt()
	d := &Dialer{Memory: memory}
	data := []byte("the first flight")
	for i, want := range []struct {
		wait     time.Duration
		recalled bool
		synBytes int
	}{
		{0, false, 0},                     // asks for a cookie
		{0, false, len(data)},             // which is known at once
		{0, true, len(data)},              // and now believed in
		{1, true, len(data)},              // for a
		{surveyTime - 2, true, len(data)}, // second
		{1, false, len(data)},
		{-ms(1), false, len(data)}, // the clock was set back
	} {
		later(want.wait)
		rise := counters(t, func() {
			info, server := dialSink(t, d, "tcp", address, data, got)
			if info.Won.recalled != want.recalled || info.SynBytes != want.synBytes || info.SynAcked != (want.synBytes > 0) || !bytes.Equal(server.data, data) {
				t.Errorf("%d: %+v, recalled %v", i, info, info.Won.recalled)
			}
			if i > 0 && (info.Won.Cookie != CookiePresent || info.Won.Budget == 0 || !info.Won.source.IsValid()) {
				t.Errorf("%d: %+v", i, info.Won)
			}
		}, tcpExt...)
		if carried := rise["TCPFastOpenActive"] == 1; carried != (want.synBytes > 0) {
			t.Errorf("%d: %v", i, rise)
		}
	}
}

// A path that has become narrow since the survey costs a round trip at most, once: no segment is larger than the path allows, and all arrives.
func TestRecalledSurveyOfAWiderPath(t *testing.T) {
	fastOpenTest(t)
	setMTU(t, 1500)
	address, got := sink(t, "tcp", fresh4()+":0")
	memory, _ := memoryAt()
	d := &Dialer{Memory: memory}
	cookieFor(t, d, address, got)
	data := bytes.Repeat([]byte("0123456789abcdef"), 100)
	dialSink(t, d, "tcp", address, data[:100], got)
	setMTU(t, 1280)
	for i, want := range []struct {
		recalled bool
		budget   int
	}{{true, 1420}, {false, 1200}, {true, 1200}} {
		size := min(want.budget, 1420)
		info, server := dialSink(t, d, "tcp", address, data[:size], got)
		if info.Won.recalled != want.recalled || info.Won.Budget != want.budget || info.SynBytes != 1200 || !info.SynAcked || !bytes.Equal(server.data, data[:size]) {
			t.Errorf("%d: %+v, %+v, recalled %v", i, info, info.Won, info.Won.recalled)
		}
	}
}

// The cookie is gone since the survey: the SYN asks for one, and the flight follows.
func TestRecalledSurveyOfALostCookie(t *testing.T) {
	fastOpenTest(t)
	host := fresh4()
	address, got := sink(t, "tcp", host+":0")
	memory, _ := memoryAt()
	d := &Dialer{Memory: memory}
	seed(d, address, netip.MustParseAddr("127.0.0.1"))
	data := []byte("the first flight")
	info, server := dialSink(t, d, "tcp", address, data, got)
	if !info.Won.recalled || !info.CookieAsked || info.CookieSent || info.SynBytes != 0 || info.Why != ReasonNoCookie || !bytes.Equal(server.data, data) {
		t.Errorf("%+v, recalled %v", info, info.Won.recalled)
	}
	info, _ = dialSink(t, d, "tcp", address, data, got)
	if info.Won.recalled || !info.CookieSent || info.SynBytes != len(data) {
		t.Errorf("%+v, recalled %v", info, info.Won.recalled)
	}
}

// The survey is of another network than that which the kernel sends from: the attempt is not held in that one's favour.
func TestRecalledSurveyOfAnotherNetwork(t *testing.T) {
	fastOpenTest(t)
	host := fresh4()
	address, got := sink(t, "tcp", host+":0")
	memory, later := memoryAt()
	d := &Dialer{Memory: memory}
	cookieFor(t, d, address, got)
	other := netip.MustParseAddr("192.0.2.1")
	memory.entries = map[place]*entry{{other, netip.MustParseAddr(host)}: {failures: 1, why: FailureError}}
	for i, want := range []bool{true, false} { // moved
		if i == 0 {
			seed(d, address, other)
		}
		info, _ := dialSink(t, d, "tcp", address, []byte("x"), got)
		if info.Won.moved != want || !info.SynAcked {
			t.Errorf("%d: %+v, moved %v", i, info, info.Won.moved)
		}
		if list := memory.Snapshot(); len(list) != 1 || list[0].Network != other {
			t.Errorf("%d: %v", i, list)
		}
	}
	later(0)

	// A survey of the network that it is clears what it should.
	source := netip.MustParseAddr("127.0.0.1")
	memory.entries = map[place]*entry{{source, netip.MustParseAddr(host)}: {failures: 1, why: FailureError}}
	if info, _ := dialSink(t, d, "tcp", address, []byte("x"), got); !info.Won.recalled || info.Won.moved || len(memory.Snapshot()) != 0 {
		t.Errorf("%v, recalled %v, moved %v", memory, info.Won.recalled, info.Won.moved)
	}
}

// seed has d's Memory believe that there is a cookie for address and that it is reached from source.
func seed(d *Dialer, address string, source netip.Addr) {
	a := &attempt{dial: &dialing{dialer: d}, Attempt: &Attempt{
		Addr: netip.MustParseAddrPort(address), Cookie: CookiePresent, Budget: 1420, source: source,
	}}
	d.Memory.surveys.keep(a, d.Memory.now())
}

// A socket that the caller's own hook bound elsewhere than the survey thinks is in no other network each time.
func TestRecalledSurveyOfABoundSocket(t *testing.T) {
	fastOpenTest(t)
	host := fresh4()
	address, got := sink(t, "tcp", host+":0")
	memory, _ := memoryAt()
	bound := netip.AddrPortFrom(netip.MustParseAddr(fresh4()), 0)
	d := &Dialer{Memory: memory, NetDialer: &net.Dialer{Control: bindTo(bound)}}
	cookieFor(t, new(Dialer), address, got) // from where the survey thinks
	for i := range 3 {
		info, _ := dialSink(t, d, "tcp", address, []byte("x"), got)
		if info.Won.moved || info.Won.source == bound.Addr() || info.Won.recalled != (i == 2) || info.SynAcked != (i > 0) {
			t.Errorf("%d: moved %v, source %v, recalled %v, acked %v", i, info.Won.moved, info.Won.source, info.Won.recalled, info.SynAcked)
		}
	}
}

// bindTo returns a control hook that binds to local.
func bindTo(local netip.AddrPort) func(network, address string, c syscall.RawConn) error {
	return func(_, _ string, c syscall.RawConn) error {
		var err error
		if cerr := c.Control(func(fd uintptr) { err = unix.Bind(int(fd), sockaddr(local)) }); cerr != nil {
			return cerr
		}
		return err
	}
}
