package interop

import (
	"crypto/tls"
	"fmt"
	"strings"
	"testing"

	"github.com/tlstfo/tlstfo/internal/netlab"
)

// TestGroups: with a cookie and without a ticket, the hello has the one share that the server chose last time. It fits a SYN, so that the
// request takes two round trips: one for the hello, one for the request.
func TestGroups(t *testing.T) {
	tests := []struct {
		group tls.CurveID
		first int // round trips of the first contact
		why   string
	}{
		{tls.X25519MLKEM768, 3, "the first hello has a share of it"},
		{tls.X25519, 3, "the first hello has a share of it"},
		{tls.CurveP256, 4, "the first hello has no share of it: hello retry request"},
		{tls.CurveP384, 4, "the first hello has no share of it: hello retry request"},
		{tls.CurveP521, 4, "the first hello has no share of it: hello retry request"},
	}
	for _, test := range tests {
		t.Run(test.group.String(), func(t *testing.T) {
			versions(t, func(t *testing.T, lab *netlab.Lab, ip string) {
				cred := startGoServer(t, lab, test.group)
				u := newUser(t, lab, ip, profile{CA: cred.ca})
				u.big = goRecord
				x := u.get(early)
				x.want(t, test.first, false)
				if x.SentHRR != (test.first == 4) {
					t.Errorf("hello retry request: %v", x.SentHRR)
				}
				for range 2 {
					x = u.get(early)
					x.want(t, 2, false)
					syn, _ := x.last().SYN()
					if !syn.TFO.HasCookie() || recordTypes(syn.Payload) != fmt.Sprintf("22:%d", x.HelloBytes-5) || x.Overflow != 0 || x.SentHRR {
						t.Errorf("the SYN holds %q, overflow %d, hello retry request %v; want the whole hello of %d bytes",
							recordTypes(syn.Payload), x.Overflow, x.SentHRR, x.HelloBytes)
					}
					if x.Group != uint16(test.group) {
						t.Errorf("group %v", tls.CurveID(x.Group))
					}
				}
				t.Logf("first contact %d round trips (%s), then 2: the hello with this share alone has %d bytes and fits the SYN", test.first, test.why, x.HelloBytes)
			})
		})
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
