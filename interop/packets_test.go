package interop

import (
	"fmt"
	"testing"

	"github.com/tlstfo/tlstfo/internal/netlab"
)

// TestPackets: on an honest network a request costs exactly so many round trips and packets, of the client and of nginx, on one connection. What watches over Fast Open costs
// nothing.
func TestPackets(t *testing.T) {
	for _, test := range []struct {
		before, method string
		turns          int
		packets        int // that say something: SYN, data, FIN; the last two close the connection
		server         int // the server's: SYN-ACK and data. Its FIN may come after the exchange
		acks           int // at most, of either side beside them: the kernel decides
	}{
		{cold, "GET", 3, 6, 8, 7},  // SYN; hello in two; Finished and request; close_notify; FIN. SYN-ACK; flight; two tickets; response in four
		{cold, "POST", 3, 7, 8, 7}, // the request has a packet of its own
		{cookie, "GET", 2, 4, 8, 7},
		{cookie, "POST", 2, 5, 8, 7},
		{warm, "GET", 1, 4, 7, 7}, // SYN with hello and request; Finished. One ticket
		{warm, "POST", 2, 5, 7, 7},
	} {
		for _, version := range []int{4, 6} {
			t.Run(fmt.Sprintf("%s/%s/IPv%d", test.before, test.method, version), func(t *testing.T) {
				t.Parallel()
				var x *exchange
				var client, server traffic
				for range tries {
					m := meet(t, hazard{name: "none", v6: version == 6}, test.before, test.method, 1, 0)
					x = m.dials[0]
					client, server = x.traffic(netlab.Conn.FromClient, netlab.FIN), x.traffic(netlab.Conn.FromServer, 0)
					if len(x.all.Conns()) == 1 && x.turns() == test.turns && client.within(test.packets, test.acks) && server.within(test.server, test.acks) || t.Failed() {
						return
					}
				}
				t.Errorf("%d round trips, of the client %+v, of the server %+v; want %d, %d packets, %d packets, and at most %d acknowledgements:\n%v",
					x.turns(), client, server, test.turns, test.packets, test.server, test.acks, x.all)
			})
		}
	}
}

// traffic is how many packets of one side say something, and how many only acknowledge.
type traffic struct{ packets, acks int }

func (n traffic) within(packets, acks int) bool { return n.packets == packets && n.acks <= acks }

// traffic counts the packets of one side. Those with a SYN, a reset or data say something, and those with one of the given flags.
func (x *exchange) traffic(side func(netlab.Conn) netlab.Packets, flags netlab.TCPFlags) (n traffic) {
	for _, c := range x.all.Conns() {
		for _, p := range side(c) {
			if p.Len > 0 || p.Flags&(netlab.SYN|netlab.RST|flags) != 0 {
				n.packets++
			} else {
				n.acks++
			}
		}
	}
	return n
}
