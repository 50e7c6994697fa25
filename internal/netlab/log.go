package netlab

import (
	"fmt"
	"net/netip"
	"strings"
	"time"
)

// Packets is a packet log, or a part of one, in the order of arrival at the wire.
type Packets []Packet

// A Conn is the packets of one TCP connection.
type Conn struct {
	Client, Server netip.AddrPort // Client sent the first SYN
	Packets        Packets
}

// Conns groups the packets by connection, in the order of their first SYNs. Packets of a connection whose SYN is not in the log
// are left out: the tail of one that began before the log was reset. A SYN with a new sequence number begins a new connection
// even if it reuses the ports of an old one.
func (ps Packets) Conns() []Conn {
	type ends struct{ client, server netip.AddrPort }
	var conns []Conn
	latest := make(map[ends]int)
	for _, p := range ps {
		i, known := latest[ends{p.Src, p.Dst}]
		if p.Flags&(SYN|ACK) == SYN && (!known || conns[i].Packets[0].Seq != p.Seq) {
			i, known = len(conns), true
			conns = append(conns, Conn{Client: p.Src, Server: p.Dst})
			latest[ends{p.Src, p.Dst}] = i
			delete(latest, ends{p.Dst, p.Src})
		}
		if !known {
			i, known = latest[ends{p.Dst, p.Src}]
		}
		if known {
			conns[i].Packets = append(conns[i].Packets, p)
		}
	}
	return conns
}

// Filter returns the packets for which keep is true.
func (ps Packets) Filter(keep func(Packet) bool) Packets {
	var kept Packets
	for _, p := range ps {
		if keep(p) {
			kept = append(kept, p)
		}
	}
	return kept
}

// FromClient returns the packets that the client end of the connection sent.
func (c Conn) FromClient() Packets {
	return c.Packets.Filter(func(p Packet) bool { return p.Src == c.Client })
}

// FromServer returns the packets that the server end of the connection sent.
func (c Conn) FromServer() Packets {
	return c.Packets.Filter(func(p Packet) bool { return p.Src == c.Server })
}

// SYN returns the connection's first SYN, whatever became of it, and whether there is one.
func (c Conn) SYN() (Packet, bool) {
	for _, p := range c.FromClient() {
		if p.Flags&(SYN|ACK) == SYN {
			return p, true
		}
	}
	return Packet{}, false
}

// FirstResponse returns the first packet with payload from the server that was delivered, and whether there is one.
func (c Conn) FirstResponse() (Packet, bool) {
	for _, p := range c.FromServer() {
		if p.Len > 0 && p.Fate == Delivered {
			return p, true
		}
	}
	return Packet{}, false
}

// BeforeResponse returns the packets with payload that the client sent before the first payload of the server was delivered
// to it: its flights up to there.
func (c Conn) BeforeResponse() Packets {
	first, ok := c.FirstResponse()
	return c.FromClient().Filter(func(p Packet) bool { return p.Len > 0 && (!ok || p.Sent < first.Delivered) })
}

// FirstByte returns the time from the first SYN's arrival at the wire to the delivery of the server's first payload byte, or
// a negative number when one of them is not in the log.
func (c Conn) FirstByte() time.Duration {
	syn, ok1 := c.SYN()
	first, ok2 := c.FirstResponse()
	if !ok1 || !ok2 {
		return -1
	}
	return first.Delivered - syn.Sent
}

// RoundTrips returns FirstByte in round trips, or -1.
func (c Conn) RoundTrips(rtt time.Duration) float64 {
	first := c.FirstByte()
	if first < 0 || rtt <= 0 {
		return -1
	}
	return float64(first) / float64(rtt)
}

// Turns returns after how many round trips the first packet from the server that matches came, by cause instead of by the clock:
// half the length of the chain of packets that led to it, each sent after the one before was delivered. Acknowledgements without
// payload cause nothing. It is 0 when no delivered packet matches; a nil match is any payload.
//
// Unlike RoundTrips it is a whole number and does not grow when the machine is busy, until a host takes longer than a round trip to
// answer.
func (c Conn) Turns(match func(Packet) bool) int {
	depths := make([]int, len(c.Packets))
	for i, p := range c.Packets {
		depths[i] = 1
		for j, cause := range c.Packets[:i] {
			progress := cause.Len > 0 || cause.Flags&(SYN|FIN|RST) != 0
			if progress && cause.Dst == p.Src && cause.Fate == Delivered && cause.Delivered <= p.Sent {
				depths[i] = max(depths[i], depths[j]+1)
			}
		}
		if p.Src == c.Server && p.Fate == Delivered && (match == nil && p.Len > 0 || match != nil && match(p)) {
			return (depths[i] + 1) / 2
		}
	}
	return 0
}

// String renders the packets line by line, resembling tcpdump.
func (ps Packets) String() string {
	var b strings.Builder
	for _, p := range ps {
		b.WriteString(p.String())
		b.WriteByte('\n')
	}
	return b.String()
}

// String renders the packet on one line, for instance
//
//	12.345 ms client IP4 192.0.2.1.40000 > 192.0.2.2.443: Flags [S], seq 1, ack 0, tfo cookie 0102030405060708, length 500 ClientHello; delivered 32.401 ms
func (p Packet) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%9.3f ms %v IP%d %s.%d > %s.%d: Flags [%v], seq %d, ack %d", ms(p.Sent), p.From, p.IPVersion(),
		p.Src.Addr(), p.Src.Port(), p.Dst.Addr(), p.Dst.Port(), p.Flags, p.Seq, p.Ack)
	if p.TFO.Kind != 0 {
		fmt.Fprintf(&b, ", %v", p.TFO)
	}
	fmt.Fprintf(&b, ", length %d", p.Len)
	if p.ClientHello() {
		b.WriteString(" ClientHello")
	}
	switch p.Fate {
	case Delivered:
		fmt.Fprintf(&b, "; delivered %.3f ms", ms(p.Delivered))
	default:
		fmt.Fprintf(&b, "; %v", p.Fate)
	}
	if p.Fault != "" {
		fmt.Fprintf(&b, " by %s", p.Fault)
	}
	return b.String()
}

func ms(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

func (f Fate) String() string {
	switch f {
	case InFlight:
		return "in flight"
	case Delivered:
		return "delivered"
	case Dropped:
		return "dropped"
	case Replaced:
		return "replaced"
	case SendError:
		return "send error"
	}
	return fmt.Sprintf("fate(%d)", uint8(f))
}

// String renders the flags as tcpdump does: "S", "S.", "P.", "F.", "none".
func (f TCPFlags) String() string {
	var b strings.Builder
	for _, flag := range []struct {
		bit  TCPFlags
		mark byte
	}{{FIN, 'F'}, {SYN, 'S'}, {RST, 'R'}, {PSH, 'P'}, {ACK, '.'}, {URG, 'U'}, {ECE, 'E'}, {CWR, 'W'}} {
		if f.Has(flag.bit) {
			b.WriteByte(flag.mark)
		}
	}
	if b.Len() == 0 {
		return "none"
	}
	return b.String()
}

func (o TFOOption) String() string {
	name := "tfo"
	switch {
	case o.Kind == 0:
		return "no tfo"
	case o.Kind == optExperimental:
		name = "exp-tfo"
	}
	if o.Asks() {
		return name + " cookiereq"
	}
	return fmt.Sprintf("%s cookie %x", name, o.Cookie)
}
