package interop

import (
	"crypto/tls"
	"fmt"
	"testing"

	"github.com/tlstfo/tlstfo/internal/netlab"
)

// TestNginxWarm is the point of it all: on a warm path the response is here after one round trip, where net/http needs three.
func TestNginxWarm(t *testing.T) {
	versions(t, func(t *testing.T, lab *netlab.Lab, ip string) {
		n := startNginx(t, lab, nil)
		u := newUser(t, lab, ip, profile{CA: n.CA})

		u.get(early).want(t, 3, false) // first contact: no cookie, no ticket
		best := u.get(early)
		best.wantEarly(t)
		for range 4 {
			x := u.get(early)
			x.wantEarly(t)
			if x.firstByte() < best.firstByte() {
				best = x
			}
		}
		u.get(netHTTP).want(t, 3, false)
		std := u.get(netHTTP)
		std.want(t, 3, true)
		trips := float64(best.firstByte()) / float64(rtt)
		t.Logf("first response byte after %.2f round trips, with net/http after %.2f", trips, float64(std.firstByte())/float64(rtt))
		if trips > 1.10 {
			t.Errorf("first response byte after %.2f round trips, want at most 1.10:\n%v", trips, best.packets())
		}
		n.check(u)
	})
}

// TestNginxSaved says what each half is worth: without Fast Open, or without early data, a warm request takes two round trips.
func TestNginxSaved(t *testing.T) {
	versions(t, func(t *testing.T, lab *netlab.Lab, ip string) {
		n := startNginx(t, lab, nil)
		both := newUser(t, lab, ip, profile{CA: n.CA}) // gets the kernel its cookie
		both.get(dial).want(t, 3, false)

		noFastOpen := newUser(t, lab, ip, profile{CA: n.CA, NoFastOpen: true})
		noFastOpen.get(early).want(t, 3, false)
		x := noFastOpen.get(early)
		x.want(t, 2, true)
		if syn, _ := x.last().SYN(); !x.Early.Accepted || syn.TFO.Kind != 0 || syn.Len != 0 {
			t.Errorf("early data %+v, SYN with %v and %d bytes; want it accepted and a plain SYN", x.Early, syn.TFO, syn.Len)
		}

		noEarly := newUser(t, lab, ip, profile{CA: n.CA, NoEarly: true})
		noEarly.get(early).want(t, 3, false) // there is a cookie, but which share to send alone is not known
		x = noEarly.get(early)
		x.want(t, 2, true)
		if syn, _ := x.last().SYN(); x.Early.Offered || x.EarlyReason != "policy" || recordTypes(syn.Payload) != fmt.Sprintf("22:%d", x.HelloBytes-5) {
			t.Errorf("early data %+v (%s), records in the SYN %q; want the hello alone", x.Early, x.EarlyReason, recordTypes(syn.Payload))
		}
		n.check(both, noFastOpen, noEarly)
	})
}

// TestNginxWays mixes safe and unsafe requests in all ways on a warm path: only GET is early, only where it was allowed.
func TestNginxWays(t *testing.T) {
	lab := startLab(t)
	n := startNginx(t, lab, nil)
	u := newUser(t, lab, lab.Server.IPv4.String(), profile{CA: n.CA})
	u.get(dial).want(t, 3, false)
	for range 3 {
		u.get(early).wantEarly(t)
		u.get(deferred).wantEarly(t)
		for _, x := range []*exchange{u.get(dial), u.post(dial, "count=1"), u.post(deferred, "count=2")} {
			x.want(t, 2, true)
			if x.Early.Offered || x.EarlyReason != "not asked" {
				t.Errorf("%s %s: early data %+v (%s)", x.order.Method, x.order.Way, x.Early, x.EarlyReason)
			}
		}
	}
	n.check(u)
}

// TestNginxRejected: the server refuses the early data, in each way that there is. It reaches the application all the same, once.
func TestNginxRejected(t *testing.T) {
	tests := map[string]struct {
		change  func(*nginx) // after the client has its tickets
		turns   int
		resumed bool
		reason  string
	}{
		"new ticket keys": {func(n *nginx) { n.restart(n.keepTickets) }, 2, false, "session not resumed"},
		"early data off":  {func(n *nginx) { n.reload(func() { n.NoEarly = true }) }, 2, true, "peer declined"},
		// One round trip more: RFC 8446, section 4.1.4.
		"hello retry request": {func(n *nginx) { n.reload(func() { n.Curve = "secp384r1" }) }, 3, true, "hello retry request"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			versions(t, func(t *testing.T, lab *netlab.Lab, ip string) {
				n := startNginx(t, lab, nil)
				u := newUser(t, lab, ip, profile{CA: n.CA})
				u.get(dial).want(t, 3, false)
				u.get(early).wantEarly(t)
				test.change(n)
				u.get(early).wantRejected(t, test.turns, test.resumed, test.reason)
				u.post(deferred, "and=a+POST")
				n.check(u)
			})
		})
	}
}

// TestNginxClientCertificate: the server asks for a certificate. The session remembers it.
func TestNginxClientCertificate(t *testing.T) {
	lab := startLab(t)
	n := startNginx(t, lab, func(n *nginx) { n.VerifyClient = "on" })
	u := newUser(t, lab, lab.Server.IPv4.String(), profile{CA: n.CA, Cert: n.cred.user, Key: n.cred.ukey})
	u.get(early).want(t, 3, false)
	u.get(early).wantEarly(t)
	n.restart(n.keepTickets)
	u.get(early).wantRejected(t, 2, false, "session not resumed")
	u.post(deferred, "a=b").want(t, 2, true)
	n.check(u)
}

// TestNginxNoClientCertificate: the server asks for a certificate and can do without.
func TestNginxNoClientCertificate(t *testing.T) {
	lab := startLab(t)
	n := startNginx(t, lab, func(n *nginx) { n.VerifyClient = "optional" })
	u := newUser(t, lab, lab.Server.IPv4.String(), profile{CA: n.CA})
	u.get(early).want(t, 3, false)
	u.get(early).wantEarly(t)
	n.check(u)
}

// TestNginxBigTicket: the client's certificate makes the ticket too big for a SYN. The hello goes in two packets, the early data in the second, and
// that costs a round trip.
func TestNginxBigTicket(t *testing.T) {
	versions(t, func(t *testing.T, lab *netlab.Lab, ip string) {
		n := startNginx(t, lab, func(n *nginx) { n.VerifyClient = "on" })
		u := newUser(t, lab, ip, profile{CA: n.CA, Cert: n.cred.big, Key: n.cred.bkey})
		u.get(early).want(t, 3, false)
		for range 2 {
			x := u.get(early)
			x.want(t, 2, true)
			if !x.Early.Accepted || x.Overflow == 0 {
				t.Errorf("early data %+v (%s), overflow %d", x.Early, x.EarlyReason, x.Overflow)
			}
			syn, _ := x.last().SYN()
			flight := 0
			for _, p := range x.last().BeforeResponse() {
				flight += p.Len
			}
			if syn.Len != x.SynBytes || flight != x.SynBytes+x.Overflow {
				t.Errorf("SYN with %d bytes, overflow %d:\n%v", syn.Len, x.Overflow, x.packets())
			}
		}
		n.check(u)
	})
}

// TestNginxTLS12: a server without TLS 1.3 costs two round trips more than with net/http, once. Then it is remembered and costs the same: the hello
// of crypto/tls begins in the SYN, but does not fit.
func TestNginxTLS12(t *testing.T) {
	versions(t, func(t *testing.T, lab *netlab.Lab, ip string) {
		n := startNginx(t, lab, func(n *nginx) { n.Protocols = "TLSv1.2" })
		u := newUser(t, lab, ip, profile{CA: n.CA})
		for i, want := range []struct{ conns, turns int }{{2, 6}, {1, 4}, {1, 4}} {
			x := u.get(early)
			x.want(t, want.turns, false)
			if x.Version != tls.VersionTLS12 || x.Std == "" || len(x.conns) != want.conns || x.Early.Offered {
				t.Errorf("request %d: version %x, crypto/tls because of %q, %d connections: %+v", i, x.Version, x.Std, len(x.conns), x.summary())
			}
		}
		u.post(dial, "a=b").want(t, 4, false)
		u.get(netHTTP).want(t, 4, false)
		n.check(u)
	})
}
