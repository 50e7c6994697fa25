//go:build linux

package netlab

import (
	"bytes"
	"slices"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// testWire returns a wire whose ends are the test's, with rules.
func testWire(t *testing.T, cfg Config, rules ...namedRule) (w *wire, client, server int) {
	t.Helper()
	var pairs [2][2]int
	for i := range pairs {
		fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			t.Fatal(err)
		}
		pairs[i] = fds
		t.Cleanup(func() {
			unix.Close(fds[0])
			unix.Close(fds[1])
		})
	}
	w = newWire(cfg.withDefaults(), [2]int{pairs[0][0], pairs[1][0]})
	w.rules = rules
	return w, pairs[0][1], pairs[1][1]
}

// received returns what has been delivered to an end.
func received(fd int) (frames [][]byte) {
	buf := make([]byte, 1<<16)
	for {
		n, err := unix.Read(fd, buf)
		if err != nil {
			return frames
		}
		frames = append(frames, slices.Clone(buf[:n]))
	}
}

func TestRules(t *testing.T) {
	raw := segment(client4, server4, SYN, 5, withCookie, []byte("hello"))
	bare := segment(client4, server4, SYN, 5, withCookie, nil)
	answer := segment(server4, client4, RST|ACK, 0, nil, nil)
	pass := namedRule{"pass", func(f frame) []frame { return []frame{f} }}
	drop := namedRule{"drop", func(frame) []frame { return nil }}
	strip := namedRule{"strip", func(f frame) []frame { return []frame{f.withPayload(nil)} }}
	twice := namedRule{"twice", func(f frame) []frame { return []frame{f, f.copied()} }}
	reset := namedRule{"reset", func(f frame) []frame {
		p, at, _ := parse(answer)
		return []frame{{Packet: p, at: at, raw: answer, back: true}}
	}}
	late := namedRule{"late", func(f frame) []frame { f.delay = time.Hour; return []frame{f} }}
	for _, test := range []struct {
		name             string
		rules            []namedRule
		toServer         [][]byte
		toClient         [][]byte
		fates            []Fate
		faults           []string
		undeliveredCount int
	}{
		{name: "honest", toServer: [][]byte{raw}, fates: []Fate{Delivered}, faults: []string{""}},
		{name: "pass", rules: []namedRule{pass, pass}, toServer: [][]byte{raw}, fates: []Fate{Delivered}, faults: []string{""}},
		{name: "drop", rules: []namedRule{pass, drop, strip}, fates: []Fate{Dropped}, faults: []string{"drop"}},
		{name: "modify", rules: []namedRule{strip, pass}, toServer: [][]byte{bare}, fates: []Fate{Replaced, Delivered}, faults: []string{"strip", "strip"}},
		{name: "duplicate", rules: []namedRule{twice}, toServer: [][]byte{raw, raw}, fates: []Fate{Delivered, Delivered}, faults: []string{"", "twice"}},
		{name: "duplicate, then modify both", rules: []namedRule{twice, strip}, toServer: [][]byte{bare, bare},
			fates: []Fate{Replaced, Delivered, Delivered}, faults: []string{"strip", "strip", "strip"}},
		{name: "answer", rules: []namedRule{reset, strip}, toClient: [][]byte{answer}, fates: []Fate{Dropped, Delivered}, faults: []string{"reset", "reset"}},
		{name: "delay", rules: []namedRule{late}, fates: []Fate{InFlight}, faults: []string{""}, undeliveredCount: 1},
	} {
		t.Run(test.name, func(t *testing.T) {
			w, client, server := testWire(t, Config{}, test.rules...)
			w.accept(ClientSide, slices.Clone(raw), time.Now())
			w.deliver()
			if got := received(server); !slices.EqualFunc(got, test.toServer, bytes.Equal) {
				t.Errorf("to the server:\n%x\nwant\n%x", got, test.toServer)
			}
			if got := received(client); !slices.EqualFunc(got, test.toClient, bytes.Equal) {
				t.Errorf("to the client:\n%x\nwant\n%x", got, test.toClient)
			}
			ps, _ := w.snapshot()
			var fates []Fate
			var faults []string
			for _, p := range ps {
				fates, faults = append(fates, p.Fate), append(faults, p.Fault)
				if (p.Fate == Delivered) != (p.Delivered > 0) {
					t.Errorf("fate and time of delivery disagree: %v", p)
				}
			}
			if !slices.Equal(fates, test.fates) || !slices.Equal(faults, test.faults) || len(w.queue) != test.undeliveredCount {
				t.Errorf("fates %v, faults %q, %d waiting; log:\n%v", fates, faults, len(w.queue), ps)
			}
			if len(ps) > 0 && ps[0].From != ClientSide {
				t.Errorf("the packet came from the %v", ps[0].From)
			}
		})
	}
}

func TestWireOrderAndNeighbours(t *testing.T) {
	w, _, server := testWire(t, Config{RTT: time.Hour})
	arp := slices.Concat(make([]byte, 12), []byte{8, 6}, make([]byte, 46))
	start := time.Now()
	for seq := range uint32(50) {
		w.accept(ClientSide, segment(client4, server4, ACK, seq, nil, nil), start)
	}
	w.accept(ClientSide, arp, start)
	w.deliver()
	if got := received(server); len(got) != 1 || !bytes.Equal(got[0], arp) {
		t.Errorf("delivered at once: %x, want address resolution only", got)
	}
	for i := range w.queue { // half an hour later
		w.queue[i].due = start
	}
	w.deliver()
	got := received(server)
	if len(got) != 50 {
		t.Fatalf("%d frames, want 50", len(got))
	}
	for i, raw := range got {
		if p, _, _ := parse(raw); p.Seq != uint32(i) {
			t.Fatalf("frame %d has sequence number %d: not in order", i, p.Seq)
		}
	}
}

func TestLogLimits(t *testing.T) {
	w, _, _ := testWire(t, Config{PayloadBytes: 3, MaxPackets: 2})
	for range 5 {
		w.accept(ClientSide, segment(client4, server4, ACK, 0, nil, []byte("hello")), time.Now())
	}
	ps, lost := w.snapshot()
	if len(ps) != 2 || lost != 3 || string(ps[0].Payload) != "hel" || ps[0].Len != 5 {
		t.Errorf("%d packets, %d lost:\n%v", len(ps), lost, ps)
	}
	w.reset()
	if ps, lost := w.snapshot(); len(ps) != 0 || lost != 0 {
		t.Errorf("after a reset: %d packets, %d lost", len(ps), lost)
	}
	w, _, _ = testWire(t, Config{PayloadBytes: -1})
	w.accept(ClientSide, segment(client4, server4, ACK, 0, nil, []byte("hello")), time.Now())
	if ps, _ := w.snapshot(); len(ps) != 1 || len(ps[0].Payload) != 0 || ps[0].Len != 5 {
		t.Errorf("no payload wanted:\n%v", ps)
	}
}

func TestFaultErrors(t *testing.T) {
	for _, f := range []Fault{{Name: "no such fault"}, {}, {Name: DropSYNData, From: 3}, {Name: DropSYNData, Times: -1}, {Name: DropSYNData, Delay: -1},
		{Name: DropSYNData, Percent: 1}, {Name: Loss}, {Name: Loss, Percent: 101}, {Name: Reorder, Percent: -1}} {
		w := new(wire)
		if err := w.setFaults([]Fault{{Name: DropSYNData}, f}); err == nil || w.rules != nil {
			t.Errorf("%+v: error %v, rules set: %v", f, err, w.rules != nil)
		}
	}
}

func TestFaultTimesAndSide(t *testing.T) {
	drop := func(f Fault) (n int) {
		w, _, _ := testWire(t, Config{})
		if err := w.setFaults([]Fault{f}); err != nil {
			t.Fatal(err)
		}
		for range 3 {
			w.accept(ClientSide, segment(client4, server4, SYN, 0, nil, []byte("data")), time.Now())
			w.accept(ClientSide, segment(client4, server4, SYN, 0, nil, nil), time.Now())
			w.accept(ServerSide, segment(server4, client4, SYN|ACK, 0, nil, []byte("data")), time.Now())
		}
		ps, _ := w.snapshot()
		return len(ps.Filter(func(p Packet) bool { return p.Fate == Dropped }))
	}
	for _, test := range []struct {
		fault Fault
		want  int
	}{
		{Fault{Name: DropSYNData}, 3},
		{Fault{Name: DropSYNData, Times: 2}, 2},
		{Fault{Name: DropSYNData, From: ClientSide}, 3},
		{Fault{Name: DropSYNData, From: ServerSide}, 0},
	} {
		if got := drop(test.fault); got != test.want {
			t.Errorf("%+v dropped %d packets, want %d", test.fault, got, test.want)
		}
	}
}
