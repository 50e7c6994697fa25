package interop

import (
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tlstfo/tlstfo/internal/netlab"
)

// What a client has of a server before it meets a hazard.
const (
	cold   = "cold"            // nothing
	cookie = "cookie"          // the kernel has a cookie, and the Dialer knows which key share the server likes, but gets no tickets
	warm   = "cookie + ticket" // and a ticket
)

// A meeting is a client's requests to a server past a hazard: some with tlstfo, then some with net/http.
type meeting struct {
	*testing.T
	hazard
	before, method string
	seed           uint64

	lab   *netlab.Lab
	nginx *nginx
	user  *user

	dials []*exchange
	std   []*exchange
	first int // the first dial that met the hazard; -1: none did
	seen  map[string]int

	disturbed bool // by a busy machine, so that it says nothing
}

// stdRequests are two: the first may use up a fault.
const stdRequests = 2

// meet makes n requests with tlstfo, and some with net/http. It checks what must not depend on how busy this machine is: that every request is answered, that no
// POST reaches the application twice, and so on.
func meet(t *testing.T, h hazard, before, method string, n int, seed uint64) *meeting {
	t.Helper()
	m := &meeting{T: t, hazard: h, before: before, method: method, seed: seed, first: -1}
	m.lab = netlab.Start(t, netlab.Config{RTT: rtt, MTU: h.mtu, PayloadBytes: 2000})
	m.nginx = startNginx(t, m.lab, func(s *settings) { s.Queue = h.queue })
	m.prepare()
	if m.begin != nil {
		m.begin(m)
	}
	if m.random {
		m.sideBySide(n)
	} else {
		m.oneAfterTheOther(n)
	}
	time.Sleep(rtt) // what the network still holds may reach the application
	m.faults()
	m.count()
	m.check()
	return m
}

// oneAfterTheOther makes n requests with tlstfo, then two with net/http. Each side meets the same.
func (m *meeting) oneAfterTheOther(n int) {
	m.Helper()
	m.arm(0)
	for i := range n {
		if m.each != nil {
			m.each(m, i)
		}
		x := m.request(early)
		m.dials = append(m.dials, x)
		if m.first < 0 && m.meets(x) {
			m.first = i
		}
	}
	m.arm(0)
	for range stdRequests {
		m.std = append(m.std, m.request(netHTTP))
	}
}

// sideBySide makes n pairs of requests, one with tlstfo and one with net/http, with the same seed.
func (m *meeting) sideBySide(n int) {
	m.Helper()
	m.first = 0
	for i := range uint64(n) {
		m.arm(i)
		m.dials = append(m.dials, m.request(early))
		m.arm(i)
		m.std = append(m.std, m.request(netHTTP))
	}
}

// newUser starts a client for an address of the server, or for its name.
func (m *meeting) newUser() *user {
	m.Helper()
	p := profile{CA: m.nginx.credentials().ca, NoTickets: m.before == cookie}
	v4, v6 := m.lab.Server.IPv4.String(), m.lab.Server.IPv6.String()
	if (m.both || m.v6) && !m.lab.Server.IPv6.IsValid() {
		netlab.Missing(m, "IPv6 in this kernel")
	}
	switch {
	case m.both:
		p.Hosts = []string{v4, v6}
		return newUser(m.T, m.lab, serverName, p)
	case m.v6:
		return newUser(m.T, m.lab, v6, p)
	}
	return newUser(m.T, m.lab, v4, p)
}

// prepare brings about what the client has before.
func (m *meeting) prepare() {
	m.Helper()
	if m.before == cold {
		m.user = m.newUser()
		return
	}
	if m.both { // its name leads to IPv6
		fetchCookie(m.T, m.lab, m.lab.Server.IPv4, m.nginx.credentials().ca)
	}
	m.user = prepared(m.T, m.newUser, func(x *exchange) bool { return x.SynAcked && x.Early.Accepted == (m.before == warm) })
}

// arm has the wire commit its fault, with a seed.
func (m *meeting) arm(i uint64) {
	m.Helper()
	if m.fault.Name == "" {
		return
	}
	f := m.fault
	if m.random {
		f.Seed = m.seed<<32 + i
	}
	m.faults(f)
}

func (m *meeting) faults(faults ...netlab.Fault) {
	m.Helper()
	if err := m.lab.SetFaults(faults...); err != nil {
		m.Fatal(err)
	}
}

func (m *meeting) request(way string) *exchange {
	m.Helper()
	if m.method == "GET" {
		return m.user.get(way)
	}
	if way == early {
		way = dial
	}
	return m.user.post(way, "a body")
}

// meets tells whether a dial met the hazard.
func (m *meeting) meets(x *exchange) bool {
	if m.met != nil {
		return m.met(m, x)
	}
	return slices.ContainsFunc(x.all, func(p netlab.Packet) bool { return p.Fault != "" })
}

// count counts how often the application saw every request.
func (m *meeting) count() {
	m.Helper()
	m.seen = map[string]int{}
	for _, d := range m.nginx.log() {
		m.seen[d.Request]++
		if strings.HasPrefix(d.Request, "POST ") && d.Early == "1" {
			m.Errorf("%q was early", d.Request)
		}
	}
}

// saw is how often the application saw a request.
func (m *meeting) saw(x *exchange) int {
	return m.seen[x.order.Method+" "+x.order.Path+" HTTP/1.1"]
}

// check checks what holds on any machine.
func (m *meeting) check() {
	m.Helper()
	for i, x := range append(slices.Clone(m.dials), m.std...) {
		n := m.saw(x)
		if n == 0 || n > 1 && m.method == "POST" || n > 2 {
			m.Errorf("request %d reached the application %d times: %v", i, n, x.all)
		}
		switch {
		case n < 2 || m.twice != "":
		case len(x.all.Conns()) == 1:
			m.Errorf("request %d reached the application twice, by one connection: %v", i, x.all)
		default: // another attempt joined: this machine was late
			m.disturbed = true
		}
	}
	switch {
	case m.random || m.name == "none":
		return
	case m.first < 0 && m.before == cold: // Fast Open was left alone since the first dial, which meets little
		m.disturbed = true
	case m.first < 0:
		m.Errorf("the hazard was never met; the last dial:\n%v", m.dials[len(m.dials)-1].all)
	}
	if !m.learns || m.first < 0 {
		return
	}
	for _, x := range m.dials[m.first+1:] {
		wantPlain(m.T, x)
	}
}

// wantPlain checks that a dial remembered: one connection, and nothing of Fast Open in its SYN.
func wantPlain(t *testing.T, x *exchange) {
	t.Helper()
	conns := x.all.Conns()
	if syn, _ := conns[0].SYN(); len(conns) != 1 || syn.TFO.Kind != 0 || syn.Len != 0 {
		t.Errorf("%d connections, a SYN with %v and %d bytes; want one, and a plain SYN:\n%v", len(conns), syn.TFO, syn.Len, x.all)
	}
}

// prepared returns a client that has made requests until one was good. On a busy machine a client may come to avoid Fast Open; another takes its place.
func prepared(t *testing.T, newUser func() *user, good func(*exchange) bool) *user {
	t.Helper()
	var x *exchange
	for range tries {
		u := newUser()
		for range 3 {
			if x = u.get(early); good(x) && len(x.all.Conns()) == 1 {
				return u
			}
		}
	}
	t.Fatalf("in %d attempts: %+v\n%v", tries, x.summary(), x.all)
	return nil
}

// fetchCookie gets the client's kernel a cookie for an address.
func fetchCookie(t *testing.T, lab *netlab.Lab, addr netip.Addr, ca string) {
	t.Helper()
	prepared(t, func() *user { return newUser(t, lab, addr.String(), profile{CA: ca}) }, func(x *exchange) bool { return x.SynAcked })
}
