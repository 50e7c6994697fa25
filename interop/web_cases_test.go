package interop

import (
	"crypto/tls"
	"testing"

	"github.com/tlstfo/tlstfo/internal/netlab"
)

// TestResumed mixes safe and unsafe requests in all ways, cold and warm: only GET is early, only where it was allowed.
func TestResumed(t *testing.T) {
	webServers(t, nil, func(t *testing.T, w webServer, newUser func(profile) *user) {
		u := newUser(profile{})
		u.get(dial).want(t, 3, false)
		for range 2 {
			u.get(early).wantEarly(t)
			u.get(deferred).wantEarly(t)
			for _, x := range []*exchange{u.get(dial), u.post(dial, "count=1"), u.post(deferred, "count=2")} {
				x.want(t, 2, true)
				if x.Early.Offered || x.EarlyReason != "not asked" {
					t.Errorf("%s %s: early data %+v (%s)", x.order.Method, x.order.Way, x.Early, x.EarlyReason)
				}
			}
		}
		w.check(u)
	})
}

// TestFirstContact: no cookie, no ticket, and an unsafe request.
func TestFirstContact(t *testing.T) {
	webServers(t, nil, func(t *testing.T, w webServer, newUser func(profile) *user) {
		u := newUser(profile{})
		u.post(deferred, "a=b").want(t, 3, false)
		w.check(u)
	})
}

// TestRejected: the server refuses the early data, in each way that there is. It reaches the application all the same, once.
func TestRejected(t *testing.T) {
	tests := map[string]struct {
		keep    bool            // the server keeps its ticket keys
		change  func(webServer) // after the client has its tickets
		turns   int
		resumed bool
		reason  string
	}{
		"new ticket keys": {false, func(w webServer) { w.restart() }, 2, false, "session not resumed"},
		"early data off":  {true, func(w webServer) { w.change(func(s *settings) { s.NoEarly = true }) }, 2, true, "peer declined"},
		// One round trip more: RFC 8446, section 4.1.4.
		"hello retry request": {true, func(w webServer) { w.change(func(s *settings) { s.Curve = "secp384r1" }) }, 3, true, "hello retry request"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			webServers(t, func(s *settings) { s.KeepTickets = test.keep }, func(t *testing.T, w webServer, newUser func(profile) *user) {
				u := newUser(profile{})
				u.get(dial).want(t, 3, false)
				u.get(early).wantEarly(t)
				test.change(w)
				u.get(early).wantRejected(t, test.turns, test.resumed, test.reason)
				u.post(deferred, "a=b")
				w.check(u)
			})
		})
	}
}

// TestClientCertificate: the server asks for a certificate. The session remembers it, and so can a rejection be healed.
func TestClientCertificate(t *testing.T) {
	webServers(t, func(s *settings) { s.Verify = "required" }, func(t *testing.T, w webServer, newUser func(profile) *user) {
		u := newUser(profile{Cert: w.credentials().user, Key: w.credentials().userKey})
		u.get(early).want(t, 3, false)
		u.get(early).wantEarly(t)
		w.restart()
		u.get(early).wantRejected(t, 2, false, "session not resumed")
		u.post(deferred, "a=b").want(t, 2, true)
		w.check(u)
	})
}

// TestNoClientCertificate: the server asks for a certificate and can do without.
func TestNoClientCertificate(t *testing.T) {
	webServers(t, func(s *settings) { s.Verify = "optional" }, func(t *testing.T, w webServer, newUser func(profile) *user) {
		u := newUser(profile{})
		u.get(early).want(t, 3, false)
		u.get(early).wantEarly(t)
		w.check(u)
	})
}

// TestBigTicket: the client's certificate makes the ticket too big for a SYN. The SYN takes the start of the hello, what is left follows the SYN-ACK,
// and that costs a round trip.
func TestBigTicket(t *testing.T) {
	webServers(t, func(s *settings) { s.Verify = "required" }, func(t *testing.T, w webServer, newUser func(profile) *user) {
		u := newUser(profile{Cert: w.credentials().big, Key: w.credentials().bigKey})
		u.get(early).want(t, 3, false)
		for range 2 {
			x := u.get(early)
			x.want(t, u.early+1, true)
			if !x.Early.Accepted || x.Overflow == 0 {
				t.Errorf("early data %+v (%s), overflow %d", x.Early, x.EarlyReason, x.Overflow)
			}
			syn, _ := x.last().SYN()
			flight := 0
			for _, p := range x.last().BeforeResponse() {
				if p.Flags&netlab.SYN == 0 {
					flight = max(flight, int(p.Seq-syn.Seq)-1+p.Len) // some may be sent again
				}
			}
			if syn.Len != x.SynBytes || flight != x.SynBytes+x.Overflow {
				t.Errorf("SYN with %d bytes, overflow %d:\n%v", syn.Len, x.Overflow, x.packets())
			}
		}
		w.check(u)
	})
}

// TestTLS12: a server without TLS 1.3 costs two round trips more than with net/http, once. Then it is remembered and costs the same: the hello of crypto/tls
// begins in the SYN, but does not fit.
func TestTLS12(t *testing.T) {
	webServers(t, func(s *settings) { s.TLS12 = true }, func(t *testing.T, w webServer, newUser func(profile) *user) {
		u := newUser(profile{})
		for i, want := range []struct{ conns, turns int }{{2, 6}, {1, 4}, {1, 4}} {
			x := u.get(early)
			x.want(t, want.turns, false)
			if x.Version != tls.VersionTLS12 || x.CryptoTLS == "" || len(x.conns) != want.conns || x.Early.Offered {
				t.Errorf("request %d: version %x, crypto/tls because of %q, %d connections: %+v", i, x.Version, x.CryptoTLS, len(x.conns), x.summary())
			}
		}
		u.post(dial, "a=b").want(t, 4, false)
		u.get(netHTTP).want(t, 4, false)
		w.check(u)
	})
}
