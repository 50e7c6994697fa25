package waterfall

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tlstfo/tlstfo/internal/netlab"
)

// describe renders a flight in one line.
func describe(f Flight) string {
	var parts []string
	for _, p := range f.Parts {
		s := fmt.Sprintf("%s:%d", p.Name, p.Bytes)
		if p.Again {
			s += " again"
		}
		parts = append(parts, s)
	}
	return fmt.Sprintf("%v %s", f.From, strings.Join(parts, " | "))
}

func describeAll(w *Waterfall) (all []string) {
	for _, f := range w.Flights {
		all = append(all, describe(f))
	}
	return all
}

// TestNew: what the packets of a real run are. Each byte of payload that is
// drawn is in the log.
func TestNew(t *testing.T) {
	p := picture(t, "demo")
	std, warm := p.Waterfalls[0], p.Waterfalls[3]
	want := []string{
		"client SYN:0", "server SYN-ACK:0",
		"client hello:1528", "server hello, certificate, Finished:1786",
		"client Finished:64 | GET:114", "server ticket:320 | 200 OK:592",
	}
	if got := describeAll(std); !slices.Equal(got, want) {
		t.Errorf("net/http: %q, want %q", got, want)
	}
	want = []string{"client SYN (cookie):0 | hello:435 | early data (GET):91", "server SYN-ACK:0 | hello, Finished:207 | 200 OK:592"}
	if got := describeAll(warm); !slices.Equal(got, want) {
		t.Errorf("tlstfo: %q, want %q", got, want)
	}
	for _, w := range p.Waterfalls {
		drawn := 0
		for _, f := range w.Flights {
			for _, p := range f.Parts {
				drawn += p.Bytes
			}
		}
		total := 0
		for _, p := range w.Packets.Conns()[0].Packets {
			if p.Sent-w.Start < w.Response {
				total += p.Len
			}
		}
		if drawn != total {
			t.Errorf("%s: %d bytes are drawn, %d in the log", w.name(), drawn, total)
		}
	}
	for _, w := range p.Waterfalls {
		if late := w.Late(); late < 0 || late > 2*time.Millisecond {
			t.Errorf("%s: %v late", w.name(), late)
		}
	}
	warm.Flights[1].slowest += 30 * time.Millisecond
	if late := warm.Late(); late < 30*time.Millisecond {
		t.Errorf("%v late, want 30 ms more", late)
	}
	if std.Turns != 3 || std.SYNBytes != 0 || warm.Turns != 1 || warm.SYNBytes != 526 || warm.EarlySent != 91 {
		t.Errorf("net/http: %d round trips, %d bytes in the SYN; tlstfo: %d round trips, %d bytes in the SYN, %d early",
			std.Turns, std.SYNBytes, warm.Turns, warm.SYNBytes, warm.EarlySent)
	}
}

// TestWithoutKeys: what cannot be read is called encrypted, never guessed.
func TestWithoutKeys(t *testing.T) {
	x := picture(t, "demo").Waterfalls[3].Exchange
	x.KeyLog = nil
	w := New(x)
	want := []string{"client SYN (cookie):0 | hello:435 | encrypted:91", "server SYN-ACK:0 | hello:139 | encrypted:660"}
	if got := describeAll(w); len(got) < 2 || !slices.Equal(got[:2], want) {
		t.Errorf("%q, want %q first", got, want)
	}
	if w.Response >= 0 || !strings.HasPrefix(w.result(), "no response") {
		t.Errorf("a response after %v, %s", w.Response, w.result())
	}
}

// TestShortLog: payload that the log does not have is said to be missing.
func TestShortLog(t *testing.T) {
	x := picture(t, "demo").Waterfalls[3].Exchange
	x.Packets = slices.Clone(x.Packets)
	for i := range x.Packets {
		x.Packets[i].Payload = x.Packets[i].Payload[:min(64, len(x.Packets[i].Payload))]
	}
	got := describeAll(New(x))
	if want := "client SYN (cookie):0 | not in the log:526"; len(got) == 0 || got[0] != want {
		t.Errorf("%q, want %q first", got, want)
	}
}

// TestFault: a SYN that was lost is drawn as lost, and the response's way is
// the one over the connection that joined.
func TestFault(t *testing.T) {
	w := picture(t, "drop-syn-data").Waterfalls[3]
	if f := w.Flights[0]; f.Fate != netlab.Dropped || f.Fault != netlab.DropSYNData || f.Conn != 0 {
		t.Errorf("first flight %+v", f)
	}
	if f := w.Flights[1]; f.Conn != 1 || describe(f) != "client SYN:0" || f.Sent < w.RTT {
		t.Errorf("second flight %+v", f)
	}
	if w.Turns != 3 || w.SYNBytes != 0 {
		t.Errorf("%d round trips, %d bytes in the SYN", w.Turns, w.SYNBytes)
	}
}

func plain(at, until int, from netlab.Side, flags netlab.TCPFlags, seq uint32, payload string) netlab.Packet {
	p := netlab.Packet{From: from, Flags: flags, Seq: seq, Len: len(payload), Payload: []byte(payload),
		Sent: time.Duration(at) * time.Millisecond, Delivered: time.Duration(until) * time.Millisecond, Fate: netlab.Delivered}
	client, server := netip.MustParseAddrPort("192.0.2.1:40000"), netip.MustParseAddrPort("192.0.2.2:443")
	if p.Src, p.Dst = client, server; from == netlab.ServerSide {
		p.Src, p.Dst = server, client
	}
	return p
}

// TestReplaced: what the wire took out of a packet is drawn, and so is that it
// is sent again.
func TestReplaced(t *testing.T) {
	hello := string([]byte{22, 3, 1, 0, 6, 1, 0, 0, 2, 3, 3})
	sent := plain(0, 0, netlab.ClientSide, netlab.SYN, 1, hello)
	sent.Fate, sent.Fault = netlab.Replaced, netlab.StripPayload
	arrived := plain(0, 20, netlab.ClientSide, netlab.SYN, 1, "")
	arrived.Fault = netlab.StripPayload
	w := New(Exchange{RTT: 40 * time.Millisecond, Packets: netlab.Packets{sent, arrived,
		plain(20, 40, netlab.ServerSide, netlab.SYN|netlab.ACK, 9, ""),
		plain(40, 60, netlab.ClientSide, netlab.PSH|netlab.ACK, 2, hello),
	}})
	want := []string{"client SYN:0 | hello:11", "server SYN-ACK:0", "client hello:11 again"}
	if got := describeAll(w); !slices.Equal(got, want) {
		t.Fatalf("%q, want %q", got, want)
	}
	if f := w.Flights[0]; f.Delivered != 20*time.Millisecond || len(f.Becomes) != 1 || f.Becomes[0].Name != "SYN" {
		t.Errorf("%+v", f)
	}
}

// TestGarbage: a log is what hosts on a wire said, and may be anything.
func TestGarbage(t *testing.T) {
	far := plain(40, 60, netlab.ClientSide, netlab.ACK, 1<<31, "far off")
	noTLS := plain(40, 60, netlab.ClientSide, netlab.ACK, 2, "GET / HTTP/1.1\r\n")
	w := New(Exchange{RTT: 40 * time.Millisecond, KeyLog: []byte("a b c\nCLIENT_RANDOM 00 zz\n"), Packets: netlab.Packets{
		plain(0, 20, netlab.ClientSide, netlab.SYN, 1, ""), noTLS, far,
	}})
	want := []string{"client SYN:0", "client not in the log:23"}
	if got := describeAll(w); !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
	if w := New(Exchange{}); len(w.Flights) != 0 || w.Response >= 0 {
		t.Errorf("%+v", w)
	}
	empty := (&Picture{Waterfalls: []*Waterfall{New(Exchange{})}}).Text(Style{})
	if !strings.Contains(empty, "no response") {
		t.Error(empty)
	}
}

// TestScale: times in which nothing happens are cut out, the others are not.
func TestScale(t *testing.T) {
	const rtt = 40 * time.Millisecond
	w := &Waterfall{Exchange: Exchange{RTT: rtt}, Flights: []Flight{
		{Sent: 0, Delivered: 20 * time.Millisecond}, {Sent: time.Second, Delivered: time.Second + 20*time.Millisecond},
	}}
	s := newScale([]*Waterfall{w})
	if len(s.gaps) != 1 || s.gaps[0] != (gap{30 * time.Millisecond, 990 * time.Millisecond}) {
		t.Fatalf("gaps %v", s.gaps)
	}
	for _, test := range []struct {
		at   time.Duration
		want float64
	}{{0, 0}, {rtt / 2, 0.5}, {30 * time.Millisecond, 0.75}, {990 * time.Millisecond, 1.25}, {time.Second, 1.5}} {
		if got := s.at(test.at); got < test.want-0.001 || got > test.want+0.001 {
			t.Errorf("%v is at %.3f, want %.3f", test.at, got, test.want)
		}
	}
}
