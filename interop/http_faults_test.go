package interop

import (
	"slices"
	"strings"
	"testing"

	"github.com/tlstfo/tlstfo/internal/netlab"
)

// TestHTTPFaults: a Transport's requests succeed whatever becomes of Fast Open on the way, a POST reaches the application once, and a GET twice only
// where nothing told the client that its first flight arrived. From the second request on Fast Open is left alone.
func TestHTTPFaults(t *testing.T) {
	names := []string{"SYN with data lost", "SYN with data reset", "black hole"}
	for _, h := range hazards() {
		i := slices.Index(names, h.name)
		if i < 0 {
			continue
		}
		names = slices.Delete(names, i, i+1)
		for _, way := range []string{http1, http2} {
			t.Run(h.name+"/"+way, func(t *testing.T) {
				t.Parallel()
				testHTTPFault(t, h, way)
			})
		}
	}
	if len(names) > 0 {
		t.Errorf("no such hazards: %q", names)
	}
}

func testHTTPFault(t *testing.T, h hazard, way string) {
	lab := startLab(t)
	s := startSite(t, lab, "nginx")
	var users []*user
	for range 2 { // of which one meets the fault with a GET, the other with a POST
		users = append(users, preparedHTTP(t, lab, s, way))
	}
	if err := lab.SetFaults(h.fault); err != nil {
		t.Fatal(err)
	}
	protocol := map[string]string{http1: "HTTP/1.1", http2: "HTTP/2.0"}[way]
	times := map[string]int{} // how often the application may see a request, at most
	for i, u := range users {
		for j := range 4 {
			o := order{Way: way, Method: "GET"}
			if (i+j)%2 == 1 {
				o.Method, o.Body = "POST", "a body"
			}
			x := u.do(o)
			most := 1
			if j > 0 {
				wantPlain(t, x)
			} else if !slices.ContainsFunc(x.all, func(p netlab.Packet) bool { return p.Fault != "" }) {
				t.Errorf("%s did not meet the fault:\n%v", o.Method, x.all)
			} else if o.Method == "GET" && h.twice != "" {
				most = 2
			}
			times[o.Method+" "+x.order.Path+" "+protocol] = most
		}
	}
	if err := lab.SetFaults(); err != nil {
		t.Fatal(err)
	}
	seen := map[string]int{}
	for _, r := range s.requests() {
		seen[r.Request]++
		if r.Early == "1" && !strings.HasPrefix(r.Request, "GET ") {
			t.Errorf("%q was early", r.Request)
		}
	}
	for request, most := range times {
		if n := seen[request]; n < 1 || n > most {
			t.Errorf("%q reached the application %d times, want once, at most %d", request, n, most)
		}
	}
}

// preparedHTTP returns a client that has a cookie and a ticket.
func preparedHTTP(t *testing.T, lab *netlab.Lab, s *site, way string) *user {
	t.Helper()
	var x *exchange
	for range tries {
		u := startUser(t, lab, lab.Server.IPv4.String(), "http", profile{CA: s.CA})
		for range 3 {
			if x = u.get(way); x.SynAcked && x.Early.Accepted && len(x.all.Conns()) == 1 {
				return u
			}
		}
	}
	t.Fatalf("in %d attempts: %+v\n%v", tries, x.summary(), x.all)
	return nil
}
