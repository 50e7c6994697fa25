package tfo

import (
	"bytes"
	"fmt"
	"net/netip"
	"reflect"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

// memoryTest is a Memory with a clock that the test sets.
type memoryTest struct {
	*testing.T
	Memory
	time time.Time
}

func newMemoryTest(t *testing.T) *memoryTest {
	m := &memoryTest{T: t, time: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)}
	m.clock = func() time.Time { return m.time }
	return m
}

func (m *memoryTest) wait(d time.Duration) { m.time = m.time.Add(d) }

// host returns an attempt with Fast Open to destination n of the documentation prefixes, from source s.
func host(n, s int) *Attempt {
	return &Attempt{
		Way: WayFastOpen, Addr: netip.AddrPortFrom(netip.AddrFrom4([4]byte{198, 51, byte(n >> 8), byte(n)}), 443),
		source: netip.AddrFrom4([4]byte{192, 0, 2, byte(s)}),
	}
}

func (m *memoryTest) want(a *Attempt, avoided bool) {
	m.Helper()
	if got := m.avoids(a.source, a.Addr.Addr()); got != avoided {
		m.Errorf("%v from %v avoided: %v, want %v", a.Addr.Addr(), a.source, got, avoided)
	}
}

// lasts checks that a is avoided for d, and lets it pass.
func (m *memoryTest) lasts(a *Attempt, d time.Duration) {
	m.Helper()
	m.wait(d - 1)
	m.want(a, true)
	m.wait(1)
	m.want(a, false)
}

func TestBackOff(t *testing.T) {
	m := newMemoryTest(t)
	a := host(1, 1)
	m.want(a, false)
	for _, d := range []time.Duration{5, 10, 20, 40, 80, 160, 320, 640, 1280, 1440, 1440} {
		m.failed(a, FailureNoAnswer)
		m.want(host(2, 1), false)
		m.want(host(1, 2), false)
		m.lasts(a, d*time.Minute)
	}
	m.worked(a)
	if s := m.Snapshot(); len(s) != 0 {
		t.Errorf("after a success: %v", s)
	}
	m.failed(a, FailureError)
	m.lasts(a, 5*time.Minute)
}

// Dials that were under way together meet one failure, not many.
func TestFailuresTogether(t *testing.T) {
	m := newMemoryTest(t)
	for range 20 {
		m.failed(host(1, 1), FailureNoAnswer)
		m.wait(time.Second)
	}
	if s := m.Snapshot(); len(s) != 1 || s[0].Failures != 1 {
		t.Error(s)
	}
}

func TestNetworkBackOff(t *testing.T) {
	m := newMemoryTest(t)
	m.failed(host(1, 1), FailureNoAnswer)
	m.failed(host(2, 1), FailureNoAnswer)
	m.failed(host(3, 2), FailureNoAnswer) // from another network
	m.want(host(9, 1), false)
	m.wait(6 * time.Minute)
	m.failed(host(1, 1), FailureNoAnswer) // not another destination
	m.want(host(9, 1), false)
	m.failed(host(4, 1), FailureNoAnswer)
	m.want(host(9, 1), true)
	m.want(host(9, 2), false)
	m.lasts(host(9, 1), 5*time.Minute)

	m.failed(host(5, 1), FailureNoAnswer) // after such a back-off one is enough
	m.lasts(host(9, 1), 10*time.Minute)

	m.worked(host(9, 1))
	m.failed(host(6, 1), FailureNoAnswer)
	m.failed(host(7, 1), FailureNoAnswer)
	m.worked(host(9, 1)) // a success between
	m.failed(host(8, 1), FailureNoAnswer)
	m.want(host(9, 1), false)

	m.wait(time.Hour + 1) // too long ago
	m.failed(host(10, 1), FailureNoAnswer)
	m.failed(host(11, 1), FailureNoAnswer)
	m.want(host(9, 1), false)
	m.failed(host(12, 1), FailureNoAnswer)
	m.want(host(9, 1), true)
}

// The network of an IPv6 source address is its prefix: the rest of it may be of the day (RFC 8981).
func TestNetworkOfIPv6(t *testing.T) {
	m := newMemoryTest(t)
	for i := range networkFailures {
		a := host(i, 0)
		a.source = netip.MustParseAddr(fmt.Sprintf("2001:db8:0:1::%d", i+1))
		m.failed(a, FailureNoAnswer)
	}
	a := host(9, 0)
	a.source = netip.MustParseAddr("2001:db8:0:1::99")
	m.want(a, true)
	a.source = netip.MustParseAddr("2001:db8:0:2::1")
	m.want(a, false)
}

// A stall comes after the success of the handshake, which therefore does not clear it.
func TestStalled(t *testing.T) {
	m := newMemoryTest(t)
	a := host(1, 1)
	m.worked(a)
	m.Stalled(a)
	m.worked(a) // of a dial that was under way
	m.lasts(a, 5*time.Minute)
	m.worked(a)
	m.Stalled(a)
	m.lasts(a, 10*time.Minute)
	m.worked(a)
	m.wait(5*time.Minute - 1)
	m.worked(a)
	if s := m.Snapshot(); len(s) != 1 || s[0].Failures != 2 || s[0].Why != FailureStalled {
		t.Error(s)
	}
	m.wait(1)
	m.worked(a)
	if s := m.Snapshot(); len(s) != 0 {
		t.Error(s)
	}

	// So do those of a network that lets handshakes through and swallows the rest.
	for i := range networkFailures {
		m.want(host(9, 1), false)
		m.worked(host(i, 1))
		m.Stalled(host(i, 1))
	}
	m.want(host(9, 1), true)
	m.worked(host(9, 1))
	m.want(host(9, 1), true)

	plain := host(1, 3)
	plain.Way = WayPlain
	m.Stalled(plain)
	m.want(plain, false)
	m.Stalled(nil)
}

// A stall that comes later than the probation is a first one again, however long the back-off before was.
func TestRareStalls(t *testing.T) {
	m := newMemoryTest(t)
	a := host(1, 1)
	for range 3 {
		for _, d := range []time.Duration{5, 10, 20} { // close together
			m.Stalled(a)
			m.lasts(a, d*time.Minute)
		}
		m.wait(probation)
		m.worked(a)
	}
}

// A Memory is bounded, and what was not needed for longest goes first.
func TestMemoryBound(t *testing.T) {
	m := newMemoryTest(t)
	m.failed(host(0, 1), FailureNoAnswer)
	for i := 1; i < 3*maxEntries; i++ {
		m.want(host(0, 1), true)
		a := host(i, 1)
		a.source = netip.Addr{}
		m.failed(a, FailureNoAnswer)
		if i%100 == 0 {
			m.worked(host(5000, 2)) // of nothing that failed
		}
	}
	if n := len(m.entries); n != maxEntries {
		t.Errorf("%d entries", n)
	}
	last := host(3*maxEntries-1, 1)
	last.source = netip.Addr{}
	m.want(last, true)
	m.want(host(0, 1), true)
}

func TestNoMemory(t *testing.T) {
	var m *Memory
	m.failed(host(1, 1), FailureError)
	m.worked(host(1, 1))
	m.Stalled(host(1, 1))
	if m.avoids(host(1, 1).source, host(1, 1).Addr.Addr()) {
		t.Error("nothing is remembered, and avoided all the same")
	}
}

func TestMemoryConcurrently(t *testing.T) {
	var m Memory
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			for j := range 200 {
				a := host(j%7, i%3)
				m.failed(a, FailureNoAnswer)
				m.avoids(a.source, a.Addr.Addr())
				m.Stalled(a)
				m.worked(a)
				b, err := m.MarshalBinary()
				if err != nil || m.UnmarshalBinary(b) != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
}

// filled returns a Memory with something of everything.
func filled(t *testing.T) *memoryTest {
	m := newMemoryTest(t)
	for i := range networkFailures {
		m.failed(host(i, 1), Failure(i+1))
	}
	six := host(0, 0)
	six.Addr, six.source = netip.MustParseAddrPort("[fe80::1%eth0]:443"), netip.MustParseAddr("fe80::2")
	m.failed(six, FailureStalled)
	m.wait(6 * time.Minute)
	m.failed(host(1, 1), FailureError)
	m.avoids(six.source, six.Addr.Addr())
	return m
}

func TestMemoryText(t *testing.T) {
	want := `198.51.0.0 from 192.0.2.1: no answer to the SYN, 1 failure, avoided until 2026-01-02T03:09:05Z
198.51.0.2 from 192.0.2.1: syn retransmitted, 1 failure, avoided until 2026-01-02T03:09:05Z
198.51.0.1 from 192.0.2.1: error, 2 failures, avoided until 2026-01-02T03:20:05Z
everything from 192.0.2.1: error, 2 failures, avoided until 2026-01-02T03:20:05Z
fe80::1%eth0 from fe80::/64: stalled, 1 failure, avoided until 2026-01-02T03:09:05Z
`
	if got := filled(t).String(); got != want {
		t.Errorf("\n%swant\n%s", got, want)
	}
	if s := (BackOff{Destination: netip.IPv6Unspecified(), Failures: 1}).String(); !strings.Contains(s, "from anywhere") {
		t.Error(s)
	}
	if s := (FailureSuspected + 1).String(); s != "failure?" {
		t.Error(s)
	}
}

// What is stored is what is read again, in the same order of use.
func TestMemoryStored(t *testing.T) {
	m := filled(t)
	b, err := m.MarshalBinary()
	if err != nil {
		t.Fatal(err)
	}
	read := newMemoryTest(t)
	read.time = m.time
	if err := read.UnmarshalBinary(b); err != nil {
		t.Fatal(err)
	}
	if read.String() != m.String() || m.String() == "" {
		t.Errorf("%v\nwant\n%v", read.String(), m.String())
	}
	read.lasts(host(9, 1), 10*time.Minute)
	read.failed(host(1, 1), FailureError)
	read.lasts(host(1, 1), 20*time.Minute)

	// A clock that was set back makes no back-off longer than the longest.
	read.time = m.time.Add(-1000 * time.Hour)
	if err := read.UnmarshalBinary(b); err != nil {
		t.Fatal(err)
	}
	read.lasts(host(1, 1), mostBackOff)

	before := read.Snapshot()
	for n := range b {
		if err := read.UnmarshalBinary(b[:n]); err == nil {
			t.Errorf("the first %d bytes were accepted", n)
		}
	}
	for _, bad := range [][]byte{append(b, 0), {2, 0, 0}, {1, 0xff, 0xff}, {1, 0, 1, 3, 1, 2, 3},
		append([]byte{1, 0, 1, 0, 0, 1, 1}, make([]byte, 8)...),                                   // no place
		append([]byte{1, 0, 1, 0, 4, 1, 2, 3, 4, 0, 1}, make([]byte, 8)...),                       // no failure
		append([]byte{1, 0, 1, 16, 15: 1, 19: 1, 20: 4, 24: 1, 25: 1, 26: 1}, make([]byte, 8)...), // no network
	} {
		if err := read.UnmarshalBinary(bad); err == nil {
			t.Errorf("%x was accepted", bad)
		}
	}
	if !reflect.DeepEqual(read.Snapshot(), before) {
		t.Error("a Memory changed although it could not be read")
	}
}

func FuzzMemory(f *testing.F) {
	m := new(Memory)
	for i := range networkFailures {
		m.failed(host(i, 1), FailureNoAnswer)
	}
	b, _ := m.MarshalBinary()
	f.Add(b)
	f.Add([]byte{1, 0, 0})
	f.Fuzz(func(t *testing.T, b []byte) {
		var m, again Memory
		now := time.Unix(1e9, 0)
		m.clock = func() time.Time { return now }
		again.clock = m.clock
		if m.UnmarshalBinary(b) != nil {
			return
		}
		for _, o := range m.Snapshot() {
			if o.Until.Sub(now) > mostBackOff || o.Failures < 1 || o.String() == "" {
				t.Errorf("%v", o)
			}
		}
		m.failed(host(1, 1), FailureNoAnswer)
		one, err := m.MarshalBinary()
		if err != nil || again.UnmarshalBinary(one) != nil {
			t.Fatal(err)
		}
		if two, _ := again.MarshalBinary(); !bytes.Equal(one, two) {
			t.Errorf("%x\n%x", one, two)
		}
	})
}

// What a dial tells its Memory, and what it does the next time.
func TestMemoryOfDials(t *testing.T) {
	const fast, plain = four1 + " fastopen", four1 + " plain"
	refused, up := error(syscall.ECONNREFUSED), reply{after: ms(100)}
	for _, test := range []struct {
		name    string
		replies map[string]reply
		addrs   string
		want    Failure // FailureNone: the next dial tries Fast Open again
	}{
		{"clean", map[string]reply{fast: {taken: 1, after: ms(100)}}, four1, FailureNone},
		{"cookie asked", map[string]reply{fast: {option: true, after: ms(100)}}, four1, FailureNone},
		{"no answer", map[string]reply{fast: {taken: 1, after: time.Hour}, plain: up}, four1, FailureNoAnswer},
		{"no answer to a cookie request", map[string]reply{fast: {option: true, after: time.Hour}, plain: up}, four1, FailureNoAnswer},
		{"error", map[string]reply{fast: {taken: 1, after: ms(10), err: refused}, plain: up}, four1, FailureError},
		{"retransmitted, and the twin was no better", map[string]reply{fast: {taken: 1, after: ms(1100), again: true}}, four1, FailureRetransmitted},
		{"slow, not lost", map[string]reply{fast: {taken: 1, after: ms(320)}, plain: up}, four1, FailureNone},
		{"dead altogether", map[string]reply{fast: {taken: 1, after: ms(10), err: refused}, plain: {after: ms(10), err: refused}}, four1, FailureNone},
		{"another address won", map[string]reply{fast: {taken: 1, after: time.Hour}, six1 + " fastopen": {taken: 1, after: ms(100)}}, four1 + " " + six1, FailureSuspected},
		{"ordinary SYN", map[string]reply{fast: {after: time.Second}}, four1, FailureNone},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d := &Dialer{Memory: new(Memory)}
				f := newFakeNet(t, test.replies)
				f.dial(t.Context(), d, test.addrs, flight([]byte("x"), nil))
				s := d.Memory.Snapshot()
				if (len(s) == 1) != (test.want != FailureNone) || len(s) == 1 && s[0].Why != test.want {
					t.Errorf("%v, want %v", s, test.want)
				}
				f = newFakeNet(t, map[string]reply{fast: {taken: 1, after: ms(100)}, plain: up})
				start := time.Now()
				_, info, err := f.dial(t.Context(), d, four1, flight([]byte("x"), nil))
				avoided := test.want != FailureNone
				if err != nil || len(info.Attempts) != 1 || (info.Won.Way == WayPlain) != avoided || (info.Why == ReasonAvoided) != avoided || time.Since(start) != ms(100) {
					t.Errorf("the next dial: %v, %v, %+v", time.Since(start), err, info)
				}
				if avoided && (info.Won.Cookie != CookieUnknown || info.Won.Budget != 0) {
					t.Errorf("%+v", info.Won)
				}
			})
		})
	}
}

// A success clears what a failure left, for the destination and for the network.
func TestMemoryCleared(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &Dialer{Memory: new(Memory)}
		down := map[string]reply{four1 + " fastopen": {taken: 1, after: time.Hour}, four1 + " plain": {after: ms(100)}}
		newFakeNet(t, down).dial(t.Context(), d, four1, flight([]byte("x"), nil))
		time.Sleep(firstBackOff)
		up := map[string]reply{four1 + " fastopen": {taken: 1, after: ms(100)}}
		newFakeNet(t, up).dial(t.Context(), d, four1, flight([]byte("x"), nil))
		if len(d.Memory.entries) != 0 {
			t.Errorf("%v", d.Memory)
		}
	})
}
