package interop

import (
	"fmt"
	"math"
	"testing"

	"github.com/tlstfo/tlstfo/internal/netlab"
)

// TestWarm is the point of it all: on a warm path the response is here after one round trip, where net/http needs three.
func TestWarm(t *testing.T) {
	versions(t, func(t *testing.T, lab *netlab.Lab, ip string) {
		n := startNginx(t, lab, nil)
		u := newUser(t, lab, ip, profile{CA: n.credentials().ca})

		u.get(early).want(t, 3, false) // first contact: no cookie, no ticket
		trips := bestTrips(t, func() *exchange { return u.get(early) })
		u.get(netHTTP).want(t, 3, false)
		std := u.get(netHTTP)
		std.want(t, 3, true)
		t.Logf("first response byte after %.2f round trips, with net/http after %.2f", trips, float64(std.onWire())/float64(rtt))
		n.check(u)
	})
}

// bestTrips makes warm requests until one gets its first response byte within 1.10 round trips of the SYN. On a busy machine some take longer; the order of
// the packets must be right always.
func bestTrips(t *testing.T, get func() *exchange) float64 {
	t.Helper()
	const least, most, limit = 3, 30, 1.10
	best := math.Inf(1)
	for i := 0; i < least || i < most && best > limit; i++ {
		x := get()
		x.wantEarly(t)
		best = min(best, float64(x.onWire())/float64(rtt))
	}
	if best > limit {
		t.Errorf("first response byte after %.2f round trips at best, want at most %.2f", best, limit)
	}
	return best
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
