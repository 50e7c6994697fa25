package netlab

import (
	"encoding/binary"
	"net/netip"
	"time"
)

// A Packet is one TCP packet in the log.
type Packet struct {
	Sent      time.Duration // arrival at the wire, since the start of the lab
	Delivered time.Duration // departure from the wire, since the start of the lab; 0 unless Fate is Delivered
	From      Side          // the end of the wire that it came from, or seems to come from if the wire made it
	Src, Dst  netip.AddrPort
	Flags     TCPFlags
	Seq, Ack  uint32
	TFO       TFOOption `json:",omitzero"`
	Len       int       // payload length
	Payload   []byte    // as many of its first bytes as Config.PayloadBytes allows
	Fate      Fate
	Fault     string `json:",omitempty"` // the fault that decided its fate, or that made it
}

// IPVersion returns 4 or 6.
func (p Packet) IPVersion() int {
	if p.Src.Addr().Is4() {
		return 4
	}
	return 6
}

// ClientHello reports whether the payload begins with a TLS handshake record that begins with a ClientHello
// (RFC 8446 sections 4 and 5.1).
func (p Packet) ClientHello() bool {
	return len(p.Payload) >= 6 && p.Payload[0] == 22 && p.Payload[1] == 3 && p.Payload[5] == 1
}

// Fate is what became of a packet.
type Fate uint8

// The fates of a packet.
const (
	InFlight  Fate = iota // on the wire when the log was copied
	Delivered             // handed to the other host
	Dropped               // by a fault
	Replaced              // by a fault: what was delivered instead follows in the log
	SendError             // the wire could not hand it over
)

// TCPFlags are the flag bits of a TCP header (RFC 9293 section 3.1).
type TCPFlags uint8

// The TCP flags.
const (
	FIN TCPFlags = 1 << iota
	SYN
	RST
	PSH
	ACK
	URG
	ECE
	CWR
)

// Has reports whether all of these flags are set.
func (f TCPFlags) Has(flags TCPFlags) bool { return f&flags == flags }

// TFOOption is the TCP Fast Open option of a packet (RFC 7413 section 4.1.1).
type TFOOption struct {
	Kind   uint8  `json:",omitempty"` // 0: no such option; 34: the assigned kind; 254: the experimental one (RFC 7413 section 8)
	Cookie []byte `json:",omitempty"` // empty: the client asks for a cookie
}

// Asks reports whether the option asks for a cookie.
func (o TFOOption) Asks() bool { return o.Kind != 0 && len(o.Cookie) == 0 }

// HasCookie reports whether the option carries a cookie.
func (o TFOOption) HasCookie() bool { return len(o.Cookie) > 0 }

const (
	etherHeader  = 14
	etherTypeIP4 = 0x0800
	etherTypeARP = 0x0806
	etherTypeIP6 = 0x86dd

	protoTCP    = 6
	protoICMPv6 = 58

	optEnd          = 0
	optNop          = 1
	optTFO          = 34
	optExperimental = 254
	tfoMagic        = 0xf989 // names TFO in an experimental option (RFC 7413 section 8)
)

// traffic is how the wire treats a frame.
type traffic uint8

const (
	otherTraffic     traffic = iota // delayed, not logged
	neighbourTraffic                // address resolution: passed at once, so that it never counts as a round trip
	tcpTraffic                      // delayed, logged, subject to faults
)

// layout is where the parts of a TCP packet's frame begin.
type layout struct {
	ip, tcp, payload, end int
}

// parse reads an Ethernet frame. For TCP it returns the packet's header fields, all of its payload (aliasing frame) and where
// things are. What is malformed, fragmented or not TCP is otherTraffic: the wire judges nothing.
func parse(frame []byte) (Packet, layout, traffic) {
	if len(frame) < etherHeader {
		return Packet{}, layout{}, otherTraffic
	}
	switch binary.BigEndian.Uint16(frame[12:]) {
	case etherTypeARP:
		return Packet{}, layout{}, neighbourTraffic
	case etherTypeIP4:
		return parseIPv4(frame)
	case etherTypeIP6:
		return parseIPv6(frame)
	}
	return Packet{}, layout{}, otherTraffic
}

func parseIPv4(frame []byte) (Packet, layout, traffic) {
	ip := frame[etherHeader:]
	if len(ip) < 20 || ip[0]>>4 != 4 {
		return Packet{}, layout{}, otherTraffic
	}
	header, total := int(ip[0]&15)*4, int(binary.BigEndian.Uint16(ip[2:]))
	fragment := binary.BigEndian.Uint16(ip[6:])&0x3fff != 0 // offset, or more to come
	if header < 20 || total < header || total > len(ip) || fragment || ip[9] != protoTCP {
		return Packet{}, layout{}, otherTraffic
	}
	src, dst := netip.AddrFrom4([4]byte(ip[12:])), netip.AddrFrom4([4]byte(ip[16:]))
	return parseTCP(frame, layout{ip: etherHeader, tcp: etherHeader + header, end: etherHeader + total}, src, dst)
}

func parseIPv6(frame []byte) (Packet, layout, traffic) {
	ip := frame[etherHeader:]
	if len(ip) < 40 || ip[0]>>4 != 6 {
		return Packet{}, layout{}, otherTraffic
	}
	total := 40 + int(binary.BigEndian.Uint16(ip[4:]))
	if total > len(ip) {
		return Packet{}, layout{}, otherTraffic
	}
	next, at := ip[6], 40
	for next == 0 || next == 43 || next == 60 { // hop-by-hop, routing and destination options (RFC 8200 section 4)
		if at+8 > total {
			return Packet{}, layout{}, otherTraffic
		}
		next, at = ip[at], at+8+8*int(ip[at+1])
	}
	if next == protoICMPv6 && at < total && ip[at] >= 133 && ip[at] <= 137 { // neighbour discovery (RFC 4861 section 4)
		return Packet{}, layout{}, neighbourTraffic
	}
	if next != protoTCP || at > total {
		return Packet{}, layout{}, otherTraffic
	}
	src, dst := netip.AddrFrom16([16]byte(ip[8:])), netip.AddrFrom16([16]byte(ip[24:]))
	return parseTCP(frame, layout{ip: etherHeader, tcp: etherHeader + at, end: etherHeader + total}, src, dst)
}

func parseTCP(frame []byte, at layout, src, dst netip.Addr) (Packet, layout, traffic) {
	tcp := frame[at.tcp:at.end]
	if len(tcp) < 20 {
		return Packet{}, layout{}, otherTraffic
	}
	header := int(tcp[12]>>4) * 4
	if header < 20 || header > len(tcp) {
		return Packet{}, layout{}, otherTraffic
	}
	at.payload = at.tcp + header
	return Packet{
		Src:     netip.AddrPortFrom(src, binary.BigEndian.Uint16(tcp)),
		Dst:     netip.AddrPortFrom(dst, binary.BigEndian.Uint16(tcp[2:])),
		Seq:     binary.BigEndian.Uint32(tcp[4:]),
		Ack:     binary.BigEndian.Uint32(tcp[8:]),
		Flags:   TCPFlags(tcp[13]),
		TFO:     parseTFO(tcp[20:header]),
		Len:     len(tcp) - header,
		Payload: tcp[header:],
	}, at, tcpTraffic
}

// parseTFO looks for the TCP Fast Open option among a header's options.
func parseTFO(options []byte) TFOOption {
	start, end := findTFO(options)
	switch {
	case start == end:
		return TFOOption{}
	case options[start] == optExperimental:
		return TFOOption{Kind: optExperimental, Cookie: options[start+4 : end]}
	}
	return TFOOption{Kind: optTFO, Cookie: options[start+2 : end]}
}

// findTFO returns where that option begins and ends; they are equal if there is none.
func findTFO(options []byte) (start, end int) {
	for at := 0; at+2 <= len(options) && options[at] != optEnd; {
		if options[at] == optNop {
			at++
			continue
		}
		kind, n := options[at], int(options[at+1])
		if n < 2 || at+n > len(options) {
			break
		}
		body := options[at+2 : at+n]
		if kind == optTFO || kind == optExperimental && len(body) >= 2 && binary.BigEndian.Uint16(body) == tfoMagic {
			return at, at + n
		}
		at += n
	}
	return 0, 0
}
