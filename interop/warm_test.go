package interop

import (
	"fmt"
	"testing"

	"github.com/tlstfo/tlstfo/internal/netlab"
)

// TestWarm is the point of it all: on a warm path the response is here after one round trip, where net/http needs three.
func TestWarm(t *testing.T) {
	versions(t, func(t *testing.T, lab *netlab.Lab, ip string) {
		n := startNginx(t, lab, nil)
		u := newUser(t, lab, ip, profile{CA: n.credentials().ca})

		u.get(early).want(t, 3, false) // first contact: no cookie, no ticket
		best := u.get(early)
		best.wantEarly(t)
		for range 4 { // on a busy machine some are slow; the order of the packets is always right
			x := u.get(early)
			x.wantEarly(t)
			if x.onWire() < best.onWire() {
				best = x
			}
		}
		u.get(netHTTP).want(t, 3, false)
		std := u.get(netHTTP)
		std.want(t, 3, true)
		trips := float64(best.onWire()) / float64(rtt)
		t.Logf("first response byte after %.2f round trips, with net/http after %.2f", trips, float64(std.onWire())/float64(rtt))
		if trips > 1.10 {
			t.Errorf("first response byte after %.2f round trips, want at most 1.10:\n%v", trips, best.packets())
		}
		n.check(u)
	})
}

// TestHalf says what each half is worth: without Fast Open, or without early data, a warm request takes two round trips.
func TestHalf(t *testing.T) {
	versions(t, func(t *testing.T, lab *netlab.Lab, ip string) {
		n := startNginx(t, lab, nil)
		ca := n.credentials().ca
		both := newUser(t, lab, ip, profile{CA: ca}) // gets the kernel its cookie
		both.get(dial).want(t, 3, false)

		noFastOpen := newUser(t, lab, ip, profile{CA: ca, NoFastOpen: true})
		noFastOpen.get(early).want(t, 3, false)
		x := noFastOpen.get(early)
		x.want(t, 2, true)
		if syn, _ := x.last().SYN(); !x.Early.Accepted || syn.TFO.Kind != 0 || syn.Len != 0 {
			t.Errorf("early data %+v, SYN with %v and %d bytes; want it accepted and a plain SYN", x.Early, syn.TFO, syn.Len)
		}

		noEarly := newUser(t, lab, ip, profile{CA: ca, NoEarly: true})
		noEarly.get(early).want(t, 3, false) // there is a cookie, but which share to send alone is not known
		x = noEarly.get(early)
		x.want(t, 2, true)
		if syn, _ := x.last().SYN(); x.Early.Offered || x.EarlyReason != "policy" || recordTypes(syn.Payload) != fmt.Sprintf("22:%d", x.HelloBytes-5) {
			t.Errorf("early data %+v (%s), records in the SYN %q; want the hello alone", x.Early, x.EarlyReason, recordTypes(syn.Payload))
		}
		n.check(both, noFastOpen, noEarly)
	})
}
