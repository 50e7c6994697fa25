package netlab

import (
	"bytes"
	"encoding/binary"
	"net/netip"
	"slices"
	"testing"
)

// segment builds an Ethernet frame with a TCP segment, lengths and checksums right.
func segment(src, dst string, flags TCPFlags, seq uint32, options, payload []byte) []byte {
	a, b := netip.MustParseAddrPort(src), netip.MustParseAddrPort(dst)
	for len(options)%4 != 0 {
		options = append(options, optNop)
	}
	tcp := make([]byte, 20, 60)
	binary.BigEndian.PutUint16(tcp, a.Port())
	binary.BigEndian.PutUint16(tcp[2:], b.Port())
	binary.BigEndian.PutUint32(tcp[4:], seq)
	tcp[12], tcp[13] = uint8(20+len(options))/4<<4, uint8(flags)
	tcp = slices.Concat(tcp, options, payload)
	ip := make([]byte, 40)
	etherType := []byte{0x86, 0xdd}
	if a.Addr().Is4() {
		ip, etherType = ip[:20], []byte{8, 0}
		ip[0], ip[8], ip[9] = 0x45, 64, protoTCP
		binary.BigEndian.PutUint16(ip[2:], uint16(20+len(tcp)))
		copy(ip[12:], a.Addr().AsSlice())
		copy(ip[16:], b.Addr().AsSlice())
	} else {
		ip[0], ip[6], ip[7] = 0x60, protoTCP, 64
		binary.BigEndian.PutUint16(ip[4:], uint16(len(tcp)))
		copy(ip[8:], a.Addr().AsSlice())
		copy(ip[24:], b.Addr().AsSlice())
	}
	raw := slices.Concat(make([]byte, 12), etherType, ip, tcp)
	at := layout{ip: etherHeader, tcp: etherHeader + len(ip), payload: len(raw) - len(payload), end: len(raw)}
	return frame{Packet: Packet{Src: a}, at: at}.edited(raw).raw
}

var (
	cookie     = []byte{1, 2, 3, 4, 5, 6, 7, 8}
	mss        = []byte{2, 4, 5, 180}
	withCookie = slices.Concat(mss, []byte{optNop, optTFO, 10}, cookie)
)

const (
	client4, server4 = "192.0.2.1:40000", "192.0.2.2:443"
	client6, server6 = "[2001:db8::1]:40000", "[2001:db8::2]:443"
)

func TestParse(t *testing.T) {
	for _, test := range []struct {
		name    string
		options []byte
		want    TFOOption
	}{
		{"no options", nil, TFOOption{}},
		{"mss only", mss, TFOOption{}},
		{"cookie request", []byte{optTFO, 2}, TFOOption{Kind: 34}},
		{"cookie", withCookie, TFOOption{Kind: 34, Cookie: cookie}},
		{"experimental request", []byte{optExperimental, 4, 0xf9, 0x89}, TFOOption{Kind: 254}},
		{"experimental cookie", slices.Concat([]byte{optExperimental, 12, 0xf9, 0x89}, cookie), TFOOption{Kind: 254, Cookie: cookie}},
		{"another experiment", []byte{optExperimental, 4, 1, 2}, TFOOption{}},
		{"after the end of options", []byte{optEnd, optTFO, 2}, TFOOption{}},
		{"longer than the header", []byte{optTFO, 40}, TFOOption{}},
		{"length 0", []byte{optTFO, 0}, TFOOption{}},
	} {
		for _, ends := range [][2]string{{client4, server4}, {client6, server6}} {
			raw := segment(ends[0], ends[1], SYN, 77, test.options, []byte("payload"))
			p, at, kind := parse(append(raw, 0, 0, 0)) // padding of a short frame
			if kind != tcpTraffic || p.Src.String() != ends[0] || p.Dst.String() != ends[1] || p.Flags != SYN || p.Seq != 77 {
				t.Fatalf("%s: kind %d: %v", test.name, kind, p)
			}
			if p.Len != 7 || string(p.Payload) != "payload" || at.end != len(raw) {
				t.Errorf("%s: payload %q, length %d, end %d of %d", test.name, p.Payload, p.Len, at.end, len(raw))
			}
			if p.TFO.Kind != test.want.Kind || !bytes.Equal(p.TFO.Cookie, test.want.Cookie) {
				t.Errorf("%s: %v, want %v", test.name, p.TFO, test.want)
			}
			if sum := tcpSum(raw, at); sum != 0xffff {
				t.Errorf("%s: TCP checksum: sum %#x", test.name, sum)
			}
		}
	}
}

func TestParseOther(t *testing.T) {
	change := func(raw []byte, at int, b ...byte) []byte {
		copy(raw[at:], b)
		return raw
	}
	v4 := func() []byte { return segment(client4, server4, ACK, 1, nil, []byte("x")) }
	v6 := func() []byte { return segment(client6, server6, ACK, 1, nil, []byte("x")) }
	neighbour := v6()
	neighbour[20], neighbour[54] = protoICMPv6, 135
	routing := slices.Insert(v6(), 54, protoTCP, 0, 0, 0, 0, 0, 0, 0)
	routing[19] += 8 // payload length
	routing[20] = 43 // next header
	for _, test := range []struct {
		name string
		raw  []byte
		want traffic
	}{
		{"empty", nil, otherTraffic},
		{"arp", change(v4(), 12, 8, 6), neighbourTraffic},
		{"vlan", change(v4(), 12, 0x81, 0), otherTraffic},
		{"udp", change(v4(), 14+9, 17), otherTraffic},
		{"first fragment", change(v4(), 14+6, 0x20), otherTraffic},
		{"last fragment", change(v4(), 14+7, 9), otherTraffic},
		{"don't fragment", change(v4(), 14+6, 0x40), tcpTraffic},
		{"ip length beyond the frame", change(v4(), 14+2, 0xff), otherTraffic},
		{"ip length below its header", change(v4(), 14+2, 0, 19), otherTraffic},
		{"ip header length 4", change(v4(), 14, 0x41), otherTraffic},
		{"tcp header of 16", change(v4(), 14+20+12, 4<<4), otherTraffic},
		{"tcp header beyond the packet", change(v4(), 14+20+12, 15<<4), otherTraffic},
		{"ipv6 length beyond the frame", change(v6(), 14+4, 0xff), otherTraffic},
		{"neighbour solicitation", neighbour, neighbourTraffic},
		{"ipv6 extension header", routing, tcpTraffic},
		{"endless extension header", change(slices.Clone(routing), 55, 200), otherTraffic},
	} {
		if _, _, got := parse(test.raw); got != test.want {
			t.Errorf("%s: traffic %d, want %d", test.name, got, test.want)
		}
	}
}

func TestWithPayload(t *testing.T) {
	for _, ends := range [][2]string{{client4, server4}, {client6, server6}} {
		for _, payload := range []string{"", "odd", "a longer payload than before"} {
			raw := segment(ends[0], ends[1], SYN, 5, withCookie, []byte("before"))
			before := slices.Clone(raw)
			p, at, _ := parse(raw)
			p.From = ClientSide
			f := frame{Packet: p, at: at, raw: raw, entry: &p}.withPayload([]byte(payload))
			if !bytes.Equal(raw, before) {
				t.Fatal("the original frame was changed")
			}
			if string(f.Payload) != payload || f.Len != len(payload) || f.Seq != 5 || f.From != ClientSide || !bytes.Equal(f.TFO.Cookie, cookie) {
				t.Errorf("got %v with payload %q", f.Packet, f.Payload)
			}
			again, at, kind := parse(f.raw)
			if kind != tcpTraffic || at.end != len(f.raw) || string(again.Payload) != payload || f.entry != nil {
				t.Errorf("frame: traffic %d, end %d of %d, payload %q", kind, at.end, len(f.raw), again.Payload)
			}
			if sum := tcpSum(f.raw, f.at); sum != 0xffff {
				t.Errorf("TCP checksum: sum %#x", sum)
			}
			if header := f.raw[at.ip:at.tcp]; again.IPVersion() == 4 && fold(sum(0, header)) != 0xffff {
				t.Errorf("IPv4 header checksum is wrong")
			}
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add(segment(client4, server4, SYN, 1, withCookie, []byte("hello")))
	f.Add(segment(client6, server6, SYN|ACK, 1, []byte{optExperimental, 4, 0xf9, 0x89}, nil))
	f.Add([]byte{12: 8, 13: 6})
	f.Fuzz(func(t *testing.T, raw []byte) {
		before := slices.Clone(raw)
		p, at, kind := parse(raw)
		if !bytes.Equal(raw, before) {
			t.Fatal("parse changed the frame")
		}
		if kind != tcpTraffic {
			return
		}
		if at.ip != etherHeader || at.tcp < at.ip+20 || at.payload < at.tcp+20 || at.end < at.payload || at.end > len(raw) {
			t.Fatalf("layout %+v of a frame of %d bytes", at, len(raw))
		}
		if p.Len != at.end-at.payload || !bytes.Equal(p.Payload, raw[at.payload:at.end]) {
			t.Fatalf("%d bytes of payload, layout %+v", p.Len, at)
		}
		if p.TFO.Kind == 0 && len(p.TFO.Cookie) > 0 {
			t.Fatalf("a cookie without an option: %v", p.TFO)
		}
		if p.String() == "" {
			t.Fatal("no text")
		}
		fr := frame{Packet: p, at: at, raw: raw}.withPayload(nil)
		if fr.Len != 0 || fr.Src != p.Src || fr.Seq != p.Seq || tcpSum(fr.raw, fr.at) != 0xffff {
			t.Fatalf("without payload: %v", fr.Packet)
		}
	})
}
