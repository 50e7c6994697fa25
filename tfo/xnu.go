//go:build darwin || linux

package tfo

import (
	"net"
	"net/netip"
)

// xnuFastOpen is what the kernel of macOS says of Fast Open on a connection: a row of bits in struct tcp_connection_info.
type xnuFastOpen uint32

const (
	xnuCookieAsked   xnuFastOpen = 1 << 0 // tcpi_tfo_cookie_req
	xnuSynLost       xnuFastOpen = 1 << 2 // tcpi_tfo_syn_loss: retransmitted, and the server knew nothing of Fast Open
	xnuDataSent      xnuFastOpen = 1 << 3 // tcpi_tfo_syn_data_sent
	xnuDataAcked     xnuFastOpen = 1 << 4 // tcpi_tfo_syn_data_acked
	xnuDataReceived  xnuFastOpen = 1 << 5 // tcpi_tfo_syn_data_rcv, on accepted connections
	xnuHeuristicsOff xnuFastOpen = 1 << 11
)

// report says what became of a SYN.
func (b xnuFastOpen) report() synReport {
	has := func(bit xnuFastOpen) bool { return b&bit != 0 }
	r := synReport{
		cookieAsked: has(xnuCookieAsked), cookieSent: has(xnuDataSent), // the cookie goes with the data
		acked: has(xnuDataAcked), retransmitted: has(xnuSynLost),
	}
	switch {
	case r.acked:
		r.why = ReasonNone
	case r.retransmitted:
		r.why = ReasonSynRetransmitted
	case has(xnuDataSent):
		r.why = ReasonNotAcked
	case r.cookieAsked:
		r.why = ReasonNoCookie
	case has(xnuHeuristicsOff):
		r.why = ReasonPaused
	default:
		r.why = ReasonUnknown // as when there was too much data for the SYN
	}
	return r
}

// observeXNU takes over what the kernel says. Data that it did not put into the SYN it sends after the handshake by itself, so it
// is not in what is left to deliver.
func (t *attempt) observeXNU(b xnuFastOpen) {
	t.syn = b.report()
	if b&xnuDataSent == 0 {
		t.flight.Data, t.taken = t.flight.Data[t.taken:], 0
	}
}

// interfaceMTU returns the MTU of the interface that has the address, or 0.
func interfaceMTU(addr netip.Addr) int {
	interfaces, err := net.Interfaces()
	if err != nil {
		return 0
	}
	for _, ifi := range interfaces {
		addrs, _ := ifi.Addrs()
		for _, a := range addrs {
			prefix, ok := a.(*net.IPNet)
			if !ok {
				continue
			}
			if ip, _ := netip.AddrFromSlice(prefix.IP); ip.Unmap() == addr.WithZone("") {
				return ifi.MTU
			}
		}
	}
	return 0
}
