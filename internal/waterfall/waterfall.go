// Package waterfall draws what a packet log has of requests: a picture of
// packets between a client and a server, time going down, for a terminal
// (Picture.Text) or as an image (Picture.SVG).
//
// All of the picture comes from the log. What is in a packet is read from its
// TLS records, decrypted with the connection's own key log; where that has no
// key the picture says "encrypted".
package waterfall

import (
	"slices"
	"strings"
	"time"

	"github.com/tlstfo/tlstfo/internal/netlab"
)

// An Exchange is a request and its response, as a packet log has them.
type Exchange struct {
	Title, Subtitle string        // who asked, and when
	RTT             time.Duration // of the wire
	Packets         netlab.Packets
	KeyLog          []byte // of all connections, as SSLKEYLOGFILE has it
	Failure         string // why there was no response, or ""

	// Simulated says that TCP's own packets were not logged: SYN and SYN-ACK
	// stand for those that a wire would have carried.
	Simulated bool
}

// A Flight is what one side sent at about the same time.
type Flight struct {
	From            netlab.Side
	Conn            int // which connection, from 0
	Sent, Delivered time.Duration
	Parts           []Part
	Fate            netlab.Fate
	Fault           string // what the wire did to it, or ""
	Becomes         []Part // what arrived instead, where Fate is Replaced
	Made            bool   // by the wire, not by From

	answer  bool          // has the first byte of the response
	slowest time.Duration // that one of its packets took
}

// A Picture is what is drawn together.
type Picture struct {
	Title, Caption string
	Waterfalls     []*Waterfall // in pairs that are to be compared
}

// A Waterfall is an exchange as it is drawn.
type Waterfall struct {
	Exchange
	Flights   []Flight
	Start     time.Duration // of the first SYN, on the log's clock; the flights' times are from here
	Response  time.Duration // when its first byte was with the client; negative if it never was
	Turns     int           // round trips that led to it, by cause
	SYNBytes  int           // payload in the SYN of the connection that the response came on
	EarlySent int           // bytes of early data records in that SYN
}

// together is the share of the round-trip time in which packets count as sent
// together.
const together = 8

// New takes an exchange apart. What comes after the response is left out, and
// so are acknowledgements without data.
func New(x Exchange) *Waterfall {
	w := &Waterfall{Exchange: x, Response: -1}
	conns := x.Packets.Conns()
	keys := parseKeyLog(x.KeyLog)
	var all []Flight
	for i, c := range conns {
		all = append(all, flightsOf(i, c, keys)...)
	}
	slices.SortStableFunc(all, func(a, b Flight) int { return int(a.Sent - b.Sent) })
	if len(all) == 0 {
		return w
	}
	w.Start = all[0].Sent
	for i := range all {
		all[i].Sent -= w.Start
		if all[i].Delivered > 0 {
			all[i].Delivered -= w.Start
		}
	}
	if i := slices.IndexFunc(all, func(f Flight) bool { return f.answer }); i >= 0 {
		w.Response = all[i].Delivered
		w.Turns = turns(all, i)
		w.syn(all, all[i].Conn)
		all = slices.DeleteFunc(all, func(f Flight) bool { return f.Sent >= w.Response })
	}
	w.Flights = merge(all, x.RTT/together)
	return w
}

// syn notes what the delivered SYN of a connection carried.
func (w *Waterfall) syn(all []Flight, conn int) {
	for _, f := range all {
		if f.Conn != conn || f.Fate != netlab.Delivered || !hasSYN(f) || f.From != netlab.ClientSide {
			continue
		}
		for _, p := range f.Parts {
			w.SYNBytes += p.Bytes
			if p.Kind == Early {
				w.EarlySent += p.Bytes
			}
		}
		return
	}
}

func hasSYN(f Flight) bool {
	return slices.ContainsFunc(f.Parts, func(p Part) bool { return p.Kind == SYN })
}

// flightsOf makes a flight of each packet of a connection that is drawn.
func flightsOf(conn int, c netlab.Conn, keys keyLog) []Flight {
	var client, server stream
	for _, p := range c.Packets {
		if p.Src == c.Client {
			client.add(p)
		} else {
			server.add(p)
		}
	}
	client.decode(netlab.ClientSide, keys.epochs(clientLabels, client.random()))
	server.decode(netlab.ServerSide, keys.epochs(serverLabels, client.random()))

	var all []Flight
	answered := false
	sides := map[bool]*side{true: {stream: &client}, false: {stream: &server}}
	for i := 0; i < len(c.Packets); i++ {
		p := c.Packets[i]
		from := sides[p.Src == c.Client]
		if p.Len == 0 && p.Flags&(netlab.SYN|netlab.RST) == 0 {
			continue
		}
		f := Flight{slowest: p.Delivered - p.Sent, From: p.From, Conn: conn, Sent: p.Sent, Delivered: p.Delivered, Fate: p.Fate, Fault: p.Fault, Parts: from.packet(p)}
		switch {
		case p.Fate == netlab.Replaced:
			if j := slices.IndexFunc(c.Packets[i+1:], func(q netlab.Packet) bool { return q.Sent == p.Sent && q.From == p.From && q.Fault == p.Fault }); j >= 0 {
				q := c.Packets[i+1+j]
				f.Delivered, f.Becomes = q.Delivered, from.payload(q)
				c.Packets = slices.Delete(slices.Clone(c.Packets), i+1+j, i+2+j)
			}
		case p.Fault != "" && p.Fate == netlab.Delivered:
			f.Made = true
		}
		f.answer = !answered && f.Delivered > 0 && slices.ContainsFunc(f.Parts, func(p Part) bool { return p.Kind == Response })
		answered = answered || f.answer
		all = append(all, f)
	}
	return all
}

// side is one side of a connection, and how far it got.
type side struct {
	*stream
	said int // the end of what was sent so far
	syn  bool
}

// packet says what is in a packet, and whether it was there before.
func (s *side) packet(p netlab.Packet) []Part {
	parts := s.payload(p)
	again := p.Len > 0 && s.offset(p)+p.Len <= s.said || p.Flags.Has(netlab.SYN) && s.syn
	for i := range parts {
		parts[i].Again = again
	}
	s.syn = s.syn || p.Flags.Has(netlab.SYN)
	s.said = max(s.said, s.offset(p)+p.Len)
	return parts
}

func (s *side) payload(p netlab.Packet) []Part {
	var parts []Part
	switch {
	case p.Flags.Has(netlab.SYN):
		parts = append(parts, Part{Kind: SYN, Name: synName(p)})
	case p.Flags.Has(netlab.RST):
		parts = append(parts, Part{Kind: Control, Name: "reset"})
	}
	if p.Len > 0 {
		parts = append(parts, s.parts(p)...)
	}
	return parts
}

// synName names a SYN or SYN-ACK with its TCP Fast Open option (RFC 7413).
func synName(p netlab.Packet) string {
	name := "SYN"
	if p.Flags.Has(netlab.ACK) {
		name = "SYN-ACK"
	}
	switch {
	case p.TFO.Asks():
		return name + " (asks for a cookie)"
	case p.TFO.HasCookie():
		return name + " (cookie)"
	}
	return name
}

// Late is the longest time by which a packet that is drawn took longer than
// the wire should have taken, faults apart: how far the times are to be
// trusted.
func (w *Waterfall) Late() (late time.Duration) {
	for _, f := range w.Flights {
		if f.Fate == netlab.Delivered && f.Fault == "" {
			late = max(late, f.slowest-w.RTT/2)
		}
	}
	return late
}

// turns is how many round trips led to a flight: half the length of the chain
// of flights of which each was sent after the one before had arrived.
func turns(all []Flight, last int) int {
	depths := make([]int, last+1)
	for i, f := range all[:last+1] {
		depths[i] = 1
		for j, cause := range all[:i] {
			if cause.From != f.From && cause.Delivered > 0 && cause.Delivered <= f.Sent {
				depths[i] = max(depths[i], depths[j]+1)
			}
		}
	}
	return (depths[last] + 1) / 2
}

// merge makes one flight of those that left within a time, the same way, and
// had the same fate.
func merge(all []Flight, within time.Duration) []Flight {
	var merged []Flight
	for _, f := range all {
		f.Parts = tidy(f.Parts)
		i := slices.IndexFunc(merged, func(m Flight) bool {
			return m.From == f.From && m.Conn == f.Conn && f.Sent-m.Sent <= within && m.Fate == f.Fate &&
				m.Fault == f.Fault && (f.Fault == "" || f.Fate == netlab.Dropped)
		})
		if i < 0 {
			merged = append(merged, f)
			continue
		}
		m := &merged[i]
		m.Parts = tidy(append(slices.Clone(m.Parts), f.Parts...))
		m.Delivered = max(m.Delivered, f.Delivered)
		m.answer = m.answer || f.answer
		m.slowest = max(m.slowest, f.slowest)
	}
	return merged
}

// tidy joins neighbours of one kind. A part without a name belongs to the one
// before it, or else to the one behind.
func tidy(parts []Part) []Part {
	var out []Part
	for _, p := range parts {
		if n := len(out) - 1; n >= 0 && out[n].Bytes > 0 && out[n].Again == p.Again && (out[n].Kind == p.Kind || p.Name == "" || out[n].Name == "") {
			if out[n].Name == "" {
				out[n].Kind = p.Kind
			}
			out[n].Name = joinNames(out[n].Name, p.Name)
			out[n].Bytes += p.Bytes
			continue
		}
		out = append(out, p)
	}
	return out
}

func joinNames(a, b string) string {
	if a != "" && (b == anyData || b == earlyData) {
		return a
	}
	names := strings.Split(a, ", ")
	for _, name := range strings.Split(b, ", ") {
		if !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	return strings.Trim(strings.Join(names, ", "), ", ")
}
