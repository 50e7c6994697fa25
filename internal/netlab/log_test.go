package netlab

import (
	"net/netip"
	"strings"
	"testing"
	"time"
)

func packet(at, until int, from Side, flags TCPFlags, seq uint32, payload string) Packet {
	c, s := netip.MustParseAddrPort(client4), netip.MustParseAddrPort(server4)
	if from == ServerSide {
		c, s = s, c
	}
	p := Packet{Sent: time.Duration(at) * time.Millisecond, Delivered: time.Duration(until) * time.Millisecond, Fate: Delivered,
		From: from, Src: c, Dst: s, Flags: flags, Seq: seq, Len: len(payload), Payload: []byte(payload)}
	if until == 0 {
		p.Fate = Dropped
	}
	return p
}

func TestConns(t *testing.T) {
	lost := packet(60, 0, ServerSide, PSH|ACK, 8, "lost")
	tail := packet(0, 20, ServerSide, ACK, 1, "of an earlier connection")
	ps := Packets{
		tail,
		packet(0, 20, ClientSide, SYN, 1, "hello"),
		packet(20, 40, ServerSide, SYN|ACK, 7, ""),
		packet(40, 60, ClientSide, ACK|PSH, 7, "more"),
		lost,
		packet(90, 110, ServerSide, PSH|ACK, 8, "response"),
		packet(100, 120, ClientSide, ACK|PSH, 11, "in time"),
		packet(110, 130, ClientSide, ACK|PSH, 18, "after"),
		packet(200, 220, ClientSide, SYN, 1, ""),  // retransmitted
		packet(300, 320, ClientSide, SYN, 99, ""), // the same ports again
	}
	conns := ps.Conns()
	if len(conns) != 2 || len(conns[0].Packets) != 8 || len(conns[1].Packets) != 1 {
		t.Fatalf("%d connections: %+v", len(conns), conns)
	}
	c := conns[0]
	if c.Client.String() != client4 || c.Server.String() != server4 {
		t.Errorf("client %v, server %v", c.Client, c.Server)
	}
	if n := len(c.FromClient()); n != 5 {
		t.Errorf("%d packets from the client, want 5", n)
	}
	if syn, ok := c.SYN(); !ok || string(syn.Payload) != "hello" {
		t.Errorf("SYN %v, %v", syn, ok)
	}
	if first, ok := c.FirstResponse(); !ok || string(first.Payload) != "response" {
		t.Errorf("first response %v, %v", first, ok)
	}
	var before []string
	for _, p := range c.BeforeResponse() {
		before = append(before, string(p.Payload))
	}
	if got := strings.Join(before, ","); got != "hello,more,in time" {
		t.Errorf("before the response: %s", got)
	}
	if d, n := c.FirstByte(), c.RoundTrips(40*time.Millisecond); d != 110*time.Millisecond || n != 2.75 {
		t.Errorf("first byte after %v, %v round trips", d, n)
	}
	if n := c.Turns(nil); n != 2 {
		t.Errorf("%d turns to the first response, want 2", n)
	}
	if n := c.Turns(func(p Packet) bool { return p.Flags.Has(SYN) }); n != 1 {
		t.Errorf("%d turns to the SYN-ACK, want 1", n)
	}
	if n := c.Turns(func(Packet) bool { return false }); n != 0 {
		t.Errorf("%d turns to nothing, want 0", n)
	}
	if d, n := conns[1].FirstByte(), conns[1].RoundTrips(time.Second); d != -1 || n != -1 {
		t.Errorf("no response: first byte after %v, %v round trips", d, n)
	}
}

func TestString(t *testing.T) {
	hello := "\x16\x03\x01\x00\x05\x01 the rest"
	syn := packet(1, 21, ClientSide, SYN, 5, hello)
	syn.TFO = TFOOption{Kind: 34, Cookie: cookie}
	dropped := packet(2, 0, ServerSide, SYN|ACK, 6, "")
	dropped.Fault, dropped.TFO = "some-fault", TFOOption{Kind: 254}
	want := "" +
		"    1.000 ms client IP4 192.0.2.1.40000 > 192.0.2.2.443: Flags [S], seq 5, ack 0, tfo cookie 0102030405060708, length 15 ClientHello; delivered 21.000 ms\n" +
		"    2.000 ms server IP4 192.0.2.2.443 > 192.0.2.1.40000: Flags [S.], seq 6, ack 0, exp-tfo cookiereq, length 0; dropped by some-fault\n"
	if got := (Packets{syn, dropped}).String(); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestParseNetstat(t *testing.T) {
	got, err := parseNetstat("TcpExt: A B\nTcpExt: 1 2\nTcp: C\nTcp: -1\n")
	if err != nil || got["TcpExtA"] != 1 || got["TcpExtB"] != 2 || got["TcpC"] != -1 {
		t.Errorf("got %v, %v", got, err)
	}
	for _, text := range []string{"", "A: x", "A: x\nB: 1", "A: x y\nA: 1", "A: x\nA: one"} {
		if got, err := parseNetstat(text); err == nil {
			t.Errorf("%q: got %v, want an error", text, got)
		}
	}
}
