//go:build !tlstfo_portable

package tfo

import (
	"encoding/binary"
	"errors"
	"net/netip"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

const testFamily = 0x1c

// answer builds a generic netlink answer.
func answer(family uint16, attrs ...[]byte) []byte {
	b := appendRequest(nil, family, metricsCmdGet, metricsVersion)
	for _, a := range attrs {
		b = append(b, a...)
	}
	binary.NativeEndian.PutUint32(b, uint32(len(b)))
	return b
}

func attr(kind uint16, value []byte) []byte { return appendAttr(nil, kind, value) }

func u32(v uint32) []byte { return binary.NativeEndian.AppendUint32(nil, v) }

func u16(v uint16) []byte { return binary.NativeEndian.AppendUint16(nil, v) }

func errorAnswer(errno int32) []byte {
	b := binary.NativeEndian.AppendUint32(nil, 20)
	b = binary.NativeEndian.AppendUint16(b, unix.NLMSG_ERROR)
	return append(append(b, make([]byte, 10)...), u32(uint32(errno))...)
}

func fullAnswer() []byte {
	return answer(testFamily,
		attr(metricsAddr4, []byte{127, 0, 0, 1}),
		attr(metricsVals|unix.NLA_F_NESTED, append(attr(1, u32(40)), attr(metricsValRTT, u32(40_000<<metricsRTTShift))...)),
		attr(metricsMSS, u16(1460)),
		attr(metricsCookie, []byte("12345678")))
}

func TestParseMetrics(t *testing.T) {
	for _, test := range []struct {
		name   string
		answer []byte
		want   metrics
		err    error
	}{
		{"full", fullAnswer(), metrics{cookie: true, mss: 1460, rtt: 40 * time.Millisecond}, nil},
		{"nothing known", answer(testFamily), metrics{}, nil},
		{"other attributes", answer(testFamily, attr(3, u32(1)), attr(99, nil)), metrics{}, nil},
		{"short values", answer(testFamily, attr(metricsMSS, []byte{1}), attr(metricsCookie, nil), attr(metricsVals, attr(metricsValRTT, []byte{1}))), metrics{}, nil},
		{"no entry", errorAnswer(-int32(unix.ESRCH)), metrics{}, unix.ESRCH},
		{"success without an answer", errorAnswer(0), metrics{}, errNetlink},
		{"absurd error", errorAnswer(-1 << 31), metrics{}, errNetlink},
		{"other family", answer(testFamily + 1), metrics{}, errNetlink},
		{"empty", nil, metrics{}, errNetlink},
		{"no room for the header", make([]byte, 15), metrics{}, errNetlink},
		{"longer than it is", fullAnswer()[:40], metrics{}, errNetlink},
		{"attribute too long", answer(testFamily, []byte{9, 0, 0, 0}), metrics{}, errNetlink},
		{"attribute too short", answer(testFamily, []byte{3, 0, 0, 0}), metrics{}, errNetlink},
		{"nested attribute too long", answer(testFamily, attr(metricsVals, []byte{9, 0, 0, 0})), metrics{}, errNetlink},
	} {
		if got, err := parseMetrics(test.answer, testFamily); got != test.want || !errors.Is(err, test.err) {
			t.Errorf("%s: %+v, %v, want %+v, %v", test.name, got, err, test.want, test.err)
		}
	}
}

func TestParseFamily(t *testing.T) {
	for _, test := range []struct {
		name   string
		answer []byte
		want   uint16
		ok     bool
	}{
		{"found", answer(unix.GENL_ID_CTRL, attr(unix.CTRL_ATTR_FAMILY_NAME, []byte("tcp_metrics\x00")), attr(unix.CTRL_ATTR_FAMILY_ID, u16(testFamily))), testFamily, true},
		{"missing", answer(unix.GENL_ID_CTRL), 0, false},
		{"reserved", answer(unix.GENL_ID_CTRL, attr(unix.CTRL_ATTR_FAMILY_ID, u16(3))), 3, false},
		{"unknown to the kernel", errorAnswer(-int32(unix.ENOENT)), 0, false},
	} {
		if got, err := parseFamily(test.answer); (err == nil) != test.ok || test.ok && got != test.want {
			t.Errorf("%s: %d, %v", test.name, got, err)
		}
	}
}

func FuzzParseMetrics(f *testing.F) {
	f.Add(fullAnswer())
	f.Add(answer(testFamily))
	f.Add(errorAnswer(-3))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := parseMetrics(b, testFamily)
		if err != nil && m != (metrics{}) {
			t.Errorf("%+v with %v", m, err)
		}
		if m.mss < 0 || m.rtt < 0 || m.rtt > time.Hour {
			t.Errorf("%+v", m)
		}
		if family, err := parseFamily(b); err == nil && family < unix.NLMSG_MIN_TYPE {
			t.Errorf("family %d", family)
		}
	})
}

// The kernel keeps entries per pair of addresses, and answers whoever asks.
func TestMetricsOfTheKernel(t *testing.T) {
	fastOpenTest(t)
	host := fresh4()
	address, got := sink(t, "tcp", host+":0")
	cookieFor(t, new(Dialer), address, got)
	source, destination := netip.MustParseAddr("127.0.0.1"), netip.MustParseAddr(host) // loopback's preferred source
	other := netip.MustParseAddr(fresh4())
	for _, test := range []struct {
		source, destination netip.Addr
		cookie              bool
	}{
		{source, destination, true},
		{netip.Addr{}, destination, true},
		{other, destination, false},
		{source, other, false},
	} {
		m, err := queryMetrics(test.source, test.destination)
		if err != nil || m.cookie != test.cookie {
			t.Errorf("%v to %v: %+v, %v", test.source, test.destination, m, err)
		}
		if m.cookie && m.mss == 0 {
			t.Errorf("a cookie without an MSS: %+v", m)
		}
	}
}

// The kernel remembers the round-trip time of connections that were closed.
func TestRTT(t *testing.T) {
	fastOpenTest(t)
	host := fresh4()
	address, got := sink(t, "tcp", host+":0")
	d := new(Dialer)
	cookieFor(t, d, address, got)
	for range 200 {
		if m, err := queryMetrics(netip.Addr{}, netip.MustParseAddr(host)); err != nil || m.rtt > 0 {
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
	if info, _ := dialSink(t, d, "tcp", address, []byte("x"), got); info.Won.RTT <= 0 || info.Won.RTT > maxRTT {
		t.Errorf("round-trip time %v", info.Won.RTT)
	}
}

func BenchmarkSurvey(b *testing.B) {
	inNetns(b)
	d := &dialing{dialer: new(Dialer)}
	t := &attempt{dial: d, Attempt: &Attempt{Addr: netip.MustParseAddrPort("127.0.0.1:1")}}
	b.ReportAllocs()
	for b.Loop() {
		kernel{}.survey(t)
	}
	if t.Cookie == CookieUnknown {
		b.Error("no answer")
	}
}
