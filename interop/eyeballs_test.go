package interop

import (
	"fmt"
	"testing"
	"time"

	"github.com/tlstfo/tlstfo/internal/netlab"
)

// TestDeadFamily: where one of IPv4 and IPv6 is dead the other's connection is up 300 ms and a round trip after the first SYN, whatever rides in it, and nothing that was early in
// a SYN that nobody answered is early again.
func TestDeadFamily(t *testing.T) {
	const mostWait = 300 * time.Millisecond
	for _, dead := range []string{netlab.DeadIPv6, netlab.DeadIPv4} {
		for _, before := range []string{cold, cookie, warm} {
			t.Run(fmt.Sprint(dead, "/", before), func(t *testing.T) {
				t.Parallel()
				alive, wait := 4, mostWait
				if dead == netlab.DeadIPv4 {
					alive, wait = 6, 0 // IPv6 goes first
				}
				h := hazard{name: dead, fault: netlab.Fault{Name: dead}, both: true, met: always}
				var up time.Duration
				for range tries {
					m := meet(t, h, before, "GET", 2, 0)
					checkFamilies(t, m.dials[0], alive, before == warm)
					var std time.Duration
					up, std = connected(t, m.dials[0], alive), connected(t, m.std[0], alive)
					t.Logf("up after %v, with net/http after %v", up, std)
					if up <= wait+rtt+margin || t.Failed() {
						return
					}
				}
				t.Errorf("the connection is up after %v, want at most %v", up, wait+rtt)
			})
		}
	}
}

// connected is when the first connection was up, from the first SYN on.
func connected(t *testing.T, x *exchange, version int) time.Duration {
	t.Helper()
	for _, c := range x.all.Conns() {
		for _, p := range c.FromServer() {
			if p.Flags.Has(netlab.SYN|netlab.ACK) && p.Fate == netlab.Delivered && p.IPVersion() == version {
				return p.Delivered - x.all.Conns()[0].Packets[0].Sent
			}
		}
	}
	t.Fatalf("no connection over IPv%d:\n%v", version, x.all)
	return 0
}

// checkFamilies checks that the dead family had its chance if it goes first, that the other one answered, and that early data left once.
func checkFamilies(t *testing.T, x *exchange, alive int, hasTicket bool) {
	t.Helper()
	carried := 0 // SYNs with early data
	for i, c := range x.all.Conns() {
		syn, _ := c.SYN()
		version := syn.IPVersion()
		switch {
		case i == 0 && version != 6:
			t.Errorf("IPv%d went first:\n%v", version, x.all)
		case version != alive && syn.Fate != netlab.Dropped:
			t.Errorf("IPv%d is not dead:\n%v", version, x.all)
		case alive == 6 && version == 4:
			t.Errorf("IPv4 was tried although IPv6 had answered:\n%v", x.all)
		}
		if syn.Len > x.HelloBytes {
			carried++
		}
	}
	if want := map[bool]int{true: 1}[hasTicket]; carried != want {
		t.Errorf("%d SYNs with early data, want %d:\n%v", carried, want, x.all)
	}
	if _, ok := x.response(); !ok || x.last().Packets[0].IPVersion() != alive {
		t.Errorf("the response did not come over IPv%d:\n%v", alive, x.all)
	}
}
