package interop

import (
	"fmt"
	"testing"

	"github.com/tlstfo/tlstfo/internal/netlab"
)

// TestPackets: on an honest network a request costs exactly so many round trips and packets of the client, on one connection. What watches over Fast Open costs nothing.
func TestPackets(t *testing.T) {
	for _, test := range []struct {
		before, method string
		turns          int
		packets        int // that say something: SYN, data, FIN; the last two close the connection
		acks           int // at most, beside them: the kernel decides
	}{
		{cold, "GET", 3, 6, 7},  // SYN; hello in two; Finished and request; close_notify; FIN
		{cold, "POST", 3, 7, 7}, // the request has a packet of its own
		{cookie, "GET", 2, 4, 7},
		{cookie, "POST", 2, 5, 7},
		{warm, "GET", 1, 4, 7}, // SYN with hello and request; Finished
		{warm, "POST", 2, 5, 7},
	} {
		for _, version := range []int{4, 6} {
			t.Run(fmt.Sprintf("%s/%s/IPv%d", test.before, test.method, version), func(t *testing.T) {
				t.Parallel()
				var x *exchange
				for range tries {
					m := meet(t, hazard{name: "none", v6: version == 6}, test.before, test.method, 1, 0)
					x = m.dials[0]
					if packets, acks := x.count(); len(x.all.Conns()) == 1 && x.turns() == test.turns && packets == test.packets && acks <= test.acks || t.Failed() {
						return
					}
				}
				packets, acks := x.count()
				t.Errorf("%d round trips, %d packets and %d acknowledgements of the client, want %d, %d, at most %d:\n%v", x.turns(), packets, acks, test.turns, test.packets, test.acks, x.all)
			})
		}
	}
}

// count counts the packets of the client that say something, and those that only acknowledge.
func (x *exchange) count() (packets, acks int) {
	for _, c := range x.all.Conns() {
		for _, p := range c.FromClient() {
			if p.Len > 0 || p.Flags&(netlab.SYN|netlab.FIN|netlab.RST) != 0 {
				packets++
			} else {
				acks++
			}
		}
	}
	return packets, acks
}
