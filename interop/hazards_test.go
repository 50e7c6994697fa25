package interop

import (
	"context"
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/tlstfo/tlstfo/internal/netlab"
	"github.com/tlstfo/tlstfo/tfo"
)

// A hazard is what requests may meet on their way, or at its end.
type hazard struct {
	name string
	does string // what it is, for the page

	fault  netlab.Fault
	random bool // the fault strikes at random: many runs, with seeds of their own, and medians
	mtu    int
	v6     bool // the server is dialled by its IPv6 address
	both   bool // the server is dialled by a name that has an IPv6 address beside the IPv4 address
	queue  int  // Fast Open's queue at the server

	begin func(*meeting)                     // before the first request
	each  func(m *meeting, dial int)         // before each dial of tlstfo
	met   func(m *meeting, x *exchange) bool // nil: a packet tells

	cold bool // the short run meets it at first contact, too: it needs no data in the SYN

	// learns: Fast Open did harm, so that it is left alone from the second meeting on.
	learns bool
	// twice is why a GET may reach the application twice; "" if it must not.
	twice string
}

const (
	unanswered = "The first flight arrived, and nothing told the client so: it cannot know, and the request goes again under traffic keys, which no network can repeat"
	replayed   = "The network repeats the SYN; RFC 7413, section 2.1, and RFC 8446, section 8, leave that to the server"
)

// hazards are all that is known to have harmed Fast Open.
func hazards() []hazard {
	return []hazard{
		{name: "none", does: "an honest network", cold: true},
		{name: "SYN with data lost", does: "a SYN with data vanishes", fault: netlab.Fault{Name: netlab.DropSYNData}, learns: true},
		{name: "SYN with option lost", does: "a SYN with a Fast Open option vanishes, also one that only asks for a cookie", fault: netlab.Fault{Name: netlab.DropTFO}, cold: true, learns: true},
		{name: "option stripped", does: "the Fast Open option is removed from SYN and SYN-ACK", fault: netlab.Fault{Name: netlab.StripTFO}},
		{name: "data stripped", does: "the data is removed from the SYN", fault: netlab.Fault{Name: netlab.StripPayload}},
		{name: "SYN with data reset", does: "a SYN with data is answered by a reset", fault: netlab.Fault{Name: netlab.ResetSYNData, Delay: rtt / 4}, learns: true},
		{name: "SYN with option reset", does: "a SYN with a Fast Open option is answered by a reset", fault: netlab.Fault{Name: netlab.ResetTFO, Delay: rtt / 4}, cold: true, learns: true},
		{name: "SYN-ACK lost once", does: "the first SYN-ACK vanishes, net/http's likewise", fault: netlab.Fault{Name: netlab.DropSYNACK, Times: 1}, learns: true, twice: unanswered},
		{name: "black hole", does: "after the SYN-ACK to a SYN with data nothing passes in either direction", fault: netlab.Fault{Name: netlab.BlackHole}, learns: true, twice: unanswered},
		{name: "black hole from the server", does: "after the SYN-ACK to a SYN with data nothing of the server's passes", fault: netlab.Fault{Name: netlab.BlackHole, From: netlab.ServerSide}, learns: true, twice: unanswered},
		{name: "SYN duplicated", does: "a SYN with data arrives twice, 5 ms apart", fault: netlab.Fault{Name: netlab.DuplicateSYNData, Delay: 5 * time.Millisecond}},
		{name: "SYN replayed", does: "when a connection has ended its SYN with data arrives once more", fault: netlab.Fault{Name: netlab.ReplaySYNData, Delay: rtt / 4}, twice: replayed},
		{name: "reordering", does: "a fifth of all packets takes 5 ms longer than the others", fault: netlab.Fault{Name: netlab.Reorder, Percent: 20, Delay: 5 * time.Millisecond}, random: true, twice: unanswered},
		{name: "loss of 1 %", does: "so many of all packets vanish, at random", fault: netlab.Fault{Name: netlab.Loss, Percent: 1}, random: true, twice: unanswered},
		{name: "loss of 5 %", does: "likewise", fault: netlab.Fault{Name: netlab.Loss, Percent: 5}, random: true, twice: unanswered},
		{name: "loss of 10 %", does: "likewise", fault: netlab.Fault{Name: netlab.Loss, Percent: 10}, random: true, twice: unanswered},
		{name: "MTU 1280", does: "of both hosts' interfaces", mtu: 1280, met: always},
		{name: "dead IPv6", does: "the name has two addresses, and no packet passes over IPv6", fault: netlab.Fault{Name: netlab.DeadIPv6}, both: true},
		{name: "all but one byte", does: "a SYN-ACK acknowledges all of the SYN's data but the last byte, as of some proxies", fault: netlab.Fault{Name: netlab.OneByteLess}},
		{name: "cookie key changes", does: "the server makes a new key for cookies before every dial", each: newCookieKey, met: untaken},
		{name: "queue full", does: "the server's Fast Open queue is full", queue: 1, begin: fillQueue, met: untaken},
	}
}

func always(*meeting, *exchange) bool { return true }

// newCookieKey makes all cookies invalid.
func newCookieKey(m *meeting, dial int) {
	if err := m.lab.Server.Sysctl("net.ipv4.tcp_fastopen_key", fmt.Sprintf("%08x-%08x-%08x-%08x", dial+1, 2, 3, 4)); err != nil {
		m.Fatal(err)
	}
}

// untaken is a meeting with a server that took no data from the SYN, or that gave no cookie.
func untaken(_ *meeting, x *exchange) bool {
	for _, c := range x.all.Conns() {
		syn, _ := c.SYN()
		for _, p := range c.FromServer() {
			if p.Flags.Has(netlab.SYN|netlab.ACK) && (syn.Len > 0 && p.Ack == syn.Seq+1 || syn.TFO.Asks() && !p.TFO.HasCookie()) {
				return true
			}
		}
	}
	return false
}

// fillQueue takes the one place in the server's queue with a connection whose SYN-ACK is never acknowledged. Neither side wants a cookie for it: none
// is handed out that way.
func fillQueue(m *meeting) {
	fastOpen := func(client, server string) {
		const name = "net.ipv4.tcp_fastopen"
		if err := errors.Join(m.lab.Client.Sysctl(name, client), m.lab.Server.Sysctl(name, server)); err != nil {
			m.Fatal(err)
		}
	}
	fastOpen("0x5", "0x203")
	m.faults(netlab.Fault{Name: netlab.BlackHole, From: netlab.ClientSide})
	if out, err := m.lab.Client.Func(m.Context(), "half", m.lab.Server.IPv4.String()).CombinedOutput(); err != nil {
		m.Fatalf("%v: %s", err, out)
	}
	m.faults()
	fastOpen("1", "3")
}

// halfMain begins a connection with data in the SYN, and resets it at once.
func halfMain(args []string) error {
	record := []byte{22, 3, 1, 2, 0, 1} // the first bytes of a hello
	conn, info, err := new(tfo.Dialer).DialContext(context.Background(), "tcp", net.JoinHostPort(args[0], port),
		func(context.Context, *tfo.Attempt) (tfo.Flight, error) { return tfo.Flight{Data: record}, nil })
	switch {
	case err != nil:
		return err
	case !info.SynAcked:
		return fmt.Errorf("the SYN's data was not acknowledged: %v", info.Why)
	}
	conn.SetLinger(0)
	return conn.Close()
}
