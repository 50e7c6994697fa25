//go:build linux

package netlab

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"
)

// A short notation of packets: "S" a SYN, "S+" one with 5 bytes of payload, "S?" with a cookie request, "S!" with a cookie and
// payload, "D" 5 bytes of data, "F" a FIN, "A" an acknowledgement, "R" a reset; "<" before it comes from the server. The client's sequence numbers begin at 100.
func shorthand(t *testing.T, name string, v6 bool) (Side, []byte) {
	from, src, dst := ClientSide, client4, server4
	if v6 {
		src, dst = client6, server6
	}
	kind, back := strings.CutPrefix(name, "<")
	if back {
		from, src, dst = ServerSide, dst, src
	}
	data := []byte("hello")
	switch kind {
	case "S":
		return from, segment(src, dst, SYN, 100, mss, nil)
	case "S+":
		return from, segment(src, dst, SYN, 100, mss, data)
	case "S?":
		return from, segment(src, dst, SYN, 100, []byte{optNop, optNop, optTFO, 2}, nil)
	case "S!":
		return from, segment(src, dst, SYN, 100, withCookie, data)
	case "SA": // acknowledges the SYN and 5 bytes
		raw := segment(src, dst, SYN|ACK, 500, mss, nil)
		p, at, _ := parse(raw)
		return from, frame{Packet: p, at: at, raw: raw}.withAck(106).raw
	case "D":
		return from, segment(src, dst, ACK|PSH, 101, nil, data)
	case "A":
		return from, segment(src, dst, ACK, 101, nil, nil)
	case "F":
		return from, segment(src, dst, ACK|FIN, 101, nil, nil)
	case "R":
		return from, segment(src, dst, RST|ACK, 101, nil, nil)
	}
	t.Fatalf("no packet is called %q", name)
	return 0, nil
}

// inShort is the reverse: what arrived.
func inShort(p Packet) string {
	var s string
	if p.Src.Port() == 443 {
		s = "<"
	}
	switch {
	case p.Flags.Has(SYN | ACK):
		return fmt.Sprint(s, "SA ", p.Ack)
	case p.Flags.Has(SYN) && p.TFO.HasCookie():
		s += "S!"
	case p.Flags.Has(SYN) && p.TFO.Asks():
		s += "S?"
	case p.Flags.Has(SYN):
		s += "S"
	case p.Flags.Has(RST):
		return fmt.Sprint(s, "R ", p.Ack)
	case p.Flags.Has(FIN):
		s += "F"
	case p.Len > 0:
		return s + "D"
	default:
		s += "A"
	}
	if p.Len > 0 && !strings.HasSuffix(s, "!") {
		s += "+"
	}
	return s
}

func TestEveryFault(t *testing.T) {
	const all = "S S+ S? S! <SA D <D <A F <F A"
	const delivered = "S S+ S? S! <SA_106 D <D <A F <F A"
	for _, test := range []struct {
		fault     Fault
		in        string
		delivered string // without a delay
		delayed   string
	}{
		{Fault{Name: DropSYNData}, all, "S S? <SA_106 D <D <A F <F A", ""},
		{Fault{Name: DropTFO}, all, "S S+ <SA_106 D <D <A F <F A", ""},
		{Fault{Name: StripTFO}, all, "S S+ S S+ <SA_106 D <D <A F <F A", ""},
		{Fault{Name: StripPayload}, "S+ S! D", "S S? D", ""}, // a cookie without data is below
		{Fault{Name: ResetSYNData}, "S S+ S?", "S <R_106 S?", ""},
		{Fault{Name: ResetSYNData, Delay: time.Hour}, "S S+ S?", "S S?", "<R_106"},
		{Fault{Name: ResetTFO}, "S S+ S?", "S S+ <R_101", ""},
		{Fault{Name: DropSYNACK, Times: 1}, "S <SA <SA D", "S <SA_106 D", ""},
		{Fault{Name: BlackHole}, "S+ <SA A D <D <R", "S+ <SA_106", ""},
		{Fault{Name: BlackHole, From: ServerSide}, "S+ <SA A D <D <R", "S+ <SA_106 A D", ""},
		{Fault{Name: BlackHole}, "S+ S <SA D <D", "S+ S <SA_106 D <D", ""},
		{Fault{Name: BlackHole}, "S? <SA D <D", "S? <SA_106 D <D", ""},
		{Fault{Name: OneByteLess}, "S+ <SA D <SA", "S+ <SA_105 D <SA_105", ""},
		{Fault{Name: OneByteLess}, "S <SA", "S <SA_106", ""},
		{Fault{Name: DuplicateSYNData}, "S S+ D", "S S+ S+ D", ""},
		{Fault{Name: DuplicateSYNData, Delay: time.Hour}, "S! D", "S! D", "S!"},
		{Fault{Name: ReplaySYNData}, "S+ <SA D F <F A A", "S+ <SA_106 D F <F A S+ A", ""},
		{Fault{Name: ReplaySYNData}, "S+ <SA D <F F <A <A", "S+ <SA_106 D <F F <A S+ <A", ""},
		{Fault{Name: ReplaySYNData}, "S! <SA R <R", "S! <SA_106 R_0 S! <R_0", ""},
		{Fault{Name: ReplaySYNData, Delay: time.Hour}, "S! <R", "S! <R_0", "S!"},
		{Fault{Name: ReplaySYNData}, "S? <SA D F <F A", "S? <SA_106 D F <F A", ""},
		{Fault{Name: DeadIPv4}, all, "", ""},
		{Fault{Name: DeadIPv4, From: ServerSide}, "S <SA D", "S D", ""},
		{Fault{Name: DeadIPv6}, all, delivered, ""},
		{Fault{Name: Loss, Percent: 100}, all, "", ""},
		{Fault{Name: Reorder, Percent: 100, Delay: time.Hour}, "S <SA", "", "S <SA_106"},
	} {
		for _, v6 := range []bool{false, true} {
			if v6 && strings.HasPrefix(test.fault.Name, "dead") {
				continue
			}
			w, _, _ := testWire(t, Config{})
			if err := w.setFaults([]Fault{test.fault}); err != nil {
				t.Fatal(err)
			}
			for _, name := range strings.Fields(test.in) {
				from, raw := shorthand(t, name, v6)
				w.accept(from, raw, time.Now())
				w.deliver()
			}
			var now, later []string
			log, _ := w.snapshot()
			for _, p := range log {
				short := strings.ReplaceAll(inShort(p), " ", "_")
				if test.fault.Name == StripPayload && p.TFO.HasCookie() {
					short = "S?" // as if
				}
				switch p.Fate {
				case Delivered:
					now = append(now, short)
				case InFlight:
					later = append(later, short)
				}
			}
			if got := strings.Join(now, " "); got != test.delivered {
				t.Errorf("%+v: %s: delivered %q, want %q", test.fault, test.in, got, test.delivered)
			}
			if got := strings.Join(later, " "); got != test.delayed {
				t.Errorf("%+v: %s: delayed %q, want %q", test.fault, test.in, got, test.delayed)
			}
			for _, x := range w.queue {
				if p, at, _ := parse(x.raw); tcpSum(x.raw, at) != 0xffff {
					t.Errorf("%+v: checksum of %v", test.fault, p)
				}
			}
		}
	}
}

// Packets that the wire makes up have checksums and addresses that a kernel accepts.
func TestMadeUpFrames(t *testing.T) {
	for _, v6 := range []bool{false, true} {
		_, raw := shorthand(t, "S!", v6)
		p, at, _ := parse(raw)
		p.From = ClientSide
		f := frame{Packet: p, at: at, raw: raw}
		for name, made := range map[string]frame{"answered": f.answered(RST|ACK, 7, 8), "withoutTFO": f.withoutTFO(), "withAck": f.withAck(9)} {
			again, at, kind := parse(made.raw)
			if kind != tcpTraffic || tcpSum(made.raw, at) != 0xffff || again.IPVersion() == 4 && fold(sum(0, made.raw[at.ip:at.tcp])) != 0xffff {
				t.Errorf("%s: %v", name, again)
			}
		}
		back := f.answered(RST|ACK, 7, 8)
		if back.Src != p.Dst || back.Dst != p.Src || back.Seq != 7 || back.Ack != 8 || back.Len != 0 || back.From != ServerSide {
			t.Errorf("answer: %v", back.Packet)
		}
		if bare := f.withoutTFO(); bare.TFO.Kind != 0 || string(bare.Payload) != "hello" || len(bare.raw) != len(raw) {
			t.Errorf("without the option: %v", bare.Packet)
		}
	}
}

// What is random follows the seed, and is about as frequent as it says.
func TestChance(t *testing.T) {
	decisions := func(seed uint64) []bool {
		hit := Fault{Percent: 10, Seed: seed}.chance()
		var all []bool
		for range 1000 {
			all = append(all, hit(frame{}))
		}
		return all
	}
	one := decisions(1)
	if !slices.Equal(one, decisions(1)) || slices.Equal(one, decisions(2)) {
		t.Error("the seed does not decide")
	}
	n := 0
	for _, hit := range one {
		if hit {
			n++
		}
	}
	if n < 70 || n > 130 {
		t.Errorf("%d of 1000 are not 10 percent", n)
	}
}

// Real kernels get on with what the faults do, sooner or later.
func TestFaultsMeetKernels(t *testing.T) {
	lab := Start(t, Config{RTT: 10 * time.Millisecond})
	addr := netip.AddrPortFrom(lab.Server.IPv4, 7000).String()
	startEcho(t, lab.Server, addr)
	for _, fault := range []Fault{
		{Name: DropTFO}, {Name: StripTFO}, {Name: DropSYNACK, Times: 1}, {Name: OneByteLess}, {Name: DuplicateSYNData},
		{Name: DuplicateSYNData, Delay: 2 * time.Millisecond}, {Name: ReplaySYNData}, {Name: DeadIPv6}, {Name: Reorder, Percent: 50, Delay: 7 * time.Millisecond},
		{Name: BlackHole, Times: 1},
	} {
		if err := lab.SetFaults(); err != nil {
			t.Fatal(err)
		}
		mustDial(t, lab.Client, addr, "for a cookie") // the client may have given up the last one
		if err := lab.SetFaults(fault); err != nil {
			t.Fatal(err)
		}
		if err := lab.ResetLog(); err != nil {
			t.Fatal(err)
		}
		mustDial(t, lab.Client, addr, "through the fault")
		if fault.Name == DeadIPv6 || fault.Name == Reorder { // which leave no trace in the log here
			continue
		}
		var ps Packets
		for range 100 { // the connection may end after its program
			if ps = mustPackets(t, lab); slices.ContainsFunc(ps, func(p Packet) bool { return p.Fault == fault.Name }) {
				break
			}
			time.Sleep(20 * time.Millisecond)
		}
		if !slices.ContainsFunc(ps, func(p Packet) bool { return p.Fault == fault.Name }) {
			t.Errorf("%+v did nothing:\n%v", fault, ps)
		}
	}
	for _, fault := range []Fault{{Name: ResetSYNData}, {Name: ResetTFO}} {
		if err := lab.SetFaults(fault); err != nil {
			t.Fatal(err)
		}
		out, err := lab.Client.Func(t.Context(), "dial", addr, "x").CombinedOutput()
		if err == nil || !strings.Contains(string(out), "connection refused") {
			t.Errorf("%+v: %v: %s", fault, err, out)
		}
	}
}
