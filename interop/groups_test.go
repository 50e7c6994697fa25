package interop

import (
	"crypto/tls"
	"strings"
	"testing"

	"github.com/tlstfo/tlstfo/internal/netlab"
)

// TestGroups: with a cookie and without a ticket, the hello has the one share that the server chose last time. Where it fits a SYN, the
// request takes two round trips: one for the hello, one for the request.
func TestGroups(t *testing.T) {
	tests := []struct {
		group tls.CurveID
		first int // round trips of the first contact: 4 if the first hello has no share of this group, so that the server asks for it
	}{
		{tls.X25519MLKEM768, 3},
		{tls.X25519, 3},
		{tls.CurveP256, 4},
		{tls.CurveP384, 4},
		{tls.CurveP521, 4},
	}
	for _, test := range tests {
		t.Run(test.group.String(), func(t *testing.T) {
			t.Parallel()
			versions(t, func(t *testing.T, lab *netlab.Lab, ip string) {
				cred := startGoServer(t, lab, test.group)
				u := newUser(t, lab, ip, profile{CA: cred.ca})
				u.big = goRecord
				x := u.get(early)
				x.want(t, test.first, false)
				if x.HelloRetryRequest != (test.first == 4) {
					t.Errorf("hello retry request: %v", x.HelloRetryRequest)
				}
				for range 2 {
					x = u.get(early)
					checkRemembered(t, x, test.group)
				}
				t.Logf("first contact %d round trips, then %d: the hello has %d bytes, the SYN carries %d of them", test.first, x.turns(), x.HelloBytes, x.SynBytes)
			})
		})
	}
}

// checkRemembered checks a second contact, without a ticket, with a server that chose group.
func checkRemembered(t *testing.T, x *exchange, group tls.CurveID) {
	t.Helper()
	x.want(t, 2, false)
	syn, _ := x.last().SYN()
	records := recordTypes(syn.Payload)
	if !syn.TFO.HasCookie() || !syn.ClientHello() || x.Overflow != 0 || syn.Len != x.HelloBytes || strings.HasSuffix(records, "cut") {
		t.Errorf("the SYN holds %q, overflow %d, hello of %d bytes; want that it fits", records, x.Overflow, x.HelloBytes)
	}
	if x.HelloRetryRequest || x.Group != uint16(group) {
		t.Errorf("hello retry request %v, group %v; want none, and %v", x.HelloRetryRequest, tls.CurveID(x.Group), group)
	}
}

// TestGroupTooBig: the hybrid share and a long name do not fit a SYN, even without a session id. The rest follows the SYN-ACK: one round trip more, no error.
func TestGroupTooBig(t *testing.T) {
	versions(t, func(t *testing.T, lab *netlab.Lab, ip string) {
		cred := startGoServer(t, lab, tls.X25519MLKEM768)
		name := strings.Repeat("a-long-name.", 6) + serverName
		u := newUser(t, lab, ip, profile{CA: cred.ca, ServerName: name})
		u.big = goRecord
		u.get(early).want(t, 3, false)
		x := u.get(early)
		x.want(t, 3, false)
		if syn, _ := x.last().SYN(); x.Overflow == 0 || syn.Len+x.Overflow != x.HelloBytes {
			t.Errorf("overflow %d, SYN of %d bytes, hello of %d", x.Overflow, syn.Len, x.HelloBytes)
		}
	})
}
