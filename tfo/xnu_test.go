//go:build (darwin || linux) && !tlstfo_portable

package tfo

import "testing"

func TestXNUReport(t *testing.T) {
	const wrong, noCookie = 1 << 9, 1 << 10
	for _, test := range []struct {
		bits xnuFastOpen
		want synReport
		rest string // of "hello, world", of which the kernel took "hello"
		n    int    // of them with the SYN
	}{
		{xnuDataSent | xnuDataAcked, synReport{cookieSent: true, acked: true, why: ReasonNone}, "hello, world", 5},
		{xnuDataSent, synReport{cookieSent: true, why: ReasonNotAcked}, "hello, world", 5},
		{xnuDataSent | wrong, synReport{cookieSent: true, why: ReasonNotAcked}, "hello, world", 5},
		{xnuDataSent | xnuSynLost, synReport{cookieSent: true, retransmitted: true, why: ReasonSynRetransmitted}, "hello, world", 5},
		{xnuCookieAsked, synReport{cookieAsked: true, why: ReasonNoCookie}, ", world", 0},
		{xnuCookieAsked | noCookie, synReport{cookieAsked: true, why: ReasonNoCookie}, ", world", 0},
		{xnuCookieAsked | xnuSynLost, synReport{cookieAsked: true, retransmitted: true, why: ReasonSynRetransmitted}, ", world", 0},
		{xnuHeuristicsOff, synReport{why: ReasonPaused}, ", world", 0},
		{0, synReport{why: ReasonUnknown}, ", world", 0},
	} {
		a := &attempt{flight: Flight{Data: []byte("hello, world")}, taken: 5}
		a.observeXNU(test.bits)
		if a.syn != test.want || string(a.flight.Data) != test.rest || a.taken != test.n {
			t.Errorf("%#x: %+v, want %+v; %q, %d", test.bits, a.syn, test.want, a.flight.Data, a.taken)
		}
	}
}
