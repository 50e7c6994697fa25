package interop

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/tlstfo/tlstfo/internal/netlab"
)

// A hostile network and what may become of requests on it.
var hostile = []struct {
	fault netlab.Fault
	// learns: Fast Open does harm here, so that after the first dial that meets the fault it is left alone for a while.
	learns bool
	// twice: a GET may reach the application twice. The first flight arrives, and no answer to it: nobody can know.
	twice bool
}{
	{fault: netlab.Fault{Name: "none"}},
	{fault: netlab.Fault{Name: netlab.DropSYNData}, learns: true},
	{fault: netlab.Fault{Name: netlab.DropTFO}, learns: true},
	{fault: netlab.Fault{Name: netlab.StripTFO}},
	{fault: netlab.Fault{Name: netlab.StripPayload}},
	{fault: netlab.Fault{Name: netlab.ResetSYNData}, learns: true},
	{fault: netlab.Fault{Name: netlab.BlackHole}, learns: true, twice: true},
	{fault: netlab.Fault{Name: netlab.DuplicateSYNData, Delay: 5 * time.Millisecond}},
	{fault: netlab.Fault{Name: netlab.Reorder, Percent: 20, Delay: 5 * time.Millisecond, Seed: 1}},
}

// TestHostile: whatever the network does to Fast Open, a request succeeds where one of net/http does, and reaches the application
// once. It prints how long the first response byte took in round trips: with net/http, with the first dial that meets the fault, and
// with the third.
func TestHostile(t *testing.T) {
	var table strings.Builder
	fmt.Fprintf(&table, "%-20s %-18s %-5s %9s %7s %7s\n", "fault", "before", "", "net/http", "first", "third")
	for _, h := range hostile {
		for _, warm := range []bool{false, true} {
			before := "cold"
			if warm {
				before = "cookie and ticket"
			}
			t.Run(h.fault.Name+"/"+before, func(t *testing.T) {
				for _, method := range []string{"GET", "POST"} {
					lab := startLab(t)
					n := startNginx(t, lab, nil)
					u := newUser(t, lab, lab.Server.IPv4.String(), profile{CA: n.credentials().ca})
					request := func(way string) *exchange {
						if method == "GET" {
							return u.get(way)
						}
						return u.post(map[string]string{early: dial, netHTTP: netHTTP}[way], "a body")
					}
					if warm {
						request(early)
						request(early)
					}
					if h.fault.Name != "none" {
						if err := lab.SetFaults(h.fault); err != nil {
							t.Fatal(err)
						}
					}
					std, first := request(netHTTP), request(early)
					var third *exchange
					for range 2 {
						third = request(early)
						if h.learns && warm {
							wantPlain(t, third)
						}
					}
					fmt.Fprintf(&table, "%-20s %-18s %-5s %9.1f %7.1f %7.1f\n", h.fault.Name, before, method,
						std.trips(), first.trips(), third.trips())
					checkOnce(t, n.log(), u, h.twice && method == "GET")
				}
			})
		}
	}
	t.Log("round trips to the first response byte\n" + table.String())
}

// trips is how long the first response byte took, by the clock, in round trips, over all connections.
func (x *exchange) trips() float64 {
	syn, _ := x.conns[0].SYN()
	for i := len(x.conns); i > 0; i-- {
		y := exchange{x.answer, x.conns[:i], x.user}
		if p, ok := y.response(); ok {
			return float64(p.Delivered-syn.Sent) / float64(rtt)
		}
	}
	return -1
}

// wantPlain checks that a dial remembered: one connection, and nothing of Fast Open in its SYN.
func wantPlain(t *testing.T, x *exchange) {
	t.Helper()
	if syn, _ := x.conns[0].SYN(); len(x.conns) != 1 || syn.TFO.Kind != 0 || syn.Len != 0 {
		t.Errorf("%d connections, a SYN with %v and %d bytes; want one, and a plain SYN:\n%v", len(x.conns), syn.TFO, syn.Len, x.packets())
	}
}

// checkOnce checks that every request reached the application, and only once unless twice says otherwise.
func checkOnce(t *testing.T, log []delivered, u *user, twice bool) {
	t.Helper()
	saw := map[string]int{}
	for _, d := range log {
		saw[d.Request]++
		if strings.HasPrefix(d.Request, "POST ") && d.Early == "1" {
			t.Errorf("%q was early", d.Request)
		}
	}
	for _, a := range u.sent {
		line := a.order.Method + " " + a.order.Path + " HTTP/1.1"
		if n := saw[line]; n != 1 && !(twice && n == 2) {
			t.Errorf("%q reached the application %d times", line, n)
		}
	}
}
